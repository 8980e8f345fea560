//! What people write about money: sealed in the tables, open in memory.

use clinicx_core::CoreError;
use clinicx_keys::{CipherError, Field, FieldCipher, sealed::SealedColumn};
use clinicx_persistence::TenantScope;
use uuid::Uuid;

use crate::error::Result;

/// What an invoice's line says.
pub(crate) const LINE: Field = Field { table: "invoice_lines", column: "description" };
/// What is written below an invoice.
pub(crate) const INVOICE_NOTE: Field = Field { table: "invoices", column: "note" };
/// Who is named on an invoice.
pub(crate) const RECIPIENT: Field = Field { table: "invoices", column: "recipient" };
/// Why an invoice was cancelled.
pub(crate) const CANCELLATION: Field = Field { table: "invoices", column: "cancellation_reason" };
/// Why something was credited.
pub(crate) const CREDIT_REASON: Field = Field { table: "credit_notes", column: "reason" };
/// What a payment is known by elsewhere.
pub(crate) const REFERENCE: Field = Field { table: "payments", column: "reference" };
/// Notes on a payment.
pub(crate) const PAYMENT_NOTE: Field = Field { table: "payments", column: "note" };
/// Why a payment was voided.
pub(crate) const VOID_REASON: Field = Field { table: "payments", column: "void_reason" };
/// Why money was given back.
pub(crate) const REFUND_REASON: Field = Field { table: "refunds", column: "reason" };

/// Every sealed column, for whoever seals all values anew.
pub const COLUMNS: &[SealedColumn] = &[
    SealedColumn::new(LINE),
    SealedColumn::new(INVOICE_NOTE),
    SealedColumn::new(RECIPIENT),
    SealedColumn::new(CANCELLATION),
    SealedColumn::new(CREDIT_REASON),
    SealedColumn::new(REFERENCE),
    SealedColumn::new(PAYMENT_NOTE),
    SealedColumn::new(VOID_REASON),
    SealedColumn::new(REFUND_REASON),
];

/// Seals words for the row with this id.
pub(crate) fn close(
    scope: &TenantScope,
    cipher: &FieldCipher,
    (field, row): (Field, Uuid),
    words: &str,
) -> Result<Vec<u8>> {
    Ok(cipher.seal_text(scope.tenant_id, field, row, words).map_err(refused)?)
}

/// Seals words where there are some.
pub(crate) fn close_some(
    scope: &TenantScope,
    cipher: &FieldCipher,
    at: (Field, Uuid),
    words: Option<&str>,
) -> Result<Option<Vec<u8>>> {
    words.map(|words| close(scope, cipher, at, words)).transpose()
}

/// Opens the words of the row with this id.
pub(crate) fn open(
    scope: &TenantScope,
    cipher: &FieldCipher,
    (field, row): (Field, Uuid),
    sealed: &[u8],
) -> Result<String> {
    Ok(cipher.open_text(scope.tenant_id, field, row, sealed).map_err(refused)?)
}

/// Opens words where there are some.
pub(crate) fn open_some(
    scope: &TenantScope,
    cipher: &FieldCipher,
    at: (Field, Uuid),
    sealed: Option<&[u8]>,
) -> Result<Option<String>> {
    sealed.map(|sealed| open(scope, cipher, at, sealed)).transpose()
}

/// Keeps from a failed sealing or opening what the caller may know: nothing.
fn refused(error: CipherError) -> CoreError {
    if error.wants_new_cipher() {
        return CoreError::KeysChanged;
    }
    tracing::error!(error.kind = "cipher", reason = %error, "a sealed field could not be handled");
    CoreError::Cipher
}
