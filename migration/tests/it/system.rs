//! The migrator of the system schema.

use clinicx_migration::system::{self, SystemRole};
use clinicx_testing::TestDatabase;
use sqlx::Executor;

#[tokio::test]
async fn what_is_pending_is_applied_once_even_by_several_at_once() {
    let database = TestDatabase::create_empty().await;
    let _held = database.hold_roles().await;
    let (admin, names) = (database.superuser_options(), database.roles());
    let before = system::pending(&admin, &names).await.unwrap();
    assert_eq!(before.first().map(String::as_str), Some("m0001_registry"));
    let runs = [(); 4].map(|()| system::migrate(&admin, &names));
    let [a, b, c, d] = runs;
    let reports = tokio::join!(a, b, c, d);
    let applied: Vec<String> = [reports.0, reports.1, reports.2, reports.3]
        .into_iter()
        .flat_map(|report| report.unwrap().applied)
        .collect();
    assert_eq!(applied, before);
    assert_eq!(system::pending(&admin, &names).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn every_login_that_serves_can_ask_what_is_pending() {
    let database = TestDatabase::create().await;
    for role in [SystemRole::App, SystemRole::Control, SystemRole::Migrator] {
        let pending = system::pending(&database.login_options(role), &database.roles()).await.unwrap();
        assert_eq!(pending, Vec::<String>::new(), "{role:?}");
    }
}

#[tokio::test]
async fn the_migrators_login_migrates_without_touching_roles() {
    let database = TestDatabase::create().await;
    let _held = database.hold_roles().await;
    let report =
        system::migrate(&database.login_options(SystemRole::Migrator), &database.roles()).await.unwrap();
    assert!(!report.roles && report.applied.is_empty(), "{report:?}");
}

#[tokio::test]
async fn the_seeds_function_sets_the_current_tenant() {
    let database = TestDatabase::create().await;
    let mut migrator = database.login(SystemRole::Migrator).await;
    let id = "01890000-0000-7000-8000-000000000001";
    sqlx::query("SELECT public.set_current_tenant($1::uuid)").bind(id).execute(&mut migrator).await.unwrap();
    let set: String = sqlx::query_scalar("SELECT current_setting('app.current_tenant')")
        .fetch_one(&mut migrator)
        .await
        .unwrap();
    assert_eq!(set, id);
}

#[tokio::test]
async fn a_migration_of_a_database_that_is_there_leaves_its_audit_row() {
    let database = TestDatabase::create().await;
    let _held = database.hold_roles().await;
    let mut superuser = database.superuser().await;
    let rows = "SELECT action, COALESCE(after ->> 'migration', '') FROM public.audit_logs \
                WHERE entity = 'system_schema' ORDER BY recorded_at";
    let of_the_making: Vec<(String, String)> = sqlx::query_as(rows).fetch_all(&mut superuser).await.unwrap();
    assert_eq!(of_the_making, []);
    superuser
        .execute(
            "DELETE FROM public.system_migrations WHERE version = 'm0043_backup_writes_no_audit'; \
             ALTER TABLE public.audit_logs DROP CONSTRAINT ck_audit_logs__database_role",
        )
        .await
        .unwrap();
    let applied = system::migrate(&database.login_options(SystemRole::Migrator), &database.roles()).await;
    assert_eq!(applied.unwrap().applied, ["m0043_backup_writes_no_audit"]);
    system::migrate(&database.superuser_options(), &database.roles()).await.unwrap();
    let rows: Vec<(String, String)> = sqlx::query_as(rows).fetch_all(&mut superuser).await.unwrap();
    let rows: Vec<(&str, &str)> = rows.iter().map(|row| (row.0.as_str(), row.1.as_str())).collect();
    assert_eq!(rows, [("system.migrated", "m0043_backup_writes_no_audit"), ("system.repaired", "")]);
}

#[tokio::test]
async fn the_backup_login_adds_no_audit_row() {
    let database = TestDatabase::create().await;
    let add = "INSERT INTO public.audit_logs (actor_kind, actor_job, action, entity) \
               VALUES ('system', 'x', 'patient.read', 'patient')";
    for (role, sqlstate) in [(SystemRole::Backup, Some("23514")), (SystemRole::App, None)] {
        let mut login = database.login(role).await;
        login.execute("SET default_transaction_read_only TO off").await.unwrap();
        let added = login.execute(add).await;
        let refused =
            added.err().map(|error| error.as_database_error().unwrap().code().unwrap().into_owned());
        assert_eq!(refused.as_deref(), sqlstate, "{role:?}");
    }
}
