//! How far the fleet has come, by the registry and by the schemas' own ledgers.

use clinicx_migration::tenant::{
    Limits,
    apply::{MigrateError, Subject},
    fleet::{check::check, preview},
};

use super::{FIRST, Fleet, SECOND, options, plan};

fn asked(fleet: &Fleet) -> Vec<(Subject, Limits)> {
    let subject = |one: &clinicx_tenancy::Tenant| Subject {
        tenant_id: one.id,
        schema: one.database_schema.clone(),
        modules: one.modules.clone(),
    };
    fleet.tenants.iter().map(|one| (subject(one), Limits::default())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_schema_is_judged_by_its_own_ledger() {
    let fleet = Fleet::create(8, SECOND).await;
    fleet.sql(1, "DROP TABLE schema_migrations").await;
    fleet.sql(2, "UPDATE schema_migrations SET name = 'm0002_other' WHERE position = 2").await;
    fleet.sql(3, "DELETE FROM schema_migrations WHERE position = 2").await;
    fleet.sql(4, "DELETE FROM schema_migrations WHERE position = 1").await;
    fleet.sql(5, "DELETE FROM schema_migrations").await;
    let schema = &fleet.tenants[7].database_schema;
    fleet.sql(7, &format!("ALTER SCHEMA {schema} OWNER TO postgres")).await;
    let checked = check(&fleet.login(), &plan(SECOND), &asked(&fleet)).await.unwrap();
    let pending = |at: usize| checked[at].work.as_ref().map(|work| work.up.len()).map_err(Clone::clone);
    assert_eq!(pending(0), Ok(0));
    assert_eq!(pending(1), Err(MigrateError::NoLedger));
    assert!(matches!(pending(2), Err(MigrateError::Ledger(_))));
    assert_eq!((pending(3), pending(4), pending(5), pending(6)), (Ok(1), Ok(1), Ok(2), Ok(0)));
    assert!(matches!(pending(7), Err(MigrateError::Database(_))), "unreadable, and in nobody's way");
    let versions: Vec<String> = checked.iter().map(|one| one.version.to_string()).collect();
    assert_eq!(versions, ["1.2.0", "1.0.0", "1.2.0", "1.1.0", "1.1.0", "1.0.0", "1.2.0", "1.0.0"]);
    // The registry alone knows nothing of this.
    assert!(fleet.standings(&plan(SECOND)).await.iter().all(|one| one.pending == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_tells_what_a_run_would_do_and_changes_nothing() {
    let fleet = Fleet::create(3, FIRST).await;
    let plan = plan(SECOND);
    let preview = preview(&fleet.login(), &plan, &options()).await.unwrap();
    assert_eq!(preview.len(), 3);
    assert!(preview.iter().all(|one| one.work.as_ref().unwrap().up.len() == 1));
    assert!(fleet.standings(&plan).await.iter().all(|one| one.pending == 1));
    let mut superuser = fleet.database.superuser().await;
    let runs: i64 = sqlx::query_scalar("SELECT count(*) FROM public.migration_runs")
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    assert_eq!(runs, 0);
}
