//! Finding the tenant of a request.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use clinicx_migration::tenant;
use clinicx_tenancy::{Module, ModuleRegistry, Resolver, TenancyError, Tenant, TenantStatus};
use clinicx_testing::TestTenant;
use clinicx_types::{
    id::TenantId,
    module::ModuleFacts,
    name::{ModuleName, TenantSlug},
};

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
    let core = |tenant: &mut Tenant, by: i32| {
        *tenant.positions.get_mut(&"core".parse::<ModuleName>().unwrap()).unwrap() += by;
    };
    let mut old = test.tenant.clone();
    core(&mut old, -1);
    assert_eq!(resolver(&test).require_served(&old), Err(TenancyError::UpgradeRequired));
    let mut newer = test.tenant.clone();
    core(&mut newer, 1);
    assert_eq!(resolver(&test).require_served(&newer), Ok(()));
    // What another module has too much makes up for nothing.
    old.positions.insert("dental".parse().unwrap(), 99);
    old.schema_version.modules += 99;
    assert_eq!(resolver(&test).require_served(&old), Err(TenancyError::UpgradeRequired));
    let mut alien = test.tenant.clone();
    alien.modules.insert("alien".parse().unwrap());
    assert_eq!(resolver(&test).require_served(&alien), Err(TenancyError::UpgradeRequired));
}

#[tokio::test]
async fn tenants_between_the_oldest_and_the_newest_are_served() {
    let test = TestTenant::with_modules(&[]).await;
    let newest = tenant::core::MIGRATIONS.newest();
    let serving = |from: Option<i32>| {
        let migrations = tenant::ModuleMigrations { serves_from: from, ..tenant::core::MIGRATIONS };
        let core = Module { name: "core", migrations, facts: ModuleFacts::default() };
        ModuleRegistry::new([core]).unwrap()
    };
    let check = |from: Option<i32>, position: i32, expected: Result<(), TenancyError>| {
        let mut tenant = test.tenant.clone();
        tenant.positions.insert("core".parse().unwrap(), position);
        assert_eq!(serving(from).require_served(&tenant), expected, "{from:?} {position}");
        assert_eq!(serving(from).is_newest(&tenant), position >= newest);
    };
    let refused = || Err(TenancyError::UpgradeRequired);
    check(None, newest - 1, refused());
    check(None, newest, Ok(()));
    check(Some(newest - 2), newest - 3, refused());
    check(Some(newest - 2), newest - 2, Ok(()));
    check(Some(newest - 2), newest + 1, Ok(()));
    check(Some(newest + 7), newest, Ok(()));
}
