//! What an operator runs in a tenant by hand: one query that reads, or a script that changes data.
//!
//! Both go through the tenant's own connection, as its role and behind all of its fences, and neither can leave them:
//! [`statement`] says which statements there are, PostgreSQL takes one at a time, and the connection refuses what ends a
//! transaction or changes the session. A query runs in a transaction that reads only. A script is one transaction,
//! which leaves its audit row and event ([`script::RUN`]) with what it has changed.
//!
//! **Invariant:** a row is handed out under the tenant that PostgreSQL says it was read for, or not at all.

pub mod query;
pub mod script;
pub mod statement;

pub use query::{Rows, Wanted, query};
pub use script::{Ran, Script, Terms, Trial};
pub use statement::Query;

use clinicx_migration::failure::DatabaseFailure;
use sea_orm::DbErr;
use sha2::{Digest, Sha256};

/// Why something was not run in a tenant, or failed there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// There is no statement in it.
    #[error("there is no statement in it")]
    Empty,
    /// A query is one statement.
    #[error("it has {0} statements, and a query is one; several are a script")]
    Several(usize),
    /// Its first word is none of a query.
    #[error("{0} is no query: a query begins with {words}; what changes data is a script", words = statement::QUERIES.join(", "))]
    NotAQuery(String),
    /// A script may not do this.
    #[error(
        "statement {number} of the script begins with {command}, and a script may only {words}: it is one transaction \
         as the tenant's role; tables are changed by migrations",
        words = statement::CHANGES.join(", ")
    )]
    NotForAScript {
        /// Which statement, from 1.
        number: usize,
        /// Its first word.
        command: String,
    },
    /// The rows were read for somebody else; they are not handed out.
    #[error("the rows were read for another tenant, and are withheld")]
    Foreign,
    /// It took longer than it may.
    #[error("it took longer than it may")]
    TooLong,
    /// The database said no. The text names tables and columns and repeats parts of the statement, but no value of a row.
    #[error("{message}")]
    Database {
        /// What it said.
        message: String,
        /// PostgreSQL's code of it.
        sqlstate: Option<String>,
    },
}

impl ExecError {
    /// Returns PostgreSQL's code of it, when it was PostgreSQL that said no.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Database { sqlstate, .. } => sqlstate.as_deref(),
            _ => None,
        }
    }

    /// Tells whether the statement is at fault, whichever tenant it is for.
    pub fn is_of_the_text(&self) -> bool {
        !matches!(self, Self::Foreign | Self::TooLong | Self::Database { .. })
    }
}

impl From<DbErr> for ExecError {
    fn from(error: DbErr) -> Self {
        let failure = DatabaseFailure::of("run a statement", &error);
        let sqlstate = failure.sqlstate().map(str::to_owned);
        let message = match error {
            // Said by the connection itself, of a statement that it does not let through.
            DbErr::Custom(text) => text,
            _ if sqlstate.as_deref() == Some("57014") => return Self::TooLong,
            _ => failure.message,
        };
        Self::Database { message, sqlstate }
    }
}

/// Returns the SHA-256 of a text in hexadecimal digits: what the audit keeps of it. The text itself may name a patient.
pub(crate) fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
