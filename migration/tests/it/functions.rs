//! The functions that make and end tenants' schemas, called as somebody would who means no good.

use clinicx_migration::system::SystemRole;
use clinicx_testing::{TestDatabase, TestTenant, tenant::unique_slug};
use sqlx::{Executor, PgConnection, types::Uuid};

async fn sqlstate(connection: &mut PgConnection, statement: &str) -> Option<String> {
    match connection.execute(sqlx::AssertSqlSafe(statement)).await {
        Ok(_) => None,
        Err(error) => Some(error.as_database_error().unwrap().code().unwrap().into_owned()),
    }
}

/// Registers a tenant by hand and returns its id and schema.
async fn register(database: &TestDatabase, status: &str) -> (Uuid, String) {
    let slug = unique_slug();
    let (id, schema) = (Uuid::now_v7(), format!("tenant_{}", slug.replace('-', "_")));
    let mut superuser = database.superuser().await;
    superuser
        .execute("INSERT INTO public.clusters (name) VALUES ('main') ON CONFLICT DO NOTHING")
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO public.tenants (id, slug, name, status, database_schema, cluster, time_zone, currency, locale) \
         VALUES ($1, $2, 'x', $3, $4, 'main', 'UTC', 'EUR', 'en')",
    )
    .bind(id)
    .bind(slug)
    .bind(status)
    .bind(&schema)
    .execute(&mut superuser)
    .await
    .unwrap();
    (id, schema)
}

async fn exists(database: &TestDatabase, schema: &str) -> (bool, bool) {
    sqlx::query_as(
        "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1), EXISTS (SELECT FROM pg_roles WHERE rolname = $1)",
    )
    .bind(schema)
    .fetch_one(&mut database.superuser().await)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_registered_tenants_schema_is_made_and_dropped() {
    let database = TestDatabase::create().await;
    let (id, schema) = register(&database, "provisioning").await;
    let mut control = database.login(SystemRole::Control).await;
    let create = format!("SELECT public.create_tenant_schema('{id}', '{schema}')");
    assert_eq!(sqlstate(&mut control, &create).await, None);
    assert_eq!(exists(&database, &schema).await, (true, true));
    assert_eq!(sqlstate(&mut control, &create).await.as_deref(), Some("42P06"), "a second time");
    let drop = format!("SELECT public.drop_tenant_schema('{id}', '{schema}')");
    assert_eq!(sqlstate(&mut control, &drop).await.as_deref(), Some("42704"), "not archived");
    let forged = format!("UPDATE public.tenants SET status = 'archived' WHERE id = '{id}'");
    assert_eq!(sqlstate(&mut control, &forged).await.as_deref(), Some("42501"), "by the back door");
    database.superuser().await.execute(sqlx::AssertSqlSafe(forged)).await.unwrap();
    assert_eq!(sqlstate(&mut control, &drop).await.as_deref(), Some("42704"), "since when?");
    let dated = format!("UPDATE public.tenants SET archived_at = now() WHERE id = '{id}'");
    database.superuser().await.execute(sqlx::AssertSqlSafe(dated)).await.unwrap();
    assert_eq!(sqlstate(&mut control, &drop).await, None);
    assert_eq!(exists(&database, &schema).await, (false, false));
}

#[tokio::test]
async fn names_that_are_none_are_refused() {
    let database = TestDatabase::create().await;
    let (id, schema) = register(&database, "provisioning").await;
    let mut control = database.login(SystemRole::Control).await;
    for bad in [
        "''",
        "NULL",
        "'public'",
        "'pg_catalog'",
        "'extensions'",
        "'tenant_'",
        "'TENANT_A'",
        "'tenant_a-b'",
        "'tenant_a\"; DROP SCHEMA public CASCADE; --'",
        "'tenant_a''; DROP TABLE x; --'",
        "E'tenant_a\\n'",
        "'tenant_ä'",
        "'clinicx_owner'",
        "repeat('tenant_a', 20)",
        "'tenant_' || repeat('a', 57)",
    ] {
        let statement = format!("SELECT public.create_tenant_schema('{id}', {bad})");
        assert_eq!(sqlstate(&mut control, &statement).await.as_deref(), Some("42602"), "{bad}");
    }
    for bad in ["''", "NULL", "'1'", "'x'' OR true --'", "upper('a') || 'b'"] {
        let statement = format!("SELECT public.create_tenant_schema({bad}, '{schema}')");
        assert_eq!(sqlstate(&mut control, &statement).await.as_deref(), Some("22P02"), "{bad}");
    }
    assert_eq!(exists(&database, &schema).await, (false, false));
}

#[tokio::test]
async fn only_what_the_registry_says_is_made() {
    let database = TestDatabase::create().await;
    let (id, schema) = register(&database, "provisioning").await;
    let (active, its_schema) = register(&database, "active").await;
    let nobody = Uuid::now_v7();
    let mut control = database.login(SystemRole::Control).await;
    for (id, schema) in [(nobody, &schema), (id, &its_schema), (active, &schema), (active, &its_schema)] {
        let statement = format!("SELECT public.create_tenant_schema('{id}', '{schema}')");
        assert_eq!(sqlstate(&mut control, &statement).await.as_deref(), Some("42704"), "{id} {schema}");
    }
    assert_eq!(exists(&database, &schema).await, (false, false));
    assert_eq!(exists(&database, &its_schema).await, (false, false));
}

#[tokio::test]
async fn a_role_or_schema_that_stands_in_the_way_is_not_taken_over() {
    let database = TestDatabase::create().await;
    let (id, schema) = register(&database, "provisioning").await;
    let mut superuser = database.superuser().await;
    superuser.execute(sqlx::AssertSqlSafe(format!("CREATE ROLE {schema} LOGIN SUPERUSER"))).await.unwrap();
    let mut control = database.login(SystemRole::Control).await;
    let create = format!("SELECT public.create_tenant_schema('{id}', '{schema}')");
    assert_eq!(sqlstate(&mut control, &create).await.as_deref(), Some("42710"));
    assert_eq!(exists(&database, &schema).await, (false, true));
    superuser
        .execute(sqlx::AssertSqlSafe(format!("DROP ROLE {schema}; CREATE SCHEMA {schema}")))
        .await
        .unwrap();
    assert_eq!(sqlstate(&mut control, &create).await.as_deref(), Some("42P06"));
}

#[tokio::test]
async fn the_application_and_tenants_may_not_call_them() {
    let test = TestTenant::create().await;
    let (id, schema) = (test.tenant.id, test.tenant.database_schema.as_str());
    let mut app = test.database.login(SystemRole::App).await;
    for role in ["NONE".to_owned(), format!("\"{schema}\"")] {
        app.execute(sqlx::AssertSqlSafe(format!("SET ROLE {role}"))).await.unwrap();
        for call in [
            format!("public.create_tenant_schema('{id}', '{schema}')"),
            format!("public.drop_tenant_schema('{id}', '{schema}')"),
            format!("public.change_tenant_status('{id}', '{schema}', 'suspended', now())"),
            format!("public.end_tenant_transactions('{id}', '{schema}')"),
            format!("provisioning.make_tenant('{schema}')"),
            format!("provisioning.fence_tenant('{schema}', false)"),
            format!("provisioning.drop_tenant('{schema}')"),
            format!("provisioning.end_transactions('{schema}')"),
            format!("provisioning.lock_tenant('{id}', '{schema}', ARRAY['active'])"),
        ] {
            let statement = format!("SELECT {call}");
            assert_eq!(sqlstate(&mut app, &statement).await.as_deref(), Some("42501"), "{role}: {call}");
        }
    }
}

#[tokio::test]
async fn a_callers_temporary_table_does_not_answer_for_the_catalog() {
    let database = TestDatabase::create().await;
    let (_, schema) = register(&database, "provisioning").await;
    let nobody = Uuid::now_v7();
    // The control login may make no temporary table; even with the right to, it gains nothing.
    let mut superuser = database.superuser().await;
    let name = database.name();
    superuser
        .execute(sqlx::AssertSqlSafe(format!("GRANT TEMPORARY ON DATABASE {name} TO clinicx_control")))
        .await
        .unwrap();
    let mut control = database.login(SystemRole::Control).await;
    control
        .execute(sqlx::AssertSqlSafe(format!(
            "CREATE TEMP TABLE tenants AS SELECT '{nobody}'::uuid AS id, '{schema}'::text AS database_schema, \
             'provisioning'::text AS status; \
             CREATE TEMP TABLE pg_roles (rolname text); \
             CREATE FUNCTION pg_temp.format(text, VARIADIC text[]) RETURNS text LANGUAGE sql AS \
             $$ SELECT 'ALTER ROLE clinicx_control SUPERUSER' $$; \
             SET search_path TO pg_temp, pg_catalog, public"
        )))
        .await
        .unwrap();
    let statement = format!("SELECT public.create_tenant_schema('{nobody}', '{schema}')");
    assert_eq!(sqlstate(&mut control, &statement).await.as_deref(), Some("42704"));
    let (id, schema) = register(&database, "provisioning").await;
    let statement = format!("SELECT public.create_tenant_schema('{id}', '{schema}')");
    assert_eq!(sqlstate(&mut control, &statement).await, None);
    let elevated: bool =
        sqlx::query_scalar("SELECT rolsuper FROM pg_roles WHERE rolname = 'clinicx_control'")
            .fetch_one(&mut superuser)
            .await
            .unwrap();
    assert!(!elevated);
}

#[tokio::test]
async fn registry_and_fence_change_together() {
    let test = TestTenant::create().await;
    let (id, schema) = (test.tenant.id, test.tenant.database_schema.as_str());
    let mut control = test.database.login(SystemRole::Control).await;
    let to =
        |status: &str| format!("SELECT public.change_tenant_status('{id}', '{schema}', {status}, now())");
    for bad in ["'purged'", "'purging'", "'provisioning'", "'x'", "NULL"] {
        assert_eq!(sqlstate(&mut control, &to(bad)).await.as_deref(), Some("22023"), "{bad}");
    }
    assert_eq!(sqlstate(&mut control, &to("'active'")).await.as_deref(), Some("42704"), "an active tenant");
    let usage = format!("SELECT has_schema_privilege('{schema}', '{schema}', 'USAGE')");
    for (status, fenced) in [("'suspended'", true), ("'active'", false), ("'archived'", true)] {
        assert_eq!(sqlstate(&mut control, &to(status)).await, None, "{status}");
        let may: bool = sqlx::query_scalar(sqlx::AssertSqlSafe(usage.clone()))
            .fetch_one(&mut test.database.superuser().await)
            .await
            .unwrap();
        assert_eq!(may, !fenced, "{status}");
    }
    assert_eq!(
        sqlstate(&mut control, &to("'suspended'")).await.as_deref(),
        Some("42704"),
        "an archived tenant"
    );
}

#[tokio::test]
async fn a_right_that_the_role_was_given_elsewhere_does_not_keep_it() {
    let database = TestDatabase::create().await;
    let (id, schema) = register(&database, "provisioning").await;
    let mut control = database.login(SystemRole::Control).await;
    let create = format!("SELECT public.create_tenant_schema('{id}', '{schema}')");
    assert_eq!(sqlstate(&mut control, &create).await, None);
    let mut superuser = database.superuser().await;
    superuser
        .execute(sqlx::AssertSqlSafe(format!(
            "GRANT SELECT ON public.clusters TO {schema}; \
             CREATE TABLE public.theirs (a int); ALTER TABLE public.theirs OWNER TO {schema}; \
             SELECT lo_create(7); ALTER LARGE OBJECT 7 OWNER TO {schema}; \
             UPDATE public.tenants SET status = 'archived', archived_at = now() WHERE id = '{id}'"
        )))
        .await
        .unwrap();
    let drop = format!("SELECT public.drop_tenant_schema('{id}', '{schema}')");
    assert_eq!(sqlstate(&mut control, &drop).await, None);
    assert_eq!(exists(&database, &schema).await, (false, false));
}

#[tokio::test]
async fn the_control_login_destroys_no_key_that_is_needed() {
    let database = TestDatabase::create().await;
    let (id, _) = register(&database, "active").await;
    let mut control = database.login(SystemRole::Control).await;
    let insert = |version: i32| {
        format!(
            "INSERT INTO public.tenant_keys (tenant_id, version, wrapped_key, provider, provider_key_id, algorithm) \
             VALUES ('{id}', {version}, 'x', 'file', 'k', 'aes-256-gcm')"
        )
    };
    let change = |version: i32, set: &str| {
        format!("UPDATE public.tenant_keys SET {set} WHERE tenant_id = '{id}' AND version = {version}")
    };
    let (retired, complete) = ("state = 'retired', retired_at = now()", "completed_at = now()");
    let destroyed = "state = 'destroyed', wrapped_key = NULL, destroyed_at = now()";
    for (statement, sqlstate_of, done) in [
        (insert(1), None, false),
        (change(1, destroyed), Some("42501"), false),
        (change(1, "state = 'destroyed', wrapped_key = NULL"), Some("23514"), false),
        (change(1, retired), None, false),
        (insert(2), None, false),
        (change(2, complete), None, true),
    ] {
        assert_eq!(sqlstate(&mut control, &statement).await.as_deref(), sqlstate_of, "{statement}");
        let destroy = "SELECT public.destroy_tenant_key($1, 1)";
        let said: bool = sqlx::query_scalar(destroy).bind(id).fetch_one(&mut control).await.unwrap();
        assert_eq!(said, done, "after {statement}");
    }
    let active = "SELECT public.destroy_tenant_key($1, 2)";
    let said: bool = sqlx::query_scalar(active).bind(id).fetch_one(&mut control).await.unwrap();
    assert!(!said, "the active version");
    let mut app = database.login(SystemRole::App).await;
    let call = format!("SELECT public.destroy_tenant_key('{id}', 2)");
    assert_eq!(sqlstate(&mut app, &call).await.as_deref(), Some("42501"));
}
