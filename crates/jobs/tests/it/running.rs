//! Jobs are run, tried again, given up.

use std::time::Duration;

use async_trait::async_trait;
use clinicx_jobs::{JobContext, JobError, JobKind, JobSet, JobState, NewJob, OnPlatform, enqueue};
use clinicx_persistence::SystemTransaction;
use serde_json::json;

use crate::support::{Quick, Tally, World, by, eventually, name_of};

const MANY: u32 = 1000;

async fn ask_for_many(tx: &SystemTransaction) {
    for number in 0..MANY {
        enqueue(tx, &by(), NewJob::<Tally>::on_platform(number)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_runners_do_each_of_a_thousand_jobs_once() {
    let world = World::new().await;
    let tx = world.app.begin().await.unwrap();
    ask_for_many(&tx).await;
    tx.commit().await.unwrap();
    let tally = Tally::default();
    let runners = [(); 2].map(|()| {
        world.run(JobSet::new().kind(tally.clone()).unwrap(), |options| {
            options.concurrency = 8;
            options.total = 32;
        })
    });
    eventually("all have succeeded", || async {
        (world.count("state = 'succeeded'").await == i64::from(MANY)).then_some(())
    })
    .await;
    for runner in runners {
        runner.end().await;
    }
    let begun = tally.0.lock().unwrap().clone();
    assert_eq!((begun.len(), begun.values().max()), (1000, Some(&1)));
    assert_eq!(world.count("attempts <> 1 OR lease_token IS NOT NULL OR error_code IS NOT NULL").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_job_works_as_its_tenant() {
    let world = World::new().await;
    let (one, two) = (world.tenant().await, world.tenant().await);
    let runner = world.run(JobSet::new().kind(Quick::default()).unwrap(), |_| {});
    let jobs =
        [(&one, world.in_tenant::<Quick>(&one, ()).await), (&two, world.in_tenant::<Quick>(&two, ()).await)];
    for (tenant, id) in jobs {
        let job = world.until(id, JobState::Succeeded).await;
        assert_eq!(job.output, Some(json!(name_of(tenant))));
        assert_eq!((job.tenant.as_deref(), job.attempts), (Some(tenant.tenant.slug.as_str()), 1));
    }
    runner.end().await;
}

/// Fails as it is told to.
struct Failing;

#[async_trait]
impl JobKind for Failing {
    const NAME: &'static str = "test.failing";
    const MAX_ATTEMPTS: i32 = 3;
    const FIRST_PAUSE: Duration = Duration::from_millis(50);
    type Scope = OnPlatform;
    type Input = String;
    type Output = i32;
    async fn run(&self, context: &JobContext<OnPlatform>, how: String) -> Result<i32, JobError> {
        context.step("look").await;
        match how.as_str() {
            "once" if context.attempt() == 1 => Err(JobError::retry("away", "not yet")),
            "once" => Ok(context.attempt()),
            "always" => Err(JobError::retry("away", "never")),
            "panic" => panic!("a name of somebody"),
            _ => Err(JobError::failed("wrong", "it can't be")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_as_often_as_its_kind_says() {
    let world = World::new().await;
    let runner = world.run(JobSet::new().kind(Failing).unwrap(), |_| {});
    let ask = async |how: &str| world.on_platform::<Failing>(how.to_owned()).await;
    let (once, always, panic, wrong) =
        (ask("once").await, ask("always").await, ask("panic").await, ask("wrong").await);
    let once = world.until(once, JobState::Succeeded).await;
    assert_eq!((once.attempts, once.output, once.error), (2, Some(json!(2)), None));
    assert_eq!(once.steps.len(), 2, "of both tries");
    for (id, code, attempts) in [(always, "away", 3), (panic, "job_panicked", 3), (wrong, "wrong", 1)] {
        let job = world.until(id, JobState::Failed).await;
        let error = job.error.unwrap();
        assert_eq!((error.code.as_str(), job.attempts), (code, attempts));
        assert!(!error.detail.contains("somebody"), "{error:?}");
        assert!(job.finished_at.is_some());
    }
    runner.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_said_last_is_seen_while_it_goes_on() {
    let world = World::new().await;
    let runner = world.run(JobSet::new().kind(Talking).unwrap(), |_| {});
    let id = world.on_platform::<Talking>(()).await;
    eventually("the last is seen", || async {
        let said = world.job(id).await.progress;
        said.filter(|progress| progress.done == 9).map(|_| ())
    })
    .await;
    let job = world.job(id).await;
    assert_eq!(job.state, JobState::Running);
    assert!(job.version < 8, "not each of ten was written: {}", job.version);
    runner.end().await;
}

/// Says ten things at once, and goes on without a word.
struct Talking;

#[async_trait]
impl JobKind for Talking {
    const NAME: &'static str = "test.talking";
    type Scope = OnPlatform;
    type Input = ();
    type Output = ();
    async fn run(&self, context: &JobContext<OnPlatform>, (): ()) -> Result<(), JobError> {
        for done in 0..10 {
            context.progress(done, Some(100), "words").await;
        }
        context.stop().cancelled().await;
        Err(JobError::Stopped)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_leaves_alone_what_it_does_not_know() {
    let world = World::new().await;
    let unknown = world.on_platform::<Failing>("once".to_owned()).await;
    let runner = world.run(JobSet::new().kind(Tally::default()).unwrap(), |_| {});
    let known = world.on_platform::<Tally>(1).await;
    world.until(known, JobState::Succeeded).await;
    assert_eq!(world.job(unknown).await.attempts, 0);
    runner.end().await;
}
