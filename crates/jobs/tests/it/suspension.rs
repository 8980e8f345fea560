//! Tenants that are not served wait, and lose no try by it.

use clinicx_jobs::{JobSet, JobState};
use clinicx_types::name::ModuleName;
use serde_json::json;

use crate::support::{Gated, GatedInTenant, Quick, World, by, name_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_tenants_jobs_wait_until_it_is_resumed() {
    let world = World::new().await;
    let (asleep, awake) = (world.tenant().await, world.tenant().await);
    world.tenancy.suspend(&asleep.tenant.slug, None, &by()).await.unwrap();
    let waiting = world.in_tenant::<Quick>(&asleep, ()).await;
    let runner = world.run(JobSet::new().kind(Quick::default()).unwrap(), |_| {});
    for _ in 0..3 {
        let other = world.in_tenant::<Quick>(&awake, ()).await;
        world.until(other, JobState::Succeeded).await;
    }
    let job = world.job(waiting).await;
    assert_eq!((job.state, job.attempts, job.started_at), (JobState::Queued, 0, None));
    world.tenancy.resume(&asleep.tenant.slug, None, &by()).await.unwrap();
    let job = world.until(waiting, JobState::Succeeded).await;
    assert_eq!((job.output, job.attempts), (Some(json!(name_of(&asleep))), 1));
    runner.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_tenant_is_suspended_meanwhile_is_no_failure() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let work = Gated::new("work");
    let runner = world.run(work.set(), |_| {});
    let id = world.in_tenant::<GatedInTenant>(&tenant, ()).await;
    work.arrives().await;
    world.tenancy.suspend(&tenant.tenant.slug, None, &by()).await.unwrap();
    work.open();
    let job = world.until(id, JobState::Queued).await;
    assert_eq!((job.attempts, job.error), (0, None));
    world.tenancy.resume(&tenant.tenant.slug, None, &by()).await.unwrap();
    world.meddle("UPDATE public.jobs SET run_after = now()").await;
    work.open();
    assert_eq!(world.until(id, JobState::Succeeded).await.attempts, 1);
    runner.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_being_migrated_or_is_behind_is_let_be() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let schema = tenant.tenant.database_schema.as_str();
    let mut migrator = world.database.superuser().await;
    let lock = format!("SELECT pg_advisory_lock(hashtextextended('{schema}', 7))");
    sqlx::query(sqlx::AssertSqlSafe(lock)).execute(&mut migrator).await.unwrap();
    let runner = world.run(JobSet::new().kind(Quick::default()).unwrap(), |_| {});
    let id = world.in_tenant::<Quick>(&tenant, ()).await;
    let put_back = async || {
        crate::support::eventually("it was put back", || async {
            let waits =
                format!("id = '{id}' AND state = 'queued' AND started_at IS NOT NULL AND attempts = 0");
            (world.count(&waits).await == 1).then_some(())
        })
        .await;
    };
    put_back().await;
    let core = ModuleName::parse("core").unwrap();
    let at = async |position: i32| {
        let statement =
            format!("UPDATE public.tenant_modules SET schema_version = {position} WHERE module = 'core'");
        world.meddle(&statement).await;
    };
    at(1).await;
    world.meddle("UPDATE public.jobs SET run_after = now(), started_at = NULL").await;
    drop(migrator);
    put_back().await;
    at(tenant.tenant.position(&core)).await;
    world.meddle("UPDATE public.jobs SET run_after = now()").await;
    assert_eq!(world.until(id, JobState::Succeeded).await.attempts, 1);
    runner.end().await;
}
