//! Random words, and the sealing of log-ins under way.

use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::{TryRng, rngs::SysRng};

use crate::{error::IdentityError, key::mac};

const NONCE_BYTES: usize = 12;

/// Returns 256 random bits in base64, fit for addresses: a state, a nonce, a PKCE verifier, a secret.
pub(super) fn random() -> Result<String, IdentityError> {
    let mut bytes = [0_u8; 32];
    SysRng.try_fill_bytes(&mut bytes).map_err(|_| IdentityError::Crypto("no randomness"))?;
    Ok(encode(&bytes))
}

pub(super) fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Seals for a place, under a key that takes both the service's and the browser's secret to make.
pub(super) fn seal(key: &[u8], secret: &str, place: &[u8], plain: &[u8]) -> Result<Vec<u8>, IdentityError> {
    let failed = IdentityError::Crypto("seal a log-in");
    let mut nonce = [0_u8; NONCE_BYTES];
    SysRng.try_fill_bytes(&mut nonce).map_err(|_| IdentityError::Crypto("no randomness"))?;
    let cipher = Aes256Gcm::new_from_slice(&mac(key, secret.as_bytes()));
    let sealed = cipher
        .ok()
        .and_then(|cipher| cipher.encrypt(&Nonce::from(nonce), Payload { msg: plain, aad: place }).ok());
    sealed.map(|sealed| [&nonce[..], &sealed].concat()).ok_or(failed)
}

/// Opens what [`seal`] sealed with the same secrets for the same place.
pub(super) fn open(key: &[u8], secret: &str, place: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let cipher = Aes256Gcm::new_from_slice(&mac(key, secret.as_bytes())).ok()?;
    cipher.decrypt(&Nonce::from(*nonce), Payload { msg: sealed, aad: place }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_with_the_same_secrets_in_the_same_place_only() {
        let sealed = seal(b"service", "browser", b"here", b"flow").unwrap();
        assert_eq!(open(b"service", "browser", b"here", &sealed).as_deref(), Some(&b"flow"[..]));
        assert_eq!(open(b"another", "browser", b"here", &sealed), None);
        assert_eq!(open(b"service", "another", b"here", &sealed), None);
        assert_eq!(open(b"service", "browser", b"there", &sealed), None);
        assert_eq!(open(b"service", "browser", b"here", &sealed[1..]), None);
        assert_ne!(sealed, seal(b"service", "browser", b"here", b"flow").unwrap());
        assert_eq!(random().unwrap().len(), 43);
    }
}
