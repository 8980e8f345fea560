//! Each login in turn, as somebody has it who means no good: what it may not read, write, become or leave behind.

use clinicx_migration::{
    fence, mend,
    system::{self, SystemRole},
    tenant::{apply, apply::Subject},
};
use clinicx_testing::{TestDatabase, TestTenant};
use sqlx::{AssertSqlSafe, Executor, PgConnection};

const EVERY_LOGIN: [SystemRole; 4] =
    [SystemRole::App, SystemRole::Control, SystemRole::Migrator, SystemRole::Backup];

async fn sqlstate(connection: &mut PgConnection, statement: &str) -> Option<String> {
    match connection.execute(AssertSqlSafe(statement)).await {
        Ok(_) => None,
        Err(error) => Some(error.as_database_error().unwrap().code().unwrap().into_owned()),
    }
}

#[track_caller]
fn refused(code: Option<&str>, who: &str, statement: &str) {
    // Not allowed; or what it would use is not there.
    assert!(matches!(code, Some("42501" | "42883" | "42704" | "0LP01")), "{who}: {statement}: {code:?}");
}

/// Becomes a tenant's role as the pool does.
async fn become_tenant(test: &TestTenant) -> PgConnection {
    let schema = test.tenant.database_schema.as_str();
    let mut connection = test.database.login(SystemRole::App).await;
    let becoming = format!(
        "SET search_path TO {schema}, pg_temp; SET app.current_tenant TO '{}'; SET ROLE {schema}",
        test.tenant.id
    );
    connection.execute(AssertSqlSafe(becoming)).await.unwrap();
    connection
}

#[tokio::test]
async fn no_login_reaches_the_machine_or_becomes_somebody_else() {
    let test = TestTenant::create().await;
    let schema = test.tenant.database_schema.as_str();
    let mut connections = vec![("a tenant's role".to_owned(), become_tenant(&test).await)];
    for role in EVERY_LOGIN {
        connections.push((format!("{role:?}"), test.database.login(role).await));
    }
    for (who, connection) in &mut connections {
        // The backup login begins its sessions read only, which is no fence.
        connection.execute("SET default_transaction_read_only TO off").await.unwrap();
        let mut statements: Vec<String> = [
            "COPY (SELECT 1) TO PROGRAM 'id'",
            "COPY (SELECT 1) TO '/tmp/clinicx-attack'",
            "SELECT pg_read_file('/etc/passwd')",
            "SELECT pg_ls_dir('/')",
            "SELECT lo_import('/etc/passwd')",
            "SELECT lo_create(0)",
            "CREATE EXTENSION dblink SCHEMA public",
            "CREATE EXTENSION postgres_fdw SCHEMA public",
            "SELECT dblink_connect('host=/tmp')",
            "CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw",
            "CREATE LANGUAGE plperl HANDLER plpgsql_call_handler",
            "CREATE FUNCTION public.f() RETURNS void LANGUAGE c AS 'libc', 'system'",
            "CREATE TEMP TABLE patients (id uuid)",
            "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE SCHEMA mine",
            "CREATE DATABASE mine",
            "CREATE ROLE mine",
            "CREATE PUBLICATION mine FOR ALL TABLES",
            "ALTER SYSTEM SET fsync TO off",
            "SET SESSION AUTHORIZATION postgres",
            "SET ROLE postgres",
            "SET ROLE clinicx_provisioner",
            "SET ROLE clinicx_registrar",
            "SET ROLE pg_execute_server_program",
            "SET ROLE pg_read_server_files",
            "SET session_replication_role TO replica",
            "ALTER ROLE postgres PASSWORD 'x'",
            "ALTER ROLE clinicx_control PASSWORD 'x'".trim(),
            "SELECT pg_reload_conf()",
            "SELECT pg_stat_reset()",
            "SELECT pg_create_physical_replication_slot('x')",
        ]
        .map(str::to_owned)
        .into();
        if who == "Control" {
            // Its own password is its own.
            statements.retain(|statement| !statement.contains("clinicx_control"));
        } else {
            statements.push("SET SESSION AUTHORIZATION clinicx_control".to_owned());
        }
        if who != "App" && who != "a tenant's role" {
            statements.push(format!("SET ROLE {schema}"));
        }
        if who == "Migrator" {
            // What it becomes, it may be; nothing is left but what the owner role owns.
            statements.retain(|statement| statement != "SET ROLE clinicx_owner");
        } else {
            statements.push("SET ROLE clinicx_owner".to_owned());
        }
        for statement in &statements {
            refused(sqlstate(connection, statement).await.as_deref(), who, statement);
        }
    }
    assert!(!std::path::Path::new("/tmp/clinicx-attack").exists());
}

#[tokio::test]
async fn a_tenants_role_learns_nothing_of_what_others_do_and_tells_them_nothing() {
    let (mine, database) = (TestTenant::create().await, TestDatabase::shared().await);
    let theirs = mine.another().await;
    let mut neighbour = become_tenant(&theirs).await;
    let mut superuser = database.superuser().await;
    let schema = theirs.tenant.database_schema.as_str();
    let id = theirs.tenant.id;
    superuser
        .execute(AssertSqlSafe(format!(
            "INSERT INTO {schema}.patients (id, mrn, family_name, given_name, sort_name, search_text)
                 SELECT gen_random_uuid(), g::text, 'Neighbour', 'N' || g, 'n' || g, 'n' FROM generate_series(1, 200) AS g;
             ANALYZE {schema}.patients"
        )))
        .await
        .unwrap();
    neighbour.execute("SELECT 'canary of the neighbour'").await.unwrap();
    let mut role = become_tenant(&mine).await;
    let count = async |connection: &mut PgConnection, question: &str| -> i64 {
        sqlx::query_scalar(AssertSqlSafe(question.to_owned())).fetch_one(connection).await.unwrap()
    };
    for (what, question) in [
        (
            "statements",
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT ''canary of%'".to_owned(),
        ),
        ("statistics", format!("SELECT count(*) FROM pg_stats WHERE schemaname = '{schema}'")),
    ] {
        assert!(count(&mut superuser, &question).await > 0, "{what} are there to be seen");
        assert_eq!(count(&mut role, &question).await, 0, "{what}");
    }
    // Not even its own table's statistics, which would show other rows' values where row-level security hides them.
    assert_eq!(count(&mut role, "SELECT count(*) FROM pg_stats WHERE schemaname LIKE 'tenant%'").await, 0);
    let pid = count(&mut neighbour, "SELECT pg_backend_pid()::bigint").await;
    for statement in [
        format!("SELECT pg_terminate_backend({pid})"),
        format!("SELECT pg_cancel_backend({pid})"),
        "SELECT 1 FROM pg_statistic".to_owned(),
        "SELECT 1 FROM pg_authid".to_owned(),
        "SELECT 1 FROM pg_largeobject".to_owned(),
        format!("EXPLAIN SELECT 1 FROM {schema}.patients"),
        format!("SELECT 1 FROM {schema}.patients FOR UPDATE"),
        format!("DO $$ BEGIN LOCK TABLE {schema}.patients; END $$"),
        "SELECT pg_notify('x', 'y')".to_owned(),
        "SELECT pg_advisory_lock(1)".to_owned(),
        "SELECT pg_try_advisory_lock(1)".to_owned(),
        "SELECT pg_advisory_lock_shared(1, 2)".to_owned(),
        "SELECT pg_advisory_unlock_all()".to_owned(),
        "SELECT setseed(0.5)".to_owned(),
        "SELECT extensions.set_limit(0.9)".to_owned(),
        // A rule of this view calls set_config.
        "UPDATE pg_settings SET setting = 'public' WHERE name = 'search_path'".to_owned(),
        format!(
            "SELECT query_to_xml($$SELECT set_config('app.current_tenant', '{id}', false)$$, true, true, '')"
        ),
        "SELECT public.set_current_tenant(gen_random_uuid())".to_owned(),
        format!("SELECT public.change_tenant_status('{id}', '{schema}', 'suspended', now())"),
        format!("SELECT provisioning.drop_tenant('{schema}')"),
        "SELECT password_hash FROM public.users".to_owned(),
        "SELECT 1 FROM public.sessions".to_owned(),
        "INSERT INTO public.memberships DEFAULT VALUES".to_owned(),
        "ALTER TABLE patients NO FORCE ROW LEVEL SECURITY".to_owned(),
        "CREATE VIEW v AS SELECT 1".to_owned(),
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'".to_owned(),
        "CREATE TRIGGER t BEFORE INSERT ON patients EXECUTE FUNCTION suppress_redundant_updates_trigger()"
            .to_owned(),
    ] {
        refused(sqlstate(&mut role, &statement).await.as_deref(), "a tenant's role", &statement);
    }
    // What runs SQL for a SELECT runs no command that would change the session, or undoes it.
    let _ended = sqlstate(&mut role, "SELECT query_to_xml('RESET ROLE', true, true, '')").await;
    let who: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut role).await.unwrap();
    assert_eq!(who, mine.tenant.database_schema.as_str());
}

#[tokio::test]
async fn the_control_and_backup_logins_write_no_tenants_row() {
    let test = TestTenant::create().await;
    let schema = test.tenant.database_schema.as_str();
    for role in [SystemRole::Control, SystemRole::Backup, SystemRole::App] {
        let mut connection = test.database.login(role).await;
        let _allowed = connection.execute("SET default_transaction_read_only TO off").await;
        for statement in [
            format!(
                "INSERT INTO {schema}.patients (id, mrn, family_name, given_name) VALUES (gen_random_uuid(), '1', 'a', 'b')"
            ),
            format!("UPDATE {schema}.patients SET notes = NULL"),
            format!("DELETE FROM {schema}.patients"),
            format!("TRUNCATE {schema}.patients"),
            format!("ALTER TABLE {schema}.patients DISABLE ROW LEVEL SECURITY"),
            "DELETE FROM public.audit_logs".to_owned(),
            "UPDATE public.audit_logs SET action = 'x'".to_owned(),
            "UPDATE public.tenants SET status = 'archived'".to_owned(),
            "UPDATE public.tenants SET database_schema = 'tenant_x'".to_owned(),
        ] {
            refused(sqlstate(&mut connection, &statement).await.as_deref(), &format!("{role:?}"), &statement);
        }
        if role == SystemRole::Control {
            for table in ["users", "sessions", "refresh_tokens"] {
                let statement = format!("SELECT 1 FROM public.{table}");
                refused(sqlstate(&mut connection, &statement).await.as_deref(), "Control", &statement);
            }
            let statement = format!("SELECT 1 FROM {schema}.patients");
            refused(sqlstate(&mut connection, &statement).await.as_deref(), "Control", &statement);
        }
    }
}

#[tokio::test]
async fn what_a_login_leaves_in_its_own_defaults_is_found_and_taken_away() {
    let test = TestTenant::builder().database(&TestDatabase::create().await).create().await;
    let (database, schema) = (test.database.clone(), test.tenant.database_schema.as_str());
    let mut app = database.login(SystemRole::App).await;
    let _held = database.hold_roles().await;
    // PostgreSQL lets everybody change what its own sessions begin with.
    let leave = format!("ALTER ROLE clinicx_app IN DATABASE {} SET role TO '{schema}'", database.name());
    app.execute(AssertSqlSafe(leave)).await.unwrap();
    let mut poisoned = database.login(SystemRole::App).await;
    let who: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut poisoned).await.unwrap();
    assert_eq!(who, schema, "every connection to come begins as this tenant");
    let control = database.system(SystemRole::Control).await;
    let names = database.roles();
    let found = fence::check_system(&control, &names).await.unwrap();
    let gap = found.iter().find(|gap| gap.gap == "role_setting").unwrap();
    assert_eq!(gap.detail.as_deref(), Some(format!("clinicx_app role={schema}").as_str()));
    assert!(mend::command(gap, &names).contains("clinicx migrate system"));
    system::migrate(&database.superuser_options(), &names).await.unwrap();
    assert_eq!(fence::check_system(&control, &names).await.unwrap(), Vec::new());
    control.close().await;
}

#[tokio::test]
async fn what_was_torn_by_hand_is_mended_by_the_command_that_the_check_names() {
    let test = TestTenant::builder().database(&TestDatabase::create().await).create().await;
    let (database, names, schema) =
        (test.database.clone(), test.database.roles(), test.tenant.database_schema.as_str());
    let mut superuser = database.superuser().await;
    let _held = database.hold_roles().await;
    superuser
        .execute(AssertSqlSafe(format!(
            "SET search_path TO {schema};
             ALTER TABLE patients DISABLE ROW LEVEL SECURITY;
             ALTER TABLE staff NO FORCE ROW LEVEL SECURITY;
             DROP POLICY tenant_isolation ON rooms; CREATE POLICY hole ON rooms USING (true);
             ALTER TABLE services DROP CONSTRAINT ck_services__tenant;
             DROP TRIGGER refuse_truncate ON invoices;
             ALTER TABLE appointments DROP CONSTRAINT ck_appointments__tenant,
                 ADD CONSTRAINT ck_appointments__tenant CHECK (tenant_id IS NOT NULL) NOT VALID;
             DROP TRIGGER refuse_truncate ON payments;
             CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON payments WHEN (false)
                 EXECUTE FUNCTION public.refuse_truncate();
             CREATE TRIGGER more BEFORE INSERT ON payments FOR EACH ROW EXECUTE FUNCTION public.refuse_truncate();
             ALTER TABLE time_off ALTER tenant_id DROP DEFAULT, ALTER tenant_id DROP NOT NULL;
             ALTER POLICY tenant_isolation ON working_hours RENAME TO other;
             DO $do$ BEGIN EXECUTE format('GRANT TEMP, CREATE ON DATABASE %I TO {schema}', current_database()); END $do$;
             GRANT ALL ON outbox TO PUBLIC, clinicx_app; GRANT UPDATE (payload) ON outbox TO clinicx_control;
             GRANT ALL ON SCHEMA {schema} TO PUBLIC; REVOKE DELETE ON treatments FROM {schema};
             CREATE ROLE mender; CREATE ROLE mended; GRANT {schema} TO mender; GRANT mended TO {schema}; ALTER ROLE {schema} INHERIT;
             DROP FUNCTION public.set_current_tenant(uuid)"
        )))
        .await
        .unwrap();
    let app = database.system(SystemRole::App).await;
    let gaps = fence::check(&app, &names, None).await.unwrap();
    for (gap, command) in [
        ("row_security_not_enabled", "clinicx migrate tenants"),
        ("row_security_not_forced", "clinicx migrate tenants"),
        ("policy", "clinicx migrate tenants"),
        ("tenant_check", "clinicx migrate tenants"),
        ("truncate_guard_missing", "clinicx migrate tenants"),
        ("truncate_guard_torn", "clinicx migrate tenants"),
        ("tenant_id_column", "clinicx migrate tenants"),
        ("grant", "clinicx migrate tenants"),
        ("column_grant", "clinicx migrate tenants"),
        ("schema_grant", "clinicx migrate tenants"),
        ("grant_missing", "clinicx migrate tenants"),
        ("role_member", "clinicx migrate system"),
        ("role_is_member", "clinicx migrate system"),
        ("role_attributes", "clinicx migrate system"),
    ] {
        let found = gaps.iter().find(|one| one.gap == gap).unwrap_or_else(|| panic!("{gap}: {gaps:?}"));
        assert!(mend::command(found, &names).contains(command), "{gap}: {}", mend::command(found, &names));
    }
    let system_gaps = fence::check_system(&app, &names).await.unwrap();
    assert!(system_gaps.iter().any(|gap| gap.gap == "provisioning_function"), "{system_gaps:?}");
    for right in ["CREATE", "TEMPORARY"] {
        let detail = format!("{schema} {right}");
        let found = system_gaps.iter().find(|gap| gap.detail.as_ref() == Some(&detail));
        let found = found.unwrap_or_else(|| panic!("{detail}: {system_gaps:?}"));
        assert_eq!(found.gap, "database_grant");
        assert!(mend::command(found, &names).contains("clinicx migrate system"));
    }

    system::migrate(&database.superuser_options(), &names).await.unwrap();
    assert_eq!(fence::check_system(&app, &names).await.unwrap(), Vec::new());
    let subject = Subject {
        tenant_id: test.tenant.id,
        schema: test.tenant.database_schema.clone(),
        modules: test.tenant.modules.iter().cloned().collect(),
    };
    let mut slot = None;
    let outcome =
        apply::migrate(&database.migrator(), &mut slot, test.tenancy.modules().plan(), &subject, &[]).await;
    assert_eq!(outcome.unwrap().applied, Vec::new());
    apply::migrate(&database.migrator(), &mut slot, test.tenancy.modules().plan(), &subject, &[])
        .await
        .unwrap();
    // Whoever has mended it left a row, and there was nothing to mend a second time.
    let mended: Vec<(String, i32)> = sqlx::query_as(
        "SELECT database_role, CAST(after ->> 'statements' AS integer) FROM public.audit_logs \
         WHERE tenant_id = $1 AND action = 'tenant.fences_mended'",
    )
    .bind(test.tenant.id.uuid())
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    assert!(
        matches!(mended.as_slice(), [(role, 10..)] if role == names.of(SystemRole::Owner).as_str()),
        "{mended:?}"
    );
    let left: Vec<String> =
        fence::check(&app, &names, None).await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(left, Vec::<String>::new());
    app.close().await;
    superuser.execute("DROP ROLE mender, mended").await.unwrap();
}
