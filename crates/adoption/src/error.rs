//! Why a clinic could not be moved.

use std::time::Duration;

use clinicx_core::CoreError;
use clinicx_keys::KeyError;
use clinicx_migration::DatabaseFailure;
use clinicx_persistence::Failure;
use clinicx_tenancy::TenancyError;
use sea_orm::DbErr;

use crate::{mapping::MappingError, store::State};

/// Why a clinic could not be moved, or not yet.
#[derive(Debug, thiserror::Error)]
pub enum AdoptionError {
    /// The mapping and the old tables don't fit together.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// The login that reads may do more than that.
    #[error("the reading login {login} {what}; make one that can only read the old tables")]
    ReaderMayMore {
        /// Its name.
        login: String,
        /// What it may do.
        what: String,
    },
    /// The old tables could not be read or changed.
    #[error("the old tables: {0}")]
    Legacy(#[from] DatabaseFailure),
    /// Something does not fit, and the mapping says to stop then.
    #[error("{rows} rows do not fit; the mapping says to stop")]
    Misfits {
        /// How many.
        rows: u64,
    },
    /// What was read back is not what was written.
    #[error("what the tenant holds is not what the old tables give: {tables}")]
    Different {
        /// In which tables.
        tables: String,
    },
    /// The tenant of the clinic could not be made.
    #[error("the tenant can't be made: {0}")]
    NotMade(String),
    /// The tenant is there and did not come from an adoption.
    #[error("there is a tenant with this slug already, and it is no adopted one")]
    NotAdopted,
    /// Its state does not lead there.
    #[error("its adoption is {state}; {wanted}")]
    WrongState {
        /// Its state.
        state: State,
        /// What would be needed.
        wanted: &'static str,
    },
    /// There is no login that could hold up the clinic's writers.
    #[error(
        "without the login that owns the old tables nobody can be held up: name it, or stop the clinic's writers and say so"
    )]
    NoGate,
    /// Another process moves the same clinic.
    #[error("another process is moving this clinic")]
    Busy,
    /// Its writers could not be held up for so short a time.
    #[error("its writers would have been held up for more than {} s, {tries} times", limit.as_secs_f64())]
    TooSlow {
        /// How long they may be.
        limit: Duration,
        /// How often it was tried.
        tries: u32,
    },
    /// The old tables' rows could not be written into an archive.
    #[error("the archive can't be written")]
    Archive(#[source] std::io::Error),
    /// Other rows refer to those that are to be dropped, or they have changed meanwhile.
    #[error("the old rows can't be dropped: {0}")]
    NotDropped(String),
    /// A domain rule that should have been found, or the tenant's rows could not be written.
    #[error("the tenant's rows can't be written")]
    Core(#[from] CoreError),
    /// The tenant's keys can't be had.
    #[error("the tenant's keys can't be had")]
    Keys(#[from] KeyError),
    /// The registry refused.
    #[error(transparent)]
    Tenancy(#[from] TenancyError),
    /// The system schema could not be used.
    #[error("the system schema can't be used")]
    System(#[source] Failure),
}

impl From<DbErr> for AdoptionError {
    fn from(error: DbErr) -> Self {
        Self::System(Failure::of(&error))
    }
}
