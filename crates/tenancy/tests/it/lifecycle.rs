//! The states of tenants, and the fence in the database around each but one.

use std::{collections::BTreeMap, time::Duration};

use clinicx_migration::{fence, system::SystemRole};
use clinicx_persistence::{Failure, FailureKind};
use clinicx_tenancy::{Purge, TenancyError, TenantLimits, TenantPatch, TenantStatus, registry};
use clinicx_testing::TestTenant;
use clinicx_types::error::DomainError;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use sqlx::{Executor, types::Uuid};

use crate::by;

async fn read(test: &TestTenant) -> Result<(), FailureKind> {
    let statement = Statement::from_string(DbBackend::Postgres, "SELECT id FROM outbox LIMIT 1");
    test.connection.query_all_raw(statement).await.map(drop).map_err(|error| Failure::of(&error).kind)
}

async fn gaps(test: &TestTenant) -> Vec<fence::Gap> {
    let app = test.database.system(SystemRole::App).await;
    fence::check(&app, &test.database.roles(), Some(&test.tenant.database_schema)).await.unwrap()
}

#[tokio::test]
async fn a_suspended_tenant_is_fenced_in_the_database_until_it_is_resumed() {
    let test = TestTenant::create().await;
    let slug = &test.tenant.slug;
    assert_eq!(read(&test).await, Ok(()));
    let suspended = test.tenancy.suspend(slug, None, &by()).await.unwrap();
    assert_eq!((suspended.status, suspended.version), (TenantStatus::Suspended, test.tenant.version + 1));
    // The same connection, the same prepared statement, a process that has not heard of it.
    assert_eq!(read(&test).await, Err(FailureKind::Fenced));
    assert_eq!(gaps(&test).await, Vec::new());
    let resumed = test.tenancy.resume(slug, Some(suspended.version), &by()).await.unwrap();
    assert_eq!(resumed.status, TenantStatus::Active);
    assert_eq!(read(&test).await, Ok(()));
    assert_eq!(gaps(&test).await, Vec::new());
}

#[tokio::test]
async fn each_state_leads_only_where_it_may() {
    let test = TestTenant::with_modules(&[]).await;
    let (slug, tenancy) = (&test.tenant.slug, &test.tenancy);
    let refused = |result: Result<clinicx_tenancy::Tenant, TenancyError>, allowed: &[&str]| {
        let error = result.unwrap_err();
        assert_eq!(error.code(), "transition_refused", "{error:?}");
        assert_eq!(error.allowed(), allowed);
    };
    let confirm = Purge::Now { confirm: Some(slug.to_string()) };
    refused(tenancy.resume(slug, None, &by()).await, &["suspended", "archived"]);
    refused(tenancy.restore(slug, None, &by()).await, &["suspended", "archived"]);
    refused(tenancy.purge(slug, None, &confirm, &by(), Vec::new()).await, &["suspended", "archived"]);
    tenancy.suspend(slug, None, &by()).await.unwrap();
    refused(tenancy.suspend(slug, None, &by()).await, &["active", "archived"]);
    tenancy.archive(slug, None, &by()).await.unwrap();
    refused(tenancy.resume(slug, None, &by()).await, &["active", "purged"]);
    assert_eq!(read(&test).await, Err(FailureKind::Fenced));
    tenancy.restore(slug, None, &by()).await.unwrap();
    assert_eq!(read(&test).await, Ok(()));
    tenancy.archive(slug, None, &by()).await.unwrap();
    tenancy.purge(slug, None, &confirm, &by(), Vec::new()).await.unwrap();
    refused(tenancy.restore(slug, None, &by()).await, &[]);
    refused(tenancy.archive(slug, None, &by()).await, &[]);
}

#[tokio::test]
async fn a_stale_version_changes_nothing() {
    let test = TestTenant::with_modules(&[]).await;
    let error = test.tenancy.suspend(&test.tenant.slug, Some(7), &by()).await.unwrap_err();
    assert_eq!(error, TenancyError::VersionMismatch { current: 1 });
    let patch = TenantPatch { name: Some("New".to_owned()), ..TenantPatch::default() };
    let error = test.tenancy.update(&test.tenant.slug, patch, Some(7), &by()).await.unwrap_err();
    assert_eq!(error, TenancyError::VersionMismatch { current: 1 });
    assert_eq!(read(&test).await, Ok(()));
    let archived = test.tenancy.archive(&test.tenant.slug, None, &by()).await.unwrap();
    let purge = Purge::Now { confirm: Some(test.tenant.slug.to_string()) };
    let stale = Some(archived.version - 1);
    let error = test.tenancy.purge(&test.tenant.slug, stale, &purge, &by(), Vec::new()).await.unwrap_err();
    assert_eq!(error, TenancyError::VersionMismatch { current: archived.version });
    let still = registry::get_by_slug(test.tenancy.control(), &test.tenant.slug).await.unwrap();
    assert_eq!(still.status, TenantStatus::Archived);
}

#[tokio::test]
async fn a_purge_needs_the_slug_and_the_retention_time() {
    let test = TestTenant::with_modules(&[]).await;
    let (slug, tenancy) = (&test.tenant.slug, &test.tenancy);
    tenancy.archive(slug, None, &by()).await.unwrap();
    for confirm in [None, Some("other".to_owned())] {
        let error = tenancy.purge(slug, None, &Purge::Now { confirm }, &by(), Vec::new()).await.unwrap_err();
        assert_eq!(error.fields()[0].pointer, "?confirm");
    }
    let patient = Purge::AfterRetention { confirm: Some(slug.to_string()) };
    let unasked = (Purge::AfterRetention { confirm: None }, Purge::Now { confirm: None });
    let error = tenancy.check_purge(slug, &unasked.0, &by()).await.unwrap_err();
    assert_eq!(error.code(), "retention_not_over");
    assert_eq!(tenancy.check_purge(slug, &unasked.1, &by()).await.unwrap().status, TenantStatus::Archived);
    let error = tenancy.purge(slug, None, &patient, &by(), Vec::new()).await.unwrap_err();
    assert_eq!(error.code(), "retention_not_over");
    let mut later = by();
    let in_40_days = later.now() + chrono::TimeDelta::days(40);
    later.clock = std::sync::Arc::new(clinicx_types::clock::FixedClock(in_40_days));
    let purged = tenancy.purge(slug, None, &patient, &later, Vec::new()).await.unwrap();
    assert_eq!(purged.status, TenantStatus::Purged);
}

#[tokio::test]
async fn a_purge_leaves_a_tombstone_and_nothing_else() {
    let test = TestTenant::create().await;
    let neighbour = test.another().await;
    let slug = &test.tenant.slug;
    test.tenancy.archive(slug, None, &by()).await.unwrap();
    let purge = Purge::Now { confirm: Some(slug.to_string()) };
    let purged = test.tenancy.purge(slug, None, &purge, &by(), Vec::new()).await.unwrap();
    assert_eq!(purged.name, slug.as_str());
    assert!(purged.modules.is_empty() && purged.limits == TenantLimits::default());
    assert_eq!(purged.require_active(), Err(TenancyError::Gone));
    let left: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = $1) \
              + (SELECT count(*) FROM pg_roles WHERE rolname = $1)",
    )
    .bind(test.tenant.database_schema.as_str())
    .fetch_one(&mut test.database.superuser().await)
    .await
    .unwrap();
    assert_eq!(left, 0);
    assert_eq!(read(&neighbour).await, Ok(()));
    let listed = registry::list(
        test.tenancy.control(),
        &registry::TenantFilter { q: Some(slug.to_string()), ..registry::TenantFilter::default() },
        &clinicx_types::page::PageRequest::default(),
    )
    .await
    .unwrap();
    assert!(listed.items.is_empty(), "a tombstone is not listed unless it is asked for");
}

#[tokio::test]
async fn every_action_leaves_its_audit_row() {
    let test = TestTenant::with_modules(&[]).await;
    let (slug, tenancy) = (&test.tenant.slug, &test.tenancy);
    tenancy.suspend(slug, None, &by()).await.unwrap();
    tenancy.resume(slug, None, &by()).await.unwrap();
    let patch = TenantPatch { plan: Some(Some("gold".to_owned())), ..TenantPatch::default() };
    tenancy.update(slug, patch, None, &by()).await.unwrap();
    tenancy.enable_module(slug, "dental", &by()).await.unwrap();
    tenancy.archive(slug, None, &by()).await.unwrap();
    tenancy.suspend(slug, None, &by()).await.unwrap_err();
    let purge = Purge::Now { confirm: Some(slug.to_string()) };
    tenancy.purge(slug, None, &purge, &by(), Vec::new()).await.unwrap();
    let rows: Vec<(String, String, Option<Uuid>)> = sqlx::query_as(
        "SELECT action, actor_kind, entity_id FROM public.audit_logs WHERE tenant_id = $1 AND entity = 'tenant' \
         ORDER BY recorded_at",
    )
    .bind(test.tenant.id.uuid())
    .fetch_all(&mut test.database.superuser().await)
    .await
    .unwrap();
    let actions: Vec<&str> = rows.iter().map(|row| row.0.as_str()).collect();
    assert_eq!(
        actions,
        [
            "tenant.created",
            "tenant.suspended",
            "tenant.resumed",
            "tenant.updated",
            "tenant.module_enabled",
            "tenant.archived",
            "tenant.purged"
        ]
    );
    assert!(rows.iter().all(|row| row.1 == "system" && row.2 == Some(test.tenant.id.uuid())));
}

#[tokio::test]
async fn a_change_is_checked_and_written() {
    let test = TestTenant::with_modules(&[]).await;
    let (slug, tenancy) = (&test.tenant.slug, &test.tenancy);
    let patch = TenantPatch {
        name: Some(" New name ".to_owned()),
        plan: Some(Some("gold".to_owned())),
        limits: Some(TenantLimits { users: Some(10), ..TenantLimits::default() }),
        time_zone: Some("Asia/Tokyo".to_owned()),
    };
    let changed = tenancy.update(slug, patch, Some(1), &by()).await.unwrap();
    assert_eq!(
        (changed.name.as_str(), changed.plan.as_deref(), changed.version),
        ("New name", Some("gold"), 2)
    );
    assert_eq!(changed.time_zone, chrono_tz::Asia::Tokyo);
    let cleared = TenantPatch { plan: Some(None), ..TenantPatch::default() };
    let changed = tenancy.update(slug, cleared, None, &by()).await.unwrap();
    assert_eq!(
        (changed.plan, changed.limits),
        (None, TenantLimits { users: Some(10), ..TenantLimits::default() })
    );
    for nothing in [TenantPatch::default(), TenantPatch { plan: Some(None), ..TenantPatch::default() }] {
        assert_eq!(tenancy.update(slug, nothing, None, &by()).await.unwrap().version, changed.version);
    }
    let bad = TenantPatch {
        name: Some(String::new()),
        limits: Some(TenantLimits { burst: Some(0), ..TenantLimits::default() }),
        time_zone: Some("x".to_owned()),
        ..TenantPatch::default()
    };
    let pointers: Vec<String> = tenancy
        .update(slug, bad, None, &by())
        .await
        .unwrap_err()
        .fields()
        .into_iter()
        .map(|f| f.pointer)
        .collect();
    assert_eq!(pointers, ["/name", "/time_zone", "/limits/burst"]);
}

#[tokio::test]
async fn a_module_is_enabled_once() {
    let test = TestTenant::with_modules(&[]).await;
    let (slug, tenancy) = (&test.tenant.slug, &test.tenancy);
    let with_dental = tenancy.enable_module(slug, "dental", &by()).await.unwrap();
    assert!(with_dental.has_module("dental") && with_dental.schema_version > test.tenant.schema_version);
    assert_eq!(tenancy.enable_module(slug, "dental", &by()).await.unwrap(), with_dental);
    assert_eq!(gaps(&test).await, Vec::new());
    let error = tenancy.enable_module(slug, "x", &by()).await.unwrap_err();
    assert_eq!(error.fields()[0].pointer, "/module");
    let versions: Vec<(String, i32)> =
        sqlx::query_as("SELECT module::text, schema_version FROM public.tenant_modules WHERE tenant_id = $1")
            .bind(test.tenant.id.uuid())
            .fetch_all(&mut test.database.superuser().await)
            .await
            .unwrap();
    let counts: BTreeMap<&str, i32> = tenancy.modules().plan().counts();
    assert!(
        versions.iter().all(|(module, version)| counts.get(module.as_str()) == Some(version)),
        "{versions:?}"
    );
}

#[tokio::test]
async fn a_module_that_several_enable_at_once_is_recorded_once() {
    let test = TestTenant::with_modules(&[]).await;
    let (slug, tenancy) = (&test.tenant.slug, &test.tenancy);
    let scope = by();
    let calls = [0; 6].map(|_| tenancy.enable_module(slug, "dental", &scope));
    let [a, b, c, d, e, f] = calls;
    let (a, b, c, d, e, f) = tokio::join!(a, b, c, d, e, f);
    for result in [a, b, c, d, e, f] {
        assert!(result.unwrap().has_module("dental"));
    }
    let rows: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM public.audit_logs WHERE tenant_id = $1 AND action = 'tenant.module_enabled'",
    )
    .bind(test.tenant.id.uuid())
    .fetch_one(&mut test.database.superuser().await)
    .await
    .unwrap();
    assert_eq!(rows, 1);
}

#[tokio::test]
async fn a_tenant_that_is_archived_meanwhile_gets_no_module() {
    let test = TestTenant::with_modules(&[]).await;
    let (slug, tenancy) = (&test.tenant.slug, &test.tenancy);
    // The row is held while the module's caller has read it, and archived before it is let go.
    let mut superuser = test.database.superuser().await;
    superuser.execute("BEGIN").await.unwrap();
    sqlx::query("UPDATE public.tenants SET status = 'archived', archived_at = now(), version = version + 1 WHERE id = $1")
        .bind(test.tenant.id.uuid())
        .execute(&mut superuser)
        .await
        .unwrap();
    let scope = by();
    let archive = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        superuser.execute("COMMIT").await.unwrap();
    };
    let (result, ()) = tokio::join!(tenancy.enable_module(slug, "dental", &scope), archive);
    assert_eq!(result.unwrap_err().code(), "transition_refused");
}

#[tokio::test]
async fn a_refusal_costs_no_connection() {
    let test = TestTenant::with_modules(&[]).await;
    let (slug, tenancy) = (&test.tenant.slug, &test.tenancy);
    let backend = async || {
        sqlx::query_scalar::<_, Vec<i32>>(
            "SELECT array_agg(pid ORDER BY pid) FROM pg_stat_activity \
             WHERE usename = 'clinicx_control' AND datname = $1",
        )
        .bind(test.database.name())
        .fetch_one(&mut test.database.superuser().await)
        .await
        .unwrap()
    };
    tenancy.resume(slug, None, &by()).await.unwrap_err();
    let before = backend().await;
    for _ in 0..5 {
        tenancy.resume(slug, None, &by()).await.unwrap_err();
        tenancy.suspend(slug, Some(99), &by()).await.unwrap_err();
        tenancy.update(slug, TenantPatch::default(), Some(99), &by()).await.unwrap_err();
        let purge = Purge::Now { confirm: Some(slug.to_string()) };
        tenancy.purge(slug, None, &purge, &by(), Vec::new()).await.unwrap_err();
    }
    let after = backend().await;
    let kept = before.iter().filter(|pid| after.contains(pid)).count();
    assert!(kept > 0, "{before:?} {after:?}");
}

#[tokio::test]
async fn a_purge_leaves_no_member_and_no_session() {
    let test = TestTenant::with_modules(&[]).await;
    let neighbour = test.another().await;
    let mut superuser = test.database.superuser().await;
    let user = by().next_id();
    sqlx::query("INSERT INTO public.users (id, email, email_key, full_name) VALUES ($1, 'a@b', $2, 'A')")
        .bind(user)
        .bind(user.to_string())
        .execute(&mut superuser)
        .await
        .unwrap();
    for tenant in [&test, &neighbour] {
        let id = tenant.tenant.id.uuid();
        let script = format!(
            "INSERT INTO public.memberships (user_id, tenant_id, roles) VALUES ('{user}', '{id}', '{{owner}}'); \
             INSERT INTO public.sessions (id, family_id, user_id, tenant_id, created_at, last_used_at, expires_at) \
             VALUES (gen_random_uuid(), gen_random_uuid(), '{user}', '{id}', now(), now(), now() + interval '1 day'); \
             INSERT INTO public.refresh_tokens (token_hash, session_id, created_at, expires_at) \
             SELECT sha256(id::text::bytea), id, now(), now() FROM public.sessions WHERE tenant_id = '{id}'"
        );
        superuser.execute(sqlx::AssertSqlSafe(script)).await.unwrap();
    }
    let slug = &test.tenant.slug;
    test.tenancy.archive(slug, None, &by()).await.unwrap();
    let purge = Purge::Now { confirm: Some(slug.to_string()) };
    test.tenancy.purge(slug, None, &purge, &by(), Vec::new()).await.unwrap();
    for (tenant, left) in [(&test, 0_i64), (&neighbour, 3)] {
        let rows: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM public.memberships WHERE tenant_id = $1) \
                  + (SELECT count(*) FROM public.sessions WHERE tenant_id = $1) \
                  + (SELECT count(*) FROM public.refresh_tokens AS r JOIN public.sessions AS s ON s.id = r.session_id \
                     WHERE s.tenant_id = $1)",
        )
        .bind(tenant.tenant.id.uuid())
        .fetch_one(&mut superuser)
        .await
        .unwrap();
        assert_eq!(rows, left);
    }
}

#[tokio::test]
async fn what_was_under_way_when_a_tenant_is_suspended_is_not_committed() {
    let test = TestTenant::create().await;
    let neighbour = test.another().await;
    let insert = "INSERT INTO outbox (id, event_type, aggregate, aggregate_id, payload) \
                  VALUES (gen_random_uuid(), 'late', 'x', gen_random_uuid(), '{}')";
    let insert = || Statement::from_string(DbBackend::Postgres, insert);
    let (tx, others) = (test.connection.begin().await.unwrap(), neighbour.connection.begin().await.unwrap());
    tx.execute_raw(insert()).await.unwrap();
    others.execute_raw(insert()).await.unwrap();
    test.tenancy.suspend(&test.tenant.slug, None, &by()).await.unwrap();
    assert!(tx.commit().await.is_err());
    others.commit().await.unwrap();
    let mut superuser = test.database.superuser().await;
    for (tenant, expected) in [(&test, 0_i64), (&neighbour, 1)] {
        let count = format!(
            "SELECT count(*) FROM {}.outbox WHERE event_type = 'late'",
            tenant.tenant.database_schema
        );
        let rows: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&mut superuser).await.unwrap();
        assert_eq!(rows, expected);
    }
}
