//! A tenant's job works in its own tenant, whatever is done to the table meanwhile.

use clinicx_jobs::JobState;
use serde_json::json;

use crate::support::{Gated, GatedInTenant, World, name_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_given_to_another_tenant_after_its_claim_stays_where_it_is() {
    let world = World::new().await;
    let (own, other) = (world.tenant().await, world.tenant().await);
    let work = Gated::new("work");
    let runner = world.run(work.set(), |_| {});
    let id = world.in_tenant::<GatedInTenant>(&own, ()).await;
    work.arrives().await;
    world.meddle(&format!("UPDATE public.jobs SET tenant_id = '{}'", other.tenant.id)).await;
    work.open();
    let job = world.until(id, JobState::Succeeded).await;
    assert_eq!(job.output, Some(json!(name_of(&own))));
    assert_eq!(job.tenant.as_deref(), Some(other.tenant.slug.as_str()), "the row says something else");
    runner.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_reaches_differently_far_than_its_kind_is_refused() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let work = Gated::new("work");
    let of_tenant = world.in_tenant::<GatedInTenant>(&tenant, ()).await;
    let of_platform = world.on_platform::<Gated>(()).await;
    world.meddle(&format!("UPDATE public.jobs SET tenant_id = NULL WHERE id = '{of_tenant}'")).await;
    let gift =
        format!("UPDATE public.jobs SET tenant_id = '{}' WHERE id = '{of_platform}'", tenant.tenant.id);
    world.meddle(&gift).await;
    let runner = world.run(work.set(), |_| {});
    for id in [of_tenant, of_platform] {
        let job = world.until(id, JobState::Failed).await;
        assert_eq!(job.error.unwrap().code, "job_scope");
    }
    assert_eq!(work.arrived.available_permits(), 0, "neither was begun");
    runner.end().await;
}
