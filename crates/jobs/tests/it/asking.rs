//! Asking for jobs, and looking at them.

use std::collections::BTreeSet;

use clinicx_jobs::{JobFilter, JobState, NewJob, enqueue, query};
use clinicx_migration::system::SystemRole;
use clinicx_persistence::{Actor, Failure, FailureKind, SystemExecutor};
use clinicx_tenancy::PlatformScope;
use clinicx_types::{
    clock::{IdSource, RandomIds},
    id::UserId,
    page::PageRequest,
};
use sea_orm::{DbBackend, Statement};

use crate::support::{Gated, Quick, Tally, World, by};

#[tokio::test]
async fn a_job_comes_with_its_transaction_or_not_at_all() {
    let world = World::new().await;
    let control = world.database.system(SystemRole::Control).await;
    for (db, commits) in [(&world.app, false), (&world.app, true), (&control, true)] {
        let tx = db.begin().await.unwrap();
        let asked = enqueue(&tx, &by(), NewJob::<Tally>::on_platform(1)).await.unwrap();
        assert!(asked.is_new);
        assert_eq!(query::find(&world.app, asked.id).await.unwrap(), None);
        if commits {
            tx.commit().await.unwrap();
        } else {
            tx.rollback().await.unwrap();
        }
        let found = query::find(&world.app, asked.id).await.unwrap();
        assert_eq!(found.map(|job| job.state), commits.then_some(JobState::Queued));
    }
}

#[tokio::test]
async fn what_a_person_asks_for_leaves_an_audit_row() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let user = UserId::new(RandomIds.next());
    let operator = PlatformScope { actor: Actor::Operator(user), ..by() };
    let new = || NewJob::<Quick>::in_tenant(tenant.tenant.id, ());
    let theirs = enqueue(&world.app, &operator, new()).await.unwrap().id;
    let ours = enqueue(&world.app, &by(), new()).await.unwrap().id;
    let rows: Vec<(uuid::Uuid, Option<uuid::Uuid>, uuid::Uuid)> = sqlx::query_as(
        "SELECT entity_id, tenant_id, actor_id FROM public.audit_logs WHERE action = 'job.enqueued'",
    )
    .fetch_all(&mut world.database.superuser().await)
    .await
    .unwrap();
    assert_eq!(rows, [(theirs.uuid(), Some(tenant.tenant.id.uuid()), user.uuid())]);
    let (theirs, ours) = (world.job(theirs).await, world.job(ours).await);
    assert_eq!((theirs.created_by, ours.created_by), (Some(user.uuid()), None));
    assert_eq!(theirs.request_id, operator.request_id.uuid());
}

#[tokio::test]
async fn a_unique_key_is_one_kinds_and_tenants_while_its_job_goes_on() {
    let world = World::new().await;
    let (one, two) = (world.tenant().await, world.tenant().await);
    let ask = async |new| enqueue(&world.app, &by(), new).await.unwrap();
    let in_one = || NewJob::<Quick>::in_tenant(one.tenant.id, ()).unique("weekly");
    let first = ask(in_one()).await;
    assert_eq!(ask(in_one()).await.id, first.id);
    assert!(!ask(in_one()).await.is_new);
    assert!(ask(NewJob::<Quick>::in_tenant(two.tenant.id, ()).unique("weekly")).await.is_new);
    assert!(
        enqueue(&world.app, &by(), NewJob::<Tally>::on_platform(1).unique("weekly")).await.unwrap().is_new
    );
    world.meddle("UPDATE public.jobs SET state = 'failed', finished_at = now()").await;
    assert!(ask(in_one()).await.is_new);
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let mut all = BTreeSet::new();
    for _ in 0..5 {
        all.insert(world.in_tenant::<Quick>(&tenant, ()).await);
        all.insert(world.on_platform::<Gated>(()).await);
    }
    let read = async |filter: JobFilter| {
        let mut page = PageRequest::first(3).unwrap();
        page.count = true;
        let mut found = Vec::new();
        loop {
            let jobs = query::list(&world.app, &filter, &page).await.unwrap();
            found.extend(jobs.items.iter().map(|job| job.id));
            match jobs.next {
                Some(next) => page.after = Some(next),
                None => {
                    assert_eq!(jobs.total, u64::try_from(found.len()).ok());
                    return found;
                }
            }
        }
    };
    let newest_first: Vec<_> = all.iter().rev().copied().collect();
    assert_eq!(read(JobFilter::default()).await, newest_first);
    let of_tenant = JobFilter { tenant: Some(tenant.tenant.id), ..JobFilter::default() };
    assert_eq!(read(of_tenant).await.len(), 5);
    let of_kind = JobFilter { kind: Some("test.gated".to_owned()), ..JobFilter::default() };
    assert_eq!(read(of_kind).await.len(), 5);
    let running = JobFilter { state: Some(JobState::Running), ..JobFilter::default() };
    assert_eq!(read(running).await.len(), 0);
}

#[tokio::test]
async fn no_login_of_the_service_makes_a_job_anothers() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let id = world.in_tenant::<Quick>(&tenant, ()).await;
    let control = world.database.system(SystemRole::Control).await;
    for db in [&world.app, &control] {
        for change in ["tenant_id = NULL", "kind = 'x'", "input = '1'", "id = gen_random_uuid()"] {
            let text = format!("UPDATE public.jobs SET {change} WHERE id = '{id}'");
            let refused = db.execute(Statement::from_string(DbBackend::Postgres, text)).await.unwrap_err();
            assert_eq!(Failure::of(&refused).kind, FailureKind::Fenced, "{change}");
        }
    }
    let look = Statement::from_string(DbBackend::Postgres, "SELECT id FROM public.jobs");
    let tenants = sea_orm::ConnectionTrait::query_all_raw(&tenant.connection, look).await.unwrap_err();
    assert_eq!(Failure::of(&tenants).sqlstate.as_deref(), Some("42501"), "a tenant's role sees no job");
}
