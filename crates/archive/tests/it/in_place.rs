//! A tenant that is put back to what it was.

use clinicx_archive::{ArchiveError, Target, Watch};
use clinicx_migration::system::SystemRole;
use clinicx_tenancy::{TenancyError, TenantStatus, registry};
use clinicx_types::id::TenantId;

use crate::support::{Clinic, find};

#[tokio::test]
async fn a_tenant_is_put_back_and_what_it_was_is_kept() {
    let clinic = Clinic::open().await;
    let tenant = clinic.tenant.tenant.clone();
    let (archivist, watch) = (clinic.archivist(), Watch::default());
    let archived = clinic.contents(&tenant.database_schema).await;
    let backup = clinic.back_up().await;
    clinic.patient("Latecomer").await;
    clinic.invoice().await;
    let later = clinic.contents(&tenant.database_schema).await;

    // Not while it is served.
    let kept = Target::keeping(&tenant, TenantId::new(clinic.by.next_id()));
    let served = archivist.put_back(&backup, &tenant, &kept, &clinic.by, &watch).await.unwrap_err();
    assert!(matches!(served, ArchiveError::Tenancy(TenancyError::RefusedTransition { .. })), "{served:?}");
    clinic.tenant.tenancy.suspend(&tenant.slug, None, &clinic.by).await.unwrap();
    let back = archivist.put_back(&backup, &tenant, &kept, &clinic.by, &watch).await.unwrap();
    assert_eq!((back.tenant.id, back.tenant.status), (tenant.id, TenantStatus::Suspended));
    assert_eq!(clinic.contents(&tenant.database_schema).await, archived);
    assert_eq!((back.kept.id, back.kept.status), (kept.id, TenantStatus::Archived));
    assert_eq!(clinic.contents(&back.kept.database_schema).await, later);
    clinic.has_no_gaps(&back.tenant).await;
    clinic.has_no_gaps(&back.kept).await;

    // It is served again, by connections that have seen the old tables too, and numbers go on.
    clinic.tenant.tenancy.resume(&tenant.slug, None, &clinic.by).await.unwrap();
    assert_eq!(find(&clinic, "A Haddad 2").await.1.as_deref(), Some("afraid of needles"));
    assert!(find(&clinic, "A Latecomer").await.0.is_empty());
    assert_eq!(clinic.invoice().await, "INV-2026-00003");
    clinic.patient("Latecomer").await;
    let actions = clinic.actions(&tenant).await;
    assert!(actions.contains(&"tenant.put_back".to_owned()), "{actions:?}");
    let app = clinic.tenant.database.system(SystemRole::App).await;
    let read = registry::find_by_id(&app, tenant.id).await.unwrap().unwrap();
    assert_eq!((&read.modules, read.schema_version), (&tenant.modules, tenant.schema_version));
}

#[tokio::test]
async fn whoever_begins_again_keeps_one_copy_and_stops_without_a_trace() {
    let clinic = Clinic::open().await;
    let tenant = clinic.tenant.tenant.clone();
    let archivist = clinic.archivist();
    let backup = clinic.back_up().await;
    clinic.patient("Latecomer").await;
    clinic.tenant.tenancy.suspend(&tenant.slug, None, &clinic.by).await.unwrap();
    let later = clinic.contents(&tenant.database_schema).await;
    let kept = Target::keeping(&tenant, TenantId::new(clinic.by.next_id()));
    // Cancelled in the middle of filling the new tables: the copy is there, and the tenant is what it was.
    let stop = tokio_util::sync::CancellationToken::new();
    let seen = std::sync::Mutex::new((0_u64, 0));
    let after = |progress: clinicx_archive::Progress| {
        let mut seen = seen.lock().unwrap();
        let begun_anew = progress.tables < seen.0;
        *seen = (progress.tables, seen.1 + usize::from(begun_anew));
        if seen.1 == 1 && progress.tables > 10 {
            stop.cancel();
        }
    };
    let watch = Watch::stopped_by(stop.clone()).telling(&after);
    let stopped = archivist.put_back(&backup, &tenant, &kept, &clinic.by, &watch).await.unwrap_err();
    assert!(matches!(stopped, ArchiveError::Stopped), "{stopped:?}");
    assert_eq!(clinic.contents(&tenant.database_schema).await, later);
    let back = archivist.put_back(&backup, &tenant, &kept, &clinic.by, &Watch::default()).await.unwrap();
    assert_eq!(clinic.contents(&back.kept.database_schema).await, later);
    assert_ne!(clinic.contents(&tenant.database_schema).await, later);
}

#[tokio::test]
async fn a_key_that_was_destroyed_since_does_not_come_back() {
    let clinic = Clinic::open().await;
    let (tenant, tenancy) = (clinic.tenant.tenant.clone(), &clinic.tenant.tenancy);
    let backup = clinic.back_up().await;
    let change = tenancy.begin_key_change(&tenant, &clinic.by).await.unwrap();
    let columns = crate::support::sealed();
    assert!(tenancy.reseal(&tenant, &columns, &clinic.by, || {}).await.unwrap().complete);
    tenancy.suspend(&tenant.slug, None, &clinic.by).await.unwrap();
    let kept = Target::keeping(&tenant, TenantId::new(clinic.by.next_id()));
    let (archivist, watch) = (clinic.archivist(), Watch::default());
    archivist.put_back(&backup, &tenant, &kept, &clinic.by, &watch).await.unwrap();
    let left = tenancy.values_to_reseal(&tenant, change.version, &columns).await.unwrap();
    assert_eq!(left, 0, "everything is under the new key");
    tenancy.resume(&tenant.slug, None, &clinic.by).await.unwrap();
    let clinic = clinic.in_tenant(&tenant).await;
    assert_eq!(find(&clinic, "A Haddad 2").await.1.as_deref(), Some("afraid of needles"));
}
