//! One tenant's thousand jobs do not hold up another's one.

use std::time::Duration;

use clinicx_jobs::{JobSet, JobState, NewJob, enqueue};

use crate::support::{Gated, GatedInTenant, Quick, World, by, eventually};

const MANY: usize = 1000;

fn quick() -> JobSet {
    JobSet::new().kind(Quick { takes: Duration::from_millis(10) }).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tenant_with_a_thousand_jobs_does_not_hold_up_another() {
    let world = World::new().await;
    let (busy, other) = (world.tenant().await, world.tenant().await);
    let tx = world.app.begin().await.unwrap();
    for _ in 0..MANY {
        enqueue(&tx, &by(), NewJob::<Quick>::in_tenant(busy.tenant.id, ())).await.unwrap();
    }
    tx.commit().await.unwrap();
    let runner = world.run(quick(), |options| options.concurrency = 4);
    eventually("the busy one is served", || async {
        (world.count("state = 'succeeded'").await > 20).then_some(())
    })
    .await;
    let before = world.count("state = 'succeeded'").await;
    let id = world.in_tenant::<Quick>(&other, ()).await;
    let job = world.until(id, JobState::Succeeded).await;
    let earlier = format!("finished_at < '{}'", job.finished_at.unwrap().to_rfc3339());
    let between = world.count(&earlier).await - before;
    assert!(between < 60, "{between} jobs of the busy one came before it");
    runner.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_go_to_whoever_has_waited_longest() {
    let world = World::new().await;
    let tenants = [world.tenant().await, world.tenant().await, world.tenant().await];
    for tenant in &tenants {
        for _ in 0..3 {
            world.in_tenant::<Quick>(tenant, ()).await;
        }
    }
    let runner = world.run(quick(), |options| options.concurrency = 1);
    eventually("all are done", || async { (world.count("state = 'succeeded'").await == 9).then_some(()) })
        .await;
    runner.end().await;
    let order: Vec<uuid::Uuid> = sqlx::query_scalar("SELECT tenant_id FROM public.jobs ORDER BY started_at")
        .fetch_all(&mut world.database.superuser().await)
        .await
        .unwrap();
    for round in order.chunks(3) {
        let mut round = round.to_vec();
        round.sort();
        round.dedup();
        assert_eq!(round.len(), 3, "each has its turn before one has two: {order:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_hold_for_all_runners_together() {
    let world = World::new().await;
    let (one, two) = (world.tenant().await, world.tenant().await);
    let work = Gated::new("work");
    for tenant in [&one, &two] {
        for _ in 0..5 {
            world.in_tenant::<GatedInTenant>(tenant, ()).await;
        }
    }
    for _ in 0..5 {
        world.on_platform::<Gated>(()).await;
    }
    let runners = [(); 3].map(|()| {
        world.run(work.set(), |options| {
            options.concurrency = 8;
            options.per_tenant = 2;
            options.total = 5;
        })
    });
    for _ in 0..5 {
        work.arrives().await;
    }
    assert_eq!(world.count("state = 'running'").await, 5);
    for tenant in [&one, &two] {
        let of_it = format!("state = 'running' AND tenant_id = '{}'", tenant.tenant.id);
        assert!((1..=2).contains(&world.count(&of_it).await));
    }
    assert!((1..=2).contains(&world.count("state = 'running' AND tenant_id IS NULL").await));
    for _ in 0..15 {
        work.open();
    }
    eventually("all are done", || async { (world.count("state = 'succeeded'").await == 15).then_some(()) })
        .await;
    for runner in runners {
        runner.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_more_urgent_of_one_tenant_comes_first() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let new = || NewJob::<Quick>::in_tenant(tenant.tenant.id, ());
    let later = enqueue(&world.app, &by(), new()).await.unwrap().id;
    let urgent = enqueue(&world.app, &by(), new().priority(10)).await.unwrap().id;
    let put_off = enqueue(&world.app, &by(), new().after(Duration::from_secs(3600))).await.unwrap().id;
    let runner = world.run(quick(), |options| options.concurrency = 1);
    let later = world.until(later, JobState::Succeeded).await;
    let urgent = world.until(urgent, JobState::Succeeded).await;
    assert!(urgent.started_at < later.started_at);
    assert_eq!(world.job(put_off).await.state, JobState::Queued);
    runner.end().await;
}
