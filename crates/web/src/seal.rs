//! What the kit gives away or keeps for later and nobody else may read: sealed under keys of its one key.

use std::fmt;

use aes_gcm::{
    Aes256Gcm, Nonce,
    aead::{Aead, Payload},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const NONCE_BYTES: usize = 12;

/// Seals and opens for one purpose in one context, such as the cursors of one list: AES-256-GCM.
///
/// The nonce is made from the content and its place (as AES-SIV does it), so that the same content at the same
/// place always looks the same, and no two contents share a nonce.
#[derive(Clone)]
pub(crate) struct Sealer {
    cipher_key: [u8; 32],
    nonce_key: [u8; 32],
}

impl Sealer {
    /// Derives the keys. What one context sealed does not open in another one.
    pub(crate) fn derive(master: &[u8; 32], purpose: &str, context: &[&[u8]]) -> Self {
        let key = |part: &str| {
            let name = format!("{purpose} {part}");
            let mut parts = vec![name.as_bytes()];
            parts.extend(context);
            mac(master, &parts)
        };
        Self { cipher_key: key("cipher"), nonce_key: key("nonce") }
    }

    /// Seals content for a place; `None` only for what is too long for the cipher.
    pub(crate) fn seal(&self, plain: &[u8], place: &[u8]) -> Option<Vec<u8>> {
        let nonce: [u8; NONCE_BYTES] = mac(&self.nonce_key, &[place, plain]).first_chunk().copied()?;
        let cipher = Aes256Gcm::new(&self.cipher_key.into());
        let sealed = cipher.encrypt(&Nonce::from(nonce), Payload { msg: plain, aad: place }).ok()?;
        Some([&nonce[..], &sealed].concat())
    }

    /// Opens what [`Sealer::seal`] sealed for the same place.
    pub(crate) fn open(&self, sealed: &[u8], place: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let cipher = Aes256Gcm::new(&self.cipher_key.into());
        cipher.decrypt(&Nonce::from(*nonce), Payload { msg: sealed, aad: place }).ok()
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

/// Returns the HMAC-SHA256 of parts, each with its length before it.
pub(crate) fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC fills a key that is shorter than the hash's block with zeros (RFC 2104), so that this is the same key.
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    block.iter_mut().zip(key).for_each(|(slot, byte)| *slot = *byte);
    let mut mac = Hmac::<Sha256>::new(&block);
    for part in parts {
        mac.update(part.len().to_string().as_bytes());
        mac.update(b":");
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
