//! Texts that nobody but their owner may read: passwords and refresh tokens.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::{TryRng, rngs::SysRng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::IdentityError;

/// What every refresh token begins with, so that secret scanners find one that was leaked.
const REFRESH_PREFIX: &str = "cxr_";
/// The bits of a refresh token, in bytes.
const REFRESH_BYTES: usize = 32;

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
        let mut bytes = [0_u8; REFRESH_BYTES];
        SysRng.try_fill_bytes(&mut bytes).map_err(|_| IdentityError::Crypto("no randomness"))?;
        Ok(Self(format!("{REFRESH_PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))))
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
        let encoded = self.0.strip_prefix(REFRESH_PREFIX)?;
        let mut bytes = [0_u8; REFRESH_BYTES];
        let length = BASE64_URL_SAFE_NO_PAD.decode_slice(encoded, &mut bytes).ok()?;
        (length == REFRESH_BYTES).then(|| Sha256::digest(bytes).to_vec())
    }
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
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", Password::new("hunter2")), "Password(..)");
        assert_eq!(format!("{:?}", RefreshToken::new("cxr_x")), "RefreshToken(..)");
    }
}
