//! What is repeated happens once, however many look.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use clinicx_jobs::{JobSet, Schedule};

use crate::support::{Quick, Tally, World, by, eventually};

/// Due once a year, so that no test meets it by chance.
const YEARLY: &str = "7 4 3 2 *";

fn set() -> JobSet {
    let yearly = Schedule::new::<Tally>("test.yearly", YEARLY, Tz::Europe__Berlin, &7).unwrap();
    let everywhere = Schedule::new::<Quick>("test.everywhere", YEARLY, Tz::UTC, &()).unwrap();
    let kinds = JobSet::new().kind(Tally::default()).unwrap().kind(Quick::default()).unwrap();
    kinds.schedule(yearly).unwrap().schedule(everywhere).unwrap()
}

async fn next_runs(world: &World) -> Vec<(String, DateTime<Utc>, Option<DateTime<Utc>>)> {
    sqlx::query_as("SELECT name, next_run, last_run FROM public.job_schedules ORDER BY name")
        .fetch_all(&mut world.database.superuser().await)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_schedulers_make_one_job_of_what_is_due() {
    let world = World::new().await;
    let runners = [(); 3].map(|()| world.run(set(), |_| {}));
    eventually("they are registered", || async { (next_runs(&world).await.len() == 2).then_some(()) }).await;
    let planned = next_runs(&world).await;
    assert_eq!(world.count("true").await, 0, "nothing is due");
    for round in 1..=3 {
        // Missed for years: that is made up for once.
        world
            .meddle("UPDATE public.job_schedules SET next_run = now() - interval '3 years' WHERE name = 'test.yearly'")
            .await;
        eventually("it is done", || async {
            (world.count("kind = 'test.tally' AND state = 'succeeded'").await == round).then_some(())
        })
        .await;
        assert_eq!(world.count("kind = 'test.tally'").await, round);
    }
    let after = next_runs(&world).await;
    assert_eq!(after[1].1, planned[1].1, "the next time is in the future again");
    assert!(after[1].2.unwrap() < after[1].1);
    for runner in runners {
        runner.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_schedule_makes_a_job_in_every_active_tenant() {
    let world = World::new().await;
    let (one, two, asleep) = (world.tenant().await, world.tenant().await, world.tenant().await);
    world.tenancy.suspend(&asleep.tenant.slug, None, &by()).await.unwrap();
    let runner = world.run(set(), |_| {});
    eventually("it is registered", || async { (next_runs(&world).await.len() == 2).then_some(()) }).await;
    world.meddle("UPDATE public.job_schedules SET next_run = now() WHERE name = 'test.everywhere'").await;
    eventually("both are done", || async { (world.count("state = 'succeeded'").await == 2).then_some(()) })
        .await;
    for tenant in [one, two] {
        assert_eq!(world.count(&format!("tenant_id = '{}'", tenant.tenant.id)).await, 1);
    }
    assert_eq!(world.count("true").await, 2);
    runner.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_still_waits_is_not_made_twice_and_what_is_off_not_at_all() {
    let world = World::new().await;
    let runner = world.run(set(), |_| {});
    eventually("it is registered", || async { (next_runs(&world).await.len() == 2).then_some(()) }).await;
    runner.end().await;
    world
        .meddle(
            "INSERT INTO public.jobs (id, kind, unique_key, input, max_attempts, request_id, run_after)
             VALUES (gen_random_uuid(), 'test.tally', 'schedule:test.yearly', '1', 1, gen_random_uuid(),
                     now() + interval '1 hour')",
        )
        .await;
    world.meddle("UPDATE public.job_schedules SET next_run = now(), enabled = name = 'test.yearly'").await;
    let runner = world.run(set(), |_| {});
    eventually("it was looked at", || async { next_runs(&world).await[1].2 }).await;
    assert_eq!(world.count("true").await, 1);
    assert_eq!(next_runs(&world).await[0].2, None);
    runner.end().await;
}
