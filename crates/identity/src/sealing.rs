//! Seals what must be read again and must not stand in the database in clear: second factors and waiting mail.
//!
//! A sealed value is four bytes that name the key, twelve for the nonce, then the AES-256-GCM ciphertext with its
//! tag. Purpose and row are authenticated with it, so that it opens nowhere else.

use std::{fmt, sync::Arc};

use aes_gcm::{
    Aes256Gcm, Nonce,
    aead::{Aead, Generate, KeyInit, Payload, consts::U12},
};
use uuid::Uuid;

use crate::{
    error::IdentityError,
    key::{KEY_BYTES, mac},
};

const KEY_ID_BYTES: usize = 4;
const NONCE_BYTES: usize = 12;

/// For what a value is sealed; each purpose has a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The shared secret of one-time passwords; the row is the user.
    TotpSecret,
    /// Mail that waits; the row is the mail.
    Mail,
}

impl Purpose {
    fn name(self) -> &'static [u8] {
        match self {
            Self::TotpSecret => b"identity: totp secret",
            Self::Mail => b"identity: waiting mail",
        }
    }
}

/// The keys of sealed values: new ones are sealed with the first, older ones open what was sealed with them. Cheap
/// to clone; prints no key.
#[derive(Clone)]
pub struct SealingKeys(Arc<Vec<[u8; KEY_BYTES]>>);

impl SealingKeys {
    /// Makes the ring of one key, such as the service's token key; other keys are derived from it for each purpose.
    pub fn new(key: [u8; KEY_BYTES]) -> Self {
        Self(Arc::new(vec![key]))
    }

    /// Adds a key of before, which opens what was sealed with it and seals nothing more.
    #[must_use]
    pub fn with_retired(self, key: [u8; KEY_BYTES]) -> Self {
        let mut keys = Vec::clone(&self.0);
        keys.push(key);
        Self(Arc::new(keys))
    }

    pub(crate) fn seal(&self, purpose: Purpose, row: Uuid, plain: &[u8]) -> Result<Vec<u8>, IdentityError> {
        let failed = || IdentityError::Crypto("seal a value");
        let key = self.0.first().map(|key| mac(key, purpose.name())).ok_or_else(failed)?;
        let cipher = Aes256Gcm::new_from_slice(&key).map_err(|_| failed())?;
        let nonce = Nonce::<U12>::try_generate().map_err(|_| failed())?;
        let payload = Payload { msg: plain, aad: row.as_bytes() };
        let sealed = cipher.encrypt(&nonce, payload).map_err(|_| failed())?;
        Ok([key_id(&key).as_slice(), nonce.as_slice(), &sealed].concat())
    }

    /// Opens a value; `None` when it is none, belongs elsewhere, was changed, or needs a key that is not here.
    pub(crate) fn open(&self, purpose: Purpose, row: Uuid, sealed: &[u8]) -> Option<Vec<u8>> {
        let (id, rest) = sealed.split_first_chunk::<KEY_ID_BYTES>()?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let key = self.0.iter().map(|key| mac(key, purpose.name())).find(|key| key_id(key) == id)?;
        let cipher = Aes256Gcm::new_from_slice(&key).ok()?;
        let payload = Payload { msg: ciphertext, aad: row.as_bytes() };
        cipher.decrypt(&Nonce::<U12>::from(*nonce), payload).ok()
    }
}

fn key_id(key: &[u8]) -> Vec<u8> {
    mac(key, b"key id").into_iter().take(KEY_ID_BYTES).collect()
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKeys").field("keys", &self.0.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their own ids")]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_for_its_purpose_and_row_alone() {
        let keys = SealingKeys::new([7; KEY_BYTES]);
        let (row, other) = (Uuid::now_v7(), Uuid::now_v7());
        let sealed = keys.seal(Purpose::Mail, row, b"hello").unwrap();
        assert_eq!(keys.open(Purpose::Mail, row, &sealed).unwrap(), b"hello");
        assert_eq!(keys.open(Purpose::Mail, other, &sealed), None);
        assert_eq!(keys.open(Purpose::TotpSecret, row, &sealed), None);
        assert_eq!(SealingKeys::new([8; KEY_BYTES]).open(Purpose::Mail, row, &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(keys.open(Purpose::Mail, row, &changed), None, "byte {at}");
        }
        assert_eq!(keys.open(Purpose::Mail, row, &sealed[..10]), None);
        assert_ne!(keys.seal(Purpose::Mail, row, b"hello").unwrap(), sealed);
    }

    #[test]
    fn a_retired_key_opens_and_no_longer_seals() {
        let row = Uuid::now_v7();
        let old = SealingKeys::new([7; KEY_BYTES]);
        let sealed = old.seal(Purpose::TotpSecret, row, b"x").unwrap();
        let keys = SealingKeys::new([8; KEY_BYTES]).with_retired([7; KEY_BYTES]);
        assert_eq!(keys.open(Purpose::TotpSecret, row, &sealed).unwrap(), b"x");
        let fresh = keys.seal(Purpose::TotpSecret, row, b"x").unwrap();
        assert_eq!(old.open(Purpose::TotpSecret, row, &fresh), None);
    }
}
