//! Which backups are kept, which are due, and what a killed process has left.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clinicx_persistence::SystemExecutor;
use clinicx_tenancy::{PlatformScope, Tenant};
use clinicx_types::{id::TenantId, name::TenantSlug};
use sea_orm::{FromQueryResult, raw_sql};

use crate::{
    ArchiveId, Archivist,
    error::ArchiveError,
    registry::{self, BackupState},
    store::Place,
};

/// How long a backup may be written before its process is taken for dead.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Which backups are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Those that are younger than this.
    pub keep_for: Duration,
    /// So many of each tenant, however old they are.
    pub keep_last: u32,
}

/// What a run has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Backups that nobody has to keep any more.
    pub expired: u64,
    /// Backups that were begun and never ended.
    pub abandoned: u64,
}

#[derive(FromQueryResult)]
struct Found {
    id: ArchiveId,
    tenant_id: TenantId,
}

#[derive(FromQueryResult)]
struct Due {
    slug: String,
}

impl Archivist {
    /// Removes the backups that need not be kept, and what was left of those that were never ended. A tenant's newest
    /// ones stay, its newest that was proven among them. Writes an audit row for each.
    ///
    /// # Errors
    /// [`ArchiveError::NotConfigured`], [`ArchiveError::Store`], [`ArchiveError::Database`].
    #[tracing::instrument(name = "archive.retain", skip_all, err(level = "debug"))]
    pub async fn retain(&self, retention: Retention, by: &PlatformScope) -> Result<Removed, ArchiveError> {
        let mut removed = Removed { abandoned: self.sweep(LONGEST, by).await?, ..Removed::default() };
        let (until, keep_last) = (before(by, retention.keep_for), i64::from(retention.keep_last));
        let rows: Vec<Found> = self
            .control()
            .query_all(raw_sql!(
                Postgres,
                r#"SELECT b.id, b.tenant_id
                   FROM (SELECT id, tenant_id, taken_at,
                                row_number() OVER (PARTITION BY tenant_id ORDER BY taken_at DESC, id DESC) AS place,
                                max(taken_at) FILTER (WHERE verification = 'passed')
                                    OVER (PARTITION BY tenant_id) AS proven_at
                         FROM public.tenant_backups WHERE state = 'stored') AS b
                   WHERE b.taken_at < {until} AND b.place > {keep_last}
                       AND b.taken_at IS DISTINCT FROM b.proven_at
                   ORDER BY b.id"#
            ))
            .await
            .map_err(|error| ArchiveError::of("look for expired backups", &error))?;
        for row in rows {
            let backup = registry::get(self.control(), Some(row.tenant_id), row.id).await?;
            self.remove(&backup, by).await?;
            removed.expired += 1;
        }
        Ok(removed)
    }

    /// Removes what is left of backups that were begun so long ago that nobody writes them any more. Returns how many
    /// there were.
    ///
    /// # Errors
    /// As [`Archivist::retain`].
    pub async fn sweep(&self, older_than: Duration, by: &PlatformScope) -> Result<u64, ArchiveError> {
        let until = before(by, older_than);
        let rows: Vec<Found> = self
            .control()
            .query_all(raw_sql!(
                Postgres,
                r#"SELECT id, tenant_id FROM public.tenant_backups
                   WHERE state = 'running' AND started_at <= {until} ORDER BY id"#
            ))
            .await
            .map_err(|error| ArchiveError::of("look for abandoned backups", &error))?;
        let mut swept = 0;
        for row in rows {
            let place = Place { tenant: row.tenant_id, archive: row.id };
            self.store()?.remove(place).await?;
            registry::failed_with(self.control(), place, "the process that wrote it has ended", by).await?;
            swept += 1;
        }
        Ok(swept)
    }

    /// Lists the active tenants whose last backup is older than this, or who have none; the longest waiting first.
    ///
    /// # Errors
    /// [`ArchiveError::Database`].
    pub async fn due(&self, every: Duration, by: &PlatformScope) -> Result<Vec<TenantSlug>, ArchiveError> {
        let until = before(by, every);
        let rows: Vec<Due> = self
            .tenancy()
            .app()
            .query_all(raw_sql!(
                Postgres,
                r#"SELECT t.slug
                   FROM public.tenants AS t
                   LEFT JOIN LATERAL (
                       SELECT max(b.started_at) AS last FROM public.tenant_backups AS b
                       WHERE b.tenant_id = t.id AND b.state IN ('running', 'stored')
                   ) AS b ON true
                   WHERE t.status = 'active' AND (b.last IS NULL OR b.last <= {until})
                   ORDER BY b.last NULLS FIRST, t.slug"#
            ))
            .await
            .map_err(|error| ArchiveError::of("look for tenants without a backup", &error))?;
        Ok(rows.iter().filter_map(|row| TenantSlug::parse(&row.slug).ok()).collect())
    }

    /// Removes every backup of a tenant with all files, so that nothing of it is left in the store. Returns how many
    /// there were.
    ///
    /// # Errors
    /// [`ArchiveError::Store`]; [`ArchiveError::State`] when something is left all the same, or one is being written.
    #[tracing::instrument(name = "archive.remove_all", skip_all, fields(tenant.id = %tenant.id), err(level = "debug"))]
    pub async fn remove_all(&self, tenant: &Tenant, by: &PlatformScope) -> Result<u64, ArchiveError> {
        let store = self.store()?;
        let running = registry::of_tenant(self.control(), tenant.id, BackupState::Running).await?;
        if !running.is_empty() {
            return Err(ArchiveError::State(BackupState::Running.to_string()));
        }
        let mut removed = 0;
        for state in [BackupState::Stored, BackupState::Failed] {
            for backup in registry::of_tenant(self.control(), tenant.id, state).await? {
                self.remove(&backup, by).await?;
                removed += u64::from(state == BackupState::Stored);
            }
        }
        // What no row tells of: the registry may be older than the store.
        for archive in store.list(tenant.id).await? {
            store.remove(Place { tenant: tenant.id, archive }).await?;
            removed += 1;
        }
        match store.holds(tenant.id).await? {
            true => Err(ArchiveError::State("still in the store".to_owned())),
            false => Ok(removed),
        }
    }
}

fn before(by: &PlatformScope, age: Duration) -> DateTime<Utc> {
    let age = TimeDelta::from_std(age).unwrap_or(TimeDelta::MAX);
    by.now().checked_sub_signed(age).unwrap_or(DateTime::<Utc>::MIN_UTC)
}
