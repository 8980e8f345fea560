//! Names that become SQL identifiers: parsed once, and the only strings that ever do.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The longest identifier that PostgreSQL keeps whole, in bytes (NAMEDATALEN - 1).
pub const MAX_IDENTIFIER_BYTES: usize = 63;
/// The longest slug, in bytes.
pub const MAX_SLUG_BYTES: usize = 40;

/// Slugs that would be mistaken for a part of the service or of PostgreSQL.
const RESERVED_SLUGS: &[&str] = &[
    "admin",
    "api",
    "app",
    "assets",
    "auth",
    "billing",
    "clinicx",
    "console",
    "control",
    "core",
    "default",
    "dental",
    "docs",
    "fhir",
    "healthz",
    "help",
    "information-schema",
    "login",
    "mail",
    "metrics",
    "migrator",
    "null",
    "openapi",
    "operator",
    "owner",
    "pg",
    "platform",
    "postgres",
    "public",
    "readyz",
    "root",
    "static",
    "status",
    "support",
    "system",
    "template",
    "tenant",
    "test",
    "undefined",
    "webhooks",
    "www",
];

/// Why a text is not a name of the wanted kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty.
    #[error("must not be empty")]
    Empty,
    /// It is longer than the kind allows.
    #[error("must be at most {max} bytes long")]
    TooLong {
        /// The limit in bytes.
        max: usize,
    },
    /// It has characters, or an order of them, that the kind does not allow.
    #[error("must match {pattern}")]
    Malformed {
        /// The pattern as a regular expression.
        pattern: &'static str,
    },
    /// It is kept back for the service itself.
    #[error("is a reserved word")]
    Reserved,
}

impl NameError {
    /// Returns the stable code of this reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong { .. } => "too_long",
            Self::Malformed { .. } => "malformed",
            Self::Reserved => "reserved",
        }
    }
}

macro_rules! name_type {
    ($(#[$meta:meta])* $name:ident, $check:expr) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses a name; nothing is folded, cut or mended.
            ///
            /// # Errors
            /// The first rule of the kind that the text breaks.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Result<(), NameError> = $check;
                check(text).map(|()| Self(text.into()))
            }

            /// Returns the name as it was parsed.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }
    };
}

macro_rules! quoting {
    ($($name:ident),+) => {$(
        impl $name {
            /// Returns the name as a quoted SQL identifier.
            pub fn quoted(&self) -> String {
                // The parser admits no quotation mark, so that nothing has to be doubled.
                format!("\"{}\"", self.0)
            }

            /// Returns the name as a quoted SQL string literal.
            pub fn literal(&self) -> String {
                format!("'{}'", self.0)
            }
        }
    )+};
}

name_type! {
    /// A tenant's public name, as it stands in URLs and host names: `dental1`, `smile-center`.
    TenantSlug, check_slug
}
name_type! {
    /// The PostgreSQL schema of one tenant: `tenant_` and the slug with underscores.
    SchemaName, |text| check_identifier(text, "tenant_", "^tenant_[a-z0-9_]+$")
}
name_type! {
    /// The PostgreSQL role of one tenant; it has the name of the tenant's schema.
    TenantRole, |text| check_identifier(text, "tenant_", "^tenant_[a-z0-9_]+$")
}
name_type! {
    /// A PostgreSQL role that logs in or owns, such as `clinicx_app`.
    RoleName, |text| check_identifier(text, "", "^[a-z][a-z0-9_]*$")
}
name_type! {
    /// The name of a PostgreSQL database.
    DatabaseName, |text| check_identifier(text, "", "^[a-z][a-z0-9_]*$")
}
name_type! {
    /// The name of a configured PostgreSQL cluster.
    ClusterName, |text| check_identifier(text, "", "^[a-z][a-z0-9_]*$")
}
name_type! {
    /// The name of a module, such as `core` or `dental`.
    ModuleName, |text| check_identifier(text, "", "^[a-z][a-z0-9_]*$")
}
quoting!(SchemaName, TenantRole, RoleName, DatabaseName);

impl TenantSlug {
    /// Returns the schema of the tenant with this slug. Two slugs never share one: a slug has no underscore.
    pub fn schema(&self) -> SchemaName {
        SchemaName(format!("tenant_{}", self.0.replace('-', "_")).into())
    }
}

impl SchemaName {
    /// Returns the role that may use this schema.
    pub fn role(&self) -> TenantRole {
        TenantRole(Arc::clone(&self.0))
    }
}

fn check_slug(text: &str) -> Result<(), NameError> {
    const PATTERN: &str = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$";
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_SLUG_BYTES {
        return Err(NameError::TooLong { max: MAX_SLUG_BYTES });
    }
    let parts_are_good = text
        .split('-')
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    if !parts_are_good || !text.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Err(NameError::Malformed { pattern: PATTERN });
    }
    if RESERVED_SLUGS.contains(&text) || text.starts_with("pg-") {
        return Err(NameError::Reserved);
    }
    Ok(())
}

fn check_identifier(text: &str, prefix: &str, pattern: &'static str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_IDENTIFIER_BYTES {
        return Err(NameError::TooLong { max: MAX_IDENTIFIER_BYTES });
    }
    let rest = text.strip_prefix(prefix).unwrap_or_default();
    let starts_well = !prefix.is_empty() || rest.starts_with(|first: char| first.is_ascii_lowercase());
    let good = rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if rest.is_empty() || !starts_well || !good {
        return Err(NameError::Malformed { pattern });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_follow_the_pattern() {
        let check = |text: &str, expected: Result<(), &str>| {
            assert_eq!(TenantSlug::parse(text).map(|_| ()).map_err(|e| e.code()), expected, "{text:?}");
        };
        check("clinic1", Ok(()));
        check("smile-center-2", Ok(()));
        check(&"a".repeat(40), Ok(()));
        check(&"a".repeat(41), Err("too_long"));
        check("", Err("empty"));
        for bad in ["1clinic", "-a", "a-", "a--b", "a_b", "A", "ä", "a b", "a\"b", "a'b", "a;b", "a\0"] {
            check(bad, Err("malformed"));
        }
        check("public", Err("reserved"));
        check("pg-toast", Err("reserved"));
    }

    #[test]
    fn schema_of_a_slug_is_injective_and_a_schema_name() {
        let one = TenantSlug::parse("a-b").unwrap().schema();
        let two = TenantSlug::parse("ab").unwrap().schema();
        assert_ne!(one, two);
        assert_eq!(one.quoted(), "\"tenant_a_b\"");
        assert_eq!(SchemaName::parse(one.as_str()), Ok(one));
    }

    #[test]
    fn schema_names_admit_nothing_that_needs_escaping() {
        for bad in ["public", "tenant_", "tenant_A", "tenant_\"x", "tenant_x;", "tenant_x--", "tenant_é"] {
            assert!(SchemaName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(SchemaName::parse(&format!("tenant_{}", "x".repeat(57))).is_err());
    }
}
