//! Steps outside of transactions, and how they go on after a crash.

use clinicx_migration::tenant::{
    TenantMigration,
    fleet::RunEnd,
    outside::{Backfill, ConcurrentIndex},
};
use clinicx_types::uuid::Uuid;
use sqlx::Executor;

use super::{FIRST, Fleet, NOTES, options, plan, step};

const INDEX: ConcurrentIndex =
    ConcurrentIndex { name: "ux_notes__body", table: "notes", on: "(body)", is_unique: true };
const BACKFILL: Backfill =
    Backfill { table: "notes", set: "folded = lower(body)", due: "folded IS NULL", rows: 100 };

const WITH_INDEX: &[TenantMigration] = &[
    NOTES,
    step("m0002_add_colour", |script| script.sql("ALTER TABLE notes ADD COLUMN colour text")),
    step("m0003_create_index", |script| script.create_index_concurrently(INDEX)),
    step("m0004_add_size", |script| script.sql("ALTER TABLE notes ADD COLUMN size integer")),
];
const WITH_BACKFILL: &[TenantMigration] =
    &[NOTES, step("m0002_fold_bodies", |script| script.backfill(BACKFILL))];

const IS_VALID: &str =
    "SELECT count(*) FROM pg_index WHERE indexrelid = 'ux_notes__body'::regclass AND indisvalid";
const ROWS: &str = "INSERT INTO notes (id, body) \
                    SELECT gen_random_uuid(), 'Body ' || n FROM generate_series(1, 550) AS g (n)";

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_built_while_its_table_is_written_to_and_the_rest_comes_after() {
    let fleet = Fleet::create(3, FIRST).await;
    fleet.sql(0, ROWS).await;
    // An open transaction that has written holds up a plain CREATE INDEX, and this one only at its end.
    let mut writer = fleet.database.superuser().await;
    let schema = &fleet.tenants[0].database_schema;
    let begin = format!("BEGIN; INSERT INTO {schema}.notes (id, body) VALUES (gen_random_uuid(), 'mine')");
    writer.execute(sqlx::AssertSqlSafe(begin)).await.unwrap();
    let plan = plan(WITH_INDEX);
    let end = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        writer.execute("COMMIT").await.unwrap();
    };
    let asked = options();
    let (report, ()) = tokio::join!(fleet.run(&plan, &asked), end);
    assert_eq!((report.end, report.done), (RunEnd::Succeeded, 3));
    for at in 0..3 {
        assert_eq!(fleet.number(at, IS_VALID).await, 1);
        assert_eq!(fleet.number(at, "SELECT count(*) FROM schema_migrations").await, 4);
    }
    assert!(fleet.standings(&plan).await.iter().all(|one| one.version.to_string() == "1.4.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_was_left_invalid_is_dropped_and_built_again() {
    let fleet = Fleet::create(2, FIRST).await;
    let double =
        "INSERT INTO notes (id, body) VALUES (gen_random_uuid(), 'same'), (gen_random_uuid(), 'same')";
    fleet.sql(0, double).await;
    let plan = plan(WITH_INDEX);
    let report = fleet.run(&plan, &options()).await;
    assert!(report.end != RunEnd::Succeeded && !report.undone.is_empty(), "{report:?}");
    assert_eq!(fleet.number(0, IS_VALID).await, 0, "an invalid index stands there");
    let standing = &fleet.standings(&plan).await[0];
    assert_eq!(standing.version.to_string(), "1.2.0", "what came before the step is committed");
    fleet.sql(0, "DELETE FROM notes").await;
    let asked = clinicx_migration::tenant::fleet::RunOptions { retry_failed: true, ..options() };
    let report = fleet.run(&plan, &asked).await;
    assert_eq!(report.end, RunEnd::Succeeded, "{report:?}");
    assert_eq!(fleet.number(0, IS_VALID).await, 1);
    // One that was finished before the crash is taken as it is.
    fleet
        .sql(1, "DELETE FROM schema_migrations WHERE position >= 3; ALTER TABLE notes DROP COLUMN size")
        .await;
    let before = fleet.number(1, "SELECT CAST('ux_notes__body'::regclass::oid AS bigint)").await;
    assert_eq!(fleet.run(&plan, &options()).await.done, 1);
    assert_eq!(fleet.number(1, "SELECT CAST('ux_notes__body'::regclass::oid AS bigint)").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_filled_in_from_where_it_was_cut_short() {
    let fleet = Fleet::create(2, FIRST).await;
    for at in 0..2 {
        fleet.sql(at, ROWS).await;
    }
    // As if the process had been killed after a batch that ended at this row.
    let mut superuser = fleet.database.superuser().await;
    let schema = &fleet.tenants[1].database_schema;
    let middle: Uuid = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "SELECT id FROM {schema}.notes ORDER BY id LIMIT 1 OFFSET 299"
    )))
    .fetch_one(&mut superuser)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO public.migration_positions (tenant_id, module, position, last_id) VALUES ($1, 'core', 2, $2)",
    )
    .bind(fleet.tenants[1].id.uuid())
    .bind(middle)
    .execute(&mut superuser)
    .await
    .unwrap();
    let plan = plan(WITH_BACKFILL);
    let report = fleet.run(&plan, &options()).await;
    assert_eq!((report.end, report.done), (RunEnd::Succeeded, 2));
    let filled = "SELECT count(*) FROM notes WHERE folded = lower(body)";
    assert_eq!((fleet.number(0, filled).await, fleet.number(1, filled).await), (550, 250));
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM public.migration_positions")
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    assert_eq!(left, 0, "the position goes when the step stands in the ledger");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_tenant_has_such_steps_in_its_one_transaction() {
    let fleet = Fleet::create(1, WITH_INDEX).await;
    assert_eq!(fleet.number(0, IS_VALID).await, 1);
    assert_eq!(fleet.run(&plan(WITH_INDEX), &options()).await.end, RunEnd::Nothing);
}
