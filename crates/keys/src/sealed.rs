//! Which columns of a module hold sealed values.

use crate::cipher::Field;

/// A column of sealed values, for whoever has to find all of them.
#[derive(Clone, Copy, Debug)]
pub struct SealedColumn {
    /// Where the sealed value stands.
    pub field: Field,
    /// The blind index beside it.
    pub index: Option<BlindIndex>,
    /// The column of text from which values that are older than the seal are moved.
    pub plain: Option<&'static str>,
}

/// A column that makes equal sealed values findable.
#[derive(Clone, Copy, Debug)]
pub struct BlindIndex {
    /// Its name, in the same table.
    pub column: &'static str,
    /// Brings a value to the form in which it is compared.
    pub fold: fn(&str) -> String,
}

impl SealedColumn {
    /// Describes a column without an index.
    pub const fn new(field: Field) -> Self {
        Self { field, index: None, plain: None }
    }
}
