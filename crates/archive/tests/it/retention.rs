//! What is kept, what is due, and that nothing is left when nothing is to be left.

use std::{sync::Arc, time::Duration};

use clinicx_archive::{BackupState, Retention, Watch, registry};
use clinicx_tenancy::PlatformScope;
use clinicx_testing::{TestDatabase, TestTenant};
use clinicx_types::clock::FixedClock;

use crate::support::Clinic;

const DAY: Duration = Duration::from_secs(86_400);

/// A clinic in a database of its own: retention looks at all tenants.
async fn alone() -> Clinic {
    let database = TestDatabase::create().await;
    let tenant = TestTenant::builder().database(&database).modules(&[]).create().await;
    Clinic::of(tenant, Arc::new(tempfile::tempdir().unwrap()))
}

fn in_days(clinic: &Clinic, days: i64) -> PlatformScope {
    let now = clinic.by.now() + chrono::TimeDelta::days(days);
    PlatformScope { clock: Arc::new(FixedClock(now)), ..clinic.by.clone() }
}

#[tokio::test]
async fn what_is_old_goes_but_for_the_newest_and_the_newest_that_was_proven() {
    let clinic = alone().await;
    let archivist = clinic.archivist();
    let mut backups = Vec::new();
    for _ in 0..5 {
        backups.push(clinic.back_up().await);
    }
    archivist.verify(&backups[1], &clinic.by, &Watch::default()).await.unwrap();
    let retention = Retention { keep_for: 7 * DAY, keep_last: 2 };
    assert_eq!(archivist.retain(retention, &in_days(&clinic, 6)).await.unwrap().expired, 0);
    assert_eq!(archivist.retain(retention, &in_days(&clinic, 8)).await.unwrap().expired, 2);
    let kept = [backups[1].id, backups[3].id, backups[4].id];
    assert_eq!(clinic.store().list(clinic.tenant.tenant.id).await.unwrap(), kept);
    let app = clinic.tenant.tenancy.app();
    let stored = registry::of_tenant(app, clinic.tenant.tenant.id, BackupState::Stored).await.unwrap();
    assert_eq!(stored.iter().map(|backup| backup.id).rev().collect::<Vec<_>>(), kept);
    assert!(clinic.actions(&clinic.tenant.tenant).await.contains(&"tenant.backup_removed".to_owned()));
}

#[tokio::test]
async fn a_tenant_is_due_when_its_last_backup_is_old() {
    let clinic = alone().await;
    let archivist = clinic.archivist();
    let slugs = async |days: i64| {
        let due = archivist.due(DAY, &in_days(&clinic, days)).await.unwrap();
        due.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let own = clinic.tenant.tenant.slug.to_string();
    assert_eq!(slugs(0).await, [own.as_str()]);
    clinic.back_up().await;
    assert!(slugs(0).await.is_empty());
    assert_eq!(slugs(2).await, [own]);
    clinic.tenant.tenancy.suspend(&clinic.tenant.tenant.slug, None, &clinic.by).await.unwrap();
    assert!(slugs(2).await.is_empty());
}

#[tokio::test]
async fn what_a_dead_process_has_begun_is_swept() {
    let clinic = alone().await;
    let (tenant, archivist) = (clinic.tenant.tenant.clone(), clinic.archivist());
    let mut superuser = clinic.tenant.database.superuser().await;
    let id = clinicx_archive::ArchiveId::new(clinic.by.next_id());
    sqlx::query(
        "INSERT INTO public.tenant_backups (id, tenant_id, tenant_slug, state, reason, location, started_at) \
         VALUES ($1, $2, 'x', 'running', 'demand', 'x', now())",
    )
    .bind(id.uuid())
    .bind(tenant.id.uuid())
    .execute(&mut superuser)
    .await
    .unwrap();
    let place = clinicx_archive::Place { tenant: tenant.id, archive: id };
    let mut draft = clinic.store().begin(place).await.unwrap();
    draft.create("patients.rows").await.unwrap();
    assert!(clinic.store().holds(tenant.id).await.unwrap());
    let retention = Retention { keep_for: DAY, keep_last: 1 };
    assert_eq!(archivist.retain(retention, &clinic.by).await.unwrap().abandoned, 0);
    assert_eq!(archivist.retain(retention, &in_days(&clinic, 2)).await.unwrap().abandoned, 1);
    assert!(!clinic.store().holds(tenant.id).await.unwrap());
    let row = registry::get(clinic.tenant.tenancy.app(), None, id).await.unwrap();
    assert_eq!(
        (row.state, row.error.as_deref()),
        (BackupState::Failed, Some("the process that wrote it has ended"))
    );
}

#[tokio::test]
async fn all_of_a_tenants_archives_can_be_removed() {
    let clinic = alone().await;
    let other = Clinic::of(clinic.tenant.another().await, Arc::clone(&clinic.folder));
    let (one, kept) = (clinic.back_up().await, other.back_up().await);
    clinic.back_up().await;
    let archivist = clinic.archivist();
    assert_eq!(archivist.remove_all(&clinic.tenant.tenant, &clinic.by).await.unwrap(), 2);
    assert!(!clinic.store().holds(clinic.tenant.tenant.id).await.unwrap());
    assert_eq!(clinic.store().list(other.tenant.tenant.id).await.unwrap(), [kept.id]);
    archivist.verify(&one, &clinic.by, &Watch::default()).await.unwrap_err();
    archivist.verify(&kept, &clinic.by, &Watch::default()).await.unwrap();
    assert_eq!(archivist.remove_all(&clinic.tenant.tenant, &clinic.by).await.unwrap(), 0);
}
