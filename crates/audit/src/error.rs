//! What can stand against reading or writing the audit.

use clinicx_persistence::Failure;
use clinicx_types::error::{DomainError, ErrorKind, FieldError};
use sea_orm::DbErr;

/// Why the audit could not be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuditError {
    /// More rows wait than can be written.
    #[error("the audit's queue is full")]
    Overloaded,
    /// The service is stopping.
    #[error("the audit is closed")]
    Closed,
    /// Parts of the input mean nothing.
    #[error("the input is not acceptable")]
    Invalid(Vec<FieldError>),
    /// The log's end is not what was signed.
    #[error("the audit log is not what was sealed; run `clinicx audit verify`")]
    Tampered,
    /// What is asked about was never sealed.
    #[error("it is not sealed yet; run `clinicx audit checkpoint`")]
    NotSealed,
    /// The database refused or failed.
    #[error("the audit can't be used")]
    Database(#[source] Failure),
}

impl From<DbErr> for AuditError {
    fn from(error: DbErr) -> Self {
        Self::Database(Failure::of(&error))
    }
}

impl DomainError for AuditError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Overloaded | Self::Closed => ErrorKind::Unavailable,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::NotSealed => ErrorKind::NotFound,
            Self::Tampered => ErrorKind::Internal,
            Self::Database(failure) => failure.error_kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Overloaded | Self::Closed => "unavailable",
            Self::Invalid(_) => "invalid",
            Self::NotSealed => "not_found",
            Self::Tampered => "internal",
            Self::Database(failure) => failure.code(),
        }
    }

    fn fields(&self) -> Vec<FieldError> {
        match self {
            Self::Invalid(fields) => fields.clone(),
            _ => Vec::new(),
        }
    }
}
