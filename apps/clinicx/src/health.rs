//! How tenants are, as operators see them: what was last seen of each, and what its connections do now.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clinicx_migration::tenant::plan::version_of;
use clinicx_tenancy::{
    Tenant,
    watch::{Activity, Figures, LastBackup, backup, figures},
};
use clinicx_types::{id::TenantId, name::ModuleName};
use schemars::JsonSchema;
use sea_orm::DbErr;
use serde::Serialize;

use crate::wiring::Platform;

/// How a tenant is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TenantHealth {
    /// The slug.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// Its state in the registry.
    pub status: String,
    /// Its schema.
    pub database_schema: String,
    /// The size of its tables with their indexes, in bytes; null until its schema was looked at.
    pub size_bytes: Option<i64>,
    /// The size of its indexes alone, in bytes.
    pub index_bytes: Option<i64>,
    /// How many tables it has.
    pub tables: Option<i32>,
    /// About how many rows it has.
    pub rows: Option<i64>,
    /// About how many dead rows wait for VACUUM.
    pub dead_rows: Option<i64>,
    /// How many connections of all processes work for it now; null where the login may not see that.
    pub connections_in_use: Option<i64>,
    /// How many of its statements have now run for longer than `watch.slow_statement`.
    pub slow_statements: Option<i64>,
    /// The version of its schema.
    pub schema_version: String,
    /// The version to which the program's migrations would bring it; null when it has a module that the program lacks.
    pub target_version: Option<String>,
    /// How many of the program's migrations it lacks, pinned or not.
    pub migrations_behind: u32,
    /// Whether the program serves it as it is.
    pub served: bool,
    /// When its last backup was taken that has succeeded; null when there is none.
    pub last_backup_at: Option<DateTime<Utc>>,
    /// When its last backup was shown to be good, by being restored.
    pub last_backup_verified_at: Option<DateTime<Utc>>,
    /// When its last request was answered, as far back as that is kept; written down every half a minute.
    pub last_activity_at: Option<DateTime<Utc>>,
    /// How many requests it had since the beginning of the last full hour.
    pub requests: i64,
    /// How many of them were slow.
    pub slow_requests: i64,
    /// How many of them failed.
    pub errors: i64,
    /// The share of them that failed, from 0 to 1; null without a request.
    pub error_rate: Option<f64>,
    /// The codes of its open alerts.
    pub alerts: Vec<String>,
    /// When its schema was last looked at.
    pub seen_at: Option<DateTime<Utc>>,
}

/// Tells how these tenants are, in their order. What it reads does not depend on how many others there are.
///
/// # Errors
/// What the database answers.
pub async fn of(platform: &Platform, tenants: &[Tenant]) -> Result<Vec<TenantHealth>, DbErr> {
    let ids: Vec<TenantId> = tenants.iter().map(|tenant| tenant.id).collect();
    let seen = figures::read(&platform.app, &ids).await?;
    let activity = figures::activity(&platform.app, platform.config.watch.slow_statement).await?;
    let backups = backup::last(&platform.app).await?.unwrap_or_default();
    let one = |tenant: &Tenant| {
        let activity = Activity::of(&activity, &tenant.database_schema);
        one(platform, tenant, seen.get(&tenant.id), activity, backups.get(&tenant.id).copied())
    };
    Ok(tenants.iter().map(one).collect())
}

fn one(
    platform: &Platform,
    tenant: &Tenant,
    seen: Option<&Figures>,
    activity: Activity,
    backup: Option<LastBackup>,
) -> TenantHealth {
    let (target_version, migrations_behind) = standing(platform, tenant);
    let alerts = seen.map(|seen| seen.alerts.as_str()).unwrap_or_default();
    TenantHealth {
        slug: tenant.slug.to_string(),
        name: tenant.name.clone(),
        status: tenant.status.to_string(),
        database_schema: tenant.database_schema.to_string(),
        size_bytes: seen.and_then(|seen| seen.total_bytes),
        index_bytes: seen.and_then(|seen| seen.index_bytes),
        tables: seen.and_then(|seen| seen.table_count),
        rows: seen.and_then(|seen| seen.row_estimate),
        dead_rows: seen.and_then(|seen| seen.dead_rows),
        connections_in_use: activity.connections,
        slow_statements: activity.slow_statements,
        schema_version: tenant.schema_version.to_string(),
        target_version,
        migrations_behind,
        served: platform.resolver.require_served(tenant).is_ok(),
        last_backup_at: backup.map(|backup| backup.taken_at),
        last_backup_verified_at: backup.and_then(|backup| backup.verified_at),
        last_activity_at: seen.and_then(|seen| seen.last_activity_at),
        requests: seen.map_or(0, |seen| seen.requests),
        slow_requests: seen.map_or(0, |seen| seen.slow_requests),
        errors: seen.map_or(0, |seen| seen.errors),
        error_rate: seen.and_then(Figures::error_rate),
        alerts: alerts.split(',').filter(|code| !code.is_empty()).map(str::to_owned).collect(),
        seen_at: seen.and_then(|seen| seen.taken_at),
    }
}

/// Returns where the program's migrations would bring a tenant, and how many of them are missing.
fn standing(platform: &Platform, tenant: &Tenant) -> (Option<String>, u32) {
    let plan = platform.modules.plan();
    let Ok(own) = plan.of_modules(tenant.modules.iter().map(ModuleName::as_str)) else { return (None, 0) };
    let mut aimed: BTreeMap<&str, i32> =
        tenant.positions.iter().map(|(module, position)| (module.as_str(), *position)).collect();
    let mut behind = 0_u32;
    for (module, newest) in own.counts() {
        let has = aimed.insert(module, newest).unwrap_or_default();
        behind = behind.saturating_add(u32::try_from(newest.saturating_sub(has)).unwrap_or_default());
    }
    (Some(version_of(aimed).to_string()), behind)
}
