//! Bringing schemas forward: once, in order, and only when the ledger agrees.

use clinicx_migration::tenant::{
    self, Down, MigrateError, ModuleMigrations, Plan, Subject, TenantMigration, apply, fleet,
    plan::LedgerError, script::Script,
};
use clinicx_testing::{TestDatabase, TestTenant};
use sqlx::Executor;

const BASE: [ModuleMigrations; 3] =
    [tenant::core::MIGRATIONS, tenant::billing::MIGRATIONS, tenant::dental::MIGRATIONS];

const fn migration(name: &'static str, up: fn(&mut Script)) -> TenantMigration {
    TenantMigration { name, up, down: Down::Irreversible("a test") }
}

const ONE: &[TenantMigration] = &[migration("m0001_index", |script| {
    script.sql("CREATE INDEX ix_test_one ON outbox (event_type)");
})];
const TWO: &[TenantMigration] = &[
    ONE[0],
    migration("m0002_column", |script| {
        script.sql("ALTER TABLE outbox ADD COLUMN test_two text");
    }),
];
const CHANGED: &[TenantMigration] = &[migration("m0001_index", |script| {
    script.sql("CREATE INDEX ix_test_one ON outbox (aggregate)");
})];
const FAILING: &[TenantMigration] = &[
    ONE[0],
    migration("m0002_fails", |script| {
        script.sql("ALTER TABLE outbox ADD COLUMN test_two text");
        script.sql("ALTER TABLE there_is_no_such_table ADD COLUMN x text");
    }),
];

fn plan_with(migrations: &'static [TenantMigration]) -> Plan {
    let extra = ModuleMigrations { module: "extra", requires: &["core"], migrations, serves_from: None };
    Plan::new(BASE.into_iter().chain([extra])).unwrap()
}

fn subject(test: &TestTenant, extra: bool) -> Subject {
    let mut modules = test.tenant.modules.clone();
    if extra {
        modules.insert("extra".parse().unwrap());
    }
    Subject { tenant_id: test.tenant.id, schema: test.tenant.database_schema.clone(), modules }
}

async fn migrate(test: &TestTenant, plan: &Plan, extra: bool) -> Result<apply::Outcome, MigrateError> {
    apply::migrate(&test.database.migrator(), &mut None, plan, &subject(test, extra), &[]).await
}

#[tokio::test]
async fn a_new_tenant_is_up_to_date() {
    let test = TestTenant::create().await;
    let outcome = migrate(&test, &Plan::new(BASE).unwrap(), false).await.unwrap();
    assert_eq!((outcome.applied, outcome.version), (Vec::new(), test.tenant.schema_version));
}

#[tokio::test]
async fn what_is_new_is_applied_once_and_written_down() {
    let test = TestTenant::create().await;
    let first = migrate(&test, &plan_with(ONE), true).await.unwrap();
    assert_eq!(first.applied.iter().map(|one| one.name).collect::<Vec<_>>(), ["m0001_index"]);
    let second = migrate(&test, &plan_with(TWO), true).await.unwrap();
    assert_eq!(second.applied.iter().map(|one| one.name).collect::<Vec<_>>(), ["m0002_column"]);
    assert_eq!(second.version.modules, test.tenant.schema_version.modules + 2);
    let third = migrate(&test, &plan_with(TWO), true).await.unwrap();
    assert_eq!((third.applied, third.version), (Vec::new(), second.version));
    let mut superuser = test.database.superuser().await;
    let written: (String, i32) = sqlx::query_as(
        "SELECT t.schema_version::text, m.schema_version FROM public.tenants AS t \
         JOIN public.tenant_modules AS m ON m.tenant_id = t.id AND m.module = 'extra' WHERE t.id = $1",
    )
    .bind(test.tenant.id.uuid())
    .fetch_one(&mut superuser)
    .await
    .unwrap();
    assert_eq!(written, (second.version.to_string(), 2));
}

#[tokio::test]
async fn a_migration_that_was_changed_is_refused() {
    let test = TestTenant::create().await;
    migrate(&test, &plan_with(ONE), true).await.unwrap();
    let error = migrate(&test, &plan_with(CHANGED), true).await.unwrap_err();
    assert!(matches!(error, MigrateError::Ledger(LedgerError::ChecksumMismatch { .. })), "{error:?}");
}

#[tokio::test]
async fn a_schema_newer_than_the_program_is_refused() {
    let test = TestTenant::create().await;
    migrate(&test, &plan_with(TWO), true).await.unwrap();
    let error = migrate(&test, &plan_with(ONE), true).await.unwrap_err();
    assert!(matches!(error, MigrateError::Ledger(LedgerError::UnknownMigration { .. })), "{error:?}");
}

#[tokio::test]
async fn a_failing_migration_leaves_everything_as_it_was() {
    let test = TestTenant::create().await;
    let error = migrate(&test, &plan_with(FAILING), true).await.unwrap_err();
    let MigrateError::Database(failure) = &error else { panic!("{error:?}") };
    assert_eq!(failure.sqlstate(), Some("42P01"));
    let mut superuser = test.database.superuser().await;
    let left: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
                 WHERE n.nspname = $1 AND c.relname = 'ix_test_one') \
              + (SELECT count(*) FROM public.tenant_modules WHERE tenant_id = $2 AND module = 'extra')",
    )
    .bind(test.tenant.database_schema.as_str())
    .bind(test.tenant.id.uuid())
    .fetch_one(&mut superuser)
    .await
    .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn two_at_once_apply_it_once() {
    let test = TestTenant::create().await;
    let plan = plan_with(TWO);
    let (a, b) = tokio::join!(migrate(&test, &plan, true), migrate(&test, &plan, true));
    let mut counts = [a.unwrap().applied.len(), b.unwrap().applied.len()];
    counts.sort_unstable();
    assert_eq!(counts, [0, 2]);
}

#[tokio::test]
async fn a_locked_table_is_waited_for() {
    let test = TestTenant::create().await;
    let mut holder = test.database.superuser().await;
    let lock = format!("BEGIN; LOCK TABLE {}.outbox IN ACCESS SHARE MODE", test.tenant.database_schema);
    holder.execute(sqlx::AssertSqlSafe(lock)).await.unwrap();
    let plan = plan_with(TWO);
    let release = async {
        // Longer than the migration waits for a lock.
        tokio::time::sleep(std::time::Duration::from_millis(3200)).await;
        holder.execute("COMMIT").await.unwrap();
    };
    let (outcome, ()) = tokio::join!(migrate(&test, &plan, true), release);
    let outcome = outcome.unwrap();
    assert_eq!((outcome.applied.len(), outcome.attempts), (2, 2));
}

#[tokio::test]
async fn the_whole_fleet_is_brought_forward() {
    let database = TestDatabase::create().await;
    let first = TestTenant::builder().database(&database).create().await;
    let mut tests = vec![first];
    for _ in 0..3 {
        let next = tests[0].another().await;
        tests.push(next);
    }
    let control = database.system(clinicx_migration::system::SystemRole::Control).await;
    let subjects = fleet::subjects(&control).await.unwrap();
    assert_eq!(subjects.len(), 4);
    let with_extra: Vec<Subject> = tests.iter().map(|test| subject(test, true)).collect();
    let plan = plan_with(TWO);
    let standings = fleet::standings(&control, &plan).await.unwrap();
    assert!(standings.iter().all(|one| one.pending == 0), "a module that a tenant lacks is not pending");
    let mut seen = 0;
    let results =
        fleet::migrate_all(&database.migrator(), &plan, with_extra, fleet::CONCURRENCY, |_| seen += 1).await;
    assert_eq!((results.len(), seen), (4, 4));
    for result in results {
        assert_eq!(result.result.unwrap().applied.len(), 2);
    }
    let again = fleet::subjects(&control).await.unwrap();
    assert!(again.iter().all(|subject| subject.modules.len() == 4));
    let standings = fleet::standings(&control, &plan).await.unwrap();
    assert!(standings.iter().all(|one| one.pending == 0 && one.target == Some(one.version)));
    let without = fleet::standings(&control, &Plan::new(BASE).unwrap()).await.unwrap();
    assert!(without.iter().all(|one| one.target.is_none()), "the program lacks a module that they have");
}
