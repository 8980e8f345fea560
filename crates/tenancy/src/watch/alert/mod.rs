//! What somebody should look at: rules over what is known of a tenant, and the alerts that they raise.
//!
//! An alert is open from the look at which its rule was first broken to the one at which it no longer was.

pub mod rule;
pub mod store;

use std::{collections::BTreeMap, time::Duration};

use clinicx_migration::tenant::fleet::standings;
use clinicx_persistence::{SystemConnection, SystemExecutor};
use clinicx_types::id::TenantId;
use sea_orm::{DbErr, FromQueryResult, raw_sql};

pub use rule::{AlertCode, Finding, Known, Severity, Thresholds};
pub use store::{Alert, AlertFilter};

use super::{backup, figures};
use crate::{
    error::TenancyError,
    module::ModuleRegistry,
    registry::{self, TenantFilter},
    scope::PlatformScope,
    tenant::TenantStatus,
};

/// Judges every tenant that is active or suspended by what was last seen of it, and brings the alerts up to that.
/// Returns what was found.
///
/// # Errors
/// [`TenancyError::Database`].
pub async fn judge_all(
    db: &SystemConnection,
    modules: &ModuleRegistry,
    thresholds: &Thresholds,
    by: &PlatformScope,
) -> Result<Vec<(TenantId, Finding)>, TenancyError> {
    let mut tenants = registry::list_all(db, &TenantFilter::default()).await?;
    tenants.retain(|tenant| matches!(tenant.status, TenantStatus::Active | TenantStatus::Suspended));
    let ids: Vec<TenantId> = tenants.iter().map(|tenant| tenant.id).collect();
    let seen = figures::read(db, &ids).await?;
    let before = bytes_before(db, thresholds.growth_over).await?;
    let backups = backup::last(db).await?;
    // A pinned tenant is where it is meant to be.
    let pending: BTreeMap<TenantId, u32> = standings(db, modules.plan())
        .await
        .map_err(|error| TenancyError::Database(failure(error)))?
        .into_iter()
        .map(|standing| (standing.subject.tenant_id, standing.pending))
        .collect();
    let now = by.now();
    let mut found = Vec::new();
    for tenant in &tenants {
        let figures = seen.get(&tenant.id);
        let known = Known {
            created_at: tenant.created_at,
            pending: pending.get(&tenant.id).copied().unwrap_or_default(),
            is_served: modules.serves(&tenant.modules, |module| tenant.position(module)),
            bytes: figures.and_then(|figures| figures.total_bytes),
            bytes_before: before.get(&tenant.id).copied(),
            requests: figures.map_or(0, |figures| figures.requests),
            errors: figures.map_or(0, |figures| figures.errors),
            backup: backups.as_ref().map(|backups| backups.get(&tenant.id).copied()),
        };
        found.extend(rule::judge(&known, thresholds, now).into_iter().map(|finding| (tenant.id, finding)));
    }
    store::keep(db, by.ids.as_ref(), &found).await?;
    Ok(found)
}

/// What the registry's words are wrong in is logged where they are read.
fn failure(error: clinicx_migration::tenant::fleet::FleetError) -> clinicx_persistence::Failure {
    use clinicx_migration::tenant::fleet::FleetError;
    match error {
        FleetError::Database(failure) => failure.failure,
        FleetError::Name(_) | FleetError::Version(_) => clinicx_persistence::Failure {
            kind: clinicx_persistence::FailureKind::Internal,
            sqlstate: None,
            constraint: None,
        },
    }
}

/// Returns the sizes of the schemas so long ago; a tenant that was not looked at within a week before that has none.
async fn bytes_before(db: &impl SystemExecutor, ago: Duration) -> Result<BTreeMap<TenantId, i64>, DbErr> {
    #[derive(FromQueryResult)]
    struct Row {
        tenant_id: TenantId,
        total_bytes: i64,
    }
    let ago = ago.as_secs_f64();
    let rows: Vec<Row> = db
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT DISTINCT ON (d.tenant_id) d.tenant_id, d.total_bytes
               FROM public.tenant_statistics_days AS d
               WHERE d.day <= CAST((now() - make_interval(secs => {ago})) AT TIME ZONE 'UTC' AS date)
                   AND d.day > CAST((now() - make_interval(secs => {ago}) - interval '7 days') AT TIME ZONE 'UTC' AS date)
               ORDER BY d.tenant_id, d.day DESC"#
        ))
        .await?;
    Ok(rows.into_iter().map(|row| (row.tenant_id, row.total_bytes)).collect())
}
