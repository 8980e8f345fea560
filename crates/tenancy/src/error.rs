//! What can stand against a tenant's being made, changed or served.

use clinicx_keys::KeyError;
use clinicx_migration::tenant::{MigrateError, PlanError};
use clinicx_persistence::Failure;
use clinicx_types::error::{DomainError, ErrorKind, FieldError};
use sea_orm::DbErr;

use crate::tenant::TenantStatus;

/// Why an operation on a tenant was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TenancyError {
    /// Another tenant has the slug, or had it and left a tombstone.
    #[error("the slug is taken")]
    SlugTaken,
    /// The server has a role or a schema of the tenant's name, and this installation has no such tenant.
    #[error("the server has a role or schema of that name already, which another database's tenant may use")]
    NameTaken,
    /// Parts of the input are wrong.
    #[error("the input is not acceptable")]
    Invalid(Vec<FieldError>),
    /// There is no such tenant.
    #[error("no such tenant")]
    UnknownTenant,
    /// There is no such module.
    #[error("no such module")]
    UnknownModule,
    /// No module has declared such a configuration or feature flag.
    #[error("no such setting")]
    UnknownSetting,
    /// The tenant is suspended.
    #[error("the tenant is suspended")]
    Suspended,
    /// The tenant was archived or purged.
    #[error("the tenant is gone")]
    Gone,
    /// The tenant is being worked on.
    #[error("the tenant is in maintenance")]
    Maintenance,
    /// The tenant's schema is older than what this program serves.
    #[error("the tenant's schema must be upgraded first")]
    UpgradeRequired,
    /// The tenant or setting has changed since the caller read it.
    #[error("it has version {current} now")]
    VersionMismatch {
        /// Its version now.
        current: i64,
    },
    /// The tenant's state does not lead there.
    #[error("a tenant that is {from} can't do this")]
    RefusedTransition {
        /// The state that it is in.
        from: TenantStatus,
        /// The states to which this one leads.
        allowed: &'static [TenantStatus],
    },
    /// An archived tenant is kept for some time before it may be purged.
    #[error("the tenant must be kept until {}", until.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))]
    RetentionNotOver {
        /// When it may be purged.
        until: chrono::DateTime<chrono::Utc>,
    },
    /// The tenant's schema and this program's migrations do not agree.
    #[error("the schema can't be brought forward")]
    Migration(#[source] Box<MigrateError>),
    /// Values are sealed under the key, or it is not retired for long enough.
    #[error("the key is still in use, or was until a moment ago")]
    KeyInUse,
    /// The tenant's data key could not be made or wrapped.
    #[error("the tenant's data key can't be made")]
    Keys(#[from] KeyError),
    /// There is no login that makes and changes tables.
    #[error("this service is not configured to make or change a tenant's tables")]
    NotConfigured,
    /// The database failed.
    #[error("the registry can't be used")]
    Database(#[source] Failure),
}

impl TenancyError {
    /// Makes the error of one wrong part of the input.
    pub fn field(pointer: &str, code: &str, detail: &str) -> Self {
        Self::Invalid(vec![FieldError::new(pointer, code, detail)])
    }
}

impl From<DbErr> for TenancyError {
    fn from(error: DbErr) -> Self {
        Self::Database(Failure::of(&error))
    }
}

impl From<MigrateError> for TenancyError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Locked { .. } | MigrateError::Changed => Self::Maintenance,
            MigrateError::UnknownTenant => Self::UnknownTenant,
            MigrateError::Database(failure) => Self::Database(failure.failure),
            MigrateError::Plan(PlanError::UnknownModule(_)) => Self::UpgradeRequired,
            other => Self::Migration(Box::new(other)),
        }
    }
}

impl DomainError for TenancyError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::SlugTaken
            | Self::NameTaken
            | Self::RefusedTransition { .. }
            | Self::RetentionNotOver { .. }
            | Self::KeyInUse => ErrorKind::Conflict,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::UnknownTenant | Self::UnknownModule | Self::UnknownSetting => ErrorKind::NotFound,
            Self::Suspended => ErrorKind::Forbidden,
            Self::Gone => ErrorKind::Gone,
            Self::Maintenance | Self::UpgradeRequired | Self::NotConfigured => ErrorKind::Unavailable,
            Self::VersionMismatch { .. } => ErrorKind::Stale,
            Self::Migration(_) => ErrorKind::Internal,
            Self::Keys(error) => error.kind(),
            Self::Database(failure) => failure.error_kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::SlugTaken | Self::NameTaken => "slug_taken",
            Self::Invalid(_) => "invalid",
            Self::UnknownTenant | Self::UnknownModule | Self::UnknownSetting => "not_found",
            Self::Suspended => "tenant_suspended",
            Self::Gone => "tenant_gone",
            Self::Maintenance => "tenant_maintenance",
            Self::UpgradeRequired => "tenant_upgrade_required",
            Self::VersionMismatch { .. } => "version_mismatch",
            Self::RefusedTransition { .. } => "transition_refused",
            Self::RetentionNotOver { .. } => "retention_not_over",
            Self::Migration(_) => "internal",
            Self::KeyInUse => "in_use",
            Self::NotConfigured => "not_configured",
            Self::Keys(error) => error.code(),
            Self::Database(failure) => failure.code(),
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
            Self::RefusedTransition { allowed, .. } => allowed.iter().map(|status| status.as_str()).collect(),
            _ => Vec::new(),
        }
    }
}
