//! Which jobs are begun next, and by whom.
//!
//! Claims of all processes come one after the other, behind an advisory lock that ends with its transaction: what one
//! has claimed counts for the next, so that the limits hold for all processes together and turns are fair. The lock
//! works behind a transaction pooler too.

use std::time::Duration;

use clinicx_persistence::{SystemConnection, SystemExecutor, SystemTransaction};
use clinicx_types::id::{RequestId, TenantId};
use sea_orm::{DbErr, FromQueryResult, raw_sql};
use serde_json::Value;
use uuid::Uuid;

use crate::{job::JobId, lease::milliseconds, schedule::Schedule};

/// The advisory lock of whoever claims.
const LOCK: i64 = 0x636c_696e_6963_7802;
/// A job whose runner has gone is begun again so many seconds later for each time that this has happened before: work
/// that ends its process must not end one after the other.
const TAKEOVER_PAUSE_S: i32 = 5;

/// How much may be claimed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want<'a> {
    /// Who claims.
    pub(crate) runner: &'a str,
    /// The kinds that this process knows.
    pub(crate) kinds: &'a [String],
    /// How many places this process has.
    pub(crate) places: i64,
    /// How many of them the platform's own jobs may take.
    pub(crate) platform_places: i64,
    /// How many jobs of one tenant may run in all processes.
    pub(crate) per_tenant: i64,
    /// How many of the platform's own may.
    pub(crate) per_platform: i64,
    /// How many of all may.
    pub(crate) total: i64,
    /// How long a lease holds.
    pub(crate) lease: Duration,
}

/// A job that was claimed. From here on nothing but its lease is read from the table again.
#[derive(Clone, Debug, FromQueryResult)]
pub(crate) struct Claimed {
    pub(crate) id: JobId,
    pub(crate) kind: String,
    pub(crate) tenant_id: Option<TenantId>,
    pub(crate) token: Uuid,
    pub(crate) attempts: i32,
    pub(crate) max_attempts: i32,
    pub(crate) input: Value,
    pub(crate) steps: Value,
    pub(crate) request_id: RequestId,
}

/// A job whose lease has run out.
#[derive(Clone, Debug, FromQueryResult)]
pub(crate) struct Abandoned {
    pub(crate) id: JobId,
    pub(crate) kind: String,
    pub(crate) state: String,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, FromQueryResult)]
pub(crate) struct Waiting {
    /// A job waits whose time has come, or a lease has run out.
    pub(crate) jobs: bool,
    /// A schedule is due.
    pub(crate) schedules: bool,
}

/// Looks whether there is anything to do, also of these schedules; it costs three looks into an index.
pub(crate) async fn look(db: &SystemConnection, schedules: &[Schedule]) -> Result<Waiting, DbErr> {
    let mut names: Vec<&str> = schedules.iter().map(Schedule::name).collect();
    // A list in SQL has at least one entry; no schedule has this name.
    names.push("");
    let statement = raw_sql!(
        Postgres,
        r#"SELECT EXISTS (SELECT FROM public.jobs WHERE state = 'queued' AND run_after <= now())
               OR EXISTS (SELECT FROM public.jobs WHERE state = 'running' AND lease_until < now()) AS jobs,
               EXISTS (SELECT FROM public.job_schedules WHERE enabled AND next_run <= now() AND name IN ({..names}))
                   AS schedules"#
    );
    Ok(db.query_one(statement).await?.unwrap_or(Waiting { jobs: false, schedules: false }))
}

/// Takes jobs back whose lease has run out, and claims what is next.
///
/// Of several tenants the one with the fewest running jobs is next, of those the one whose last job was begun the
/// longest ago; of one tenant's jobs the one with the highest priority, then the oldest. Tenants that are not active
/// wait.
pub(crate) async fn claim(
    db: &SystemConnection,
    want: &Want<'_>,
) -> Result<(Vec<Abandoned>, Vec<Claimed>), DbErr> {
    let tx = db.begin().await?;
    let done = claim_in(&tx, want).await;
    match done {
        Ok(done) => tx.commit().await.map(|()| done),
        Err(error) => {
            // The reason is what counts; a roll-back that fails closes the connection.
            let _rolled_back = tx.rollback().await;
            Err(error)
        }
    }
}

async fn claim_in(tx: &SystemTransaction, want: &Want<'_>) -> Result<(Vec<Abandoned>, Vec<Claimed>), DbErr> {
    tx.execute(raw_sql!(Postgres, r#"SELECT pg_catalog.pg_advisory_xact_lock({LOCK})"#)).await?;
    let abandoned = take_back(tx).await?;
    Ok((abandoned, next(tx, want).await?))
}

/// Puts jobs whose runner has gone back among those that wait, or gives them up.
async fn take_back(tx: &SystemTransaction) -> Result<Vec<Abandoned>, DbErr> {
    tx.query_all(raw_sql!(
        Postgres,
        r#"UPDATE public.jobs
           SET state = CASE WHEN cancel_requested_at IS NOT NULL THEN 'cancelled'
                            WHEN attempts >= max_attempts THEN 'failed'
                            ELSE 'queued' END,
               finished_at = CASE WHEN cancel_requested_at IS NOT NULL OR attempts >= max_attempts
                                  THEN clock_timestamp() END,
               run_after = clock_timestamp() + (attempts - 1) * {TAKEOVER_PAUSE_S} * interval '1 second',
               error_code = 'lease_lost', error_detail = 'the process that was at it has gone',
               lease_token = NULL, leased_by = NULL, lease_until = NULL,
               version = version + 1, updated_at = clock_timestamp()
           WHERE id IN (
               SELECT id FROM public.jobs
               WHERE state = 'running' AND lease_until < clock_timestamp()
               FOR UPDATE SKIP LOCKED)
           RETURNING id, kind, state"#
    ))
    .await
}

async fn next(tx: &SystemTransaction, want: &Want<'_>) -> Result<Vec<Claimed>, DbErr> {
    let Want { runner, kinds, places, platform_places, per_tenant, per_platform, total, lease } = *want;
    if kinds.is_empty() || places <= 0 {
        return Ok(Vec::new());
    }
    let lease_ms = milliseconds(lease);
    tx.query_all(raw_sql!(
        Postgres,
        r#"WITH RECURSIVE waiting (party) AS (
               (SELECT j.party FROM public.jobs AS j WHERE j.state = 'queued' ORDER BY j.party LIMIT 1)
               UNION ALL
               SELECT (SELECT j.party FROM public.jobs AS j
                       WHERE j.state = 'queued' AND j.party > w.party ORDER BY j.party LIMIT 1)
               FROM waiting AS w
               WHERE w.party IS NOT NULL
           ),
           busy AS (
               SELECT j.party, count(*) AS jobs FROM public.jobs AS j WHERE j.state = 'running' GROUP BY j.party
           ),
           party AS (
               SELECT w.party, COALESCE(b.jobs, 0) AS running,
                      CASE WHEN t.id IS NULL THEN LEAST({per_platform}, COALESCE(b.jobs, 0) + {platform_places})
                           ELSE {per_tenant} END AS most
               FROM waiting AS w
               LEFT JOIN public.tenants AS t ON t.id = w.party
               LEFT JOIN busy AS b ON b.party = w.party
               WHERE w.party IS NOT NULL AND (t.id IS NULL OR t.status = 'active')
           ),
           candidate AS (
               SELECT q.id, p.running + q.place AS load,
                      (SELECT max(s.started_at) FROM public.jobs AS s WHERE s.party = p.party) AS served
               FROM party AS p
               CROSS JOIN LATERAL (
                   SELECT l.id, row_number() OVER (ORDER BY l.priority DESC, l.run_after, l.id) AS place
                   FROM (
                       SELECT j.id, j.priority, j.run_after
                       FROM public.jobs AS j
                       WHERE j.state = 'queued' AND j.party = p.party AND j.run_after <= clock_timestamp()
                           AND j.kind IN ({..kinds})
                       ORDER BY j.priority DESC, j.run_after, j.id
                       LIMIT GREATEST(LEAST(p.most - p.running, {places}), 0)
                       FOR UPDATE SKIP LOCKED
                   ) AS l
               ) AS q
           ),
           chosen AS (
               SELECT c.id
               FROM candidate AS c
               ORDER BY c.load, c.served NULLS FIRST, c.id
               LIMIT GREATEST(LEAST({places}, {total} - (SELECT COALESCE(sum(b.jobs), 0) FROM busy AS b)), 0)
           )
           UPDATE public.jobs AS j
           SET state = 'running', attempts = j.attempts + 1, lease_token = gen_random_uuid(), leased_by = {runner},
               lease_until = clock_timestamp() + {lease_ms} * interval '1 millisecond',
               heartbeat_at = clock_timestamp(), started_at = clock_timestamp(), version = j.version + 1,
               updated_at = clock_timestamp()
           FROM chosen AS c
           WHERE j.id = c.id AND j.state = 'queued'
           RETURNING j.id, j.kind, j.tenant_id, j.lease_token AS token, j.attempts, j.max_attempts, j.input, j.steps,
                     j.request_id"#
    ))
    .await
}
