//! Making tenants: all of one, or nothing of it.

use std::time::Duration;

use clinicx_migration::{owner::OwnerLogin, system::SystemRole};
use clinicx_persistence::{SystemConnection, SystemOptions, Timeouts};
use clinicx_tenancy::{
    ClusterEntry, Tenancy, TenancyError, TenancyOptions, TenantStatus, draft::Tombstone, registry,
};
use clinicx_testing::TestDatabase;
use clinicx_types::name::TenantSlug;
use sea_orm::{DbBackend, Statement};
use sqlx::{Executor, types::Uuid};

use crate::{by, new_tenant, slug, tenancy};

/// What is left of a tenant in the whole database: schemas, roles, registry rows.
async fn left_of(database: &TestDatabase, slug: &str) -> (i64, i64, i64) {
    let schema = format!("tenant_{}", slug.replace('-', "_"));
    sqlx::query_as(
        "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = $1), \
                (SELECT count(*) FROM pg_roles WHERE rolname = $1), \
                (SELECT count(*) FROM public.tenants WHERE slug = $2)",
    )
    .bind(schema)
    .bind(slug)
    .fetch_one(&mut database.superuser().await)
    .await
    .unwrap()
}

fn statement(sql: &str) -> Statement {
    Statement::from_string(DbBackend::Postgres, sql)
}

#[tokio::test]
async fn a_new_tenant_is_ready_and_the_registry_says_the_same() {
    let database = TestDatabase::shared().await;
    let tenancy = tenancy(&database).await;
    let slug = slug();
    let tenant = tenancy.create(new_tenant(&tenancy, &slug), &by(), Vec::new()).await.unwrap();
    let read = registry::find_by_id(tenancy.app(), tenant.id).await.unwrap().unwrap();
    assert_eq!(read, tenant);
    assert_eq!(tenant.status, TenantStatus::Active);
    assert_eq!(tenant.database_schema.as_str(), format!("tenant_{}", slug.replace('-', "_")));
    tenancy.modules().require_served(&read).unwrap();
    assert_eq!(left_of(&database, &slug).await, (1, 1, 1));
    let mut superuser = database.superuser().await;
    let actions: Vec<String> =
        sqlx::query_scalar("SELECT action FROM public.audit_logs WHERE tenant_id = $1 AND entity = 'tenant'")
            .bind(tenant.id.uuid())
            .fetch_all(&mut superuser)
            .await
            .unwrap();
    assert_eq!(actions, ["tenant.created"]);
    let modules: i64 = sqlx::query_scalar("SELECT count(*) FROM public.tenant_modules WHERE tenant_id = $1")
        .bind(tenant.id.uuid())
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    assert_eq!(modules, 2);
}

#[tokio::test]
async fn of_eight_at_once_with_one_slug_one_wins() {
    let database = TestDatabase::shared().await;
    let tenancy = tenancy(&database).await;
    let slug = slug();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (tenancy, new) = (tenancy.clone(), new_tenant(&tenancy, &slug));
        tasks.spawn(async move { tenancy.create(new, &by(), Vec::new()).await });
    }
    let mut won = 0;
    for result in tasks.join_all().await {
        match result {
            Ok(_) => won += 1,
            Err(error) => assert_eq!(error, TenancyError::SlugTaken),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(left_of(&database, &slug).await, (1, 1, 1));
}

#[tokio::test]
async fn slugs_that_look_alike_have_schemas_of_their_own() {
    let database = TestDatabase::shared().await;
    let tenancy = tenancy(&database).await;
    let end = Uuid::new_v4().simple().to_string();
    let (one, two) = (format!("a-{}", &end[..12]), format!("a{}", &end[..12]));
    let first = tenancy.create(new_tenant(&tenancy, &one), &by(), Vec::new()).await.unwrap();
    let second = tenancy.create(new_tenant(&tenancy, &two), &by(), Vec::new()).await.unwrap();
    assert_ne!(first.database_schema, second.database_schema);
    let again = tenancy.create(new_tenant(&tenancy, &one), &by(), Vec::new()).await.unwrap_err();
    assert_eq!(again, TenancyError::SlugTaken);
}

#[tokio::test]
async fn a_schema_that_stands_there_without_a_tenant_is_not_taken_over() {
    let database = TestDatabase::shared().await;
    let tenancy = tenancy(&database).await;
    let slug = slug();
    let create = format!("CREATE SCHEMA tenant_{}", slug.replace('-', "_"));
    database.superuser().await.execute(sqlx::AssertSqlSafe(create)).await.unwrap();
    let error = tenancy.create(new_tenant(&tenancy, &slug), &by(), Vec::new()).await.unwrap_err();
    assert_eq!(error, TenancyError::NameTaken);
    assert_eq!(left_of(&database, &slug).await, (1, 0, 0));
}

#[tokio::test]
async fn what_finishes_a_creation_is_part_of_it() {
    let database = TestDatabase::shared().await;
    let tenancy = tenancy(&database).await;
    let kept = slug();
    let key = format!("finish.{kept}");
    let insert = format!("INSERT INTO public.system_configurations (key, value) VALUES ('{key}', 'true')");
    tenancy.create(new_tenant(&tenancy, &kept), &by(), vec![statement(&insert)]).await.unwrap();
    let refused = slug();
    let error =
        tenancy.create(new_tenant(&tenancy, &refused), &by(), vec![statement(&insert)]).await.unwrap_err();
    assert!(matches!(error, TenancyError::Database(_)), "{error:?}");
    assert_eq!(left_of(&database, &refused).await, (0, 0, 0));
    // The connection was given back clean: the next creation works.
    tenancy.create(new_tenant(&tenancy, &refused), &by(), Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_creation_whose_backend_is_killed_leaves_nothing() {
    let database = TestDatabase::create().await;
    let tenancy = tenancy(&database).await;
    let slug = slug();
    let task = {
        let (tenancy, new) = (tenancy.clone(), new_tenant(&tenancy, &slug));
        // It is killed while it holds everything that it has made.
        tokio::spawn(async move { tenancy.create(new, &by(), vec![statement("SELECT pg_sleep(30)")]).await })
    };
    let mut superuser = database.superuser().await;
    let killed = async {
        loop {
            let killed: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid()) AS k",
            )
            .fetch_one(&mut superuser)
            .await
            .unwrap();
            if killed > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), killed).await.unwrap();
    let error = task.await.unwrap().unwrap_err();
    assert!(matches!(error, TenancyError::Database(_)), "{error:?}");
    assert_eq!(left_of(&database, &slug).await, (0, 0, 0));
    tenancy.create(new_tenant(&tenancy, &slug), &by(), Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_creation_that_is_dropped_at_any_moment_leaves_nothing_or_all() {
    let database = TestDatabase::create().await;
    let tenancy = tenancy(&database).await;
    let mut complete = 0;
    for step in 0..24_u64 {
        let slug = slug();
        let new = new_tenant(&tenancy, &slug);
        let pause = Duration::from_millis(step * 12);
        let by = by();
        let outcome = tokio::time::timeout(pause, tenancy.create(new, &by, Vec::new())).await;
        // The server undoes what was cut off as soon as it has noticed; a new creation of the slug waits for that.
        let again = tenancy.create(new_tenant(&tenancy, &slug), &by, Vec::new()).await;
        match (outcome.is_ok(), again) {
            (_, Err(TenancyError::SlugTaken)) => complete += 1,
            (false, Ok(_)) => {}
            (dropped, again) => panic!("after {pause:?}: {dropped} {again:?}"),
        }
        assert_eq!(left_of(&database, &slug).await, (1, 1, 1), "after {pause:?}");
    }
    assert!(complete < 24, "no creation was cut off");
    let app = database.system(SystemRole::App).await;
    let gaps = clinicx_migration::fence::check(&app, &database.roles(), None).await.unwrap();
    assert_eq!(gaps, Vec::new());
}

#[tokio::test]
async fn nothing_is_seen_of_a_tenant_before_it_is_ready() {
    let database = TestDatabase::create().await;
    let tenancy = tenancy(&database).await;
    let slug = slug();
    let task = {
        let (tenancy, new) = (tenancy.clone(), new_tenant(&tenancy, &slug));
        tokio::spawn(async move { tenancy.create(new, &by(), vec![statement("SELECT pg_sleep(0.3)")]).await })
    };
    let slug = TenantSlug::parse(&slug).unwrap();
    let mut seen = Vec::new();
    while !task.is_finished() {
        if let Some(tenant) = registry::find_by_slug(tenancy.app(), &slug).await.unwrap() {
            seen.push(tenant.status);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    task.await.unwrap().unwrap();
    assert!(seen.iter().all(|status| *status == TenantStatus::Active), "{seen:?}");
}

#[tokio::test]
async fn a_tombstone_keeps_the_slug_until_an_operator_removes_it() {
    let database = TestDatabase::shared().await;
    let tenancy = tenancy(&database).await;
    let text = slug();
    let slug = TenantSlug::parse(&text).unwrap();
    let first = tenancy.create(new_tenant(&tenancy, &text), &by(), Vec::new()).await.unwrap();
    tenancy.archive(&slug, None, &by()).await.unwrap();
    let purge = clinicx_tenancy::Purge::Now { confirm: Some(text.clone()) };
    tenancy.purge(&slug, None, &purge, &by(), Vec::new()).await.unwrap();
    let error = tenancy.create(new_tenant(&tenancy, &text), &by(), Vec::new()).await.unwrap_err();
    assert_eq!(error, TenancyError::SlugTaken);
    let mut new = new_tenant(&tenancy, &text);
    new.tombstone = Tombstone::Remove;
    let second = tenancy.create(new, &by(), Vec::new()).await.unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(left_of(&database, &text).await, (1, 1, 1));
}

#[tokio::test]
async fn a_kept_connection_that_has_died_is_replaced() {
    let database = TestDatabase::create().await;
    let tenancy = tenancy(&database).await;
    tenancy.create(new_tenant(&tenancy, &slug()), &by(), Vec::new()).await.unwrap();
    let killed: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
         WHERE datname = current_database() AND usename = 'clinicx_migrator') AS k",
    )
    .fetch_one(&mut database.superuser().await)
    .await
    .unwrap();
    assert!(killed > 0);
    tenancy.create(new_tenant(&tenancy, &slug()), &by(), Vec::new()).await.unwrap();
}

#[tokio::test]
async fn one_superusers_login_can_serve_for_everything() {
    let database = TestDatabase::create().await;
    let names = database.roles();
    let pool = async |role: SystemRole| {
        SystemConnection::connect(SystemOptions {
            connect: database.superuser_options(),
            session_authorization: Some(names.of(role).clone()),
            max_connections: 2,
            acquire_timeout: Duration::from_secs(20),
            timeouts: Timeouts::SYSTEM,
        })
        .await
        .unwrap()
    };
    let tenancy = Tenancy::new(TenancyOptions {
        app: pool(SystemRole::App).await,
        control: pool(SystemRole::Control).await,
        migrator: Some(OwnerLogin::through_superuser(database.superuser_options(), &names)),
        modules: clinicx_testing::database::modules(&[]),
        keys: clinicx_testing::database::keys(),
        home: clinicx_testing::database::home(),
        others: Vec::new(),
        retention: Duration::ZERO,
    });
    tenancy.register_clusters().await.unwrap();
    let text = slug();
    let slug = TenantSlug::parse(&text).unwrap();
    tenancy.create(new_tenant(&tenancy, &text), &by(), Vec::new()).await.unwrap();
    let gaps = clinicx_migration::fence::check(tenancy.app(), &names, None).await.unwrap();
    assert_eq!(gaps, Vec::new());
    tenancy.archive(&slug, None, &by()).await.unwrap();
    let purge = clinicx_tenancy::Purge::AfterRetention { confirm: Some(text.clone()) };
    tenancy.purge(&slug, None, &purge, &by(), Vec::new()).await.unwrap();
    assert_eq!(left_of(&database, &text).await, (0, 0, 1));
}

#[tokio::test]
async fn a_region_that_is_configured_later_is_written_and_stays() {
    let database = TestDatabase::create().await;
    let tenancy = tenancy(&database).await;
    let home = clinicx_testing::database::home();
    for configured in [Some("syria"), Some("germany"), None] {
        let configuring = Tenancy::new(TenancyOptions {
            app: tenancy.app().clone(),
            control: tenancy.control().clone(),
            migrator: None,
            modules: tenancy.modules().clone(),
            keys: tenancy.keys().clone(),
            home: ClusterEntry { region: configured.map(str::to_owned), ..home.clone() },
            others: Vec::new(),
            retention: Duration::ZERO,
        });
        configuring.register_clusters().await.unwrap();
        let region: Option<String> = sqlx::query_scalar("SELECT region FROM public.clusters WHERE name = $1")
            .bind(home.name.as_str())
            .fetch_one(&mut database.superuser().await)
            .await
            .unwrap();
        assert_eq!(region.as_deref(), configured.or(Some("germany")));
    }
}
