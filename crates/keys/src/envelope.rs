//! The data key of a tenant, and the envelope in which it is stored.

use std::fmt;

use aes_gcm::aead::{Generate, Key};
use clinicx_types::id::TenantId;
use zeroize::{Zeroize, Zeroizing};

use crate::{error::KeyError, provider::KeyProviders, store::StoredKey};

const KEY_BYTES: usize = 32;
const ENVELOPE_BYTES: usize = 16 + 2 + 2 * KEY_BYTES;

/// Where a data key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the system's randomness.
    Random,
    /// From the master key, as it was before there were data keys: whoever has the master key can make it again.
    Derived,
}

impl Origin {
    /// Returns the word for it in `tenant_keys.algorithm`.
    pub fn algorithm(self) -> &'static str {
        match self {
            Self::Random => "aes-256-gcm",
            Self::Derived => "aes-256-gcm/derived",
        }
    }

    /// Reads the word.
    pub fn parse(algorithm: &str) -> Option<Self> {
        [Self::Random, Self::Derived].into_iter().find(|origin| origin.algorithm() == algorithm)
    }
}

/// What seals a tenant's fields and makes the keys of its blind indexes. Wiped from memory when dropped; prints
/// nothing.
pub struct DataKey {
    pub(crate) sealing: [u8; KEY_BYTES],
    pub(crate) indexing: [u8; KEY_BYTES],
    pub(crate) origin: Origin,
}

impl DataKey {
    /// Makes a random one.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn random() -> Result<Self, KeyError> {
        type Aes = aes_gcm::Aes256Gcm;
        let random = || Key::<Aes>::try_generate().map_err(|_| KeyError::NoRandomness);
        Ok(Self { sealing: random()?.into(), indexing: random()?.into(), origin: Origin::Random })
    }

    /// Makes one of given bytes, for tests and for keys that come from elsewhere.
    pub fn from_bytes(sealing: [u8; KEY_BYTES], indexing: [u8; KEY_BYTES]) -> Self {
        Self { sealing, indexing, origin: Origin::Random }
    }

    pub(crate) fn derived(sealing: [u8; KEY_BYTES], indexing: [u8; KEY_BYTES]) -> Self {
        Self { sealing, indexing, origin: Origin::Derived }
    }

    /// Lets the primary provider wrap it for a version of a tenant's keys.
    ///
    /// # Errors
    /// [`KeyError::Provider`].
    pub async fn wrap(
        &self,
        providers: &KeyProviders,
        tenant: TenantId,
        version: u16,
    ) -> Result<StoredKey, KeyError> {
        let wrapped = providers.primary().wrap(&self.pack(tenant, version)).await?;
        Ok(StoredKey {
            tenant,
            version,
            provider: providers.primary().name().to_owned(),
            wrapped,
            origin: self.origin,
        })
    }

    /// Lets the provider that wrapped it unwrap it again.
    ///
    /// # Errors
    /// [`KeyError::Provider`]; [`KeyError::Misplaced`] when it is the key of another tenant or version.
    pub async fn unwrap(providers: &KeyProviders, stored: &StoredKey) -> Result<Self, KeyError> {
        let plain = providers.unwrap(&stored.provider, &stored.wrapped).await?;
        let place = (stored.tenant, stored.version);
        Self::unpack(&plain, place, stored.origin).ok_or(KeyError::Misplaced)
    }

    /// The envelope says inside whose it is: providers differ in what they can authenticate beside it.
    fn pack(&self, tenant: TenantId, version: u16) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(ENVELOPE_BYTES));
        bytes.extend_from_slice(tenant.uuid().as_bytes());
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.extend_from_slice(&self.sealing);
        bytes.extend_from_slice(&self.indexing);
        bytes
    }

    fn unpack(bytes: &[u8], (tenant, version): (TenantId, u16), origin: Origin) -> Option<Self> {
        let (owner, rest) = bytes.split_first_chunk::<16>()?;
        let (number, rest) = rest.split_first_chunk::<2>()?;
        let (sealing, rest) = rest.split_first_chunk::<KEY_BYTES>()?;
        let indexing = <[u8; KEY_BYTES]>::try_from(rest).ok()?;
        let fits = owner == tenant.uuid().as_bytes() && *number == version.to_be_bytes();
        fits.then_some(Self { sealing: *sealing, indexing, origin })
    }
}

impl Drop for DataKey {
    fn drop(&mut self) {
        self.sealing.zeroize();
        self.indexing.zeroize();
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKey").field("origin", &self.origin).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::local::LocalProvider;

    fn providers(byte: u8) -> KeyProviders {
        KeyProviders::new(Arc::new(LocalProvider::new(LocalProvider::FILE, [byte; 32])))
    }

    #[tokio::test]
    async fn an_envelope_opens_for_its_tenant_and_version_alone() {
        let (one, two) = (TenantId::new(Uuid::from_u128(1)), TenantId::new(Uuid::from_u128(2)));
        let key = DataKey::random().unwrap();
        let stored = key.wrap(&providers(7), one, 3).await.unwrap();
        let again = DataKey::unwrap(&providers(7), &stored).await.unwrap();
        assert_eq!((again.sealing, again.indexing), (key.sealing, key.indexing));
        for moved in [StoredKey { tenant: two, ..stored.clone() }, StoredKey { version: 4, ..stored.clone() }]
        {
            assert_eq!(DataKey::unwrap(&providers(7), &moved).await.unwrap_err(), KeyError::Misplaced);
        }
        assert!(matches!(DataKey::unwrap(&providers(8), &stored).await.unwrap_err(), KeyError::Provider(_)));
    }

    #[test]
    fn random_keys_differ_and_show_nothing() {
        let (one, two) = (DataKey::random().unwrap(), DataKey::random().unwrap());
        assert!(one.sealing != two.sealing && one.indexing != two.indexing && one.sealing != one.indexing);
        assert_eq!(format!("{one:?}"), "DataKey { origin: Random, .. }");
    }
}
