//! Why a tenant's fields can't be sealed or opened at all.

use clinicx_persistence::Failure;
use clinicx_types::error::{DomainError, ErrorKind};
use sea_orm::DbErr;

use crate::provider::ProviderError;

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The tenant has no key: it was made before there were any, or its keys were destroyed.
    #[error("the tenant has no data key")]
    Missing,
    /// What the envelope holds is the key of another tenant or version, or no key.
    #[error("the envelope holds another key than it should")]
    Misplaced,
    /// The row in the database is none that this program could have written.
    #[error("the stored key is not one of this program's")]
    Malformed,
    /// The system has no randomness.
    #[error("the system has no randomness")]
    NoRandomness,
    /// The provider did not wrap or unwrap.
    #[error("the data key can't be unwrapped")]
    Provider(#[from] ProviderError),
    /// The database failed.
    #[error("the data keys can't be read")]
    Database(#[source] Failure),
}

impl From<DbErr> for KeyError {
    fn from(error: DbErr) -> Self {
        Self::Database(Failure::of(&error))
    }
}

impl DomainError for KeyError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Provider(ProviderError::Unavailable(_) | ProviderError::Denied(_)) => {
                ErrorKind::Unavailable
            }
            Self::Database(failure) => failure.error_kind(),
            _ => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self.kind() {
            ErrorKind::Unavailable => "unavailable",
            _ => match self {
                Self::Database(failure) => failure.code(),
                _ => "internal",
            },
        }
    }

    fn detail(&self) -> String {
        match self.kind() {
            ErrorKind::Unavailable => "the keys of protected fields are away for the moment".to_owned(),
            _ => "something went wrong inside the service".to_owned(),
        }
    }
}
