//! Not wanting a job any more.

use clinicx_persistence::{SystemConnection, SystemExecutor, SystemTransaction};
use clinicx_tenancy::PlatformScope;
use clinicx_types::id::TenantId;
use sea_orm::{FromQueryResult, raw_sql};
use serde_json::json;

use crate::{
    audit,
    error::JobsError,
    job::{Job, JobId, JobState},
    query,
};

#[derive(FromQueryResult)]
struct Row {
    state: String,
    version: i64,
    tenant_id: Option<TenantId>,
    requested: bool,
}

/// Cancels a job: one that waits at once; one that runs is told to stop within two seconds, and its runner ends it.
///
/// Leaves the audit row `job.cancelled` or `job.cancel_requested` in the same transaction; asking twice changes
/// nothing more.
///
/// # Errors
/// [`JobsError::UnknownJob`], [`JobsError::VersionMismatch`], [`JobsError::Ended`], [`JobsError::Database`].
#[tracing::instrument(name = "jobs.cancel", skip_all, fields(job.id = %id), err(level = "debug"))]
pub async fn cancel(
    db: &SystemConnection,
    by: &PlatformScope,
    id: JobId,
    expected: Option<i64>,
) -> Result<Job, JobsError> {
    let tx = db.begin().await?;
    match cancel_in(&tx, by, id, expected).await {
        Ok(job) => tx.commit().await.map(|()| job).map_err(JobsError::from),
        Err(error) => {
            // The reason for the roll-back is what counts; a failed one closes the connection.
            let _rolled_back = tx.rollback().await;
            Err(error)
        }
    }
}

async fn cancel_in(
    tx: &SystemTransaction,
    by: &PlatformScope,
    id: JobId,
    expected: Option<i64>,
) -> Result<Job, JobsError> {
    let row: Option<Row> = tx
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT state, version, tenant_id, cancel_requested_at IS NOT NULL AS requested
               FROM public.jobs WHERE id = {id} FOR UPDATE"#
        ))
        .await?;
    let row = row.ok_or(JobsError::UnknownJob)?;
    if expected.is_some_and(|expected| expected != row.version) {
        return Err(JobsError::VersionMismatch { current: row.version });
    }
    let state = row.state.parse().map_err(|_| query::unreadable(id))?;
    let action = match state {
        JobState::Queued => "job.cancelled",
        JobState::Running if row.requested => return query::get(tx, id).await,
        JobState::Running => "job.cancel_requested",
        JobState::Succeeded | JobState::Failed | JobState::Cancelled => {
            return Err(JobsError::Ended { state });
        }
    };
    tx.execute(raw_sql!(
        Postgres,
        r#"UPDATE public.jobs
           SET state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END,
               finished_at = CASE state WHEN 'queued' THEN clock_timestamp() END,
               cancel_requested_at = clock_timestamp(), version = version + 1, updated_at = clock_timestamp()
           WHERE id = {id}"#
    ))
    .await?;
    tx.execute(audit::statement(by, action, (id, row.tenant_id), json!({"state": "cancelled"}))).await?;
    query::get(tx, id).await
}
