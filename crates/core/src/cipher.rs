//! Encryption of single fields: identifiers, notes and the like never stand in the database in clear.
//!
//! One master key is the root; each tenant's keys are derived from it (HKDF-SHA256, RFC 5869), one for each
//! purpose and version. A value is sealed with AES-256-GCM and bound to its tenant, table, column, row and key
//! version, so that it can be opened nowhere else. Equality search goes through a *blind index*: an HMAC-SHA256
//! under a key of its own for each tenant and column.
//!
//! A sealed value is: one byte for the format, two for the key version (big-endian), twelve for the nonce, then
//! the ciphertext with its tag.

use std::{collections::BTreeMap, fmt, sync::Arc};

use aes_gcm::{
    Aes256Gcm, Nonce,
    aead::{Aead, Generate, KeyInit, Payload, consts::U12},
};
use clinicx_types::id::TenantId;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use uuid::Uuid;

const FORMAT: u8 = 1;
const NONCE_BYTES: usize = 12;
const SALT: &[u8] = b"clinicx field cipher";
const SEALING: &[u8] = b"seal";
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
    /// It was sealed under a master key that this process does not have.
    #[error("key version {0} is not known")]
    UnknownKey(u16),
    /// It was changed, or it belongs to another tenant, table, column or row.
    #[error("the value does not belong here or was changed")]
    Refused,
    /// The system has no randomness, or a key has no fitting length.
    #[error("the value cannot be sealed")]
    Unsealable,
}

/// Seals and opens fields. Cheap to clone; prints no key.
#[derive(Clone)]
pub struct FieldCipher {
    current: u16,
    masters: Arc<BTreeMap<u16, [u8; 32]>>,
}

impl FieldCipher {
    /// Makes a cipher from the only master key, which is version 1.
    pub fn new(master: [u8; 32]) -> Self {
        Self::with_version(1, master)
    }

    /// Makes a cipher from the present master key and its version.
    pub fn with_version(version: u16, master: [u8; 32]) -> Self {
        Self { current: version, masters: Arc::new(BTreeMap::from([(version, master)])) }
    }

    /// Adds an earlier master key, which opens what was sealed under it and seals nothing more.
    #[must_use]
    pub fn with_retired(self, version: u16, master: [u8; 32]) -> Self {
        let mut masters = BTreeMap::clone(&self.masters);
        masters.entry(version).or_insert(master);
        Self { current: self.current, masters: Arc::new(masters) }
    }

    /// Returns the version of the key under which new values are sealed.
    pub fn version(&self) -> u16 {
        self.current
    }

    /// Seals a value for one row of one tenant.
    ///
    /// # Errors
    /// [`CipherError::Unsealable`].
    pub fn seal(
        &self,
        tenant: TenantId,
        field: Field,
        row: Uuid,
        plain: &[u8],
    ) -> Result<Vec<u8>, CipherError> {
        let aead = self.aead(tenant, self.current)?;
        let nonce = Nonce::<U12>::try_generate().map_err(|_| CipherError::Unsealable)?;
        let aad = associated_data(tenant, field, row, self.current);
        let ciphertext =
            aead.encrypt(&nonce, Payload { msg: plain, aad: &aad }).map_err(|_| CipherError::Unsealable)?;
        let mut sealed = Vec::with_capacity(3 + NONCE_BYTES + ciphertext.len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(&self.current.to_be_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        Ok(sealed)
    }

    /// Opens a value that was sealed for the same row of the same tenant.
    ///
    /// # Errors
    /// [`CipherError`]: malformed, an unknown key version, or refused.
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
    /// [`CipherError::Unsealable`].
    pub fn blind_index(&self, tenant: TenantId, field: Field, folded: &str) -> Result<Vec<u8>, CipherError> {
        self.blind_index_under(self.current, tenant, field, folded)
    }

    /// Returns the blind indexes of a value under every known key, the present one first: what was indexed
    /// before a change of keys is found until it has been indexed anew.
    ///
    /// # Errors
    /// [`CipherError::Unsealable`].
    pub fn blind_indexes(
        &self,
        tenant: TenantId,
        field: Field,
        folded: &str,
    ) -> Result<Vec<Vec<u8>>, CipherError> {
        let retired = self.masters.keys().copied().filter(|version| *version != self.current);
        std::iter::once(self.current)
            .chain(retired)
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
        let column = [field.table.as_bytes(), field.column.as_bytes()];
        let key = self.derive(version, INDEXING, tenant, &column)?;
        let mut mac =
            <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&key).map_err(|_| CipherError::Unsealable)?;
        mac.update(folded.as_bytes());
        Ok(mac.finalize().into_bytes().to_vec())
    }

    fn aead(&self, tenant: TenantId, version: u16) -> Result<Aes256Gcm, CipherError> {
        let key = self.derive(version, SEALING, tenant, &[])?;
        Aes256Gcm::new_from_slice(&key).map_err(|_| CipherError::Unsealable)
    }

    fn derive(
        &self,
        version: u16,
        purpose: &[u8],
        tenant: TenantId,
        more: &[&[u8]],
    ) -> Result<[u8; 32], CipherError> {
        let master = self.masters.get(&version).ok_or(CipherError::UnknownKey(version))?;
        let mut info = joined(&[purpose, tenant.uuid().as_bytes(), &version.to_be_bytes()]);
        info.extend(joined(more));
        let mut key = [0_u8; 32];
        Hkdf::<Sha256>::new(Some(SALT), master)
            .expand(&info, &mut key)
            .map_err(|_| CipherError::Unsealable)?;
        Ok(key)
    }
}

impl fmt::Debug for FieldCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldCipher").field("version", &self.current).finish_non_exhaustive()
    }
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
fn joined(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELD: Field = Field { table: "patient_identifiers", column: "value" };

    fn tenant(number: u128) -> TenantId {
        TenantId::new(Uuid::from_u128(number))
    }

    fn cipher() -> FieldCipher {
        FieldCipher::new([7; 32])
    }

    #[test]
    fn a_value_opens_only_where_it_was_sealed() {
        let (cipher, row) = (cipher(), Uuid::from_u128(1));
        let sealed = cipher.seal_text(tenant(1), FIELD, row, "A123 محمد").unwrap();
        assert_eq!(cipher.open_text(tenant(1), FIELD, row, &sealed).unwrap(), "A123 محمد");

        let other_column = Field { column: "note", ..FIELD };
        let other_table = Field { table: "patients", ..FIELD };
        for (tenant, field, row) in [
            (tenant(2), FIELD, row),
            (tenant(1), other_column, row),
            (tenant(1), other_table, row),
            (tenant(1), FIELD, Uuid::from_u128(2)),
        ] {
            assert_eq!(cipher.open(tenant, field, row, &sealed), Err(CipherError::Refused), "{field:?}");
        }
        let stranger = FieldCipher::new([8; 32]);
        assert_eq!(stranger.open(tenant(1), FIELD, row, &sealed), Err(CipherError::Refused));
    }

    #[test]
    fn a_changed_value_is_refused_at_every_byte() {
        let (cipher, row) = (cipher(), Uuid::from_u128(1));
        let sealed = cipher.seal(tenant(1), FIELD, row, b"secret").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(cipher.open(tenant(1), FIELD, row, &changed).is_err(), "byte {at}");
            assert!(cipher.open(tenant(1), FIELD, row, &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn equal_values_are_sealed_differently() {
        let (cipher, row) = (cipher(), Uuid::from_u128(1));
        let seal = || cipher.seal(tenant(1), FIELD, row, b"same").unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn blind_index_is_stable_within_a_column_of_a_tenant_and_nowhere_else() {
        let cipher = cipher();
        let index = |number, field, text| cipher.blind_index(tenant(number), field, text).unwrap();
        let one = index(1, FIELD, "A123");
        assert_eq!(one, index(1, FIELD, "A123"));
        assert_eq!(one.len(), 32);
        assert_ne!(one, index(2, FIELD, "A123"));
        assert_ne!(one, index(1, Field { column: "other", ..FIELD }, "A123"));
        assert_ne!(one, index(1, FIELD, "A124"));
    }

    #[test]
    fn a_retired_key_still_opens_and_finds() {
        let old = cipher();
        let new = FieldCipher::with_version(2, [9; 32]).with_retired(1, [7; 32]);
        let row = Uuid::from_u128(1);
        let sealed = old.seal(tenant(1), FIELD, row, b"before").unwrap();
        assert_eq!(new.open(tenant(1), FIELD, row, &sealed).unwrap(), b"before");
        let again = new.seal(tenant(1), FIELD, row, b"after").unwrap();
        assert_eq!(old.open(tenant(1), FIELD, row, &again), Err(CipherError::UnknownKey(2)));
        let indexes = new.blind_indexes(tenant(1), FIELD, "x").unwrap();
        assert_eq!(indexes.len(), 2);
        assert!(indexes.contains(&old.blind_index(tenant(1), FIELD, "x").unwrap()));
    }

    #[test]
    fn debug_prints_no_key() {
        let text = format!("{:?}", FieldCipher::new([0xAB; 32]));
        assert_eq!(text, "FieldCipher { version: 1, .. }");
    }
}
