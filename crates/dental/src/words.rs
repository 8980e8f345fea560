//! What people write about a patient: sealed in the table, open in memory.

use clinicx_core::CoreError;
use clinicx_keys::{CipherError, Field, FieldCipher};
use clinicx_persistence::TenantScope;
use uuid::Uuid;

use crate::error::DentalError;

/// Seals words; blank ones are none.
pub(crate) fn seal(
    scope: &TenantScope,
    cipher: &FieldCipher,
    (field, row): (Field, Uuid),
    words: Option<&str>,
) -> Result<Option<Vec<u8>>, DentalError> {
    let Some(words) = words.map(str::trim).filter(|words| !words.is_empty()) else { return Ok(None) };
    Ok(Some(cipher.seal_text(scope.tenant_id, field, row, words).map_err(refused)?))
}

/// Opens words.
pub(crate) fn open(
    scope: &TenantScope,
    cipher: &FieldCipher,
    (field, row): (Field, Uuid),
    sealed: Option<&[u8]>,
) -> Result<Option<String>, DentalError> {
    let Some(bytes) = sealed else { return Ok(None) };
    Ok(Some(cipher.open_text(scope.tenant_id, field, row, bytes).map_err(refused)?))
}

fn refused(error: CipherError) -> CoreError {
    if error.wants_new_cipher() { CoreError::KeysChanged } else { CoreError::Cipher }
}
