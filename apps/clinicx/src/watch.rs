//! Watching the tenants: the job that looks at all schemas, the counts of requests, and the metrics of both.

use std::time::Instant;

use async_trait::async_trait;
use clinicx_jobs::{JobContext, JobError, JobKind, OnPlatform};
use clinicx_persistence::{Failure, SystemConnection};
use clinicx_tenancy::{
    PlatformScope,
    watch::{
        AlertCode, Severity,
        alert::{self, Finding},
        collect,
    },
};
use clinicx_types::id::TenantId;
use sea_orm::{FromQueryResult, raw_sql};
use serde::Serialize;

use crate::wiring::Platform;

/// Looks at all schemas in one pass and judges what it has seen.
#[derive(Clone)]
pub struct Watch(Platform);

impl Watch {
    /// Makes it.
    pub fn new(platform: &Platform) -> Self {
        Self(platform.clone())
    }
}

/// What a look has come to.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Watched {
    /// How many tenants it has seen.
    pub tenants: u64,
    /// How many rows of old looks were removed.
    pub removed: u64,
    /// How many alerts are open.
    pub alerts: usize,
}

#[async_trait]
impl JobKind for Watch {
    const NAME: &'static str = "tenants.watch";
    type Scope = OnPlatform;
    type Input = ();
    type Output = Watched;

    async fn run(&self, context: &JobContext<OnPlatform>, (): ()) -> Result<Watched, JobError> {
        look(&self.0, context.scope()).await.map_err(|failure| JobError::failure(&failure))
    }
}

/// Looks at all schemas, judges what was seen, and brings both to the metrics.
///
/// # Errors
/// What the database answers.
pub async fn look(platform: &Platform, by: &PlatformScope) -> Result<Watched, Failure> {
    let started = Instant::now();
    let watch = &platform.config.watch;
    let collected = collect::collect(&platform.app, watch.slow_statement, &watch.keep()).await;
    let collected = collected.map_err(|error| Failure::of(&error))?;
    let judged = alert::judge_all(&platform.app, &platform.modules, &watch.thresholds(), by).await;
    let found = judged.map_err(|error| match error {
        clinicx_tenancy::TenancyError::Database(failure) => failure,
        _ => Failure { kind: clinicx_persistence::FailureKind::Internal, sqlstate: None, constraint: None },
    })?;
    metrics::histogram!("clinicx_watch_duration_seconds").record(started.elapsed().as_secs_f64());
    report(&platform.app, &found).await.map_err(|error| Failure::of(&error))?;
    Ok(Watched { tenants: collected.tenants, removed: collected.removed, alerts: found.len() })
}

/// Brings the fleet to the metrics: sums and maxima, and alerts by rule. None has a tenant for a label.
async fn report(db: &SystemConnection, found: &[(TenantId, Finding)]) -> Result<(), sea_orm::DbErr> {
    use clinicx_persistence::SystemExecutor;
    #[derive(FromQueryResult)]
    struct Fleet {
        tenants: i64,
        bytes: f64,
        largest: f64,
        rows: f64,
        dead: f64,
        taken: f64,
    }
    let fleet: Option<Fleet> = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT count(*) AS tenants, CAST(COALESCE(sum(total_bytes), 0) AS double precision) AS bytes,
                      CAST(COALESCE(max(total_bytes), 0) AS double precision) AS largest,
                      CAST(COALESCE(sum(row_estimate), 0) AS double precision) AS rows,
                      CAST(COALESCE(sum(dead_rows), 0) AS double precision) AS dead,
                      CAST(COALESCE(extract(epoch FROM max(taken_at)), 0) AS double precision) AS taken
               FROM public.tenant_statistics"#
        ))
        .await?;
    if let Some(fleet) = fleet {
        let tenants = u32::try_from(fleet.tenants).unwrap_or(u32::MAX);
        metrics::gauge!("clinicx_fleet_tenants").set(f64::from(tenants));
        metrics::gauge!("clinicx_fleet_bytes").set(fleet.bytes);
        metrics::gauge!("clinicx_fleet_largest_tenant_bytes").set(fleet.largest);
        metrics::gauge!("clinicx_fleet_rows").set(fleet.rows);
        metrics::gauge!("clinicx_fleet_dead_rows").set(fleet.dead);
        metrics::gauge!("clinicx_watch_last_timestamp_seconds").set(fleet.taken);
    }
    for code in AlertCode::ALL {
        for severity in [Severity::Warning, Severity::Critical] {
            let open = found.iter().filter(|(_, one)| one.code == code && one.severity == severity).count();
            let open = u32::try_from(open).unwrap_or(u32::MAX);
            let labels = [("code", code.as_str()), ("severity", severity.as_str())];
            metrics::gauge!("clinicx_alerts_open", &labels).set(f64::from(open));
        }
    }
    Ok(())
}

/// Writes down again and again how many requests were counted.
pub async fn keep_counting(platform: Platform) {
    let mut ticks = tokio::time::interval(platform.config.watch.write_counts_every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        write_counts(&platform).await;
    }
}

/// Writes down how many requests were counted; what can't be written is counted on.
pub async fn write_counts(platform: &Platform) {
    if let Err(error) = platform.traffic.flush(&platform.app).await {
        let error = Failure::of(&error);
        tracing::warn!(%error, "the counts of requests could not be written");
        metrics::counter!("clinicx_traffic_failures_total").increment(1);
    }
}
