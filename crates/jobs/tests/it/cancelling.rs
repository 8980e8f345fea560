//! Jobs that nobody wants any more.

use std::time::Duration;

use clinicx_jobs::{JobId, JobState, JobsError, RunnerOptions, cancel};
use clinicx_persistence::Actor;
use clinicx_tenancy::PlatformScope;
use clinicx_types::{
    clock::{IdSource, RandomIds},
    id::UserId,
};
use tokio::time::Instant;

use crate::support::{Gated, World, by};

fn operator() -> PlatformScope {
    PlatformScope { actor: Actor::Operator(UserId::new(RandomIds.next())), ..by() }
}

async fn actions(world: &World, id: JobId) -> Vec<String> {
    let rows =
        "SELECT action FROM public.audit_logs WHERE entity = 'job' AND entity_id = $1 ORDER BY recorded_at";
    sqlx::query_scalar(rows).bind(id.uuid()).fetch_all(&mut world.database.superuser().await).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_cancelled_at_once() {
    let world = World::new().await;
    let id = world.on_platform::<Gated>(()).await;
    let waiting = world.job(id).await;
    let stale = cancel(&world.app, &operator(), id, Some(waiting.version + 1)).await;
    assert_eq!(stale.unwrap_err(), JobsError::VersionMismatch { current: waiting.version });
    let job = cancel(&world.app, &operator(), id, Some(waiting.version)).await.unwrap();
    assert_eq!((job.state, job.version), (JobState::Cancelled, waiting.version + 1));
    assert!(job.finished_at.is_some());
    assert_eq!(
        cancel(&world.app, &operator(), id, None).await.unwrap_err(),
        JobsError::Ended { state: JobState::Cancelled }
    );
    let unknown = JobId::new(RandomIds.next());
    assert_eq!(cancel(&world.app, &operator(), unknown, None).await.unwrap_err(), JobsError::UnknownJob);
    assert_eq!(actions(&world, id).await, ["job.cancelled"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_told_within_two_seconds() {
    let world = World::new().await;
    let work = Gated::new("work");
    let runner = world.run(work.set(), |options| options.poll = RunnerOptions::default().poll);
    let id = world.on_platform::<Gated>(()).await;
    work.arrives().await;
    let asked = Instant::now();
    let job = cancel(&world.app, &operator(), id, None).await.unwrap();
    assert_eq!((job.state, job.cancel_requested), (JobState::Running, true));
    let again = cancel(&world.app, &operator(), id, None).await.unwrap();
    assert_eq!(again.version, job.version, "asking twice changes nothing");
    let job = world.until(id, JobState::Cancelled).await;
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert_eq!((job.error, job.output), (None, None));
    assert_eq!(actions(&world, id).await, ["job.cancel_requested"]);
    runner.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_heed_it_is_dropped() {
    let world = World::new().await;
    let mut work = Gated::new("work");
    work.heeds = false;
    let runner = world.run(work.set(), |_| {});
    let id = world.on_platform::<Gated>(()).await;
    work.arrives().await;
    cancel(&world.app, &by(), id, None).await.unwrap();
    assert_eq!(world.until(id, JobState::Cancelled).await.attempts, 1);
    runner.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_whose_runner_goes_does_not_come_back() {
    let world = World::new().await;
    let work = Gated::new("work");
    let killed = world.run(work.set(), |_| {});
    let id = world.on_platform::<Gated>(()).await;
    work.arrives().await;
    killed.kill().await;
    cancel(&world.app, &by(), id, None).await.unwrap();
    world.meddle("UPDATE public.jobs SET lease_until = now() - interval '1 second'").await;
    let runner = world.run(work.set(), |_| {});
    assert_eq!(world.until(id, JobState::Cancelled).await.attempts, 1);
    runner.end().await;
}
