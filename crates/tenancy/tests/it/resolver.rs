//! Finding the tenant of a request.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use clinicx_tenancy::{Resolver, TenancyError, TenantStatus};
use clinicx_testing::TestTenant;
use clinicx_types::{id::TenantId, name::TenantSlug};

use crate::{by, slug};

fn resolver(test: &TestTenant) -> Resolver {
    Resolver::new(test.tenancy.app().clone(), Arc::clone(test.tenancy.modules()))
}

#[tokio::test]
async fn a_tenant_is_found_by_id_and_by_slug() {
    let test = TestTenant::with_modules(&[]).await;
    let resolver = resolver(&test);
    let by_id = resolver.resolve_id(test.tenant.id).await.unwrap();
    let by_slug = resolver.resolve_slug(&test.tenant.slug).await.unwrap();
    assert_eq!((by_id.as_ref(), by_slug.as_ref()), (&test.tenant, &test.tenant));
    assert!(Arc::ptr_eq(&by_id, &resolver.resolve_id(test.tenant.id).await.unwrap()), "kept");
    resolver.require_served(&by_id).unwrap();
}

#[tokio::test]
async fn what_another_process_changes_is_seen_within_five_seconds() {
    let test = TestTenant::with_modules(&[]).await;
    let resolver = resolver(&test);
    resolver.resolve_slug(&test.tenant.slug).await.unwrap();
    let unknown = TenantSlug::parse(&slug()).unwrap();
    assert_eq!(resolver.resolve_slug(&unknown).await.unwrap_err(), TenancyError::UnknownTenant);
    // The change goes past this resolver, as another process's would.
    test.tenancy.suspend(&test.tenant.slug, None, &by()).await.unwrap();
    let mut new = crate::new_tenant(&test.tenancy, unknown.as_str());
    new.id = TenantId::new(by().next_id());
    test.tenancy.create(new, &by(), Vec::new()).await.unwrap();
    let started = Instant::now();
    loop {
        let tenant = resolver.resolve_slug(&test.tenant.slug).await.unwrap();
        let found = resolver.resolve_slug(&unknown).await;
        if tenant.status == TenantStatus::Suspended && found.is_ok() {
            assert_eq!(resolver.require_served(&tenant), Err(TenancyError::Suspended));
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{:?} {found:?}", tenant.status);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn this_processs_own_change_is_seen_at_once() {
    let test = TestTenant::with_modules(&[]).await;
    let resolver = resolver(&test);
    resolver.resolve_id(test.tenant.id).await.unwrap();
    let suspended = test.tenancy.suspend(&test.tenant.slug, None, &by()).await.unwrap();
    resolver.invalidate(&suspended).await;
    assert_eq!(resolver.resolve_id(test.tenant.id).await.unwrap().status, TenantStatus::Suspended);
}

#[tokio::test]
async fn a_tenant_behind_the_program_needs_an_upgrade() {
    let test = TestTenant::with_modules(&[]).await;
    let mut old = test.tenant.clone();
    old.schema_version.core -= 1;
    assert_eq!(resolver(&test).require_served(&old), Err(TenancyError::UpgradeRequired));
    let mut newer = test.tenant.clone();
    newer.schema_version.core += 1;
    assert_eq!(resolver(&test).require_served(&newer), Ok(()));
    let mut alien = test.tenant.clone();
    alien.modules.insert("alien".parse().unwrap());
    assert_eq!(resolver(&test).require_served(&alien), Err(TenancyError::UpgradeRequired));
}
