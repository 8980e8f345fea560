//! The upkeep of tables: what is due is done once, within its window, and by one at a time.

use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use clinicx_migration::{
    fence,
    owner::OwnerLogin,
    system::SystemRole,
    tenant::{
        apply::{self, Subject},
        maintain::{self, Asked, MaintainError, Maintained, Rules, Task},
    },
};
use clinicx_testing::{TestDatabase, TestTenant};
use sqlx::{AssertSqlSafe, Executor, PgConnection};

/// A tenant in a database of its own.
async fn tenant() -> TestTenant {
    TestTenant::builder().database(&TestDatabase::create().await).create().await
}

fn login(test: &TestTenant) -> OwnerLogin {
    OwnerLogin::new(test.database.login_options(SystemRole::Migrator), &test.database.roles())
}

fn subject(test: &TestTenant) -> Subject {
    Subject {
        tenant_id: test.tenant.id,
        schema: test.tenant.database_schema.clone(),
        modules: test.tenant.modules.clone(),
    }
}

/// Rules under which a few thousand rows are much.
fn asked(tasks: &[Task]) -> Asked {
    Asked {
        tasks: tasks.iter().copied().collect::<BTreeSet<_>>(),
        rules: Rules { vacuum_rows: 1_000, big_rows: 5_000, reindex_bytes: 64 * 1024, ..Rules::default() },
        concurrency: NonZeroUsize::new(2).unwrap(),
        pause: Duration::ZERO,
        until: Instant::now() + Duration::from_secs(120),
        only_report: false,
        stop: Arc::new(|| false),
    }
}

async fn run(test: &TestTenant, asked: &Asked) -> Vec<Maintained> {
    maintain::run(&login(test), vec![subject(test)], asked, |_| {}).await.unwrap()
}

/// What was done, as task and object.
fn done(all: &[Maintained]) -> Vec<(Task, &str)> {
    all.iter()
        .flat_map(|one| &one.done)
        .map(|one| {
            assert_eq!(one.failure, None, "{one:?}");
            (one.due.task, one.due.object.as_str())
        })
        .collect()
}

/// Loads rows into the outbox; the server of tests runs without autovacuum.
async fn load(connection: &mut PgConnection, test: &TestTenant, rows: u32) {
    let text = format!(
        "INSERT INTO {schema}.outbox (id, tenant_id, event_type, aggregate, aggregate_id, payload, created_at) \
         SELECT gen_random_uuid(), '{id}', 'test.loaded', 'test', gen_random_uuid(), '{{}}', now() \
         FROM generate_series(1, {rows})",
        schema = test.tenant.database_schema.quoted(),
        id = test.tenant.id
    );
    connection.execute(AssertSqlSafe(text)).await.unwrap();
    connection.execute("SELECT pg_stat_force_next_flush()").await.unwrap();
}

async fn execute(connection: &mut PgConnection, test: &TestTenant, text: &str) {
    let text = text.replace("outbox", &format!("{}.outbox", test.tenant.database_schema.quoted()));
    connection.execute(AssertSqlSafe(text)).await.unwrap();
    connection.execute("SELECT pg_stat_force_next_flush()").await.unwrap();
}

#[tokio::test]
async fn what_is_due_is_done_once() {
    let test = tenant().await;
    let mut superuser = test.database.superuser().await;
    let all = Task::ALL;
    assert_eq!(done(&run(&test, &asked(&all)).await), []);

    load(&mut superuser, &test, 8_000).await;
    let report = run(&test, &Asked { only_report: true, ..asked(&all) }).await;
    let due: Vec<_> = report[0].left.iter().map(|due| due.task).collect();
    assert_eq!((due, report[0].done.len()), (vec![Task::Settings, Task::Analyze], 0));
    let first = run(&test, &asked(&all)).await;
    assert_eq!(done(&first), [(Task::Settings, "outbox"), (Task::Analyze, "outbox")]);
    assert!(first[0].is_whole());
    assert_eq!(done(&run(&test, &asked(&all)).await), [], "it is due no more");

    execute(&mut superuser, &test, "DELETE FROM outbox WHERE random() < 0.9").await;
    assert_eq!(done(&run(&test, &asked(&[Task::Analyze])).await), [(Task::Analyze, "outbox")]);
    assert_eq!(done(&run(&test, &asked(&[Task::Vacuum, Task::Analyze])).await), [(Task::Vacuum, "outbox")]);
    assert_eq!(done(&run(&test, &asked(&[Task::Vacuum, Task::Analyze])).await), []);

    // The entries are gone, and the pages are not.
    let size = "SELECT pg_relation_size(i.indexrelid) FROM pg_index AS i WHERE i.indrelid = 'outbox'::regclass \
                AND i.indisprimary";
    let size = size.replace("outbox", &format!("{}.outbox", test.tenant.database_schema.quoted()));
    let bloated: i64 =
        sqlx::query_scalar(AssertSqlSafe(size.clone())).fetch_one(&mut superuser).await.unwrap();
    let rebuilt = run(&test, &asked(&[Task::Reindex])).await;
    assert!(done(&rebuilt).contains(&(Task::Reindex, "outbox_pkey")), "{rebuilt:?}");
    let lean: i64 = sqlx::query_scalar(AssertSqlSafe(size)).fetch_one(&mut superuser).await.unwrap();
    assert!(lean * 2 < bloated, "{lean} of {bloated}");
    assert_eq!(done(&run(&test, &asked(&[Task::Reindex])).await), []);

    let turn: (i32, i32, i32) =
        sqlx::query_as("SELECT done, failed, left_over FROM public.tenant_maintenance WHERE tenant_id = $1")
            .bind(test.tenant.id.uuid())
            .fetch_one(&mut superuser)
            .await
            .unwrap();
    assert_eq!(turn, (0, 0, 0));
    let app = test.database.system(SystemRole::App).await;
    let gaps = fence::check(&app, &test.database.roles(), None).await.unwrap();
    assert_eq!(gaps, [], "the fences stand as before");
}

#[tokio::test]
async fn what_a_rebuild_left_behind_is_taken_away_and_settings_made_by_hand_stay() {
    let test = tenant().await;
    let mut superuser = test.database.superuser().await;
    load(&mut superuser, &test, 6_000).await;
    execute(&mut superuser, &test, "ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0.5)").await;
    execute(&mut superuser, &test, "CREATE INDEX ix_left_ccnew ON outbox (created_at)").await;
    let schema = test.tenant.database_schema.quoted();
    let broken = format!(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{schema}.ix_left_ccnew'::regclass"
    );
    superuser.execute(AssertSqlSafe(broken)).await.unwrap();
    let all = run(&test, &asked(&[Task::Settings, Task::Reindex])).await;
    assert_eq!(done(&all), [(Task::Reindex, "ix_left_ccnew")]);
}

#[tokio::test]
async fn nothing_is_begun_outside_of_the_window_or_by_two_at_once() {
    let test = tenant().await;
    let mut superuser = test.database.superuser().await;
    load(&mut superuser, &test, 2_000).await;
    let over = Asked { until: Instant::now(), ..asked(&Task::ALL) };
    assert_eq!(run(&test, &over).await, []);

    // Somebody stops it between two statements: what was not begun is named, and due the next time.
    load(&mut superuser, &test, 6_000).await;
    let begun = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&begun);
    let stopped = Asked { stop: Arc::new(move || stop.swap(true, Ordering::Relaxed)), ..asked(&Task::ALL) };
    let cut = run(&test, &stopped).await;
    assert_eq!((cut[0].done.len(), cut[0].left.len()), (0, 2), "{cut:?}");
    assert!(!cut[0].is_whole());

    superuser.execute("SELECT pg_advisory_lock(7164217030175062022)").await.unwrap();
    let busy = maintain::run(&login(&test), vec![subject(&test)], &asked(&Task::ALL), |_| {}).await;
    assert_eq!(busy.unwrap_err(), MaintainError::Busy);
    superuser.execute("SELECT pg_advisory_unlock_all()").await.unwrap();

    // A schema that is being migrated is left alone.
    superuser.execute("BEGIN").await.unwrap();
    let lock = apply::lock_statement(&test.tenant.database_schema);
    superuser.execute(AssertSqlSafe(lock)).await.unwrap();
    let migrating = run(&test, &asked(&Task::ALL)).await;
    assert!(migrating[0].is_migrating && migrating[0].done.is_empty(), "{migrating:?}");
    superuser.execute("ROLLBACK").await.unwrap();
    assert_eq!(done(&run(&test, &asked(&Task::ALL)).await).len(), 2);
}

#[tokio::test]
async fn a_failure_of_one_leaves_the_others_their_turn() {
    let test = tenant().await;
    let other = test.another().await;
    let mut superuser = test.database.superuser().await;
    for one in [&test, &other] {
        load(&mut superuser, one, 2_000).await;
    }
    // A third whose schema has gone.
    let mut gone = subject(&test);
    gone.schema = clinicx_types::name::SchemaName::parse("tenant_gone_already").unwrap();
    let subjects = vec![gone, subject(&test), subject(&other)];
    let all = maintain::run(&login(&test), subjects, &asked(&[Task::Analyze]), |_| {}).await.unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(done(&all), [(Task::Analyze, "outbox"), (Task::Analyze, "outbox")]);
    // Whoever loads a schema brings its statistics up by itself.
    assert!(maintain::analyze(&login(&test), &test.tenant.database_schema).await.unwrap() > 20);
}
