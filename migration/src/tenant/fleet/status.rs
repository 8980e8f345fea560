//! What has come of the last run, by its rows alone.

use clinicx_persistence::SystemExecutor;
use clinicx_types::{id::TenantId, uuid::Uuid};
use sea_orm::{DbErr, FromQueryResult, raw_sql};

use super::wave::Wave;
use crate::failure::DatabaseFailure;

/// A run and how many of its tenants are in which state.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct LastRun {
    /// The run.
    pub id: Uuid,
    /// `running` (also when it was cut short), `halted`, `succeeded`, `partly` or `superseded`.
    pub state: String,
    /// Where it brings the tenants.
    pub target: String,
    /// Why it was halted.
    pub reason: Option<String>,
    /// When it was begun, RFC 3339.
    pub started_at: String,
    /// When it ended, RFC 3339.
    pub finished_at: Option<String>,
    /// How many tenants are to be done.
    pub pending: i64,
    /// How many are done.
    pub done: i64,
    /// How many have failed.
    pub failed: i64,
    /// For how many nothing could be done.
    pub skipped: i64,
}

/// A tenant of a run that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Its slug.
    pub slug: String,
    /// Its wave.
    pub wave: Wave,
    /// `pending`, `failed` or `skipped`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i32,
    /// Why it is not done.
    pub error: Option<String>,
}

/// Returns the last run, if there was one.
///
/// # Errors
/// What the database answers.
pub async fn last_run(db: &impl SystemExecutor) -> Result<Option<LastRun>, DatabaseFailure> {
    let statement = raw_sql!(
        Postgres,
        r#"WITH last AS (
               SELECT * FROM public.migration_runs ORDER BY started_at DESC, id DESC LIMIT 1
           )
           SELECT r.id, r.state, r.target, r.reason,
                  to_char(r.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS started_at,
                  to_char(r.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS finished_at,
                  t.pending, t.done, t.failed, t.skipped
           FROM last AS r
           CROSS JOIN LATERAL (
               SELECT count(*) FILTER (WHERE state = 'pending') AS pending,
                      count(*) FILTER (WHERE state = 'done') AS done,
                      count(*) FILTER (WHERE state = 'failed') AS failed,
                      count(*) FILTER (WHERE state = 'skipped') AS skipped
               FROM public.migration_run_tenants
               WHERE run_id = r.id
           ) AS t"#
    );
    db.query_one(statement).await.map_err(failed)
}

/// Lists the tenants of a run that are not done, by slug.
///
/// # Errors
/// What the database answers.
pub async fn undone(db: &impl SystemExecutor, run: Uuid) -> Result<Vec<Undone>, DatabaseFailure> {
    #[derive(FromQueryResult)]
    struct Row {
        tenant_id: TenantId,
        slug: String,
        wave: i16,
        state: String,
        attempts: i32,
        error: Option<String>,
    }
    let statement = raw_sql!(
        Postgres,
        r#"SELECT r.tenant_id, t.slug, r.wave, r.state, r.attempts, r.error
           FROM public.migration_run_tenants AS r
           JOIN public.tenants AS t ON t.id = r.tenant_id
           WHERE r.run_id = {run} AND r.state <> 'done'
           ORDER BY t.slug"#
    );
    let rows: Vec<Row> = db.query_all(statement).await.map_err(failed)?;
    let undone = |row: Row| Undone {
        tenant_id: row.tenant_id,
        slug: row.slug,
        wave: Wave::of_number(row.wave),
        state: row.state,
        attempts: row.attempts,
        error: row.error,
    };
    Ok(rows.into_iter().map(undone).collect())
}

fn failed(error: DbErr) -> DatabaseFailure {
    DatabaseFailure::of("read the last run", &error)
}
