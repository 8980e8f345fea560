//! A tenant reads its own rows, whatever it says.

use clinicx_audit::trail::{self, TrailFilter};
use clinicx_migration::system::SystemRole;
use clinicx_testing::TestTenant;
use clinicx_types::page::PageRequest;
use sqlx::{AssertSqlSafe, Executor};
use uuid::Uuid;

use crate::writer::entry;

#[tokio::test]
async fn a_tenants_role_sees_its_own_rows_and_no_others_however_it_asks() {
    let mine = TestTenant::create().await;
    let theirs = mine.another().await;
    let app = mine.database.system(SystemRole::App).await;
    for (number, tenant) in [(1, mine.tenant.id), (2, theirs.tenant.id)] {
        clinicx_audit::entry::insert(&app, &[entry(Uuid::from_u128(number), Some(tenant))]).await.unwrap();
    }
    let page = PageRequest::first(200).unwrap();
    let filter = TrailFilter { patient_id: Some(Uuid::from_u128(8)), ..TrailFilter::default() };
    let found = trail::list(&mine.connection, &mine.scope, &filter, &page).await.unwrap();
    let requests: Vec<_> = found.items.iter().map(|row| row.request_id).collect();
    assert_eq!(requests, [Some(Uuid::from_u128(1))]);

    // As an attacker: the right role with the other's setting, the function asked directly, qualified names.
    let (schema, other) = (&mine.tenant.database_schema, &theirs.tenant.database_schema);
    let mut attacker = mine.database.login(SystemRole::App).await;
    attacker
        .execute(AssertSqlSafe(format!(
            "SET ROLE {schema}; SET search_path TO {other}, public; SET app.current_tenant TO '{}'",
            theirs.tenant.id
        )))
        .await
        .unwrap();
    let all = "SELECT request_id FROM public.tenant_audit_logs(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)";
    let seen: Vec<Option<Uuid>> = sqlx::query_scalar(all).fetch_all(&mut attacker).await.unwrap();
    assert!(
        seen.contains(&Some(Uuid::from_u128(1))) && !seen.contains(&Some(Uuid::from_u128(2))),
        "{seen:?}"
    );
    for statement in [
        "SELECT 1 FROM public.audit_logs".to_owned(),
        "SELECT 1 FROM public.audit_leaves".to_owned(),
        "SELECT 1 FROM public.audit_checkpoints".to_owned(),
        "INSERT INTO public.audit_logs (actor_kind, action, entity, transaction_id) VALUES ('system', 'x', 'x', '1')"
            .to_owned(),
        "INSERT INTO public.audit_leaves (position, audit_id, encoding, leaf_hash) \
         VALUES (0, gen_random_uuid(), 1, '')"
            .to_owned(),
        format!("SET ROLE {other}; SELECT set_config('role', '{schema}', false)"),
    ] {
        let refused = attacker.execute(AssertSqlSafe(statement.clone())).await;
        let code = refused.unwrap_err().as_database_error().and_then(|error| error.code().map(|c| c.into_owned()));
        assert_eq!(code.as_deref(), Some("42501"), "{statement}");
        attacker.execute(AssertSqlSafe(format!("SET ROLE {schema}"))).await.unwrap();
    }
    // The login without a tenant's role, and the control login, are no tenant.
    attacker.execute("RESET ROLE").await.unwrap();
    let seen: Vec<Option<Uuid>> = sqlx::query_scalar(all).fetch_all(&mut attacker).await.unwrap();
    assert_eq!(seen, []);
}

#[tokio::test]
async fn the_control_login_adds_to_the_log_and_changes_nothing_in_it() {
    let test = TestTenant::create().await;
    let mut control = test.database.login(SystemRole::Control).await;
    for statement in [
        "UPDATE public.audit_logs SET action = 'x'",
        "DELETE FROM public.audit_logs",
        "UPDATE public.audit_leaves SET position = 1",
        "DELETE FROM public.audit_leaves",
        "TRUNCATE public.audit_checkpoints",
        "UPDATE public.audit_checkpoints SET note = ''",
        "DELETE FROM public.audit_checkpoints",
    ] {
        let refused = control.execute(statement).await.unwrap_err();
        let code = refused.as_database_error().and_then(|error| error.code().map(|c| c.into_owned()));
        assert_eq!(code.as_deref(), Some("42501"), "{statement}");
    }
}
