//! What goes over the wire of a log-in at an issuer.

use std::fmt;

use clinicx_types::name::TenantSlug;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

/// An issuer at which people can log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LoginProvider {
    /// Its name in paths.
    pub name: String,
    /// Its name for people.
    pub label: String,
}

/// A wish to log in at an issuer.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct AuthorizeRequest {
    /// Where the issuer sends the browser afterwards: one of the configured addresses, exactly.
    pub redirect_uri: String,
    /// The tenant to act in; may be left out by whoever belongs to one only, and by operators of the platform.
    #[serde(default)]
    #[schemars(with = "Option<String>", regex(pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$"), length(max = 40))]
    pub tenant: Option<TenantSlug>,
}

/// Where a browser goes to log in. Its `Debug` text shows nothing of it.
#[derive(Clone, Serialize, JsonSchema)]
pub struct Authorization {
    /// The address at the issuer.
    pub authorization_url: String,
    /// What the issuer gives back; the browser compares it with what comes.
    pub state: String,
    /// A secret that stays in the browser and goes into no address: it finishes the log-in that it began, and no other.
    pub binding: String,
}

/// What the issuer gave to the browser. Its `Debug` text shows nothing of it.
#[derive(Clone, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct CallbackRequest {
    /// The code.
    pub code: String,
    /// The state.
    pub state: String,
    /// The secret that came with the address.
    pub binding: String,
    /// Who says so (RFC 9207), when the issuer names itself.
    #[serde(default)]
    pub iss: Option<String>,
    /// Where the answer arrived, without what the issuer has added; needed without `iss`. It must be the address with
    /// which the log-in began.
    #[serde(default)]
    pub redirect_uri: Option<String>,
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization(..)")
    }
}

impl fmt::Debug for CallbackRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallbackRequest(..)")
    }
}
