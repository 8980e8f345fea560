//! Everything that an operation of this crate can refuse.

use clinicx_core::CoreError;
use clinicx_types::error::{DomainError, ErrorKind, FieldError};
use sea_orm::DbErr;
use uuid::Uuid;

use crate::tooth::Tooth;

/// Why an operation was refused.
#[derive(Debug, thiserror::Error)]
pub enum DentalError {
    /// What the core refuses too: not found, stale, invalid, a refused transition, the database.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// The work is on teeth that are gone.
    #[error("the work is on a tooth that is gone")]
    ToothGone {
        /// Those of the teeth that are gone.
        teeth: Vec<Tooth>,
    },
    /// The work needs a gap where a tooth still stands.
    #[error("the work needs a gap where a tooth still stands")]
    ToothPresent {
        /// Those of the teeth that are there.
        teeth: Vec<Tooth>,
    },
    /// This can't have become of the tooth before or after what is recorded of it.
    #[error(
        "this can't have become of the tooth beside what is recorded of it; an error has to be voided first"
    )]
    ToothHistory {
        /// What is recorded.
        event: Uuid,
    },
    /// The treatment stands on an invoice.
    #[error("the treatment is billed; credit the invoice first")]
    Billed,
    /// The treatment is part of a plan that is drafted or accepted.
    #[error("the treatment is part of a treatment plan")]
    Planned {
        /// The plan.
        plan: Uuid,
    },
}

impl DentalError {
    /// Makes the error of one wrong field.
    pub fn invalid(pointer: &str, code: &str, detail: &str) -> Self {
        CoreError::invalid(pointer, code, detail).into()
    }

    pub(crate) fn not_found(thing: &'static str) -> Self {
        CoreError::NotFound { thing }.into()
    }

    pub(crate) fn fields_of(wrong: Vec<FieldError>) -> Self {
        CoreError::Invalid(wrong).into()
    }
}

impl From<DbErr> for DentalError {
    fn from(error: DbErr) -> Self {
        CoreError::from(error).into()
    }
}

impl DomainError for DentalError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Core(error) => error.kind(),
            Self::ToothGone { .. }
            | Self::ToothPresent { .. }
            | Self::ToothHistory { .. }
            | Self::Billed
            | Self::Planned { .. } => ErrorKind::Conflict,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Core(error) => error.code(),
            Self::ToothGone { .. } => "tooth_gone",
            Self::ToothPresent { .. } => "tooth_present",
            Self::ToothHistory { .. } => "tooth_history",
            Self::Billed => "treatment_billed",
            Self::Planned { .. } => "treatment_planned",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Core(error) => error.detail(),
            other => other.to_string(),
        }
    }

    fn fields(&self) -> Vec<FieldError> {
        match self {
            Self::Core(error) => error.fields(),
            _ => Vec::new(),
        }
    }

    fn allowed(&self) -> Vec<&'static str> {
        match self {
            Self::Core(error) => error.allowed(),
            _ => Vec::new(),
        }
    }

    fn conflicts(&self) -> Vec<Uuid> {
        match self {
            Self::Core(error) => error.conflicts(),
            Self::Planned { plan } => vec![*plan],
            Self::ToothHistory { event } => vec![*event],
            _ => Vec::new(),
        }
    }
}
