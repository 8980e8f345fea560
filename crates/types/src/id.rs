//! Identifiers: UUIDv7 (RFC 9562) values, one Rust type for each kind of thing.

/// Declares identifier types over [`uuid::Uuid`] that SeaORM, serde and JSON Schema understand.
///
/// A macro because Rust offers no other way to share these impls across newtypes.
#[macro_export]
macro_rules! typed_id {
    ($($(#[$meta:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$meta])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, $crate::id::serde::Serialize,
            $crate::id::serde::Deserialize, $crate::id::schemars::JsonSchema,
        )]
        #[serde(transparent, crate = "clinicx_types::id::serde")]
        #[schemars(inline, crate = "clinicx_types::id::schemars")]
        pub struct $name($crate::uuid::Uuid);

        impl $name {
            /// Wraps a UUID that the caller knows to name this kind of thing.
            pub const fn new(uuid: $crate::uuid::Uuid) -> Self {
                Self(uuid)
            }

            /// Returns the bare UUID.
            pub const fn uuid(self) -> $crate::uuid::Uuid {
                self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::uuid::Error;
            fn from_str(text: &str) -> ::std::result::Result<Self, Self::Err> {
                $crate::uuid::Uuid::parse_str(text).map(Self)
            }
        }

        impl From<$name> for $crate::uuid::Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl From<$crate::uuid::Uuid> for $name {
            fn from(uuid: $crate::uuid::Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for $crate::sea_orm::Value {
            fn from(id: $name) -> Self {
                $crate::sea_orm::Value::from(id.0)
            }
        }

        impl $crate::sea_orm::TryGetable for $name {
            fn try_get_by<I: $crate::sea_orm::ColIdx>(
                row: &$crate::sea_orm::QueryResult,
                index: I,
            ) -> ::std::result::Result<Self, $crate::sea_orm::TryGetError> {
                <$crate::uuid::Uuid as $crate::sea_orm::TryGetable>::try_get_by(row, index).map(Self)
            }
        }

        impl $crate::sea_orm::sea_query::ValueType for $name {
            fn try_from(
                value: $crate::sea_orm::Value,
            ) -> ::std::result::Result<Self, $crate::sea_orm::sea_query::ValueTypeErr> {
                <$crate::uuid::Uuid as $crate::sea_orm::sea_query::ValueType>::try_from(value).map(Self)
            }
            fn type_name() -> String {
                stringify!($name).to_owned()
            }
            fn array_type() -> $crate::sea_orm::sea_query::ArrayType {
                $crate::sea_orm::sea_query::ArrayType::Uuid
            }
            fn column_type() -> $crate::sea_orm::sea_query::ColumnType {
                $crate::sea_orm::sea_query::ColumnType::Uuid
            }
        }

        impl $crate::sea_orm::sea_query::Nullable for $name {
            fn null() -> $crate::sea_orm::Value {
                <$crate::uuid::Uuid as $crate::sea_orm::sea_query::Nullable>::null()
            }
        }

        impl $crate::sea_orm::TryFromU64 for $name {
            fn try_from_u64(_: u64) -> ::std::result::Result<Self, $crate::sea_orm::DbErr> {
                Err($crate::sea_orm::DbErr::ConvertFromU64(stringify!($name)))
            }
        }
    )+};
}

#[doc(hidden)]
pub use schemars;
#[doc(hidden)]
pub use serde;

extern crate self as clinicx_types;

typed_id! {
    /// Names a tenant: one clinic or practice.
    TenantId,
    /// Names a person who can log in.
    UserId,
    /// Names one log-in of a user, from its password to its log-out.
    SessionId,
    /// Names one request, from its first log line to its audit rows.
    RequestId,
    /// Names a person's invitation to a tenant.
    InvitationId,
    /// Names one permission for an operator to act inside a tenant for a while.
    BreakGlassGrantId,
}
