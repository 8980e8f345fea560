//! The key that signs access tokens.

use std::fmt;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit, Mac};
use rand::{TryRng, rngs::SysRng};
use sha2::Sha256;

use crate::error::IdentityError;

/// The bytes of a key: as many as HMAC-SHA-256 has in its output (RFC 7518 section 3.2 asks for no fewer).
pub const KEY_BYTES: usize = 32;

/// A secret of 256 bits that every process of one service shares. Its `Debug` text shows its public id only.
///
/// Changing it makes the access tokens of the last minutes invalid, and nothing else: sessions and refresh
/// tokens live in the database, so that clients go on with one refresh.
#[derive(Clone)]
pub struct TokenKey([u8; KEY_BYTES]);

/// The text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenKeyError {
    /// It is neither 64 hexadecimal digits nor base64 of 32 bytes.
    #[error("the token key must be 32 bytes, in base64 or as 64 hexadecimal digits")]
    Malformed,
    /// All its bytes are the same: somebody's placeholder.
    #[error("the token key must be random")]
    NotRandom,
}

impl TokenKey {
    /// Wraps 32 bytes.
    ///
    /// # Errors
    /// [`TokenKeyError::NotRandom`].
    pub fn new(bytes: [u8; KEY_BYTES]) -> Result<Self, TokenKeyError> {
        let [first, rest @ ..] = bytes;
        if rest.iter().all(|byte| *byte == first) {
            return Err(TokenKeyError::NotRandom);
        }
        Ok(Self(bytes))
    }

    /// Draws a key from the system's randomness.
    ///
    /// # Errors
    /// [`IdentityError::Crypto`] when the system has none.
    pub fn generate() -> Result<Self, IdentityError> {
        let mut bytes = [0_u8; KEY_BYTES];
        SysRng.try_fill_bytes(&mut bytes).map_err(|_| IdentityError::Crypto("no randomness"))?;
        Ok(Self(bytes))
    }

    /// Parses 64 hexadecimal digits, or base64 of 32 bytes in either alphabet, padded or not.
    ///
    /// # Errors
    /// [`TokenKeyError`].
    pub fn parse(text: &str) -> Result<Self, TokenKeyError> {
        let text = text.trim();
        let bytes = hexadecimal(text).or_else(|| {
            [BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD]
                .iter()
                .find_map(|engine| engine.decode(text).ok())
        });
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(TokenKeyError::Malformed)?;
        Self::new(bytes)
    }

    /// Returns the key in base64, to keep it in a file.
    pub fn expose_base64(&self) -> String {
        BASE64_STANDARD.encode(self.0)
    }

    /// Returns the key's public id, the `kid` of its tokens.
    pub fn id(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.derive("token key id").get(..9).unwrap_or_default())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Derives 32 bytes for another purpose, from which the key can't be found.
    pub(crate) fn derive(&self, purpose: &str) -> Vec<u8> {
        mac(&self.0, purpose.as_bytes())
    }
}

/// Returns the HMAC-SHA-256 of a message.
pub(crate) fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    // HMAC takes keys of every length, so that the error never happens; the empty digest matches nothing.
    Hmac::<Sha256>::new_from_slice(key)
        .map(|mac| mac.chain_update(message).finalize().into_bytes().to_vec())
        .unwrap_or_default()
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    if text.len() != 2 * KEY_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..KEY_BYTES).map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()).collect()
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({})", self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_in_hexadecimal_and_base64() {
        let key = TokenKey::generate().unwrap();
        let hex: String = key.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let texts = [
            key.expose_base64(),
            BASE64_URL_SAFE_NO_PAD.encode(key.bytes()),
            hex.clone(),
            hex.to_uppercase(),
            format!(" {}\n", key.expose_base64()),
        ];
        for text in texts {
            assert_eq!(TokenKey::parse(&text).unwrap().bytes(), key.bytes());
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in ["", "secret", &"ab".repeat(31), &"ab".repeat(33), &"zz".repeat(32)] {
            assert_eq!(TokenKey::parse(bad).unwrap_err(), TokenKeyError::Malformed, "{bad:?}");
        }
        assert_eq!(TokenKey::parse(&"00".repeat(32)).unwrap_err(), TokenKeyError::NotRandom);
    }

    #[test]
    fn debug_shows_the_id_and_not_the_key() {
        let key = TokenKey::generate().unwrap();
        let text = format!("{key:?}");
        assert!(text.contains(&key.id()) && !text.contains(&key.expose_base64()));
    }
}
