//! Everything that an operation of this crate can refuse.

use clinicx_persistence::Failure;
use clinicx_types::error::{DomainError, ErrorKind, FieldError};
use sea_orm::DbErr;
use uuid::Uuid;

/// Why an operation was refused.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// There is no such thing, or the actor may not know of it.
    #[error("there is no such {thing}")]
    NotFound {
        /// The kind of thing.
        thing: &'static str,
    },
    /// The thing has changed since the caller read it.
    #[error("the {thing} has changed since it was read")]
    Stale {
        /// The kind of thing.
        thing: &'static str,
    },
    /// The patient was merged into another or erased.
    #[error("the patient's record is {status}")]
    PatientGone {
        /// `merged` or `erased`.
        status: &'static str,
        /// The record into which it was merged.
        survivor: Option<Uuid>,
    },
    /// Parts of the input mean nothing, or something that is not allowed.
    #[error("the input is not acceptable")]
    Invalid(Vec<FieldError>),
    /// Something with the same key is there already.
    #[error("the {what} is taken")]
    Taken {
        /// What must be unique.
        what: &'static str,
        /// The stable code.
        code: &'static str,
    },
    /// Other rows refer to it, so that it can't be removed.
    #[error("the {thing} is in use and can only be made inactive")]
    InUse {
        /// The kind of thing.
        thing: &'static str,
    },
    /// The staff member, the chair or the patient is busy at that time.
    #[error("the time is already taken")]
    SlotTaken {
        /// The appointments that stand against it.
        conflicts: Vec<Uuid>,
    },
    /// The staff member does not work then.
    #[error("the staff member does not work at that time")]
    OutsideWorkingHours,
    /// The staff member is away then.
    #[error("the staff member is away at that time")]
    TimeOff,
    /// A state can't be left in that way.
    #[error("{action} is not possible from {from}")]
    RefusedTransition {
        /// The state.
        from: &'static str,
        /// What was tried.
        action: &'static str,
        /// The states that can be reached.
        allowed: Vec<&'static str>,
    },
    /// The move is possible, but not at this time.
    #[error("{action} is not possible {when}")]
    WrongTime {
        /// What was tried.
        action: &'static str,
        /// When it is not possible.
        when: &'static str,
    },
    /// The actor lacks a permission that only this input needs.
    #[error("the permission {permission} is needed")]
    Forbidden {
        /// The permission.
        permission: &'static str,
    },
    /// A value was sealed under a key that came after the caller's cipher: the same works with a new one.
    #[error("the keys of protected values have changed")]
    KeysChanged,
    /// A value could not be sealed or opened.
    #[error("a protected value could not be read")]
    Cipher,
    /// The database refused or failed.
    #[error("the database refused the operation")]
    Database(#[source] Failure),
}

impl CoreError {
    /// Makes the error of one wrong field.
    pub fn invalid(pointer: &str, code: &str, detail: &str) -> Self {
        Self::Invalid(vec![FieldError::new(pointer, code, detail)])
    }
}

impl From<DbErr> for CoreError {
    fn from(error: DbErr) -> Self {
        Self::Database(Failure::of(&error))
    }
}

impl DomainError for CoreError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Stale { .. } => ErrorKind::Stale,
            Self::PatientGone { .. } => ErrorKind::Gone,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Taken { .. }
            | Self::InUse { .. }
            | Self::SlotTaken { .. }
            | Self::OutsideWorkingHours
            | Self::TimeOff
            | Self::RefusedTransition { .. }
            | Self::WrongTime { .. } => ErrorKind::Conflict,
            Self::Forbidden { .. } => ErrorKind::Forbidden,
            Self::KeysChanged => ErrorKind::Unavailable,
            Self::Cipher => ErrorKind::Internal,
            Self::Database(failure) => failure.error_kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::Stale { .. } => "version_mismatch",
            Self::PatientGone { status, .. } if *status == "erased" => "patient_erased",
            Self::PatientGone { .. } => "patient_merged",
            Self::Invalid(_) => "invalid",
            Self::Taken { code, .. } => code,
            Self::InUse { .. } => "in_use",
            Self::SlotTaken { .. } => "slot_taken",
            Self::OutsideWorkingHours => "outside_working_hours",
            Self::TimeOff => "time_off",
            Self::RefusedTransition { .. } => "transition_refused",
            Self::WrongTime { .. } => "wrong_time",
            Self::Forbidden { .. } => "permission_denied",
            Self::KeysChanged => "try_again",
            Self::Cipher => "internal",
            Self::Database(failure) => failure.code(),
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Database(failure) => failure.detail().to_owned(),
            Self::Cipher => "something went wrong inside the service".to_owned(),
            other => other.to_string(),
        }
    }

    fn fields(&self) -> Vec<FieldError> {
        match self {
            Self::Invalid(fields) => fields.clone(),
            _ => Vec::new(),
        }
    }

    fn allowed(&self) -> Vec<&'static str> {
        match self {
            Self::RefusedTransition { allowed, .. } => allowed.clone(),
            _ => Vec::new(),
        }
    }

    fn conflicts(&self) -> Vec<Uuid> {
        match self {
            Self::SlotTaken { conflicts } => conflicts.clone(),
            Self::PatientGone { survivor: Some(survivor), .. } => vec![*survivor],
            _ => Vec::new(),
        }
    }
}
