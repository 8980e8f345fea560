//! What is known of the tenants' backups.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clinicx_persistence::SystemExecutor;
use clinicx_types::id::TenantId;
use sea_orm::DbErr;

/// The last backup of a tenant that has succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastBackup {
    /// When it was taken.
    pub taken_at: DateTime<Utc>,
    /// When it was last shown to be good, by being restored.
    pub verified_at: Option<DateTime<Utc>>,
}

/// Returns the last backups by tenant; `None` when nothing keeps account of backups, which then are no matter of alerts.
///
/// # Errors
/// What the database answers.
pub async fn last(_db: &impl SystemExecutor) -> Result<Option<BTreeMap<TenantId, LastBackup>>, DbErr> {
    Ok(None)
}
