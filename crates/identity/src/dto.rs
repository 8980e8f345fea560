//! What goes over the wire: the bodies of log-in, refresh and switch, and what is answered.

use std::fmt;

use clinicx_types::{
    id::{TenantId, UserId},
    name::TenantSlug,
    permission::Role,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use crate::{
    email::lookup_key,
    secret::{Password, RefreshToken},
};

/// A log-in with a password. Its `Debug` text shows nothing of it.
#[derive(Clone, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// The tenant to act in; may be left out by whoever belongs to one only, and by operators of the platform.
    #[serde(default)]
    #[schemars(with = "Option<String>", regex(pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$"), length(max = 40))]
    pub tenant: Option<TenantSlug>,
    /// The address of the account.
    pub email: String,
    /// The password of the account.
    pub password: Password,
    /// The one-time password of the moment or a recovery code, for an account with a second factor.
    #[serde(default)]
    #[schemars(length(max = 64))]
    #[validate(length(max = 64))]
    pub totp: Option<String>,
}

impl LoginRequest {
    /// Returns what only the account's owner can send, the address and the password, for a keyed digest of them that
    /// stands for the caller; they are not to be kept.
    pub fn secret(&self) -> [Vec<u8>; 2] {
        [lookup_key(&self.email).into_bytes(), self.password.expose().as_bytes().to_vec()]
    }
}

impl fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginRequest(..)")
    }
}

/// A refresh token to be exchanged.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    /// The refresh token of the last log-in, switch or refresh.
    pub refresh_token: RefreshToken,
}

/// A wish to act in another tenant.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct SwitchRequest {
    /// The tenant.
    #[schemars(with = "String", regex(pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$"), length(max = 40))]
    pub tenant: TenantSlug,
}

/// The tokens of a session. Its `Debug` text does not show them.
#[derive(Clone, Serialize, JsonSchema)]
pub struct Tokens {
    /// Goes into the header `Authorization: Bearer …`.
    pub access_token: String,
    /// Is exchanged for new tokens, once.
    pub refresh_token: RefreshToken,
    /// How the access token is presented: always `Bearer` (RFC 6750).
    pub token_type: &'static str,
    /// After how many seconds the access token ends.
    pub expires_in: i64,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// Who the caller is. Its `Debug` text shows ids only.
#[derive(Clone, Serialize, JsonSchema)]
pub struct Me {
    /// The user.
    pub id: UserId,
    /// The user's address.
    pub email: String,
    /// The user's name.
    pub full_name: String,
    /// Whether the user is an operator of the platform, whatever the present token is for.
    pub is_operator: bool,
    /// The tenant that the present token names.
    #[schemars(with = "Option<String>")]
    pub tenant: Option<TenantSlug>,
    /// The user's roles in that tenant.
    pub roles: Vec<Role>,
    /// The tenants to which the user can switch.
    pub tenants: Vec<MeTenant>,
}

impl fmt::Debug for Me {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Me").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A tenant to which the caller belongs.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct MeTenant {
    /// Its id.
    pub id: TenantId,
    /// Its slug.
    #[schemars(with = "String")]
    pub slug: TenantSlug,
    /// Its name.
    pub name: String,
    /// Its status, such as `active`.
    pub status: String,
    /// The caller's roles in it.
    pub roles: Vec<Role>,
}
