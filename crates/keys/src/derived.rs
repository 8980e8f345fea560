//! The keys of tenants that are older than data keys: derived from the master key itself (HKDF-SHA256).
//!
//! They go into an envelope as version 1 of the tenant's keys, so that what was sealed stays readable, and the
//! first rotation leaves them behind.

use clinicx_types::id::TenantId;
use hkdf::Hkdf;
use sha2::Sha256;
use uuid::Uuid;

use crate::{
    cipher::{Field, blind, joined},
    envelope::DataKey,
    local::{LocalProvider, MasterKey},
};

const SALT: &[u8] = b"clinicx field cipher";
const SEALING: &[u8] = b"seal";
const INDEXING: &[u8] = b"blind index";
const VERSION: u16 = 1;

/// Returns the keys of a tenant that has none in an envelope; `indexed` is the one column that had a blind index.
/// `None` when the provider does not hold the master key from which they came.
pub fn data_key(provider: &LocalProvider, tenant: TenantId, indexed: Field) -> Option<DataKey> {
    let master = provider.first()?;
    let column = [indexed.table.as_bytes(), indexed.column.as_bytes()];
    Some(DataKey::derived(derive(master, SEALING, tenant, &[])?, derive(master, INDEXING, tenant, &column)?))
}

/// Returns the digest by which a database remembered its master key before there were envelopes.
pub fn master_key_digest(provider: &LocalProvider, name: &str, place: Field) -> Option<String> {
    let master = provider.first()?;
    let column = [place.table.as_bytes(), place.column.as_bytes()];
    let key = derive(master, INDEXING, TenantId::new(Uuid::nil()), &column)?;
    let bytes = blind(&key, name)?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn derive(master: &MasterKey, purpose: &[u8], tenant: TenantId, more: &[&[u8]]) -> Option<[u8; 32]> {
    let mut info = joined(&[purpose, tenant.uuid().as_bytes(), &VERSION.to_be_bytes()]);
    info.extend(joined(more));
    let mut key = [0_u8; 32];
    Hkdf::<Sha256>::new(Some(SALT), master.as_slice()).expand(&info, &mut key).ok()?;
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cipher::FieldCipher;

    const FIELD: Field = Field { table: "patient_identifiers", column: "value" };

    /// Made apart from this program, from the format as it was before data keys, with the master key 07 07 … 07.
    const SEALED: &str = "010001000102030405060708090a0bdf5d7e07bbdfda26b38b0f03271e941ef9840e73";
    const INDEX: &str = "06c8e754c50607997f3ffe8c44bc9520268aa00bae63f931e44601e6e26dafdb";
    const DIGEST: &str = "67926b22d2fa5ab57de58e778015346b8bce0417dffe16c35ee1e2603c63acf2";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn what_was_sealed_before_data_keys_still_opens_and_is_found() {
        let provider = LocalProvider::new(LocalProvider::FILE, [7; 32]);
        let (tenant, row) = (TenantId::new(Uuid::from_u128(1)), Uuid::from_u128(2));
        let cipher = FieldCipher::new(tenant, 1, data_key(&provider, tenant, FIELD).unwrap());
        assert_eq!(cipher.open_text(tenant, FIELD, row, &bytes(SEALED)).unwrap(), "A123");
        assert_eq!(cipher.blind_index(tenant, FIELD, "A123").unwrap(), bytes(INDEX));
        let place = Field { table: "system_configurations", column: "master_key_check" };
        assert_eq!(master_key_digest(&provider, "keys.master_key_check", place).unwrap(), DIGEST);
    }
}
