//! The key of one archive of a tenant, and the envelope in which it travels with it.
//!
//! An archive has a random key of its own, which the master key wraps: whoever has the master key can open the archive
//! without the database that it was taken from. The envelope says inside whose it is and of which archive.

use std::{collections::BTreeMap, fmt, sync::Arc};

use aes_gcm::aead::{Generate, Key};
use clinicx_types::id::TenantId;
use hkdf::Hkdf;
use sha2::Sha256;
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

use crate::{
    cipher::{FieldCipher, joined},
    envelope::DataKey,
    error::KeyError,
    provider::{KeyProviders, Wrapped},
    store::StoredKey,
};

const KEY_BYTES: usize = 32;
/// Tells the envelope from that of a data key.
const PURPOSE: &[u8; 19] = b"clinicx archive key";

/// The key of one archive. Wiped from memory when dropped; prints nothing.
pub struct ArchiveKey([u8; KEY_BYTES]);

/// The key of an archive as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedArchiveKey {
    /// The provider that wrapped it.
    pub provider: String,
    /// What that provider made of it.
    pub wrapped: Wrapped,
}

impl ArchiveKey {
    /// Makes a random one.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn random() -> Result<Self, KeyError> {
        let key = Key::<aes_gcm::Aes256Gcm>::try_generate().map_err(|_| KeyError::NoRandomness)?;
        Ok(Self(key.into()))
    }

    /// Lets the primary provider wrap it for an archive of a tenant.
    ///
    /// # Errors
    /// [`KeyError::Provider`].
    pub async fn wrap(
        &self,
        providers: &KeyProviders,
        tenant: TenantId,
        archive: Uuid,
    ) -> Result<WrappedArchiveKey, KeyError> {
        let mut plain = place(tenant, archive);
        plain.extend_from_slice(&self.0);
        let wrapped = providers.primary().wrap(&plain).await?;
        Ok(WrappedArchiveKey { provider: providers.primary().name().to_owned(), wrapped })
    }

    /// Lets the provider that wrapped it unwrap it again.
    ///
    /// # Errors
    /// [`KeyError::Provider`]; [`KeyError::Misplaced`] when it is the key of another tenant or archive.
    pub async fn unwrap(
        providers: &KeyProviders,
        key: &WrappedArchiveKey,
        tenant: TenantId,
        archive: Uuid,
    ) -> Result<Self, KeyError> {
        let plain = providers.unwrap(&key.provider, &key.wrapped).await?;
        let rest = plain.strip_prefix(place(tenant, archive).as_slice()).ok_or(KeyError::Misplaced)?;
        rest.try_into().map(Self).map_err(|_| KeyError::Misplaced)
    }

    /// Derives a key for one use within the archive (HKDF-SHA256); other words give another key.
    ///
    /// # Errors
    /// [`KeyError::Malformed`], which no key of this type can cause.
    pub fn derive(&self, words: &[&[u8]]) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
        let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
        let hkdf = Hkdf::<Sha256>::from_prk(&self.0).map_err(|_| KeyError::Malformed)?;
        hkdf.expand(&joined(words), key.as_mut_slice()).map_err(|_| KeyError::Malformed)?;
        Ok(key)
    }
}

impl Drop for ArchiveKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for ArchiveKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArchiveKey").finish_non_exhaustive()
    }
}

/// Makes the cipher of a tenant from keys that travelled with an archive. It seals under the last of them and has no
/// end of its freshness: nobody changes these keys.
///
/// # Errors
/// [`KeyError::Missing`] when there are none, [`KeyError::Provider`], [`KeyError::Misplaced`].
pub async fn cipher_of(
    providers: &KeyProviders,
    tenant: TenantId,
    keys: &[StoredKey],
) -> Result<FieldCipher, KeyError> {
    let mut opened = BTreeMap::new();
    for key in keys {
        if key.tenant != tenant {
            return Err(KeyError::Misplaced);
        }
        opened.insert(key.version, Arc::new(DataKey::unwrap(providers, key).await?));
    }
    let sealing = *opened.last_key_value().ok_or(KeyError::Missing)?.0;
    Ok(FieldCipher::of(tenant, sealing, opened))
}

fn place(tenant: TenantId, archive: Uuid) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(PURPOSE.len() + 32 + KEY_BYTES));
    bytes.extend_from_slice(PURPOSE);
    bytes.extend_from_slice(tenant.uuid().as_bytes());
    bytes.extend_from_slice(archive.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::LocalProvider;

    fn providers(byte: u8) -> KeyProviders {
        KeyProviders::new(Arc::new(LocalProvider::new(LocalProvider::FILE, [byte; 32])))
    }

    #[tokio::test]
    async fn the_envelope_opens_for_its_tenant_and_archive_alone() {
        let (one, two) = (TenantId::new(Uuid::from_u128(1)), TenantId::new(Uuid::from_u128(2)));
        let (archive, other) = (Uuid::from_u128(3), Uuid::from_u128(4));
        let key = ArchiveKey::random().unwrap();
        let wrapped = key.wrap(&providers(7), one, archive).await.unwrap();
        let again = ArchiveKey::unwrap(&providers(7), &wrapped, one, archive).await.unwrap();
        assert_eq!(again.derive(&[b"a", b"b"]).unwrap(), key.derive(&[b"a", b"b"]).unwrap());
        assert_ne!(key.derive(&[b"ab"]).unwrap(), key.derive(&[b"a", b"b"]).unwrap());
        for (tenant, archive) in [(two, archive), (one, other)] {
            let refused = ArchiveKey::unwrap(&providers(7), &wrapped, tenant, archive).await.unwrap_err();
            assert_eq!(refused, KeyError::Misplaced);
        }
        let refused = ArchiveKey::unwrap(&providers(8), &wrapped, one, archive).await.unwrap_err();
        assert!(matches!(refused, KeyError::Provider(_)));
    }
}
