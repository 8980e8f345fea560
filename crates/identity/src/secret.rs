//! Texts that nobody but their owner may read: passwords, refresh tokens, the tokens of links.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::{TryRng, rngs::SysRng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::IdentityError;

/// What every refresh token begins with, so that secret scanners find one that was leaked.
const REFRESH_PREFIX: &str = "cxr_";
/// The bits of a token, in bytes.
const TOKEN_BYTES: usize = 32;

/// A password as somebody typed it. Its `Debug` text does not show it.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Password(String);

impl Password {
    /// Wraps a typed password.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// A refresh token: 256 random bits that are good for one use. Its `Debug` text does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct RefreshToken(String);

impl RefreshToken {
    /// Draws a token from the system's randomness.
    ///
    /// # Errors
    /// [`IdentityError::Crypto`] when the system has none.
    pub(crate) fn draw() -> Result<Self, IdentityError> {
        draw(REFRESH_PREFIX).map(Self)
    }

    /// Wraps what a client sent; whether it is a token shows when it is looked up.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the token, to hand it to its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns its SHA-256 digest, which is all that is kept; `None` for a text that is no token.
    ///
    /// A plain digest is enough: 256 random bits can't be guessed, so that there is nothing to slow down.
    pub(crate) fn digest(&self) -> Option<Vec<u8>> {
        digest(&self.0, REFRESH_PREFIX)
    }
}

/// For what a link is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkKind {
    /// Setting a forgotten password anew.
    PasswordReset,
    /// Accepting an invitation.
    Invitation,
}

impl LinkKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::PasswordReset => "cxp_",
            Self::Invitation => "cxi_",
        }
    }
}

/// The token of a link that was mailed: 256 random bits that are good for one use. Its `Debug` text does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct LinkToken(String);

impl LinkToken {
    /// Draws a token from the system's randomness.
    pub(crate) fn draw(kind: LinkKind) -> Result<Self, IdentityError> {
        draw(kind.prefix()).map(Self)
    }

    /// Wraps what a client sent; whether it is a token shows when it is looked up.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the token, to hand it to its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns its SHA-256 digest, which is all that is kept; `None` for a text that is no token of this kind.
    pub(crate) fn digest(&self, kind: LinkKind) -> Option<Vec<u8>> {
        digest(&self.0, kind.prefix())
    }
}

impl fmt::Debug for LinkToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkToken(..)")
    }
}

fn draw(prefix: &str) -> Result<String, IdentityError> {
    let mut bytes = [0_u8; TOKEN_BYTES];
    SysRng.try_fill_bytes(&mut bytes).map_err(|_| IdentityError::Crypto("no randomness"))?;
    Ok(format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)))
}

fn digest(text: &str, prefix: &str) -> Option<Vec<u8>> {
    let encoded = text.strip_prefix(prefix)?;
    let mut bytes = [0_u8; TOKEN_BYTES];
    let length = BASE64_URL_SAFE_NO_PAD.decode_slice(encoded, &mut bytes).ok()?;
    (length == TOKEN_BYTES).then(|| Sha256::digest(bytes).to_vec())
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_token_has_a_digest_and_no_two_are_alike() {
        let (one, two) = (RefreshToken::draw().unwrap(), RefreshToken::draw().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.digest().unwrap().len(), 32);
        assert_ne!(one.digest(), two.digest());
        assert_eq!(RefreshToken::new(one.expose()).digest(), one.digest());
    }

    #[test]
    fn what_is_no_token_has_no_digest() {
        let good = RefreshToken::draw().unwrap();
        let good = good.expose();
        let without_prefix = good.trim_start_matches(REFRESH_PREFIX);
        for bad in [
            "",
            "cxr_",
            "cxr_AAAA",
            without_prefix,
            &format!("{good}="),
            &format!("{good}A"),
            &format!(" {good}"),
            &good.to_uppercase(),
            &"cxr_".repeat(1000),
        ] {
            assert_eq!(RefreshToken::new(bad).digest(), None, "{bad:?}");
        }
    }

    #[test]
    fn a_links_token_is_good_for_its_kind_alone() {
        let token = LinkToken::draw(LinkKind::PasswordReset).unwrap();
        assert_eq!(token.digest(LinkKind::PasswordReset).unwrap().len(), 32);
        assert_eq!(token.digest(LinkKind::Invitation), None);
        assert_eq!(RefreshToken::new(token.expose()).digest(), None);
        assert_eq!(format!("{token:?}"), "LinkToken(..)");
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", Password::new("hunter2")), "Password(..)");
        assert_eq!(format!("{:?}", RefreshToken::new("cxr_x")), "RefreshToken(..)");
    }
}
