//! What can go wrong with a statement inside this crate, and how SeaORM is told.

use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr};
use sqlx::postgres::PgDatabaseError;

use crate::failure::FailureKind;

/// Something that went wrong.
pub(crate) enum Trouble {
    /// There was no connection to be had in time, or the pool is closed.
    Acquire(ConnAcquireErr),
    /// No connection could be opened, or the tenant could not be applied to it.
    Apply(sqlx::Error),
    /// The statement itself failed.
    Run(sqlx::Error),
    /// The statement is not let through.
    Refused(&'static str),
    /// The transaction was broken off before, so that its state is not known.
    Interrupted,
}

impl Trouble {
    /// Tells SeaORM of a statement that changes.
    pub(crate) fn exec(self) -> DbErr {
        self.tell(DbErr::Exec)
    }

    /// Tells SeaORM of a statement that reads.
    pub(crate) fn query(self) -> DbErr {
        self.tell(DbErr::Query)
    }

    fn tell(self, run: fn(RuntimeErr) -> DbErr) -> DbErr {
        match self {
            Self::Acquire(reason) => DbErr::ConnectionAcquire(reason),
            Self::Apply(error) => DbErr::Conn(RuntimeErr::SqlxError(error.into())),
            Self::Run(error) => run(RuntimeErr::SqlxError(error.into())),
            Self::Refused(what) => DbErr::Custom(format!("not allowed on this connection: {what}")),
            Self::Interrupted => {
                let text =
                    "the transaction was broken off: a statement or stream in it did not run to its end";
                DbErr::Conn(RuntimeErr::Internal(text.to_owned()))
            }
        }
    }
}

/// Returns the SQLSTATE, when the server sent one.
pub(crate) fn sqlstate(error: &sqlx::Error) -> Option<std::borrow::Cow<'_, str>> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code)
}

/// Tells whether the server answered with an error and the connection is still in step with it.
pub(crate) fn is_answer(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(_)) && !is_lost(error)
}

/// Tells whether the error means that connections, this one and perhaps others, are gone.
pub(crate) fn is_lost(error: &sqlx::Error) -> bool {
    match sqlstate(error) {
        Some(code) => code.starts_with("57P0") || code.starts_with("08") || code == "25P03",
        None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::Tls(_)),
    }
}

/// Tells whether a prepared statement no longer fits its table ("cached plan must not change result type").
///
/// Its SQLSTATE, 0A000, is that of everything that PostgreSQL does not support; the text is in the server's language.
/// What remains is the routine that finds it out.
pub(crate) fn is_stale_plan(error: &sqlx::Error) -> bool {
    let answer = error.as_database_error().and_then(|answer| answer.try_downcast_ref::<PgDatabaseError>());
    answer.is_some_and(|answer| answer.code() == "0A000" && answer.routine() == Some("RevalidateCachedQuery"))
}

/// Returns the kind of an error for log lines, which may hold nothing else of it.
pub(crate) fn kind_of(error: &sqlx::Error) -> FailureKind {
    crate::failure::kind_of_sqlx(error)
}
