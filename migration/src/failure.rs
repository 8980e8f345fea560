//! Database errors of migrations: what was being done, and what the server said about it.

use std::sync::Arc;

use clinicx_persistence::Failure;
use sea_orm::{DbErr, RuntimeErr};

/// A statement of a migration failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{action}: {message}")]
pub struct DatabaseFailure {
    /// What was being done.
    pub action: &'static str,
    /// What the server said; it names tables and columns, and no value of a row.
    pub message: String,
    /// The error, classified.
    pub failure: Failure,
}

impl DatabaseFailure {
    /// Describes an error of the driver.
    pub fn new(action: &'static str, error: sqlx::Error) -> Self {
        let message = public_message(&error);
        let failure = Failure::of(&DbErr::Exec(RuntimeErr::SqlxError(Arc::new(error))));
        Self { action, message, failure }
    }

    /// Describes an error of SeaORM.
    pub fn of(action: &'static str, error: &DbErr) -> Self {
        let message = match error {
            DbErr::Conn(RuntimeErr::SqlxError(inner))
            | DbErr::Exec(RuntimeErr::SqlxError(inner))
            | DbErr::Query(RuntimeErr::SqlxError(inner)) => public_message(inner),
            DbErr::Migration(text) => text.clone(),
            _ => "the database could not be used".to_owned(),
        };
        Self { action, message, failure: Failure::of(error) }
    }

    /// Returns the five characters of PostgreSQL's error code, when the server sent one.
    pub fn sqlstate(&self) -> Option<&str> {
        self.failure.sqlstate.as_deref()
    }
}

/// Says what went wrong without the values of a row: those stand in the server's detail, and in the message
/// itself only when a value or a constraint is at fault (classes 22 and 23).
fn public_message(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(inner) => match inner.code().as_deref() {
            Some(code) if code.starts_with("22") || code.starts_with("23") => {
                format!("a value or a constraint stands against it (SQLSTATE {code})")
            }
            Some(code) => format!("{} (SQLSTATE {code})", inner.message()),
            None => inner.message().to_owned(),
        },
        sqlx::Error::Io(inner) => format!("connection lost or refused: {inner}"),
        sqlx::Error::PoolTimedOut => "no connection to be had in time".to_owned(),
        other => {
            let kind = other.to_string();
            kind.lines().next().unwrap_or("the driver failed").to_owned()
        }
    }
}
