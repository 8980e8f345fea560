//! The catalog check: it finds nothing on what the migrations make, and every gap that is torn.

use clinicx_migration::{
    fence::{self, Gap},
    system::SystemRole,
};
use clinicx_testing::{TestDatabase, TestTenant};
use sqlx::Executor;

async fn gaps(test: &TestTenant) -> Vec<Gap> {
    let app = test.database.system(SystemRole::App).await;
    let gaps = fence::check(&app, &test.database.roles(), Some(&test.tenant.database_schema)).await.unwrap();
    app.close().await;
    gaps
}

#[tokio::test]
async fn every_table_of_every_module_stands_behind_its_fences() {
    let database = TestDatabase::create().await;
    let test = TestTenant::builder().database(&database).create().await;
    test.another().await;
    let app = database.system(SystemRole::App).await;
    let found = fence::check(&app, &database.roles(), None).await.unwrap();
    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(shown, Vec::<String>::new());
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_tables WHERE schemaname = $1")
        .bind(test.tenant.database_schema.as_str())
        .fetch_one(&mut database.superuser().await)
        .await
        .unwrap();
    assert!(tables > 20, "{tables} tables");
}

#[tokio::test]
async fn a_tenant_without_a_module_has_none_of_its_tables() {
    let test = TestTenant::with_modules(&[]).await;
    let mut superuser = test.database.superuser().await;
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = $1")
            .bind(test.tenant.database_schema.as_str())
            .fetch_all(&mut superuser)
            .await
            .unwrap();
    for (table, expected) in [
        ("patients", true),
        ("staff", true),
        ("appointments", true),
        ("outbox", true),
        ("invoices", false),
        ("payments", false),
        ("dental_charts", false),
        ("treatments", false),
    ] {
        assert_eq!(tables.iter().any(|name| name == table), expected, "{table}");
    }
}

/// Somebody's code, which changes nothing that a check of the tables' own texts would see.
const PLANT: &str = "CREATE SCHEMA spare; \
    CREATE FUNCTION spare.f(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END'; \
    CREATE FUNCTION spare.same(text, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END'; \
    CREATE OPERATOR spare.= (LEFTARG = text, RIGHTARG = text, FUNCTION = spare.same)";

const CODE_IN_A_TABLE: [(&str, &str, &str); 10] = [
    (
        "ALTER TABLE rooms ALTER time_zone SET DEFAULT spare.f('x')",
        "code_in_default",
        "time_zone calls function spare.f(text)",
    ),
    (
        "ALTER TABLE rooms ADD more text GENERATED ALWAYS AS (spare.f(name)) STORED",
        "code_in_generated_column",
        "more calls function spare.f(text)",
    ),
    (
        "ALTER TABLE rooms ADD CONSTRAINT \"Held\" CHECK (spare.f(name) <> '')",
        "code_in_constraint",
        "\"Held\" calls function spare.f(text)",
    ),
    (
        "ALTER TABLE rooms ADD CONSTRAINT held CHECK (name OPERATOR(spare.=) name)",
        "code_in_constraint",
        "held calls operator spare.=(text,text)",
    ),
    (
        "CREATE INDEX ix_more ON rooms (spare.f(name))",
        "code_in_index",
        "ix_more calls function spare.f(text)",
    ),
    (
        "CREATE INDEX ix_more ON rooms (id) WHERE spare.f(name) <> ''",
        "code_in_index",
        "ix_more calls function spare.f(text)",
    ),
    (
        "CREATE STATISTICS more ON spare.f(name), kind FROM rooms",
        "code_in_statistics",
        "more calls function spare.f(text)",
    ),
    (
        "CREATE VIEW more WITH (security_invoker) AS SELECT spare.f(name) FROM rooms; \
         ALTER VIEW more OWNER TO clinicx_owner",
        "code_in_view",
        "more calls function spare.f(text)",
    ),
    (
        "CREATE DOMAIN spare.word AS text CHECK (spare.f(value) <> ''); ALTER TABLE rooms ADD more spare.word[]",
        "code_in_column",
        "more calls type spare.word[]",
    ),
    (
        "CREATE DOMAIN more AS text CHECK (spare.f(value) <> '')",
        "code_in_type",
        "more calls function spare.f(text)",
    ),
];

#[tokio::test]
async fn each_gap_is_found() {
    let test = TestTenant::create().await;
    let schema = test.tenant.database_schema.as_str();
    let mut superuser = test.database.superuser().await;
    superuser.execute(sqlx::AssertSqlSafe(format!("SET search_path TO {schema}"))).await.unwrap();
    for (tear, mend, gap) in [
        (
            "ALTER TABLE outbox DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE outbox ENABLE ROW LEVEL SECURITY",
            "row_security_not_enabled",
        ),
        (
            "ALTER TABLE outbox NO FORCE ROW LEVEL SECURITY",
            "ALTER TABLE outbox FORCE ROW LEVEL SECURITY",
            "row_security_not_forced",
        ),
        ("CREATE POLICY hole ON outbox USING (true)", "DROP POLICY hole ON outbox", "policy"),
        (
            "ALTER TABLE outbox RENAME CONSTRAINT ck_outbox__tenant TO other; ALTER TABLE outbox DROP CONSTRAINT other",
            "DO $$ BEGIN EXECUTE format('ALTER TABLE outbox ADD CONSTRAINT ck_outbox__tenant CHECK (tenant_id = %L::uuid)', \
             (SELECT id FROM public.tenants WHERE database_schema = current_schema())); END $$",
            "tenant_check",
        ),
        (
            "ALTER TABLE outbox ALTER tenant_id DROP NOT NULL",
            "ALTER TABLE outbox ALTER tenant_id SET NOT NULL",
            "tenant_id_column",
        ),
        ("GRANT SELECT ON outbox TO PUBLIC", "REVOKE SELECT ON outbox FROM PUBLIC", "grant"),
        ("GRANT SELECT ON outbox TO clinicx_app", "REVOKE SELECT ON outbox FROM clinicx_app", "grant"),
        (
            "GRANT UPDATE (payload) ON outbox TO clinicx_app",
            "REVOKE UPDATE (payload) ON outbox FROM clinicx_app",
            "column_grant",
        ),
        ("ALTER TABLE outbox OWNER TO postgres", "ALTER TABLE outbox OWNER TO clinicx_owner", "owner"),
        (
            "DROP INDEX ix_invoices__patient_id",
            "CREATE INDEX ix_invoices__patient_id ON invoices (patient_id)",
            "foreign_key_without_index",
        ),
        (
            "ALTER TABLE invoices DROP CONSTRAINT fk_invoices__patient_id; ALTER TABLE invoices ADD CONSTRAINT \
             fk_invoices__patient_id FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE CASCADE",
            "ALTER TABLE invoices DROP CONSTRAINT fk_invoices__patient_id; ALTER TABLE invoices ADD CONSTRAINT \
             fk_invoices__patient_id FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE RESTRICT",
            "foreign_key_action",
        ),
        (
            "CREATE VIEW v AS SELECT id FROM outbox; ALTER VIEW v OWNER TO clinicx_owner",
            "DROP VIEW v",
            "view_without_security_invoker",
        ),
        ("CREATE TABLE bare (id int)", "DROP TABLE bare", "primary_key_missing"),
        (
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "DROP FUNCTION f()",
            "function",
        ),
        (
            "CREATE TRIGGER t BEFORE UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "DROP TRIGGER t ON outbox",
            "trigger",
        ),
        (
            "ALTER TABLE invoices DISABLE TRIGGER ALL",
            "ALTER TABLE invoices ENABLE TRIGGER ALL",
            "foreign_key_disabled",
        ),
        ("CREATE RULE r AS ON DELETE TO outbox DO INSTEAD NOTHING", "DROP RULE r ON outbox", "rule"),
        (
            "ALTER TABLE outbox ALTER tenant_id DROP DEFAULT",
            "DO $$ BEGIN EXECUTE format('ALTER TABLE outbox ALTER tenant_id SET DEFAULT %L::uuid', \
             (SELECT id FROM public.tenants WHERE database_schema = current_schema())); END $$",
            "tenant_id_column",
        ),
        ("CREATE TABLE bare (id int)", "DROP TABLE bare", "tenant_id_column_missing"),
        (
            "CREATE TRIGGER more BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION public.refuse_truncate()",
            "DROP TRIGGER more ON outbox",
            "truncate_guard_torn",
        ),
        (
            "DROP TRIGGER refuse_truncate ON outbox; CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON outbox \
             WHEN (false) EXECUTE FUNCTION public.refuse_truncate()",
            "DROP TRIGGER refuse_truncate ON outbox; CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON outbox \
             EXECUTE FUNCTION public.refuse_truncate()",
            "truncate_guard_missing",
        ),
        (
            "CREATE SCHEMA spare; CREATE TABLE spare.parent (LIKE outbox); ALTER TABLE outbox INHERIT spare.parent",
            "ALTER TABLE outbox NO INHERIT spare.parent; DROP SCHEMA spare CASCADE",
            "inherits",
        ),
        (
            "CREATE SCHEMA spare; CREATE TABLE spare.parent (LIKE outbox INCLUDING DEFAULTS) PARTITION BY HASH (id); \
             ALTER TABLE spare.parent ATTACH PARTITION outbox FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
            "ALTER TABLE spare.parent DETACH PARTITION outbox; DROP SCHEMA spare CASCADE",
            "partition_of",
        ),
        (
            "CREATE SCHEMA spare; CREATE TABLE spare.child () INHERITS (outbox)",
            "DROP SCHEMA spare CASCADE",
            "is_inherited",
        ),
        ("ALTER TABLE outbox SET UNLOGGED", "ALTER TABLE outbox SET LOGGED", "unlogged"),
        (
            "CREATE FUNCTION public.same(varchar, text) RETURNS boolean LANGUAGE sql AS 'SELECT true'; \
             CREATE OPERATOR = (LEFTARG = varchar, RIGHTARG = text, FUNCTION = public.same)",
            "DROP FUNCTION public.same(varchar, text) CASCADE",
            "operator",
        ),
    ] {
        superuser.execute(sqlx::AssertSqlSafe(tear)).await.unwrap();
        let found = gaps(&test).await;
        assert!(found.iter().any(|one| one.gap == gap), "{gap}: {found:?}");
        superuser.execute(sqlx::AssertSqlSafe(mend)).await.unwrap();
        assert_eq!(gaps(&test).await, Vec::new(), "after mending {gap}");
    }
    for (tear, gap, detail) in CODE_IN_A_TABLE {
        superuser.execute(sqlx::AssertSqlSafe(format!("{PLANT}; {tear}"))).await.unwrap();
        let found = gaps(&test).await;
        let named = found.iter().any(|one| one.gap == gap && one.detail.as_deref() == Some(detail));
        assert!(named, "{tear}: {found:?}");
        superuser.execute("DROP SCHEMA spare CASCADE").await.unwrap();
        assert_eq!(gaps(&test).await, Vec::new(), "after {tear}");
    }
    let _held = test.database.hold_roles().await;
    for (tear, mend, gap) in [
        (
            format!("GRANT UPDATE ON {schema}.patient_consents TO {schema}"),
            format!("REVOKE UPDATE ON {schema}.patient_consents FROM {schema}"),
            "grant",
        ),
        (
            format!("GRANT INSERT ON {schema}.schema_migrations TO {schema}"),
            format!("REVOKE INSERT ON {schema}.schema_migrations FROM {schema}"),
            "grant",
        ),
        (
            format!("GRANT TRUNCATE ON {schema}.outbox TO {schema}"),
            format!("REVOKE TRUNCATE ON {schema}.outbox FROM {schema}"),
            "grant",
        ),
        (
            format!("GRANT UPDATE (checksum) ON {schema}.schema_migrations TO {schema}"),
            format!("REVOKE UPDATE (checksum) ON {schema}.schema_migrations FROM {schema}"),
            "column_grant",
        ),
        (
            format!("REVOKE DELETE ON {schema}.outbox FROM {schema}"),
            format!("GRANT DELETE ON {schema}.outbox TO {schema}"),
            "grant_missing",
        ),
        (
            format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE clinicx_owner IN SCHEMA {schema} GRANT SELECT ON TABLES TO clinicx_app"
            ),
            format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE clinicx_owner IN SCHEMA {schema} REVOKE SELECT ON TABLES FROM clinicx_app"
            ),
            "default_privileges",
        ),
        (
            format!("GRANT USAGE ON SCHEMA {schema} TO clinicx_app"),
            format!("REVOKE USAGE ON SCHEMA {schema} FROM clinicx_app"),
            "schema_grant",
        ),
        (
            format!("REVOKE USAGE ON SCHEMA {schema} FROM {schema}"),
            format!("GRANT USAGE ON SCHEMA {schema} TO {schema}"),
            "schema_usage_missing",
        ),
        (format!("ALTER ROLE {schema} LOGIN"), format!("ALTER ROLE {schema} NOLOGIN"), "role_attributes"),
        (
            format!("CREATE ROLE meddler; GRANT {schema} TO meddler"),
            "DROP ROLE meddler".to_owned(),
            "role_member",
        ),
        (format!("CREATE ROLE herd; GRANT herd TO {schema}"), "DROP ROLE herd".to_owned(), "role_is_member"),
    ] {
        superuser.execute(sqlx::AssertSqlSafe(tear)).await.unwrap();
        let found = gaps(&test).await;
        assert!(found.iter().any(|one| one.gap == gap), "{gap}: {found:?}");
        superuser.execute(sqlx::AssertSqlSafe(mend)).await.unwrap();
        assert_eq!(gaps(&test).await, Vec::new(), "after mending {gap}");
    }
}

#[tokio::test]
async fn the_systems_own_roles_and_rights_are_checked_too() {
    let database = TestDatabase::create().await;
    let app = database.system(SystemRole::App).await;
    let names = database.roles();
    assert_eq!(fence::check_system(&app, &names).await.unwrap(), Vec::new());
    let mut superuser = database.superuser().await;
    // Only what belongs to this database is torn: other tests use the same roles.
    for (tear, mend, gap) in [
        (
            "GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO PUBLIC",
            "REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC",
            "everybody_may_set_config",
        ),
        (
            "GRANT CREATE ON SCHEMA public TO PUBLIC",
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
            "everybody_may_create",
        ),
        (
            "ALTER FUNCTION public.drop_tenant_schema(varchar, varchar) SET search_path TO public, pg_catalog",
            "ALTER FUNCTION public.drop_tenant_schema(varchar, varchar) SET search_path TO pg_catalog, pg_temp",
            "provisioning_function",
        ),
        (
            "GRANT EXECUTE ON FUNCTION public.create_tenant_schema(varchar, varchar) TO PUBLIC",
            "REVOKE EXECUTE ON FUNCTION public.create_tenant_schema(varchar, varchar) FROM PUBLIC",
            "function_grant",
        ),
        (
            "ALTER FUNCTION provisioning.make_tenant(varchar) OWNER TO clinicx_owner",
            "ALTER FUNCTION provisioning.make_tenant(varchar) OWNER TO clinicx_provisioner",
            "provisioning_function",
        ),
        (
            "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "DROP FUNCTION public.f()",
            "function",
        ),
        (
            "GRANT SELECT ON public.audit_logs TO clinicx_app",
            "REVOKE SELECT ON public.audit_logs FROM clinicx_app",
            "grant",
        ),
        ("GRANT SELECT ON public.users TO PUBLIC", "REVOKE SELECT ON public.users FROM PUBLIC", "grant"),
        (
            "GRANT SELECT ON public.clusters TO clinicx_app WITH GRANT OPTION",
            "REVOKE GRANT OPTION FOR SELECT ON public.clusters FROM clinicx_app",
            "grant",
        ),
        (
            "GRANT INSERT (recorded_at) ON public.audit_logs TO PUBLIC",
            "REVOKE INSERT (recorded_at) ON public.audit_logs FROM PUBLIC",
            "column_grant",
        ),
        (
            "GRANT UPDATE (status) ON public.tenants TO clinicx_control",
            "REVOKE UPDATE (status) ON public.tenants FROM clinicx_control",
            "column_grant",
        ),
        (
            "CREATE TRIGGER t BEFORE UPDATE ON public.users FOR EACH ROW \
             EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "DROP TRIGGER t ON public.users",
            "trigger",
        ),
        (
            "CREATE RULE r AS ON DELETE TO public.audit_logs DO INSTEAD NOTHING",
            "DROP RULE r ON public.audit_logs",
            "rule",
        ),
        ("CREATE POLICY p ON public.tenants USING (true)", "DROP POLICY p ON public.tenants", "policy"),
        (
            "CREATE SCHEMA spare; CREATE TABLE spare.parent (LIKE public.users); \
             ALTER TABLE public.users INHERIT spare.parent",
            "ALTER TABLE public.users NO INHERIT spare.parent; DROP SCHEMA spare CASCADE",
            "inherits",
        ),
        (
            "CREATE SCHEMA spare; CREATE TABLE spare.child () INHERITS (public.users)",
            "DROP SCHEMA spare CASCADE",
            "is_inherited",
        ),
        (
            "DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO clinicx_app WITH GRANT OPTION', \
             current_database()); END $$",
            "DO $$ BEGIN EXECUTE format('REVOKE GRANT OPTION FOR CONNECT ON DATABASE %I FROM clinicx_app', \
             current_database()); END $$",
            "database_grant",
        ),
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE clinicx_owner GRANT SELECT ON SEQUENCES TO clinicx_app",
            "ALTER DEFAULT PRIVILEGES FOR ROLE \"clinicx_owner\" REVOKE ALL ON SEQUENCES FROM \"clinicx_app\"",
            "default_privileges",
        ),
        (
            "GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO pg_monitor",
            "REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM pg_monitor",
            "others_may_set_config",
        ),
        (
            "GRANT EXECUTE ON FUNCTION pg_catalog.lo_create(oid) TO PUBLIC",
            "REVOKE EXECUTE ON FUNCTION pg_catalog.lo_create(oid) FROM PUBLIC",
            "large_objects",
        ),
        (
            "GRANT EXECUTE ON FUNCTION extensions.set_limit(real) TO PUBLIC",
            "REVOKE EXECUTE ON FUNCTION extensions.set_limit(real) FROM PUBLIC",
            "session_function",
        ),
        (
            "GRANT CREATE ON SCHEMA extensions TO clinicx_owner",
            "REVOKE CREATE ON SCHEMA extensions FROM clinicx_owner",
            "others_may_create",
        ),
        (
            "ALTER EXTENSION pg_trgm SET SCHEMA public",
            "ALTER EXTENSION pg_trgm SET SCHEMA extensions",
            "extension_missing",
        ),
    ] {
        superuser.execute(sqlx::AssertSqlSafe(tear)).await.unwrap();
        let found = fence::check_system(&app, &names).await.unwrap();
        assert!(found.iter().any(|one| one.gap == gap), "{gap}: {found:?}");
        superuser.execute(sqlx::AssertSqlSafe(mend)).await.unwrap();
        assert_eq!(fence::check_system(&app, &names).await.unwrap(), Vec::new(), "after mending {gap}");
    }
    let strangers = clinicx_migration::system::RoleNames::with_prefix("stranger").unwrap();
    let found = fence::check_system(&app, &strangers).await.unwrap();
    assert_eq!(found.iter().filter(|one| one.gap == "role_missing").count(), 7);
}
