//! The columns of this module whose values are sealed.

use clinicx_keys::{
    Field,
    sealed::{BlindIndex, SealedColumn},
};

use crate::{
    appointment::{CANCELLATION, COMMENT, REASON, STEP},
    folding,
    patient::{IDENTIFIER, NOTES},
};

/// Every sealed column, for whoever seals all values anew.
pub const COLUMNS: &[SealedColumn] = &[
    SealedColumn {
        field: IDENTIFIER,
        index: Some(BlindIndex { column: "blind_index", fold: folding::identifier }),
        plain: None,
    },
    SealedColumn::new(NOTES),
    SealedColumn { field: REASON, index: None, plain: Some("reason") },
    SealedColumn { field: COMMENT, index: None, plain: Some("comment") },
    SealedColumn { field: CANCELLATION, index: None, plain: Some("cancellation_reason") },
    SealedColumn { field: STEP, index: None, plain: Some("reason") },
    of("patient_allergies", "substance"),
    of("patient_allergies", "reaction"),
    of("patient_allergies", "notes"),
    of("patient_conditions", "name"),
    of("patient_conditions", "notes"),
    of("patient_medications", "name"),
    of("patient_medications", "dosage"),
    of("patient_medications", "notes"),
    of("patient_documents", "title"),
];

const fn of(table: &'static str, column: &'static str) -> SealedColumn {
    SealedColumn::new(Field { table, column })
}
