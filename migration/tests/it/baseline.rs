//! Adopting a schema that was made by other means.

use std::collections::BTreeMap;

use clinicx_migration::tenant::{self, MigrateError, Plan, Subject, apply, baseline::baseline};
use clinicx_testing::TestTenant;
use sqlx::Executor;

fn plan() -> Plan {
    Plan::new([tenant::core::MIGRATIONS, tenant::billing::MIGRATIONS, tenant::dental::MIGRATIONS]).unwrap()
}

async fn tenant_without_ledger() -> (TestTenant, Subject) {
    let test = TestTenant::with_modules(&["billing"]).await;
    let drop = format!("DROP TABLE {}.schema_migrations", test.tenant.database_schema);
    test.database.superuser().await.execute(sqlx::AssertSqlSafe(drop)).await.unwrap();
    let subject = Subject {
        tenant_id: test.tenant.id,
        schema: test.tenant.database_schema.clone(),
        modules: test.tenant.modules.clone(),
    };
    (test, subject)
}

fn all(plan: &Plan) -> BTreeMap<&'static str, i32> {
    plan.of_modules(["core", "billing"]).unwrap().counts()
}

#[tokio::test]
async fn a_schema_without_a_ledger_is_adopted_and_then_migrated() {
    let (test, subject) = tenant_without_ledger().await;
    let (login, plan) = (test.database.migrator(), plan());
    let error = apply::migrate(&login, &mut None, &plan, &subject, &[]).await.unwrap_err();
    assert_eq!(error, MigrateError::NoLedger);
    // The last migration of billing is left out and its row with it, so that it has to be run.
    let mut upto = all(&plan);
    *upto.get_mut("billing").unwrap() -= 1;
    let drop = format!("DELETE FROM {}.billing_settings", subject.schema);
    test.database.superuser().await.execute(sqlx::AssertSqlSafe(drop)).await.unwrap();
    let version = baseline(&login, &plan, &subject, &upto).await.unwrap();
    assert_eq!(version.modules, test.tenant.schema_version.modules - 1);
    let row = "SELECT count(*) FROM public.audit_logs WHERE action = 'tenant.adopted' AND tenant_id = $1";
    let mut superuser = test.database.superuser().await;
    let told: i64 =
        sqlx::query_scalar(row).bind(test.tenant.id.uuid()).fetch_one(&mut superuser).await.unwrap();
    assert_eq!(told, 1);
    let outcome = apply::migrate(&login, &mut None, &plan, &subject, &[]).await.unwrap();
    assert_eq!(
        outcome.applied.iter().map(|one| one.name).collect::<Vec<_>>(),
        ["m0023_begin_billing_settings"]
    );
    assert_eq!(outcome.version, test.tenant.schema_version);
}

#[tokio::test]
async fn a_schema_is_not_adopted_twice_nor_beyond_what_is_known() {
    let (test, subject) = tenant_without_ledger().await;
    let (login, plan) = (test.database.migrator(), plan());
    let mut beyond = all(&plan);
    *beyond.get_mut("core").unwrap() += 1;
    let error = baseline(&login, &plan, &subject, &beyond).await.unwrap_err();
    assert!(matches!(error, MigrateError::BaselineTooFar { .. }), "{error:?}");
    baseline(&login, &plan, &subject, &all(&plan)).await.unwrap();
    let error = baseline(&login, &plan, &subject, &all(&plan)).await.unwrap_err();
    assert!(matches!(error, MigrateError::AlreadyInLedger(_)), "{error:?}");
}

#[tokio::test]
async fn a_tenant_that_is_not_registered_is_refused() {
    let (test, subject) = tenant_without_ledger().await;
    let stranger = Subject { tenant_id: sqlx::types::Uuid::now_v7().into(), ..subject };
    let plan = plan();
    let error = baseline(&test.database.migrator(), &plan, &stranger, &all(&plan)).await.unwrap_err();
    assert_eq!(error, MigrateError::UnknownTenant);
}
