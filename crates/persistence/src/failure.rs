//! What a database error means, by its SQLSTATE alone.

use clinicx_types::error::ErrorKind;
use sea_orm::DbErr;

/// What a caller can do about a database error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// 23505: a uniqueness rule.
    Unique,
    /// 23P01: an exclusion constraint.
    Exclusion,
    /// 23503: a foreign key.
    ForeignKey,
    /// 23514: a check; 23502: a missing value; 22xxx: a value out of its range.
    InvalidValue,
    /// 40001 and 40P01: worth another try of the whole transaction.
    Retry,
    /// 57014: cancelled by a time limit.
    Timeout,
    /// 55P03, 53xxx, 08xxx, 57P0x, no connection to be had: a later try can succeed.
    Unavailable,
    /// 42501, 3F000, 42P01: the tenant is fenced or moved; where it lives must be looked up again.
    Fenced,
    /// Everything else: a defect.
    Internal,
}

/// A database error, stripped of everything that could hold a row's values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("database failure {kind:?} (SQLSTATE {sqlstate:?}, constraint {constraint:?})")]
pub struct Failure {
    /// What it means.
    pub kind: FailureKind,
    /// The five characters of PostgreSQL's error code, when the server sent one.
    pub sqlstate: Option<String>,
    /// The constraint that was broken, where the server names it (Citus does not).
    pub constraint: Option<String>,
}

impl Failure {
    /// Reads a SeaORM error.
    pub fn of(_error: &DbErr) -> Self {
        todo!("persistence")
    }

    /// Returns the stable code of this kind for callers.
    pub fn code(&self) -> &'static str {
        match self.kind {
            FailureKind::Unique | FailureKind::Exclusion | FailureKind::ForeignKey => "conflict",
            FailureKind::InvalidValue => "invalid_value",
            FailureKind::Retry => "try_again",
            FailureKind::Timeout => "timeout",
            FailureKind::Unavailable | FailureKind::Fenced => "unavailable",
            FailureKind::Internal => "internal",
        }
    }

    /// Tells whether the constraint of this name was broken.
    pub fn broke(&self, constraint: &str) -> bool {
        self.constraint.as_deref() == Some(constraint)
    }

    /// Returns the kind of domain error that this is when no rule of the domain explains it better.
    pub fn error_kind(&self) -> ErrorKind {
        match self.kind {
            FailureKind::Unique | FailureKind::Exclusion | FailureKind::ForeignKey => ErrorKind::Conflict,
            FailureKind::InvalidValue => ErrorKind::Invalid,
            FailureKind::Retry | FailureKind::Unavailable | FailureKind::Fenced => ErrorKind::Unavailable,
            FailureKind::Timeout => ErrorKind::Timeout,
            FailureKind::Internal => ErrorKind::Internal,
        }
    }
}

impl From<DbErr> for Failure {
    fn from(error: DbErr) -> Self {
        Self::of(&error)
    }
}
