//! What a database error means, by its SQLSTATE alone.

use clinicx_types::error::ErrorKind;
use sea_orm::{DbErr, RuntimeErr};

use crate::trouble::{is_stale_plan, sqlstate};

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
    /// 40001, 40P01, and 0A000 of a statement that was prepared before its table was changed: worth another try of
    /// the whole transaction.
    Retry,
    /// 57014: cancelled by a time limit.
    Timeout,
    /// 55P03, 53xxx, 08xxx, 57P0x, no connection to be had: a later try can succeed.
    Unavailable,
    /// 42501, 3F000, 3D000, 42P01: the tenant is fenced or moved; where it lives must be looked up again.
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
    pub fn of(error: &DbErr) -> Self {
        let (runtime, applying) = match error {
            DbErr::Conn(runtime) => (runtime, true),
            DbErr::Exec(runtime) | DbErr::Query(runtime) => (runtime, false),
            DbErr::ConnectionAcquire(_) => return Self::bare(FailureKind::Unavailable),
            _ => return Self::bare(FailureKind::Internal),
        };
        let RuntimeErr::SqlxError(error) = runtime else {
            return Self::bare(if applying { FailureKind::Unavailable } else { FailureKind::Internal });
        };
        let kind = match kind_of_sqlx(error) {
            // While a tenant is being applied, its role can be missing (22023): it was fenced or moved.
            FailureKind::InvalidValue | FailureKind::Fenced if applying => FailureKind::Fenced,
            FailureKind::Internal if applying => FailureKind::Unavailable,
            kind => kind,
        };
        let answer = error.as_database_error();
        let constraint = answer.and_then(|answer| answer.constraint()).filter(|name| is_constraint(name));
        Self { kind, sqlstate: sqlstate(error).map(Into::into), constraint: constraint.map(Into::into) }
    }

    fn bare(kind: FailureKind) -> Self {
        Self { kind, sqlstate: None, constraint: None }
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

    /// Says it for callers, whom the database does not concern, when no rule of the domain explains it better.
    pub fn detail(&self) -> &'static str {
        match self.kind {
            FailureKind::Retry | FailureKind::Unavailable | FailureKind::Fenced => {
                "the service is temporarily unavailable; try again in a moment"
            }
            FailureKind::Timeout => "the operation took too long and was ended; nothing was changed",
            FailureKind::Internal => "something went wrong inside the service",
            FailureKind::Unique
            | FailureKind::Exclusion
            | FailureKind::ForeignKey
            | FailureKind::InvalidValue => "the database refused the operation",
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

/// Tells whether a text can be a constraint's name; a function that raises an error may put any text in its place.
fn is_constraint(name: &str) -> bool {
    name.contains('_')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

impl From<DbErr> for Failure {
    fn from(error: DbErr) -> Self {
        Self::of(&error)
    }
}

/// Reads an error of the driver.
pub(crate) fn kind_of_sqlx(error: &sqlx::Error) -> FailureKind {
    match sqlstate(error) {
        Some(_) if is_stale_plan(error) => FailureKind::Retry,
        Some(code) => kind_of_sqlstate(&code),
        None => match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => FailureKind::Unavailable,
            _ => FailureKind::Internal,
        },
    }
}

/// Reads a SQLSTATE (PostgreSQL, appendix A).
fn kind_of_sqlstate(code: &str) -> FailureKind {
    match code {
        "23505" => FailureKind::Unique,
        "23P01" => FailureKind::Exclusion,
        "23503" => FailureKind::ForeignKey,
        "23514" | "23502" => FailureKind::InvalidValue,
        "40001" | "40P01" => FailureKind::Retry,
        "57014" => FailureKind::Timeout,
        // 25P03: the session ended because its transaction was idle for too long.
        "55P03" | "25P03" => FailureKind::Unavailable,
        "42501" | "3F000" | "42P01" | "3D000" => FailureKind::Fenced,
        _ if code.starts_with("22") => FailureKind::InvalidValue,
        _ if ["53", "08", "57P0"].iter().any(|class| code.starts_with(class)) => FailureKind::Unavailable,
        _ => FailureKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sqlstate_has_its_kind() {
        let check =
            |code: &str, expected: FailureKind| assert_eq!(kind_of_sqlstate(code), expected, "{code}");
        check("23505", FailureKind::Unique);
        check("23P01", FailureKind::Exclusion);
        check("23503", FailureKind::ForeignKey);
        check("23514", FailureKind::InvalidValue);
        check("23502", FailureKind::InvalidValue);
        check("22001", FailureKind::InvalidValue);
        check("22P02", FailureKind::InvalidValue);
        check("40001", FailureKind::Retry);
        check("40P01", FailureKind::Retry);
        check("57014", FailureKind::Timeout);
        check("55P03", FailureKind::Unavailable);
        check("53300", FailureKind::Unavailable);
        check("08006", FailureKind::Unavailable);
        check("57P01", FailureKind::Unavailable);
        check("57P03", FailureKind::Unavailable);
        check("42501", FailureKind::Fenced);
        check("3F000", FailureKind::Fenced);
        check("42P01", FailureKind::Fenced);
        check("42703", FailureKind::Internal);
        check("0A000", FailureKind::Internal);
        check("25P02", FailureKind::Internal);
        check("XX000", FailureKind::Internal);
    }

    #[test]
    fn errors_without_a_server_are_told_apart() {
        let check = |error: DbErr, expected: FailureKind| assert_eq!(Failure::of(&error).kind, expected);
        let sqlx = |error: sqlx::Error| RuntimeErr::SqlxError(error.into());
        check(DbErr::ConnectionAcquire(sea_orm::ConnAcquireErr::Timeout), FailureKind::Unavailable);
        check(DbErr::Conn(RuntimeErr::Internal("broken off".to_owned())), FailureKind::Unavailable);
        check(DbErr::Query(sqlx(sqlx::Error::Io(std::io::Error::other("reset")))), FailureKind::Unavailable);
        check(DbErr::Exec(sqlx(sqlx::Error::ColumnNotFound("x".to_owned()))), FailureKind::Internal);
        check(DbErr::Type("a value".to_owned()), FailureKind::Internal);
    }
}
