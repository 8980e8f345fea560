//! What can stand against an archive's being written, read or used.

use clinicx_keys::{CipherError, KeyError};
use clinicx_migration::{DatabaseFailure, tenant::MigrateError};
use clinicx_persistence::Failure;
use clinicx_tenancy::TenancyError;
use clinicx_types::error::{DomainError, ErrorKind, FieldError};
use sea_orm::DbErr;

use crate::store::StoreError;

/// Why an archive is not used. It names tables and files, and no value of a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The manifest is no manifest, or one of a format that this program does not read.
    #[error("the manifest can't be read")]
    Manifest,
    /// The manifest was changed, or another key has authenticated it.
    #[error("the manifest is not what was written")]
    Mac,
    /// It is the archive of another tenant, or another archive of the tenant.
    #[error("it is another archive than it should be")]
    Misplaced,
    /// A file is not there, has another length, or holds something else.
    #[error("the file {0} is not what was written")]
    File(String),
    /// A piece of a table was changed, moved or cut off.
    #[error("the rows of {0} are not what was written")]
    Rows(String),
    /// A row of a table is another tenant's.
    #[error("{0} holds a row of another tenant")]
    Foreign(String),
    /// A sealed value does not open with the keys that came with the archive.
    #[error("a sealed value of {0} does not open")]
    Sealed(String),
    /// Its migrations are not those of this program.
    #[error("its migrations are not those of this program: {0}")]
    Migrations(String),
    /// Its tables are not those that its migrations make.
    #[error("the table {0} is not what its migrations make")]
    Structure(String),
}

/// Why an operation on archives was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// There is no such archive.
    #[error("no such backup")]
    Unknown,
    /// The archive is not to be used.
    #[error("the archive is refused: {0}")]
    Refused(Refusal),
    /// What was restored is not what was archived.
    #[error("what was restored of {0} is not what was archived")]
    Different(String),
    /// The backup, or the copy of what a tenant was, is in a state in which this can't be done.
    #[error("it is {0}, and can't be used for this")]
    State(String),
    /// It was told to stop.
    #[error("it was told to stop")]
    Stopped,
    /// There is no login that reads for backups, or no place for them.
    #[error("this service is not configured to back tenants up")]
    NotConfigured,
    /// The place where archives are kept failed.
    #[error("the archives can't be reached")]
    Store(#[from] StoreError),
    /// The keys failed.
    #[error("the archive's key can't be used")]
    Keys(#[from] KeyError),
    /// Tenancy refused.
    #[error(transparent)]
    Tenancy(#[from] TenancyError),
    /// The migrations failed.
    #[error("the tables can't be made")]
    Migration(#[from] MigrateError),
    /// The database failed.
    #[error("the database can't be used")]
    Database(#[source] DatabaseFailure),
}

impl ArchiveError {
    pub(crate) fn database(action: &'static str, error: sqlx::Error) -> Self {
        Self::Database(DatabaseFailure::new(action, error))
    }

    pub(crate) fn of(action: &'static str, error: &DbErr) -> Self {
        Self::Database(DatabaseFailure::of(action, error))
    }

    /// Says what a sealed value's refusal means for its table.
    pub(crate) fn sealed(table: &str, error: CipherError) -> Self {
        match error {
            CipherError::Unsealable => Self::Keys(KeyError::NoRandomness),
            _ => Self::Refused(Refusal::Sealed(table.to_owned())),
        }
    }

    fn inner(&self) -> Option<&dyn DomainError> {
        match self {
            Self::Keys(error) => Some(error),
            Self::Tenancy(error) => Some(error),
            _ => None,
        }
    }

    fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Database(failure) | Self::Migration(MigrateError::Database(failure)) => {
                Some(&failure.failure)
            }
            _ => None,
        }
    }
}

impl From<Refusal> for ArchiveError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<DatabaseFailure> for ArchiveError {
    fn from(failure: DatabaseFailure) -> Self {
        Self::Database(failure)
    }
}

impl DomainError for ArchiveError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unknown => ErrorKind::NotFound,
            Self::Refused(_) | Self::State(_) => ErrorKind::Conflict,
            Self::Different(_) => ErrorKind::Internal,
            Self::Stopped | Self::NotConfigured | Self::Store(StoreError::Unavailable(_)) => {
                ErrorKind::Unavailable
            }
            Self::Store(_) => ErrorKind::Internal,
            Self::Migration(MigrateError::Locked { .. }) => ErrorKind::Unavailable,
            other => match (other.inner(), other.failure()) {
                (Some(error), _) => error.kind(),
                (None, Some(failure)) => failure.error_kind(),
                (None, None) => ErrorKind::Internal,
            },
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "not_found",
            Self::Refused(_) => "archive_refused",
            Self::Different(_) => "archive_different",
            Self::State(_) => "transition_refused",
            Self::Stopped | Self::Store(StoreError::Unavailable(_)) => "unavailable",
            Self::NotConfigured => "not_configured",
            Self::Migration(MigrateError::Locked { .. }) => "tenant_maintenance",
            other => match (other.inner(), other.failure()) {
                (Some(error), _) => error.code(),
                (None, Some(failure)) => failure.code(),
                (None, None) => "internal",
            },
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Store(error) => format!("{self}: {error}"),
            other => other.inner().map_or_else(|| self.to_string(), DomainError::detail),
        }
    }

    fn fields(&self) -> Vec<FieldError> {
        self.inner().map(DomainError::fields).unwrap_or_default()
    }

    fn allowed(&self) -> Vec<&'static str> {
        self.inner().map(DomainError::allowed).unwrap_or_default()
    }
}
