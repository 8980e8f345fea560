//! Invoices as PDF, in the clinic's language, from right to left where that is written so.
//!
//! Text is shaped with DejaVu Sans, which is embedded; what the font has no letter for is drawn as an empty box.

mod invoice;
mod sheet;
mod text;
mod words;

pub use invoice::invoice;

/// Why there is no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The embedded font can't be read.
    #[error("the embedded font can't be read")]
    Font,
    /// The document can't be written.
    #[error("the document can't be written")]
    Writer,
}

impl clinicx_types::error::DomainError for DocumentError {
    fn kind(&self) -> clinicx_types::error::ErrorKind {
        clinicx_types::error::ErrorKind::Internal
    }

    fn code(&self) -> &'static str {
        "internal"
    }
}
