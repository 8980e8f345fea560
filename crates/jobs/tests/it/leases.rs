//! What becomes of a job whose runner goes away, and of a runner whose job was taken over.

use std::time::Duration;

use clinicx_jobs::JobState;
use serde_json::json;

use crate::support::{Gated, World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_runners_job_is_taken_over() {
    let world = World::new().await;
    let (first, second) = (Gated::new("first"), Gated::new("second"));
    let lease = Duration::from_secs(2);
    let killed = world.run(first.set(), |options| options.lease = lease);
    let id = world.on_platform::<Gated>(()).await;
    first.arrives().await;
    killed.kill().await;
    assert_eq!(world.job(id).await.state, JobState::Running, "nobody has been told");
    let runner = world.run(second.set(), |options| options.lease = lease);
    second.arrives().await;
    let taken = world.job(id).await;
    assert_eq!((taken.attempts, taken.error.map(|error| error.code)), (2, Some("lease_lost".to_owned())));
    second.open();
    let job = world.until(id, JobState::Succeeded).await;
    assert_eq!((job.output, job.error), (Some(json!("second")), None));
    runner.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_lives_keeps_its_lease() {
    let world = World::new().await;
    let work = Gated::new("done");
    let lease = Duration::from_secs(2);
    let runners = [(); 2].map(|()| world.run(work.set(), |options| options.lease = lease));
    let id = world.on_platform::<Gated>(()).await;
    work.arrives().await;
    let first = world.job(id).await;
    eventually("the lease was renewed for longer than it holds", || async {
        let renewed = format!("id = '{id}' AND lease_until > started_at + interval '5 seconds'");
        (world.count(&renewed).await == 1).then_some(())
    })
    .await;
    work.open();
    let job = world.until(id, JobState::Succeeded).await;
    assert_eq!((job.attempts, job.started_at), (1, first.started_at));
    for runner in runners {
        runner.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_lost_the_lease_can_neither_report_nor_finish() {
    let world = World::new().await;
    for reports in [true, false] {
        let (mut old, new) = (Gated::new("old"), Gated::new("new"));
        old.reports = reports;
        let id = world.on_platform::<Gated>(()).await;
        // It looks once, and never again: it does not learn that it has lost its lease.
        let deaf = world.run(old.set(), |options| {
            options.poll = Duration::from_secs(3600);
            options.lease = Duration::from_secs(7200);
        });
        old.arrives().await;
        let expire =
            format!("UPDATE public.jobs SET lease_until = now() - interval '1 second' WHERE id = '{id}'");
        world.meddle(&expire).await;
        let runner = world.run(new.set(), |_| {});
        new.arrives().await;
        let taken = world.job(id).await;
        assert_eq!((taken.state, taken.attempts), (JobState::Running, 2));
        old.open();
        eventually("the old one has passed", || async { (old.gate.available_permits() == 0).then_some(()) })
            .await;
        // Its report and its end are refused before this comes back.
        deaf.end().await;
        assert_eq!(world.job(id).await, taken, "nothing of it is there");
        new.open();
        let job = world.until(id, JobState::Succeeded).await;
        assert_eq!((job.output, job.attempts), (Some(json!("new")), 2));
        assert_eq!(job.progress.unwrap().unit, "new");
        runner.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_learns_of_it_drops_the_job() {
    let world = World::new().await;
    let mut work = Gated::new("old");
    work.heeds = false;
    let runner = world.run(work.set(), |options| options.grace = Duration::from_secs(3600));
    let id = world.on_platform::<Gated>(()).await;
    work.arrives().await;
    // As if another runner, somewhere else, had taken it over.
    world.meddle("UPDATE public.jobs SET lease_token = gen_random_uuid(), leased_by = 'another'").await;
    let next = world.on_platform::<Gated>(()).await;
    work.arrives().await;
    work.open();
    world.until(next, JobState::Succeeded).await;
    let job = world.job(id).await;
    assert_eq!((job.state, job.output), (JobState::Running, None));
    runner.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ends_its_process_every_time_is_given_up() {
    let world = World::new().await;
    let work = Gated::new("never");
    let id = world.on_platform::<Gated>(()).await;
    world.meddle("UPDATE public.jobs SET max_attempts = 2").await;
    for _ in 0..2 {
        let killed = world.run(work.set(), |_| {});
        work.arrives().await;
        killed.kill().await;
        world.meddle("UPDATE public.jobs SET lease_until = now() - interval '1 second'").await;
    }
    let runner = world.run(work.set(), |_| {});
    let job = world.until(id, JobState::Failed).await;
    assert_eq!((job.attempts, job.error.map(|error| error.code)), (2, Some("lease_lost".to_owned())));
    runner.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_ends_gives_its_jobs_back() {
    let world = World::new().await;
    let (heeding, mut heedless) = (Gated::new("a"), Gated::new("b"));
    heedless.heeds = false;
    for work in [heeding, heedless] {
        let runner = world.run(work.set(), |_| {});
        let id = world.on_platform::<Gated>(()).await;
        work.arrives().await;
        runner.end().await;
        let job = world.job(id).await;
        assert_eq!((job.state, job.attempts, job.error), (JobState::Queued, 0, None), "it was no try");
        let other = Gated::new("c");
        let runner = world.run(other.set(), |_| {});
        other.open();
        assert_eq!(world.until(id, JobState::Succeeded).await.attempts, 1);
        runner.end().await;
    }
}
