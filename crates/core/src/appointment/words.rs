//! What people say about an appointment: sealed in the table, open in memory.
//!
//! A row in memory has its words in `reason`, `comment` and `cancellation_reason`; a row in the table has them in the
//! sealed columns beside. What is older than these stands in clear until it is sealed with the next change of keys.

use clinicx_keys::{Field, FieldCipher};
use clinicx_persistence::TenantScope;
use uuid::Uuid;

use super::entity::Model;
use crate::{error::CoreError, patient::sealed};

/// Why the patient comes.
pub(crate) const REASON: Field = Field { table: "appointments", column: "reason_sealed" };
/// Notes for the staff.
pub(crate) const COMMENT: Field = Field { table: "appointments", column: "comment_sealed" };
/// Why it was called off.
pub(crate) const CANCELLATION: Field = Field { table: "appointments", column: "cancellation_reason_sealed" };
/// Why it was moved, in its history.
pub(crate) const STEP: Field = Field { table: "appointment_events", column: "reason_sealed" };

/// Opens the words of a row that was read.
pub(super) fn open(scope: &TenantScope, cipher: &FieldCipher, row: Model) -> Result<Model, CoreError> {
    let id = row.id.uuid();
    let one =
        |field, closed: &Option<Vec<u8>>, plain| opened(scope, cipher, (field, id), closed.as_deref(), plain);
    Ok(Model {
        reason: one(REASON, &row.reason_sealed, row.reason)?,
        comment: one(COMMENT, &row.comment_sealed, row.comment)?,
        cancellation_reason: one(CANCELLATION, &row.cancellation_reason_sealed, row.cancellation_reason)?,
        ..row
    })
}

/// Closes the words of a row that is to be written.
pub(super) fn close(scope: &TenantScope, cipher: &FieldCipher, row: Model) -> Result<Model, CoreError> {
    let id = row.id.uuid();
    let one = |field, words: &Option<String>| closed(scope, cipher, (field, id), words.as_deref());
    Ok(Model {
        reason_sealed: one(REASON, &row.reason)?,
        comment_sealed: one(COMMENT, &row.comment)?,
        cancellation_reason_sealed: one(CANCELLATION, &row.cancellation_reason)?,
        reason: None,
        comment: None,
        cancellation_reason: None,
        ..row
    })
}

/// Opens words; those in clear count only where nothing is sealed.
pub(super) fn opened(
    scope: &TenantScope,
    cipher: &FieldCipher,
    (field, row): (Field, Uuid),
    closed: Option<&[u8]>,
    plain: Option<String>,
) -> Result<Option<String>, CoreError> {
    match closed {
        Some(bytes) => cipher.open_text(scope.tenant_id, field, row, bytes).map(Some).map_err(sealed),
        None => Ok(plain),
    }
}

/// Seals words.
pub(super) fn closed(
    scope: &TenantScope,
    cipher: &FieldCipher,
    (field, row): (Field, Uuid),
    words: Option<&str>,
) -> Result<Option<Vec<u8>>, CoreError> {
    words.map(|words| cipher.seal_text(scope.tenant_id, field, row, words)).transpose().map_err(sealed)
}
