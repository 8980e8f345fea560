//! Encryption of single fields: identifiers, notes and the like never stand in the database in clear.
//!
//! A value is sealed with AES-256-GCM under the data key of its tenant and bound to its tenant, table, column, row
//! and key version, so that it can be opened nowhere else. Equality search goes through a *blind index*: an
//! HMAC-SHA256 under a key of its own for each tenant and column.
//!
//! A sealed value is: one byte for the format, two for the key version (big-endian), twelve for the nonce, then
//! the ciphertext with its tag.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Instant};

use aes_gcm::{
    Aes256Gcm, Nonce,
    aead::{Aead, Generate, KeyInit, Payload, consts::U12},
};
use clinicx_types::id::TenantId;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::envelope::{DataKey, Origin};

const FORMAT: u8 = 1;
const NONCE_BYTES: usize = 12;
const INDEXING: &[u8] = b"blind index";

/// A column whose values are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// Its table.
    pub table: &'static str,
    /// Its name.
    pub column: &'static str,
}

/// Why a value could not be sealed or opened. It says nothing about the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CipherError {
    /// The stored bytes are no sealed value.
    #[error("the stored bytes are no sealed value")]
    Malformed,
    /// It was sealed under a key that this cipher does not have: a later one, or one that was destroyed.
    #[error("key version {0} is not known")]
    UnknownKey(u16),
    /// It was changed, or it belongs to another tenant, table, column or row.
    #[error("the value does not belong here or was changed")]
    Refused,
    /// The cipher is another tenant's.
    #[error("the cipher is another tenant's")]
    OtherTenant,
    /// The cipher is too old to say under which keys there are values.
    #[error("the cipher is out of date")]
    OutOfDate,
    /// The system has no randomness, or a key has no fitting length.
    #[error("the value cannot be sealed")]
    Unsealable,
}

impl CipherError {
    /// Tells whether the same may succeed with a new cipher from the [`Keyring`](crate::Keyring).
    pub fn wants_new_cipher(self) -> bool {
        matches!(self, Self::UnknownKey(_) | Self::OutOfDate)
    }
}

/// Seals and opens one tenant's fields. Cheap to clone; prints no key.
///
/// The tenant is said again with every value, so that a cipher in the wrong hands refuses instead of sealing one
/// tenant's value under another's key.
#[derive(Clone)]
pub struct FieldCipher {
    tenant: TenantId,
    sealing: u16,
    keys: Arc<BTreeMap<u16, Arc<DataKey>>>,
    fresh_until: Option<Instant>,
}

impl FieldCipher {
    /// Makes the cipher of a tenant with one key.
    pub fn new(tenant: TenantId, version: u16, key: DataKey) -> Self {
        Self::of(tenant, version, BTreeMap::from([(version, Arc::new(key))]))
    }

    /// Makes the cipher of a tenant that seals under one of several keys.
    pub(crate) fn of(tenant: TenantId, sealing: u16, keys: BTreeMap<u16, Arc<DataKey>>) -> Self {
        Self { tenant, sealing, keys: Arc::new(keys), fresh_until: None }
    }

    pub(crate) fn fresh_until(self, instant: Instant) -> Self {
        Self { fresh_until: Some(instant), ..self }
    }

    /// Returns it without an end of its freshness, for commands and tests beside which no key changes.
    #[must_use]
    pub fn lasting(self) -> Self {
        Self { fresh_until: None, ..self }
    }

    /// Returns the version of the key under which new values are sealed.
    pub fn version(&self) -> u16 {
        self.sealing
    }

    /// Refuses when values may exist under keys that came after this cipher; whoever concludes from *not* finding a
    /// value asks this after taking the lock that orders him with the others.
    ///
    /// # Errors
    /// [`CipherError::OutOfDate`].
    pub fn require_fresh(&self) -> Result<(), CipherError> {
        match self.fresh_until {
            Some(until) if Instant::now() > until => Err(CipherError::OutOfDate),
            _ => Ok(()),
        }
    }

    /// Seals a value for one row of the tenant.
    ///
    /// # Errors
    /// [`CipherError::OtherTenant`], [`CipherError::Unsealable`].
    pub fn seal(
        &self,
        tenant: TenantId,
        field: Field,
        row: Uuid,
        plain: &[u8],
    ) -> Result<Vec<u8>, CipherError> {
        let aead = self.aead(tenant, self.sealing)?;
        let nonce = Nonce::<U12>::try_generate().map_err(|_| CipherError::Unsealable)?;
        let aad = associated_data(tenant, field, row, self.sealing);
        let ciphertext =
            aead.encrypt(&nonce, Payload { msg: plain, aad: &aad }).map_err(|_| CipherError::Unsealable)?;
        let mut sealed = Vec::with_capacity(3 + NONCE_BYTES + ciphertext.len());
        sealed.extend_from_slice(&head(self.sealing));
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        Ok(sealed)
    }

    /// Opens a value that was sealed for the same row of the same tenant.
    ///
    /// # Errors
    /// [`CipherError`]: another tenant's cipher, malformed, an unknown key version, or refused.
    pub fn open(
        &self,
        tenant: TenantId,
        field: Field,
        row: Uuid,
        sealed: &[u8],
    ) -> Result<Vec<u8>, CipherError> {
        let (format, rest) = sealed.split_first().ok_or(CipherError::Malformed)?;
        let (version, rest) = rest.split_first_chunk::<2>().ok_or(CipherError::Malformed)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(CipherError::Malformed)?;
        if *format != FORMAT {
            return Err(CipherError::Malformed);
        }
        let version = u16::from_be_bytes(*version);
        let aad = associated_data(tenant, field, row, version);
        self.aead(tenant, version)?
            .decrypt(&Nonce::<U12>::from(*nonce), Payload { msg: ciphertext, aad: &aad })
            .map_err(|_| CipherError::Refused)
    }

    /// Seals a text.
    ///
    /// # Errors
    /// As [`FieldCipher::seal`].
    pub fn seal_text(
        &self,
        tenant: TenantId,
        field: Field,
        row: Uuid,
        plain: &str,
    ) -> Result<Vec<u8>, CipherError> {
        self.seal(tenant, field, row, plain.as_bytes())
    }

    /// Opens a text.
    ///
    /// # Errors
    /// As [`FieldCipher::open`]; [`CipherError::Malformed`] too when the value is no text.
    pub fn open_text(
        &self,
        tenant: TenantId,
        field: Field,
        row: Uuid,
        sealed: &[u8],
    ) -> Result<String, CipherError> {
        String::from_utf8(self.open(tenant, field, row, sealed)?).map_err(|_| CipherError::Malformed)
    }

    /// Returns what stands in the blind index for a folded value: 32 bytes that are the same for the same value
    /// in the same column of the same tenant, and tell nothing without the key.
    ///
    /// # Errors
    /// [`CipherError::OtherTenant`], [`CipherError::Unsealable`].
    pub fn blind_index(&self, tenant: TenantId, field: Field, folded: &str) -> Result<Vec<u8>, CipherError> {
        self.blind_index_under(self.sealing, tenant, field, folded)
    }

    /// Returns the blind indexes of a value under every known key, the present one first: what was indexed
    /// before a change of keys is found until it has been indexed anew.
    ///
    /// # Errors
    /// As [`FieldCipher::blind_index`].
    pub fn blind_indexes(
        &self,
        tenant: TenantId,
        field: Field,
        folded: &str,
    ) -> Result<Vec<Vec<u8>>, CipherError> {
        let others = self.keys.keys().copied().filter(|version| *version != self.sealing);
        std::iter::once(self.sealing)
            .chain(others)
            .map(|version| self.blind_index_under(version, tenant, field, folded))
            .collect()
    }

    fn blind_index_under(
        &self,
        version: u16,
        tenant: TenantId,
        field: Field,
        folded: &str,
    ) -> Result<Vec<u8>, CipherError> {
        let key = self.key(tenant, version)?;
        let column_key = match key.origin {
            Origin::Random => index_key(&key.indexing, field).ok_or(CipherError::Unsealable)?,
            // It was derived for the one column that there was.
            Origin::Derived => Zeroizing::new(key.indexing),
        };
        blind(&column_key, folded).ok_or(CipherError::Unsealable)
    }

    fn aead(&self, tenant: TenantId, version: u16) -> Result<Aes256Gcm, CipherError> {
        let key = self.key(tenant, version)?;
        Aes256Gcm::new_from_slice(&key.sealing).map_err(|_| CipherError::Unsealable)
    }

    fn key(&self, tenant: TenantId, version: u16) -> Result<&DataKey, CipherError> {
        if tenant != self.tenant {
            return Err(CipherError::OtherTenant);
        }
        self.keys.get(&version).map(AsRef::as_ref).ok_or(CipherError::UnknownKey(version))
    }
}

impl fmt::Debug for FieldCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldCipher").field("version", &self.sealing).finish_non_exhaustive()
    }
}

/// Returns the bytes with which every value begins that is sealed under a version of a tenant's keys.
pub fn head(version: u16) -> [u8; 3] {
    let [high, low] = version.to_be_bytes();
    [FORMAT, high, low]
}

/// The key of the blind index of one column.
fn index_key(indexing: &[u8; 32], field: Field) -> Option<Zeroizing<[u8; 32]>> {
    let info = joined(&[INDEXING, field.table.as_bytes(), field.column.as_bytes()]);
    let mut key = Zeroizing::new([0_u8; 32]);
    Hkdf::<Sha256>::from_prk(indexing).ok()?.expand(&info, key.as_mut_slice()).ok()?;
    Some(key)
}

pub(crate) fn blind(key: &[u8; 32], folded: &str) -> Option<Vec<u8>> {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).ok()?;
    mac.update(folded.as_bytes());
    Some(mac.finalize().into_bytes().to_vec())
}

fn associated_data(tenant: TenantId, field: Field, row: Uuid, version: u16) -> Vec<u8> {
    joined(&[
        tenant.uuid().as_bytes(),
        field.table.as_bytes(),
        field.column.as_bytes(),
        row.as_bytes(),
        &version.to_be_bytes(),
    ])
}

/// Joins parts, each behind its length, so that no two lists of parts give the same bytes.
pub(crate) fn joined(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests;
