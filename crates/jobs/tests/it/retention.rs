//! The end of jobs that ended long ago.

use std::time::Duration;

use clinicx_jobs::{JobSet, JobState, Retention};
use clinicx_tenancy::Purge;
use serde_json::json;

use crate::support::{Gated, Quick, World, by};

#[tokio::test(flavor = "multi_thread")]
async fn ended_jobs_go_after_their_time_and_a_purged_tenants_wait_no_more() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let (young, waits) = (world.on_platform::<Gated>(()).await, world.on_platform::<Gated>(()).await);
    world
        .meddle(
            "INSERT INTO public.jobs (id, kind, input, state, max_attempts, request_id, finished_at)
             SELECT gen_random_uuid(), 'test.gated', 'null', 'succeeded', 1, gen_random_uuid(), now() - interval '31 days'
             FROM generate_series(1, 2500)",
        )
        .await;
    world
        .meddle(&format!("UPDATE public.jobs SET state = 'failed', finished_at = now() - interval '29 days' WHERE id = '{young}'"))
        .await;
    let theirs = world.in_tenant::<Quick>(&tenant, ()).await;
    world.tenancy.archive(&tenant.tenant.slug, None, &by()).await.unwrap();
    let purge = Purge::Now { confirm: Some(tenant.tenant.slug.to_string()) };
    world.tenancy.purge(&tenant.tenant.slug, None, &purge, &by(), Vec::new()).await.unwrap();
    let keep = Duration::from_secs(30 * 86_400);
    let runner = world.run(JobSet::new().kind(Retention { keep }).unwrap(), |_| {});
    let id = world.on_platform::<Retention>(()).await;
    let job = world.until(id, JobState::Succeeded).await;
    assert_eq!(job.output, Some(json!({"removed": 2500, "cancelled": 1})));
    assert_eq!(job.progress.map(|progress| progress.done), Some(2500));
    assert_eq!(world.job(young).await.state, JobState::Failed);
    assert_eq!(world.job(waits).await.state, JobState::Queued);
    let theirs = world.job(theirs).await;
    assert_eq!((theirs.state, theirs.error.unwrap().code), (JobState::Cancelled, "tenant_gone".to_owned()));
    runner.end().await;
}
