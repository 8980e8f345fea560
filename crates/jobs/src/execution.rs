//! One job from its claim to its end.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::Duration,
};

use clinicx_persistence::{Actor, Failure, FailureKind, TenantScope};
use clinicx_tenancy::{PlatformScope, Tenant, registry};
use clinicx_types::{
    clock::{IdSource, RandomIds},
    id::TenantId,
};
use futures_util::FutureExt;
use serde_json::Value;
use tokio::time::Instant;
use tracing::Instrument;

use crate::{
    backoff,
    claim::Claimed,
    context::{Handle, PlatformReach, Reach, Report, Said, TenantReach},
    error::{JobError, Problem},
    job::JobState,
    kind::{AnyKind, Facts},
    lease::{self, End, Held, Reason},
    runner::{Hold, Worker},
    telemetry,
};

/// How long a job waits whose tenant is not served now, or lives where this process does not reach.
const NOT_SERVED: Duration = Duration::from_secs(30);
/// How long one waits whose tenant is being migrated.
const IN_MIGRATION: Duration = Duration::from_secs(2);
/// How long one waits whose tenant can't be looked up.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How long the end of a job waits before it is written again, while the database is away.
const WRITE_AGAIN: Duration = Duration::from_millis(500);

/// What came of a job's work.
#[derive(Debug)]
enum Outcome {
    Done(Value),
    Error(JobError),
    Panicked,
    /// It was dropped at an await, because it did not heed that it was to stop.
    Dropped,
}

/// Does a job and ends its lease.
pub(crate) async fn execute(hold: Hold, claimed: Claimed) {
    let span = tracing::info_span!(
        "jobs.run",
        job.id = %claimed.id,
        job.kind = claimed.kind,
        job.attempt = claimed.attempts,
        request.id = %claimed.request_id,
        tenant.id = tracing::field::Empty,
        tenant.slug = tracing::field::Empty,
    );
    run(&hold.worker, claimed, &hold.held).instrument(span).await;
}

async fn run(worker: &Worker, claimed: Claimed, held: &Arc<Held>) {
    // Nothing is claimed whose kind is not known here.
    let Some(kind) = worker.set.find(&claimed.kind) else { return };
    let (facts, started) = (kind.facts(), Instant::now());
    let _running = telemetry::Running::begin(facts.name);
    let steps = serde_json::from_value(claimed.steps.clone()).unwrap_or_default();
    let handle = Handle {
        id: claimed.id,
        attempt: claimed.attempts,
        held: Arc::clone(held),
        system: worker.system.clone(),
        said: Arc::new(Mutex::new(Said::before(steps))),
    };
    let end = match reach(worker, &claimed, &facts).await {
        Ok(reach) => {
            let outcome = attempt(worker, kind, &handle, reach, claimed.input.clone()).await;
            settle(worker, &claimed, &facts, held, outcome).await
        }
        Err(end) => Some(end),
    };
    let ended = match end {
        Some(end) => finish(worker, &handle, end).await,
        None => None,
    };
    tell(&facts, started.elapsed(), ended);
}

/// Works out what the job may reach, from the registry's row of the tenant that it had when it was claimed.
async fn reach(worker: &Worker, claimed: &Claimed, facts: &Facts) -> Result<Reach, End> {
    match claimed.tenant_id {
        Some(id) if facts.is_tenant => tenant_reach(worker, id, claimed, facts).await.map(Reach::Tenant),
        None if !facts.is_tenant => {
            let actor = Actor::System(facts.name);
            let scope = PlatformScope::system(facts.name);
            let scope = PlatformScope { actor, request_id: claimed.request_id, ..scope };
            Ok(Reach::Platform(PlatformReach { system: worker.system.clone(), scope }))
        }
        _ => Err(failed("job_scope", "the job and its kind reach differently far")),
    }
}

async fn tenant_reach(
    worker: &Worker,
    id: TenantId,
    claimed: &Claimed,
    facts: &Facts,
) -> Result<TenantReach, End> {
    let span = tracing::Span::current();
    span.record("tenant.id", tracing::field::display(id));
    let tenant = match registry::find_by_id(&worker.system, id).await {
        Ok(Some(tenant)) => tenant,
        Ok(None) => return Err(failed("tenant_gone", "there is no such tenant any more")),
        Err(_) => return Err(End::Back { pause: LOOK_AGAIN }),
    };
    span.record("tenant.slug", tracing::field::display(&tenant.slug));
    if !is_served(worker, &tenant) {
        return Err(End::Back { pause: NOT_SERVED });
    }
    match registry::is_being_migrated(&worker.system, &tenant).await {
        Ok(false) => {}
        Ok(true) => return Err(End::Back { pause: IN_MIGRATION }),
        Err(_) => return Err(End::Back { pause: LOOK_AGAIN }),
    }
    let connection = worker.cluster.tenant_with(tenant.target(), tenant.limits.connections);
    let clinic = (tenant.time_zone, tenant.currency, tenant.locale.as_str());
    let permissions = facts.permissions.iter().copied().collect();
    let scope = TenantScope::system(tenant.id, tenant.slug.clone(), clinic, facts.name, permissions)
        .named(&tenant.name);
    Ok(TenantReach { connection, scope: TenantScope { request_id: claimed.request_id, ..scope } })
}

fn is_served(worker: &Worker, tenant: &Tenant) -> bool {
    tenant.require_active().is_ok()
        && worker.modules.require_served(tenant).is_ok()
        && tenant.cluster == *worker.cluster.name()
}

/// Lets the kind work until it is done, the lease is lost, or it has not heeded for a while that it is to stop.
async fn attempt(
    worker: &Worker,
    kind: Arc<dyn AnyKind>,
    handle: &Handle,
    reach: Reach,
    input: Value,
) -> Outcome {
    let held = Arc::clone(&handle.held);
    let work = AssertUnwindSafe(kind.run(handle.clone(), reach, input)).catch_unwind();
    let heedless = async {
        held.stop.cancelled().await;
        tokio::time::sleep(worker.options.grace).await;
    };
    tokio::select! {
        biased;
        () = held.lost() => Outcome::Dropped,
        done = work => match done {
            Ok(Ok(output)) => Outcome::Done(output),
            Ok(Err(error)) => Outcome::Error(error),
            Err(_) => Outcome::Panicked,
        },
        () = heedless => Outcome::Dropped,
        never = handle.keep_writing() => match never {},
    }
}

/// Decides how the lease ends. An error in a tenant that is no longer served is no try: the job waits until it is.
async fn settle(
    worker: &Worker,
    claimed: &Claimed,
    facts: &Facts,
    held: &Held,
    outcome: Outcome,
) -> Option<End> {
    let went_wrong = matches!(outcome, Outcome::Error(JobError::Retry(_) | JobError::Failed(_)));
    if let (true, None, Some(id)) = (went_wrong, held.reason(), claimed.tenant_id)
        && let Ok(Some(tenant)) = registry::find_by_id(&worker.system, id).await
        && !is_served(worker, &tenant)
    {
        return Some(End::Back { pause: NOT_SERVED });
    }
    let [.., a, b, c, d] = RandomIds.next().into_bytes();
    let pause = backoff::pause(facts.first_pause, claimed.attempts, u32::from_be_bytes([a, b, c, d]));
    decide(outcome, held.reason(), claimed.attempts < claimed.max_attempts, pause)
}

/// Decides how the lease ends; `None` when it is another's.
fn decide(outcome: Outcome, reason: Option<Reason>, may_try_again: bool, pause: Duration) -> Option<End> {
    let again = |Problem { code, detail }| {
        let code = code.to_owned();
        match may_try_again {
            true => End::Again { pause, code, detail },
            false => End::Failed { code, detail },
        }
    };
    Some(match (outcome, reason) {
        (_, Some(Reason::Lost)) => return None,
        (Outcome::Done(output), _) => End::Succeeded(output),
        (_, Some(Reason::Cancelled)) => End::Cancelled,
        (Outcome::Dropped | Outcome::Error(JobError::Stopped | JobError::Retry(_)), Some(Reason::Ending)) => {
            End::Back { pause: Duration::ZERO }
        }
        (Outcome::Error(JobError::Later(pause)), _) => End::Back { pause },
        (Outcome::Error(JobError::Retry(problem)), _) => again(problem),
        (Outcome::Error(JobError::Failed(problem)), _) => {
            End::Failed { code: problem.code.to_owned(), detail: problem.detail }
        }
        // Its message can hold what was being worked on.
        (Outcome::Panicked, _) => {
            again(Problem { code: "job_panicked", detail: "the work ended with a defect".to_owned() })
        }
        (Outcome::Dropped | Outcome::Error(JobError::Stopped), None) => {
            failed("job_stopped", "it has stopped without being told to")
        }
    })
}

fn failed(code: &str, detail: &str) -> End {
    End::Failed { code: code.to_owned(), detail: detail.to_owned() }
}

/// Writes the end down, again and again while the database is away and the lease holds, and returns it as it was
/// written: what PostgreSQL does not take, such as an output with a NUL in a text, is a failure of the job.
async fn finish(worker: &Worker, handle: &Handle, mut end: End) -> Option<(JobState, End)> {
    let mut report = handle.said();
    let mut is_plain = false;
    loop {
        let error = match lease::end(&worker.system, (handle.id, handle.held.token), &end, &report).await {
            Ok(state) => return state.map(|state| (state, end)),
            Err(error) => Failure::of(&error),
        };
        let may_pass =
            matches!(error.kind, FailureKind::Retry | FailureKind::Timeout | FailureKind::Unavailable);
        match may_pass {
            true if Instant::now() < handle.held.good_until() => tokio::time::sleep(WRITE_AGAIN).await,
            false if !is_plain => {
                is_plain = true;
                report = Report::default();
                end = failed("job_output", "what came of it can't be written down");
            }
            _ => {
                tracing::warn!(%error, "the end of a job could not be written; it will be begun again");
                return None;
            }
        }
    }
}

fn tell(facts: &Facts, took: Duration, ended: Option<(JobState, End)>) {
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let outcome = match &ended {
        None => "lost",
        Some((JobState::Queued, End::Back { .. })) => "put_back",
        Some((JobState::Queued, _)) => "retried",
        Some((state, _)) => state.as_str(),
    };
    telemetry::ended(facts.name, outcome, took);
    match ended {
        None => tracing::warn!(job.outcome = outcome, duration_ms, "a job's lease was lost"),
        Some((_, End::Failed { code, .. } | End::Again { code, .. })) => {
            tracing::warn!(job.outcome = outcome, error.code = code, duration_ms, "a job has failed");
        }
        Some((_, End::Back { .. })) => {
            tracing::debug!(job.outcome = outcome, duration_ms, "a job was put back");
        }
        Some(_) => tracing::info!(job.outcome = outcome, duration_ms, "a job has ended"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(7);

    fn said(outcome: Outcome, reason: Option<Reason>, may_try_again: bool) -> String {
        match decide(outcome, reason, may_try_again, PAUSE) {
            None => "lost".to_owned(),
            Some(End::Succeeded(_)) => "succeeded".to_owned(),
            Some(End::Cancelled) => "cancelled".to_owned(),
            Some(End::Failed { code, .. }) => format!("failed {code}"),
            Some(End::Again { pause, code, .. }) => format!("again {code} {}", pause.as_secs()),
            Some(End::Back { pause }) => format!("back {}", pause.as_secs()),
        }
    }

    #[test]
    fn how_a_lease_ends_follows_from_the_work_and_from_what_was_asked() {
        let error = Outcome::Error;
        let (retry, fail) = (|| JobError::retry("away", ""), || JobError::failed("wrong", ""));
        let check = |outcome, reason, may_try_again, expected: &str| {
            assert_eq!(said(outcome, reason, may_try_again), expected);
        };
        check(Outcome::Done(Value::Null), None, true, "succeeded");
        check(Outcome::Done(Value::Null), Some(Reason::Cancelled), true, "succeeded");
        check(Outcome::Done(Value::Null), Some(Reason::Lost), true, "lost");
        check(error(retry()), None, true, "again away 7");
        check(error(retry()), None, false, "failed away");
        check(error(retry()), Some(Reason::Ending), false, "back 0");
        check(error(fail()), None, true, "failed wrong");
        check(error(fail()), Some(Reason::Cancelled), true, "cancelled");
        check(error(JobError::Later(Duration::from_secs(3))), None, true, "back 3");
        check(error(JobError::Stopped), Some(Reason::Cancelled), true, "cancelled");
        check(error(JobError::Stopped), Some(Reason::Ending), true, "back 0");
        check(error(JobError::Stopped), None, true, "failed job_stopped");
        check(Outcome::Dropped, Some(Reason::Ending), true, "back 0");
        check(Outcome::Dropped, Some(Reason::Lost), true, "lost");
        check(Outcome::Panicked, None, true, "again job_panicked 7");
        check(Outcome::Panicked, None, false, "failed job_panicked");
    }
}
