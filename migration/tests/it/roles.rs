//! What the system's roles may and may not do.

use clinicx_migration::{
    fence,
    system::{self, SystemRole, roles},
};
use clinicx_testing::{TestDatabase, TestTenant};
use sqlx::{Executor, PgConnection};

async fn sqlstate(connection: &mut PgConnection, statement: &str) -> Option<String> {
    match connection.execute(sqlx::AssertSqlSafe(statement)).await {
        Ok(_) => None,
        Err(error) => Some(error.as_database_error().unwrap().code().unwrap().into_owned()),
    }
}

#[tokio::test]
async fn running_the_bootstrap_again_changes_nothing() {
    let database = TestDatabase::create().await;
    let _held = database.hold_roles().await;
    roles::bootstrap(&database.superuser_options(), &database.roles()).await.unwrap();
    let report = system::migrate(&database.superuser_options(), &database.roles()).await.unwrap();
    assert!(report.roles && report.applied.is_empty(), "{report:?}");
}

#[tokio::test]
async fn only_an_administrator_creates_roles() {
    let database = TestDatabase::create().await;
    let _held = database.hold_roles().await;
    let error =
        roles::bootstrap(&database.login_options(SystemRole::Migrator), &database.roles()).await.unwrap_err();
    assert!(matches!(error, system::SystemMigrationError::NotAdministrator), "{error:?}");
}

#[tokio::test]
async fn a_bootstrap_repairs_roles_that_were_changed() {
    let database = TestDatabase::create().await;
    let _held = database.hold_roles().await;
    let names = system::RoleNames::with_prefix("repaired").unwrap();
    roles::bootstrap(&database.superuser_options(), &names).await.unwrap();
    let mut superuser = database.superuser().await;
    superuser.execute("ALTER ROLE repaired_app INHERIT CREATEDB BYPASSRLS").await.unwrap();
    roles::bootstrap(&database.superuser_options(), &names).await.unwrap();
    let attributes: (bool, bool, bool) = sqlx::query_as(
        "SELECT rolinherit, rolcreatedb, rolbypassrls FROM pg_roles WHERE rolname = 'repaired_app'",
    )
    .fetch_one(&mut superuser)
    .await
    .unwrap();
    assert_eq!(attributes, (false, false, false));
    // The functions belong to the last prefix that was set up; the shared roles are put back for the others.
    roles::bootstrap(&database.superuser_options(), &database.roles()).await.unwrap();
}

#[tokio::test]
async fn the_application_can_do_nothing_without_a_tenants_role() {
    let test = TestTenant::create().await;
    let schema = test.tenant.database_schema.as_str();
    let mut app = test.database.login(SystemRole::App).await;
    for statement in [
        format!("SELECT 1 FROM {schema}.patients"),
        format!("INSERT INTO {schema}.outbox (id) VALUES (gen_random_uuid())"),
        "SELECT suspended_at FROM public.tenants".to_owned(),
        "UPDATE public.tenants SET status = 'active'".to_owned(),
        "SELECT 1 FROM public.audit_logs".to_owned(),
        "CREATE TABLE public.mine (a int)".to_owned(),
        "CREATE TEMP TABLE mine (a int)".to_owned(),
        "CREATE SCHEMA mine".to_owned(),
        "CREATE ROLE mine".to_owned(),
        "SET ROLE clinicx_owner".to_owned(),
        "SET ROLE clinicx_provisioner".to_owned(),
        "SET ROLE clinicx_registrar".to_owned(),
    ] {
        assert_eq!(sqlstate(&mut app, &statement).await.as_deref(), Some("42501"), "{statement}");
    }
    assert_eq!(sqlstate(&mut app, "SELECT 1 FROM patients").await.as_deref(), Some("42P01"));
    assert_eq!(sqlstate(&mut app, "SELECT slug, database_schema FROM public.tenants").await, None);
}

#[tokio::test]
async fn a_tenants_role_may_not_leave_its_schema_nor_change_it() {
    let test = TestTenant::create().await;
    let other = test.another().await;
    let (schema, theirs) = (test.tenant.database_schema.as_str(), other.tenant.database_schema.as_str());
    let mut app = test.database.login(SystemRole::App).await;
    app.execute(sqlx::AssertSqlSafe(format!("SET ROLE {schema}; SET search_path TO {schema}, pg_temp")))
        .await
        .unwrap();
    for statement in [
        format!("SELECT 1 FROM {theirs}.patients"),
        "TRUNCATE outbox".to_owned(),
        "CREATE TABLE mine (a int)".to_owned(),
        "CREATE TEMP TABLE mine (a int)".to_owned(),
        "ALTER TABLE outbox DISABLE ROW LEVEL SECURITY".to_owned(),
        "INSERT INTO schema_migrations (id, module, position, name, checksum, origin) VALUES \
         (gen_random_uuid(), 'x', 1, 'x', 'x', 'applied')"
            .to_owned(),
        "SELECT set_config('role', 'none', false)".to_owned(),
        "SELECT query_to_xml('SELECT set_config(''role'', ''none'', false)', true, true, '')".to_owned(),
        "SELECT lo_create(0)".to_owned(),
        "SELECT lo_creat(-1)".to_owned(),
        "SELECT lo_from_bytea(0, 'x')".to_owned(),
        "SELECT lo_import('/etc/hostname')".to_owned(),
        "SELECT 1 FROM public.tenants".to_owned(),
        "SELECT 1 FROM public.audit_logs".to_owned(),
        "INSERT INTO public.audit_logs (id, actor_kind, action, entity) \
         VALUES (gen_random_uuid(), 'system', 'x', 'x')"
            .to_owned(),
        "INSERT INTO public.audit_logs (tenant_id, actor_kind, action, entity) \
         VALUES (gen_random_uuid(), 'system', 'x', 'x')"
            .to_owned(),
        "UPDATE public.audit_logs SET action = 'x'".to_owned(),
        "DELETE FROM public.audit_logs".to_owned(),
        format!("SELECT public.create_tenant_schema('{}', '{theirs}')", other.tenant.id),
    ] {
        assert_eq!(sqlstate(&mut app, &statement).await.as_deref(), Some("42501"), "{statement}");
    }
}

#[tokio::test]
async fn the_database_says_from_which_tenant_an_audit_row_comes() {
    let test = TestTenant::create().await;
    let other = test.another().await;
    let schema = test.tenant.database_schema.as_str();
    let mut app = test.database.login(SystemRole::App).await;
    app.execute(sqlx::AssertSqlSafe(format!(
        "SET ROLE {schema}; \
         INSERT INTO public.audit_logs (actor_kind, action, entity) VALUES ('system', 'origin.test', 'x')"
    )))
    .await
    .unwrap();
    let mut superuser = test.database.superuser().await;
    let row: (Option<sqlx::types::Uuid>, String) = sqlx::query_as(
        "SELECT tenant_id, database_role FROM public.audit_logs WHERE action = 'origin.test' AND tenant_id = $1",
    )
    .bind(test.tenant.id.uuid())
    .fetch_one(&mut superuser)
    .await
    .unwrap();
    assert_eq!(row, (Some(test.tenant.id.uuid()), schema.to_owned()));
    // A tenant's role is told its own id and nobody else's.
    let lookup = format!("SELECT public.tenant_id_of('{}')", other.tenant.database_schema);
    let found: Option<sqlx::types::Uuid> =
        sqlx::query_scalar(sqlx::AssertSqlSafe(lookup)).fetch_one(&mut app).await.unwrap();
    assert_eq!(found, None);
}

#[tokio::test]
async fn the_backup_login_reads_every_tenant_and_writes_nothing() {
    let test = TestTenant::create().await;
    let schema = test.tenant.database_schema.as_str();
    let mut backup = test.database.login(SystemRole::Backup).await;
    let rows: i64 =
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {schema}.schema_migrations")))
            .fetch_one(&mut backup)
            .await
            .unwrap();
    assert!(rows > 0);
    backup.execute("SET default_transaction_read_only TO off").await.unwrap();
    let statement = format!("DELETE FROM {schema}.outbox");
    assert_eq!(sqlstate(&mut backup, &statement).await.as_deref(), Some("42501"));
}

#[tokio::test]
async fn a_bootstrap_takes_back_what_was_given_by_hand() {
    let database = TestDatabase::create().await;
    let _held = database.hold_roles().await;
    let names = system::RoleNames::with_prefix("taken").unwrap();
    roles::bootstrap(&database.superuser_options(), &names).await.unwrap();
    let mut superuser = database.superuser().await;
    superuser
        .execute(sqlx::AssertSqlSafe(format!(
            "CREATE ROLE taker; GRANT taken_owner, taken_provisioner TO taker; GRANT taken_app TO taken_control; \
             GRANT pg_read_all_data TO taken_app; \
             GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO taker; \
             GRANT EXECUTE ON FUNCTION pg_catalog.lo_create(oid) TO PUBLIC; \
             GRANT ALL ON SCHEMA public, extensions, provisioning TO taker, PUBLIC; \
             GRANT EXECUTE ON FUNCTION provisioning.make_tenant(varchar) TO taker, PUBLIC; \
             GRANT TEMPORARY, CREATE ON DATABASE {} TO taken_app, PUBLIC",
            database.name()
        )))
        .await
        .unwrap();
    let app = database.system(SystemRole::App).await;
    let planted = [
        "role_has_member",
        "role_member",
        "others_may_set_config",
        "large_objects",
        "everybody_may_create",
        "others_may_create",
        "schema_grant",
        "function_grant",
        "database_grant",
        "everybody_may_use_database",
    ];
    let found = fence::check_system(&app, &names).await.unwrap();
    for gap in planted {
        assert!(found.iter().any(|one| one.gap == gap), "{gap}: {found:?}");
    }
    app.close().await;
    roles::bootstrap(&database.superuser_options(), &names).await.unwrap();
    superuser
        .execute(sqlx::AssertSqlSafe(format!("GRANT CONNECT ON DATABASE {} TO clinicx_app", database.name())))
        .await
        .unwrap();
    let app = database.system(SystemRole::App).await;
    // The tables still name the roles that the migrations were run with.
    let mut found = fence::check_system(&app, &names).await.unwrap();
    found.retain(|one| one.relation.as_deref() != Some("set_current_tenant"));
    for gap in planted {
        assert!(!found.iter().any(|one| one.gap == gap), "{gap}: {found:?}");
    }
}
