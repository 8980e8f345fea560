//! Master keys that the process itself holds, from a file or from its configuration.

use std::{collections::BTreeMap, fmt};

use aes_gcm::{
    Aes256Gcm, Nonce,
    aead::{Aead, Generate, KeyInit, Payload, consts::U12},
};
use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::provider::{KeyProvider, ProviderError, Wrapped};

/// The bytes of a master key.
pub const MASTER_KEY_BYTES: usize = 32;

const FORMAT: u8 = 1;
const NONCE_BYTES: usize = 12;
const PURPOSE: &[u8] = b"clinicx wrapped data key";
const FINGERPRINT: &[u8] = b"clinicx master key fingerprint";

/// A master key that was read.
pub type MasterKey = Zeroizing<[u8; MASTER_KEY_BYTES]>;

/// Why a text holds no master keys. It does not show the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyError {
    /// There is nothing in it.
    #[error("it holds no key")]
    Empty,
    /// One of its lines is no key.
    #[error(
        "line {0} is no key: each must be {MASTER_KEY_BYTES} bytes in base64, with `<version>:` before it when there \
         are several"
    )]
    Line(usize),
    /// Two of its lines have the same version.
    #[error("version {0} is there twice")]
    Twice(u16),
}

/// Wraps with a master key that the process holds; older versions of it still unwrap.
#[derive(Clone)]
pub struct LocalProvider {
    name: &'static str,
    masters: BTreeMap<u16, Master>,
}

#[derive(Clone)]
struct Master {
    id: String,
    key: MasterKey,
}

impl LocalProvider {
    /// The name of one whose keys come from a file.
    pub const FILE: &'static str = "file";
    /// The name of one whose key comes from the configuration, as a rule from the environment.
    pub const ENVIRONMENT: &'static str = "environment";

    /// Makes one of a single key, which is version 1.
    pub fn new(name: &'static str, key: [u8; MASTER_KEY_BYTES]) -> Self {
        Self { name, masters: BTreeMap::from([(1, Master::new(1, key.into()))]) }
    }

    /// Reads keys from text: one key in base64, or lines (commas serve as well) of `<version>:<key>`, of which the
    /// highest version wraps. Empty lines and those that begin with `#` are passed over.
    ///
    /// # Errors
    /// [`MasterKeyError`].
    pub fn parse(name: &'static str, text: &str) -> Result<Self, MasterKeyError> {
        let mut masters = BTreeMap::new();
        for (line, number) in text.split(['\n', ',']).map(str::trim).zip(1..) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (version, key) = match line.split_once(':') {
                Some((version, key)) => {
                    (version.trim().parse().ok().filter(|version| *version > 0), key.trim())
                }
                None => (Some(1), line),
            };
            let wrong = || MasterKeyError::Line(number);
            let version = version.ok_or_else(wrong)?;
            let bytes = Zeroizing::new(BASE64_STANDARD.decode(key).map_err(|_| wrong())?);
            let key: [u8; MASTER_KEY_BYTES] = bytes.as_slice().try_into().map_err(|_| wrong())?;
            if masters.insert(version, Master::new(version, key.into())).is_some() {
                return Err(MasterKeyError::Twice(version));
            }
        }
        if masters.is_empty() { Err(MasterKeyError::Empty) } else { Ok(Self { name, masters }) }
    }

    /// Returns the first version, from which fields were sealed before there were data keys.
    pub fn first(&self) -> Option<&MasterKey> {
        self.masters.get(&1).map(|master| &master.key)
    }

    fn present(&self) -> Result<&Master, ProviderError> {
        // No way to make one leaves it empty.
        self.masters.last_key_value().map(|(_, master)| master).ok_or(ProviderError::Refused)
    }
}

impl Master {
    fn new(version: u16, key: MasterKey) -> Self {
        Self { id: format!("{version}:{}", fingerprint(&key)), key }
    }
}

#[async_trait]
impl KeyProvider for LocalProvider {
    fn name(&self) -> &str {
        self.name
    }

    async fn key_id(&self) -> Result<String, ProviderError> {
        Ok(self.present()?.id.clone())
    }

    async fn wrap(&self, key: &[u8]) -> Result<Wrapped, ProviderError> {
        let unusable = || ProviderError::Unusable("the system has no randomness".to_owned());
        let master = self.present()?;
        let nonce = Nonce::<U12>::try_generate().map_err(|_| unusable())?;
        let aad = associated_data(&master.id);
        let sealed = aead(master)?
            .encrypt(&nonce, Payload { msg: key, aad: &aad })
            .map_err(|_| ProviderError::Refused)?;
        let mut bytes = Vec::with_capacity(1 + NONCE_BYTES + sealed.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        Ok(Wrapped { key_id: master.id.clone(), bytes })
    }

    async fn unwrap(&self, wrapped: &Wrapped) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        let master = self
            .masters
            .values()
            .find(|master| master.id == wrapped.key_id)
            .ok_or_else(|| ProviderError::UnknownKey(wrapped.key_id.clone()))?;
        let (format, rest) = wrapped.bytes.split_first().ok_or(ProviderError::Refused)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(ProviderError::Refused)?;
        if *format != FORMAT {
            return Err(ProviderError::Refused);
        }
        let aad = associated_data(&master.id);
        aead(master)?
            .decrypt(&Nonce::<U12>::from(*nonce), Payload { msg: sealed, aad: &aad })
            .map(Zeroizing::new)
            .map_err(|_| ProviderError::Refused)
    }
}

impl fmt::Debug for LocalProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.masters.values().map(|master| master.id.as_str()).collect();
        f.debug_struct("LocalProvider").field("name", &self.name).field("keys", &ids).finish_non_exhaustive()
    }
}

fn aead(master: &Master) -> Result<Aes256Gcm, ProviderError> {
    Aes256Gcm::new_from_slice(master.key.as_slice()).map_err(|_| ProviderError::Refused)
}

fn associated_data(id: &str) -> Vec<u8> {
    [PURPOSE, b" ", id.as_bytes()].concat()
}

/// Eight bytes that tell two master keys apart and from which neither can be found.
fn fingerprint(key: &MasterKey) -> String {
    let mut bytes = [0_u8; 8];
    // Eight bytes are never too many to expand to.
    let _ = Hkdf::<Sha256>::new(None, key.as_slice()).expand(FINGERPRINT, &mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(byte: u8) -> String {
        BASE64_STANDARD.encode([byte; MASTER_KEY_BYTES])
    }

    fn file(text: &str) -> Result<LocalProvider, MasterKeyError> {
        LocalProvider::parse(LocalProvider::FILE, text)
    }

    #[tokio::test]
    async fn an_older_master_key_unwraps_and_the_newest_wraps() {
        let old = file(&text(7)).unwrap();
        let both = file(&format!("# two\n1:{}\n\n 2: {}\n", text(7), text(8))).unwrap();
        let wrapped = old.wrap(b"data key").await.unwrap();
        assert_eq!(both.unwrap(&wrapped).await.unwrap().as_slice(), b"data key");
        let again = both.rewrap(&wrapped).await.unwrap();
        assert_eq!(again.key_id, both.key_id().await.unwrap());
        assert!(again.key_id.starts_with("2:"), "{}", again.key_id);
        let unknown = ProviderError::UnknownKey(again.key_id.clone());
        assert_eq!(old.unwrap(&again).await.unwrap_err(), unknown);
        assert_eq!(both.unwrap(&again).await.unwrap().as_slice(), b"data key");
    }

    #[tokio::test]
    async fn a_stranger_with_the_same_version_is_told_apart_and_a_changed_byte_is_refused() {
        let (ours, theirs) = (file(&text(7)).unwrap(), file(&text(9)).unwrap());
        let wrapped = ours.wrap(b"data key").await.unwrap();
        assert!(matches!(theirs.unwrap(&wrapped).await.unwrap_err(), ProviderError::UnknownKey(_)));
        let renamed = Wrapped { key_id: theirs.key_id().await.unwrap(), ..wrapped.clone() };
        assert_eq!(theirs.unwrap(&renamed).await.unwrap_err(), ProviderError::Refused);
        for at in 0..wrapped.bytes.len() {
            let mut changed = wrapped.clone();
            changed.bytes[at] ^= 1;
            assert_eq!(ours.unwrap(&changed).await.unwrap_err(), ProviderError::Refused, "byte {at}");
            changed.bytes.truncate(at);
            assert_eq!(ours.unwrap(&changed).await.unwrap_err(), ProviderError::Refused, "cut at {at}");
        }
    }

    #[test]
    fn what_is_no_key_names_its_line_and_shows_nothing() {
        let check = |text: &str, expected: MasterKeyError| assert_eq!(file(text).unwrap_err(), expected);
        check("", MasterKeyError::Empty);
        check("# none\n", MasterKeyError::Empty);
        check("c2hvcnQ=", MasterKeyError::Line(1));
        check(&format!("1:{}\n0:{}", text(1), text(2)), MasterKeyError::Line(2));
        check(&format!("1:{},x:{}", text(1), text(2)), MasterKeyError::Line(2));
        check(&format!("3:{},3:{}", text(1), text(2)), MasterKeyError::Twice(3));
        check(&format!("{}\n{}", text(1), text(2)), MasterKeyError::Twice(1));
    }

    #[test]
    fn debug_prints_no_key() {
        let shown = format!("{:?}", file(&text(0xAB)).unwrap());
        assert!(!shown.contains("171") && !shown.contains(&text(0xAB)), "{shown}");
    }
}
