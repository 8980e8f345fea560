//! The columns of this module whose values are sealed.

use clinicx_keys::sealed::{BlindIndex, SealedColumn};

use crate::{
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
];
