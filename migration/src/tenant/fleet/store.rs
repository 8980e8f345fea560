//! The rows of a run.

use clinicx_persistence::SystemExecutor;
use clinicx_types::{id::TenantId, uuid::Uuid};
use sea_orm::{DbErr, FromQueryResult, JsonValue, raw_sql};

use super::wave::Wave;
use crate::{owner::OwnerTransaction, tenant::limits::Limits};

/// A run that has not ended.
#[derive(FromQueryResult)]
pub(super) struct Open {
    pub(super) id: Uuid,
    pub(super) digest: String,
}

/// A tenant of a run, to be written.
pub(super) struct New {
    pub(super) tenant_id: TenantId,
    pub(super) wave: Wave,
    pub(super) limits: Limits,
    pub(super) from_version: String,
    /// Why nothing can be done for it.
    pub(super) skipped: Option<String>,
}

/// A tenant of a run that is to be done.
#[derive(FromQueryResult)]
pub(super) struct Pending {
    pub(super) tenant_id: TenantId,
    pub(super) limits: JsonValue,
}

/// How many tenants of a wave are in a state.
#[derive(FromQueryResult)]
pub(super) struct Count {
    pub(super) state: String,
    pub(super) tenants: i64,
}

pub(super) async fn open(tx: &OwnerTransaction) -> Result<Option<Open>, DbErr> {
    let statement = raw_sql!(
        Postgres,
        r#"SELECT id, CAST(digest AS text) AS digest FROM public.migration_runs
           WHERE state IN ('running', 'halted')"#
    );
    tx.query_one(statement).await
}

/// Lists the tenants that failed in the last run.
pub(super) async fn failed_last(tx: &OwnerTransaction) -> Result<Vec<TenantId>, DbErr> {
    #[derive(FromQueryResult)]
    struct Failed {
        tenant_id: TenantId,
    }
    let statement = raw_sql!(
        Postgres,
        r#"SELECT tenant_id FROM public.migration_run_tenants
           WHERE state = 'failed' AND run_id = (
               SELECT id FROM public.migration_runs ORDER BY started_at DESC, id DESC LIMIT 1)"#
    );
    let rows: Vec<Failed> = tx.query_all(statement).await?;
    Ok(rows.into_iter().map(|row| row.tenant_id).collect())
}

pub(super) async fn begin(tx: &OwnerTransaction, id: Uuid, digest: &str, target: &str) -> Result<(), DbErr> {
    let statement = raw_sql!(
        Postgres,
        r#"INSERT INTO public.migration_runs (id, digest, target) VALUES ({id}, {digest}, {target})"#
    );
    tx.execute(statement).await.map(drop)
}

/// Takes a run up again. One that was halted tries again what had failed, and so does one that is told to.
pub(super) async fn resume(tx: &OwnerTransaction, id: Uuid, retries: bool) -> Result<(), DbErr> {
    let statement = raw_sql!(
        Postgres,
        r#"UPDATE public.migration_run_tenants SET state = 'pending', error = NULL, finished_at = NULL
           WHERE run_id = {id} AND state = 'failed' AND ({retries} OR EXISTS (
               SELECT FROM public.migration_runs WHERE id = {id} AND state = 'halted'))"#
    );
    tx.execute(statement).await?;
    let statement = raw_sql!(
        Postgres,
        r#"UPDATE public.migration_runs SET state = 'running', reason = NULL, resumed_at = now() WHERE id = {id}"#
    );
    tx.execute(statement).await.map(drop)
}

pub(super) async fn add(tx: &OwnerTransaction, run: Uuid, tenants: &[New]) -> Result<(), DbErr> {
    let row = |new: &New| {
        let pairs = [
            ("tenant_id", JsonValue::from(new.tenant_id.to_string())),
            ("wave", JsonValue::from(new.wave.number())),
            ("limits", new.limits.to_stored()),
            ("from_version", JsonValue::from(new.from_version.clone())),
            ("state", JsonValue::from(if new.skipped.is_some() { "skipped" } else { "pending" })),
            ("error", new.skipped.clone().map_or(JsonValue::Null, JsonValue::from)),
        ];
        JsonValue::Object(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    };
    let rows = JsonValue::Array(tenants.iter().map(row).collect());
    let statement = raw_sql!(
        Postgres,
        r#"INSERT INTO public.migration_run_tenants (run_id, tenant_id, wave, limits, from_version, state, error)
           SELECT {run}, tenant_id, wave, limits, from_version, state, error
           FROM jsonb_to_recordset({rows}) AS r (tenant_id uuid, wave smallint, limits jsonb, from_version text,
                                                 state text, error text)
           ON CONFLICT (run_id, tenant_id) DO NOTHING"#
    );
    tx.execute(statement).await.map(drop)
}

pub(super) async fn pending(tx: &OwnerTransaction, run: Uuid, wave: Wave) -> Result<Vec<Pending>, DbErr> {
    let wave = wave.number();
    let statement = raw_sql!(
        Postgres,
        r#"SELECT tenant_id, limits FROM public.migration_run_tenants
           WHERE run_id = {run} AND wave = {wave} AND state = 'pending'"#
    );
    tx.query_all(statement).await
}

pub(super) async fn counts(
    tx: &OwnerTransaction,
    run: Uuid,
    wave: Option<Wave>,
) -> Result<Vec<Count>, DbErr> {
    let wave = wave.map(Wave::number);
    let statement = raw_sql!(
        Postgres,
        r#"SELECT state, count(*) AS tenants FROM public.migration_run_tenants
           WHERE run_id = {run} AND (CAST({wave} AS smallint) IS NULL OR wave = {wave})
           GROUP BY state"#
    );
    tx.query_all(statement).await
}

/// Lists every tenant of a run.
pub(super) async fn members(tx: &OwnerTransaction, run: Uuid) -> Result<Vec<TenantId>, DbErr> {
    #[derive(FromQueryResult)]
    struct Member {
        tenant_id: TenantId,
    }
    let statement =
        raw_sql!(Postgres, r#"SELECT tenant_id FROM public.migration_run_tenants WHERE run_id = {run}"#);
    let rows: Vec<Member> = tx.query_all(statement).await?;
    Ok(rows.into_iter().map(|row| row.tenant_id).collect())
}

/// Writes that a tenant failed, or that there was nothing to be done for it.
pub(super) async fn fail(
    tx: &OwnerTransaction,
    run: Uuid,
    tenant: TenantId,
    state: &str,
    error: &str,
) -> Result<(), DbErr> {
    let statement = raw_sql!(
        Postgres,
        r#"UPDATE public.migration_run_tenants
           SET state = {state}, error = {error}, attempts = attempts + 1, finished_at = now()
           WHERE run_id = {run} AND tenant_id = {tenant} AND state = 'pending'"#
    );
    tx.execute(statement).await.map(drop)
}

/// Ends a run, or halts it.
pub(super) async fn end(
    tx: &OwnerTransaction,
    run: Uuid,
    state: &str,
    reason: Option<&str>,
) -> Result<(), DbErr> {
    let statement = raw_sql!(
        Postgres,
        r#"UPDATE public.migration_runs
           SET state = {state}, reason = {reason},
               finished_at = CASE WHEN {state} = 'halted' THEN NULL ELSE now() END
           WHERE id = {run}"#
    );
    tx.execute(statement).await.map(drop)
}

/// Writes an audit row of the platform about the run.
pub(super) async fn record(
    tx: &OwnerTransaction,
    run: Uuid,
    action: &str,
    after: JsonValue,
) -> Result<(), DbErr> {
    let job = super::mark::JOB;
    let statement = raw_sql!(
        Postgres,
        r#"INSERT INTO public.audit_logs (tenant_id, actor_kind, actor_job, action, entity, entity_id, after)
           VALUES (NULL, 'system', {job}, {action}, 'migration_run', {run}, {after})"#
    );
    tx.execute(statement).await.map(drop)
}
