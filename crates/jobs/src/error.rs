//! What can stand against a job's being asked for, looked at, cancelled or done.

use std::time::Duration;

use clinicx_persistence::{Failure, FailureKind};
use clinicx_types::error::{DomainError, ErrorKind};
use sea_orm::DbErr;

use crate::job::JobState;

/// Why an operation on jobs was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobsError {
    /// There is no such job.
    #[error("no such job")]
    UnknownJob,
    /// The job has ended.
    #[error("a job that is {state} can't be cancelled")]
    Ended {
        /// How.
        state: JobState,
    },
    /// The job has changed since the caller read it.
    #[error("it has version {current} now")]
    VersionMismatch {
        /// Its version now.
        current: i64,
    },
    /// The input can't be written as JSON: a defect.
    #[error("the input of a job of the kind {kind} can't be written")]
    Input {
        /// The kind.
        kind: &'static str,
    },
    /// Others take the same unique key again and again.
    #[error("the unique key is taken and given back all the time")]
    Busy,
    /// The database failed.
    #[error("the jobs can't be used")]
    Database(#[source] Failure),
}

impl From<DbErr> for JobsError {
    fn from(error: DbErr) -> Self {
        Self::Database(Failure::of(&error))
    }
}

impl DomainError for JobsError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownJob => ErrorKind::NotFound,
            Self::Ended { .. } => ErrorKind::Conflict,
            Self::VersionMismatch { .. } => ErrorKind::Stale,
            Self::Input { .. } => ErrorKind::Internal,
            Self::Busy => ErrorKind::Unavailable,
            Self::Database(failure) => failure.error_kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::UnknownJob => "not_found",
            Self::Ended { .. } => "transition_refused",
            Self::VersionMismatch { .. } => "version_mismatch",
            Self::Input { .. } => "internal",
            Self::Busy => "try_again",
            Self::Database(failure) => failure.code(),
        }
    }
}

/// What went wrong with a job, for whoever looks at it: neither part may hold a patient's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A stable word in snake_case.
    pub code: &'static str,
    /// A sentence.
    pub detail: String,
}

/// How a job ends that has not succeeded.
///
/// Every [`DomainError`] converts into one: what is away or busy is tried again, everything else is given up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// It is worth another try, after a while.
    #[error("{} ({})", .0.detail, .0.code)]
    Retry(Problem),
    /// Another try would end the same.
    #[error("{} ({})", .0.detail, .0.code)]
    Failed(Problem),
    /// It is too early; this was no try.
    #[error("it is too early")]
    Later(Duration),
    /// It was told to stop ([`JobContext::stop`](crate::JobContext::stop)) and has.
    #[error("it was told to stop")]
    Stopped,
}

impl JobError {
    /// Says that another try can succeed.
    pub fn retry(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Retry(Problem { code, detail: detail.into() })
    }

    /// Says that no other try can.
    pub fn failed(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Failed(Problem { code, detail: detail.into() })
    }

    /// Reads an error of the database, of which nothing but its class is kept.
    pub fn database(error: &DbErr) -> Self {
        Self::failure(&Failure::of(error))
    }

    /// Reads a failure of the database.
    pub fn failure(failure: &Failure) -> Self {
        let problem = Problem { code: failure.code(), detail: failure.to_string() };
        match failure.kind {
            FailureKind::Retry | FailureKind::Timeout | FailureKind::Unavailable | FailureKind::Fenced => {
                Self::Retry(problem)
            }
            FailureKind::Unique
            | FailureKind::Exclusion
            | FailureKind::ForeignKey
            | FailureKind::InvalidValue
            | FailureKind::Internal => Self::Failed(problem),
        }
    }

    /// Returns what went wrong, if something has.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Retry(problem) | Self::Failed(problem) => Some(problem),
            Self::Later(_) | Self::Stopped => None,
        }
    }
}

impl<E: DomainError> From<E> for JobError {
    fn from(error: E) -> Self {
        let problem = Problem { code: error.code(), detail: error.detail() };
        match error.kind() {
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Throttled => Self::Retry(problem),
            _ => Self::Failed(problem),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_away_is_tried_again_and_what_is_wrong_is_not() {
        let failure = |kind| Failure { kind, sqlstate: None, constraint: None };
        let check = |kind, retried: bool| {
            let direct = JobError::failure(&failure(kind));
            assert_eq!(matches!(direct, JobError::Retry(_)), retried, "{kind:?}");
        };
        check(FailureKind::Unavailable, true);
        check(FailureKind::Retry, true);
        check(FailureKind::Fenced, true);
        check(FailureKind::Unique, false);
        check(FailureKind::Internal, false);
        let busy = JobError::from(JobsError::Busy);
        assert_eq!(busy.problem().map(|problem| problem.code), Some("try_again"));
        assert!(matches!(busy, JobError::Retry(_)));
        assert!(matches!(JobError::from(JobsError::UnknownJob), JobError::Failed(_)));
    }
}
