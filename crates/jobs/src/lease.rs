//! Leases on running jobs. Every statement here shows the lease's token; none of them touches a job whose lease was
//! taken by another.

use std::{
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use clinicx_persistence::{SystemConnection, SystemExecutor};
use sea_orm::{DbErr, FromQueryResult, raw_sql};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    context::Report,
    job::{JobId, JobState},
};

/// Why a job is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Somebody has cancelled it.
    Cancelled,
    /// The process ends.
    Ending,
    /// The lease has run out, or another has taken it.
    Lost,
}

/// A lease that this process holds.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) token: Uuid,
    pub(crate) stop: CancellationToken,
    reason: OnceLock<Reason>,
    lost: CancellationToken,
    /// Until when it holds whatever happens to the database: reckoned from before the statement that renewed it.
    good_until: Mutex<Instant>,
}

impl Held {
    pub(crate) fn new(token: Uuid, good_until: Instant) -> Self {
        Self {
            token,
            stop: CancellationToken::new(),
            reason: OnceLock::new(),
            lost: CancellationToken::new(),
            good_until: Mutex::new(good_until),
        }
    }

    /// Tells the job to stop; the first reason counts, unless the lease is lost, which always does.
    pub(crate) fn stop(&self, reason: Reason) {
        let _first = self.reason.set(reason);
        self.stop.cancel();
    }

    /// Notes that the lease is another's by now.
    pub(crate) fn lose(&self) {
        self.lost.cancel();
        self.stop(Reason::Lost);
    }

    /// Returns why the job is to stop, if it is.
    pub(crate) fn reason(&self) -> Option<Reason> {
        if self.lost.is_cancelled() { Some(Reason::Lost) } else { self.reason.get().copied() }
    }

    /// Ends when the lease is lost.
    pub(crate) async fn lost(&self) {
        self.lost.cancelled().await;
    }

    pub(crate) fn good_until(&self) -> Instant {
        *self.good_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn renewed(&self, until: Instant) {
        *self.good_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// What the table says of a lease.
#[derive(Clone, Copy, Debug, FromQueryResult)]
pub(crate) struct Standing {
    pub(crate) token: Uuid,
    pub(crate) cancelled: bool,
}

/// Looks at leases; those that are not among the answers are lost.
pub(crate) async fn look(db: &SystemConnection, tokens: &[Uuid]) -> Result<Vec<Standing>, DbErr> {
    db.query_all(raw_sql!(
        Postgres,
        r#"SELECT lease_token AS token, cancel_requested_at IS NOT NULL AS cancelled
           FROM public.jobs
           WHERE state = 'running' AND lease_token IN ({..tokens})"#
    ))
    .await
}

/// Puts the end of leases off; those that are not among the answers are lost.
pub(crate) async fn renew(
    db: &SystemConnection,
    tokens: &[Uuid],
    lease: Duration,
) -> Result<Vec<Standing>, DbErr> {
    let lease_ms = milliseconds(lease);
    db.query_all(raw_sql!(
        Postgres,
        r#"UPDATE public.jobs
           SET lease_until = clock_timestamp() + {lease_ms} * interval '1 millisecond',
               heartbeat_at = clock_timestamp()
           WHERE state = 'running' AND lease_token IN ({..tokens})
           RETURNING lease_token AS token, cancel_requested_at IS NOT NULL AS cancelled"#
    ))
    .await
}

/// Writes what a job has said; `false` when the lease is another's.
pub(crate) async fn report(
    db: &SystemConnection,
    id: JobId,
    token: Uuid,
    report: &Report,
) -> Result<bool, DbErr> {
    let (progress, steps) = written(report);
    let changed = db
        .execute(raw_sql!(
            Postgres,
            r#"UPDATE public.jobs
               SET progress = {progress}, steps = {steps}, version = version + 1, updated_at = clock_timestamp()
               WHERE id = {id} AND lease_token = {token} AND state = 'running'"#
        ))
        .await?;
    Ok(changed == 1)
}

/// How a lease ends.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Succeeded(Value),
    Failed {
        code: String,
        detail: String,
    },
    Cancelled,
    /// It waits for another try.
    Again {
        pause: Duration,
        code: String,
        detail: String,
    },
    /// It waits as if it had not been begun.
    Back {
        pause: Duration,
    },
}

impl End {
    fn state(&self) -> JobState {
        match self {
            Self::Succeeded(_) => JobState::Succeeded,
            Self::Failed { .. } => JobState::Failed,
            Self::Cancelled => JobState::Cancelled,
            Self::Again { .. } | Self::Back { .. } => JobState::Queued,
        }
    }
}

#[derive(FromQueryResult)]
struct Ended {
    state: String,
}

/// Ends a lease and returns the state in which that leaves the job: one that would wait and was cancelled meanwhile
/// does not wait. `None` when the lease is another's.
pub(crate) async fn end(
    db: &SystemConnection,
    (id, token): (JobId, Uuid),
    end: &End,
    report: &Report,
) -> Result<Option<JobState>, DbErr> {
    let state = end.state().as_str();
    let (progress, steps) = written(report);
    let (pause, given_back) = match end {
        End::Again { pause, .. } => (*pause, 0_i32),
        End::Back { pause } => (*pause, 1),
        End::Succeeded(_) | End::Failed { .. } | End::Cancelled => (Duration::ZERO, 0),
    };
    let pause_ms = milliseconds(pause);
    let (code, detail) = match end {
        End::Failed { code, detail } | End::Again { code, detail, .. } => {
            (Some(code.as_str()), Some(detail.as_str()))
        }
        End::Succeeded(_) | End::Cancelled | End::Back { .. } => (None, None),
    };
    let output = match end {
        End::Succeeded(output) => Some(output.clone()),
        _ => None,
    };
    let ended: Option<Ended> = db
        .query_one(raw_sql!(
            Postgres,
            r#"UPDATE public.jobs
               SET state = CASE WHEN {state} = 'queued' AND cancel_requested_at IS NOT NULL THEN 'cancelled'
                                ELSE {state} END,
                   finished_at = CASE WHEN {state} = 'queued' AND cancel_requested_at IS NULL THEN NULL
                                      ELSE clock_timestamp() END,
                   run_after = CASE WHEN {state} = 'queued'
                                    THEN clock_timestamp() + {pause_ms} * interval '1 millisecond'
                                    ELSE run_after END,
                   attempts = attempts - {given_back}, error_code = {code}, error_detail = {detail},
                   output = {output}, progress = COALESCE({progress}, progress), steps = {steps}, lease_token = NULL,
                   leased_by = NULL, lease_until = NULL, version = version + 1, updated_at = clock_timestamp()
               WHERE id = {id} AND lease_token = {token} AND state = 'running'
               RETURNING state"#
        ))
        .await?;
    Ok(ended.and_then(|ended| ended.state.parse().ok()))
}

fn written(report: &Report) -> (Option<Value>, Value) {
    let progress = report.progress.as_ref().and_then(|progress| serde_json::to_value(progress).ok());
    let steps = serde_json::to_value(&report.steps).unwrap_or_else(|_| Value::Array(Vec::new()));
    (progress, steps)
}

pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
