//! Looking at tenants, counting their requests, and the alerts that come of it.

use std::time::Duration;

use clinicx_tenancy::{
    PlatformScope,
    watch::{
        Activity, AlertCode, AlertFilter, Keep, Severity, Thresholds, Traffic,
        alert::{self, store},
        collect, figures,
        traffic::Answer,
    },
};
use clinicx_testing::{TestDatabase, TestTenant, database};
use clinicx_types::page::PageRequest;
use sqlx::{AssertSqlSafe, Executor, Row};

const SLOW: Duration = Duration::from_millis(300);
const KEEP: Keep = Keep {
    days: Duration::from_secs(400 * 86_400),
    hours: Duration::from_secs(35 * 86_400),
    alerts: Duration::from_secs(90 * 86_400),
};

/// A tenant with some rows, in a database of its own: a look sees everybody.
async fn watched() -> TestTenant {
    let database = TestDatabase::create().await;
    let tenant = TestTenant::builder().database(&database).create().await;
    let text = format!(
        "INSERT INTO {schema}.outbox (id, tenant_id, event_type, aggregate, aggregate_id, payload, created_at) \
         SELECT gen_random_uuid(), '{id}', 'test.planted', 'test', gen_random_uuid(), \
                jsonb_build_object('text', repeat('x', 200)), now() FROM generate_series(1, 500); \
         ANALYZE {schema}.outbox",
        schema = tenant.tenant.database_schema.quoted(),
        id = tenant.tenant.id
    );
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut database.superuser().await).await.unwrap();
    tenant
}

#[tokio::test]
async fn one_look_sees_what_all_schemas_hold() {
    let tenant = watched().await;
    let empty = tenant.another().await;
    let app = tenant.tenancy.app();
    let ids = [tenant.tenant.id, empty.tenant.id];
    let before = figures::read(app, &ids).await.unwrap();
    assert_eq!((before[&ids[0]].taken_at, before[&ids[0]].total_bytes), (None, None));

    let collected = collect::collect(app, SLOW, &KEEP).await.unwrap();
    assert_eq!((collected.tenants, collected.removed), (2, 0));
    let seen = figures::read(app, &ids).await.unwrap();
    let (full, none) = (&seen[&ids[0]], &seen[&ids[1]]);
    assert!(full.total_bytes > none.total_bytes && full.row_estimate >= Some(500), "{full:?}");
    assert!(full.table_count == none.table_count && full.table_count > Some(20), "{full:?}");
    assert!(full.index_bytes.unwrap() > 0 && full.index_bytes < full.total_bytes, "{full:?}");
    assert!(figures::read(app, &[]).await.unwrap().is_empty());

    // The views of the system say the same.
    let mut superuser = tenant.database.superuser().await;
    let row = sqlx::query("SELECT total_bytes, table_count FROM public.schema_sizes WHERE schemaname = $1")
        .bind(tenant.tenant.database_schema.as_str())
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    assert_eq!(row.get::<i64, _>(1), i64::from(full.table_count.unwrap()));
    assert!(row.get::<i64, _>(0) >= full.total_bytes.unwrap());
    // A further look of the same day changes the day's row.
    collect::collect(app, SLOW, &KEEP).await.unwrap();
    let days = figures::days(app, &tenant.tenant.slug, 10).await.unwrap();
    assert_eq!((days.len(), Some(days[0].total_bytes)), (1, full.total_bytes));
}

#[tokio::test]
async fn what_connections_do_is_seen_by_tenant() {
    let tenant = watched().await;
    let app = tenant.tenancy.app();
    let schema = &tenant.tenant.database_schema;
    let connection = tenant.connection.clone();
    let statement = clinicx_tenancy::exec::Query::parse("SELECT pg_sleep(3)").unwrap();
    let sleeper = tokio::spawn(async move {
        let wanted = clinicx_tenancy::exec::Wanted { rows: 1, limit: Duration::from_secs(20) };
        clinicx_tenancy::exec::query(&connection, &statement, wanted).await
    });
    let busy = Activity { connections: Some(1), slow_statements: Some(1) };
    let started = std::time::Instant::now();
    while Activity::of(&figures::activity(app, SLOW).await.unwrap(), schema) != busy {
        assert!(started.elapsed() < Duration::from_secs(3), "the statement is not seen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    collect::collect(app, SLOW, &KEEP).await.unwrap();
    sleeper.await.unwrap().unwrap();
    let quiet = Activity { connections: Some(0), slow_statements: Some(0) };
    assert_eq!(Activity::of(&figures::activity(app, SLOW).await.unwrap(), schema), quiet);
    let days = figures::days(app, &tenant.tenant.slug, 1).await.unwrap();
    assert_eq!((days[0].connections_most, days[0].slow_statements), (1, 1));
    let other = tenant.another().await;
    assert_eq!(
        Activity::of(&figures::activity(app, SLOW).await.unwrap(), &other.tenant.database_schema),
        quiet
    );
}

#[tokio::test]
async fn counts_of_several_processes_add_up_and_none_is_lost() {
    let tenant = TestTenant::create().await;
    let other = tenant.another().await;
    let app = tenant.tenancy.app();
    let processes = [Traffic::new(SLOW), Traffic::new(SLOW)];
    for process in &processes {
        process.count(tenant.tenant.id, Answer::Good, Duration::from_millis(10));
        process.count(tenant.tenant.id, Answer::Failed, Duration::from_millis(400));
        process.count(tenant.tenant.id, Answer::Refused, Duration::from_millis(1));
        process.count(other.tenant.id, Answer::Good, Duration::ZERO);
    }
    for process in &processes {
        assert_eq!(process.flush(app).await.unwrap(), 2);
        assert_eq!(process.flush(app).await.unwrap(), 0, "it was counted already");
    }
    let seen = figures::read(app, &[tenant.tenant.id, other.tenant.id]).await.unwrap();
    let one = &seen[&tenant.tenant.id];
    assert_eq!((one.requests, one.refused, one.errors, one.slow_requests), (6, 2, 2, 2));
    assert_eq!(one.error_rate(), Some(1.0 / 3.0));
    assert!(one.last_activity_at.is_some());
    assert_eq!(seen[&other.tenant.id].requests, 2);
    let hours = figures::hours(app, &tenant.tenant.slug, 10).await.unwrap();
    assert_eq!(hours.iter().map(|hour| hour.busy_ms).sum::<i64>(), 822);

    // While the database refuses, counts are kept.
    let process = &processes[0];
    process.count(tenant.tenant.id, Answer::Good, Duration::ZERO);
    let closed = tenant.database.system(clinicx_migration::system::SystemRole::App).await;
    closed.close().await;
    assert!(process.flush(&closed).await.is_err());
    assert_eq!(process.flush(app).await.unwrap(), 1);
    let seen = figures::read(app, &[tenant.tenant.id]).await.unwrap();
    assert_eq!(seen[&tenant.tenant.id].requests, 7);
}

#[tokio::test]
async fn alerts_open_with_their_rule_and_close_with_it() {
    let tenant = watched().await;
    let quiet = tenant.another().await;
    let app = tenant.tenancy.app();
    let modules = database::modules(&[]);
    let by = PlatformScope::system("test");
    let thresholds = Thresholds { growth_floor_bytes: 1024, error_floor: 1, ..Thresholds::default() };
    let judge = async || {
        collect::collect(app, SLOW, &KEEP).await.unwrap();
        let found = alert::judge_all(app, &modules, &thresholds, &by).await.unwrap();
        found.into_iter().map(|(id, one)| (id, one.code, one.severity)).collect::<Vec<_>>()
    };
    assert_eq!(judge().await, []);

    let mut superuser = tenant.database.superuser().await;
    let id = tenant.tenant.id;
    // As if it had been a tenth of its size eight days ago, had lost a migration, and nothing worked.
    let text = format!(
        "INSERT INTO public.tenant_statistics_days \
         SELECT tenant_id, CAST(now() AT TIME ZONE 'UTC' AS date) - 8, total_bytes / 10, 1, 0, 0, 0 \
         FROM public.tenant_statistics WHERE tenant_id = '{id}'; \
         UPDATE public.tenant_modules SET schema_version = schema_version - 1 \
         WHERE tenant_id = '{id}' AND module = 'dental'"
    );
    superuser.execute(AssertSqlSafe(text)).await.unwrap();
    let traffic = Traffic::new(SLOW);
    (0..4).for_each(|_| traffic.count(id, Answer::Failed, Duration::ZERO));
    traffic.flush(app).await.unwrap();
    let expected = [
        (id, AlertCode::TenantBehind, Severity::Critical),
        (id, AlertCode::SchemaGrowing, Severity::Warning),
        (id, AlertCode::ErrorRate, Severity::Critical),
    ];
    assert_eq!(judge().await, expected);
    assert_eq!(judge().await, expected, "they stay open, and are not opened twice");
    let mut page = PageRequest::first(2).unwrap();
    page.count = true;
    let open = AlertFilter { is_open: Some(true), ..AlertFilter::default() };
    let first = store::list(app, &open, &page).await.unwrap();
    assert_eq!((first.items.len(), first.total), (2, Some(3)));
    page.after = first.next;
    assert_eq!(store::list(app, &open, &page).await.unwrap().items.len(), 1);
    let growing = AlertFilter { code: Some(AlertCode::SchemaGrowing), tenant: Some(id), ..open };
    let growing = store::list(app, &growing, &PageRequest::default()).await.unwrap().items;
    assert!(growing[0].value.unwrap() > 800.0 && growing[0].threshold == Some(50.0), "{growing:?}");
    assert_eq!((growing[0].tenant.as_str(), growing[0].cleared_at), (tenant.tenant.slug.as_str(), None));
    let theirs = AlertFilter { tenant: Some(quiet.tenant.id), ..open };
    assert_eq!(store::list(app, &theirs, &PageRequest::default()).await.unwrap().items, []);
    let seen = figures::read(app, &[id]).await.unwrap();
    assert_eq!(seen[&id].alerts, "error_rate,schema_growing,tenant_behind");

    let text = format!(
        "DELETE FROM public.tenant_traffic_hours; DELETE FROM public.tenant_statistics_days; \
         UPDATE public.tenant_modules SET schema_version = schema_version + 1 \
         WHERE tenant_id = '{id}' AND module = 'dental'"
    );
    superuser.execute(AssertSqlSafe(text)).await.unwrap();
    assert_eq!(judge().await, []);
    let over = AlertFilter { is_open: Some(false), ..AlertFilter::default() };
    assert_eq!(store::list(app, &over, &PageRequest::default()).await.unwrap().items.len(), 3);
    assert_eq!(figures::read(app, &[id]).await.unwrap()[&id].alerts, "");
}

#[tokio::test]
async fn what_is_old_goes_and_what_a_purged_tenant_left_too() {
    let tenant = watched().await;
    let app = tenant.tenancy.app();
    let id = tenant.tenant.id;
    let mut superuser = tenant.database.superuser().await;
    let text = format!(
        "INSERT INTO public.tenant_statistics_days VALUES ('{id}', current_date - 500, 1, 1, 0, 0, 0); \
         INSERT INTO public.tenant_traffic_hours VALUES ('{id}', now() - interval '40 days', 1, 0, 0, 0, 0, now()); \
         INSERT INTO public.tenant_alerts VALUES (gen_random_uuid(), '{id}', 'error_rate', 'warning', 1, 1, now(), \
             now(), now() - interval '100 days')"
    );
    superuser.execute(AssertSqlSafe(text)).await.unwrap();
    assert_eq!(collect::collect(app, SLOW, &KEEP).await.unwrap().removed, 3);
    assert_eq!(figures::days(app, &tenant.tenant.slug, 10).await.unwrap().len(), 1);
    let purge = clinicx_tenancy::Purge::Now { confirm: Some(tenant.tenant.slug.to_string()) };
    let by = PlatformScope::system("test");
    tenant.tenancy.archive(&tenant.tenant.slug, None, &by).await.unwrap();
    tenant.tenancy.purge(&tenant.tenant.slug, None, &purge, &by, Vec::new()).await.unwrap();
    let collected = collect::collect(app, SLOW, &KEEP).await.unwrap();
    assert_eq!((collected.tenants, collected.removed), (0, 2), "its last look and its day");
}
