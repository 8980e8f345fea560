//! Whatever somebody changes by hand is found, and the command that is named for it mends it.

use std::time::Duration;

use clinicx_embedded_postgres::TestServer;
use clinicx_migration::{
    fence, mend,
    system::{self, RoleNames, SystemRole},
};
use clinicx_persistence::{SystemConnection, SystemOptions, Timeouts};
use sqlx::{Connection, Executor, PgConnection, postgres::PgConnectOptions};

/// A server of its own: roles and settings belong to all databases of one.
struct Subject {
    server: TestServer,
    superuser: PgConnection,
    names: RoleNames,
}

impl Subject {
    async fn start() -> Self {
        let server = TestServer::start().unwrap();
        let superuser = PgConnection::connect(&server.superuser_url("postgres")).await.unwrap();
        let subject = Self { server, superuser, names: RoleNames::default() };
        subject.migrate().await;
        subject
    }

    async fn migrate(&self) {
        system::migrate(&self.options(None), &self.names).await.unwrap();
    }

    fn options(&self, role: Option<SystemRole>) -> PgConnectOptions {
        let url = match role {
            Some(role) => self.server.url(self.names.of(role).as_str(), "postgres"),
            None => self.server.superuser_url("postgres"),
        };
        url.parse().unwrap()
    }

    async fn run(&mut self, statement: &str) {
        let ran = self.superuser.execute(sqlx::AssertSqlSafe(statement)).await;
        ran.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// Asks as the application, on a connection that begins with what was set by then.
    async fn gaps(&self) -> Vec<fence::Gap> {
        let app = SystemConnection::connect(SystemOptions {
            connect: self.options(Some(SystemRole::App)),
            session_authorization: None,
            max_connections: 1,
            acquire_timeout: Duration::from_secs(20),
            timeouts: Timeouts::SYSTEM,
        });
        let app = app.await.unwrap();
        let gaps = fence::check_system(&app, &self.names).await.unwrap();
        app.close().await;
        gaps
    }

    /// Tears something, and does what is said about it until nothing is found any more.
    async fn check(&mut self, tear: &str, expected: &str) {
        self.run(tear).await;
        let gaps = self.gaps().await;
        let found = gaps.iter().any(|gap| gap.to_string().starts_with(expected));
        assert!(found, "{tear}: {gaps:?}");
        // What is made anew may need its rights anew, which the next look tells.
        for _ in 0..2 {
            for gap in self.gaps().await {
                match mend::command(&gap, &self.names).split_once("in psql: ") {
                    Some((_, statements)) => {
                        for statement in statements.split("; ") {
                            self.run(statement).await;
                        }
                    }
                    None => self.migrate().await,
                }
            }
        }
        assert_eq!(self.gaps().await, Vec::new(), "after {tear}");
    }
}

#[tokio::test]
async fn a_function_that_was_replaced() {
    let mut subject = Subject::start().await;
    assert_eq!(subject.gaps().await, Vec::new());
    let drop = "public.drop_tenant_schema: provisioning_function";
    for (tear, gap) in [
        (
            "CREATE OR REPLACE FUNCTION public.drop_tenant_schema(p_tenant_id varchar, p_schema_name varchar) \
             RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS \
             'BEGIN PERFORM provisioning.drop_tenant(p_schema_name); END'",
            drop,
        ),
        ("ALTER FUNCTION public.drop_tenant_schema(varchar, varchar) SET row_security TO off", drop),
        ("ALTER FUNCTION public.drop_tenant_schema(varchar, varchar) RESET ALL", drop),
        ("ALTER FUNCTION public.drop_tenant_schema(varchar, varchar) SECURITY INVOKER", drop),
        (
            "CREATE OR REPLACE FUNCTION provisioning.check_name(p_schema_name varchar) RETURNS void LANGUAGE sql \
             SET search_path = pg_catalog, pg_temp AS ''",
            "provisioning.check_name: provisioning_function",
        ),
        (
            "CREATE OR REPLACE FUNCTION public.tenant_id_of(p_role text) RETURNS uuid LANGUAGE plpgsql STABLE STRICT \
             SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS \
             'BEGIN RETURN (SELECT t.id FROM public.tenants AS t WHERE t.database_schema = p_role); END'",
            "public.tenant_id_of: provisioning_function",
        ),
        ("ALTER FUNCTION public.tenant_id_of(text) IMMUTABLE", "public.tenant_id_of: provisioning_function"),
        (
            "ALTER FUNCTION public.set_current_tenant(uuid) CALLED ON NULL INPUT",
            "public.set_current_tenant: provisioning_function",
        ),
        (
            "ALTER FUNCTION public.set_current_tenant(uuid) OWNER TO postgres",
            "public.set_current_tenant: provisioning_function",
        ),
        (
            "ALTER FUNCTION public.refuse_truncate() OWNER TO clinicx_registrar",
            "public.refuse_truncate: provisioning_function",
        ),
        (
            "DROP FUNCTION public.drop_tenant_schema(varchar, varchar); \
             CREATE FUNCTION public.drop_tenant_schema(p_tenant_id varchar, p_schema_name varchar) RETURNS boolean \
             LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN true; END'; \
             ALTER FUNCTION public.drop_tenant_schema(varchar, varchar) OWNER TO clinicx_registrar",
            "public.drop_tenant_schema: function",
        ),
        (
            "CREATE FUNCTION public.drop_tenant_schema(p_id integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER \
             SET search_path = pg_catalog, pg_temp AS 'BEGIN END'; \
             ALTER FUNCTION public.drop_tenant_schema(integer) OWNER TO clinicx_registrar",
            "public.drop_tenant_schema: function (p_id integer)",
        ),
        (
            "GRANT EXECUTE ON FUNCTION public.set_current_tenant(uuid) TO PUBLIC",
            "public.set_current_tenant: function_grant (PUBLIC)",
        ),
        (
            "GRANT EXECUTE ON FUNCTION public.tenant_audit_logs(uuid, uuid, text, text, uuid, timestamptz, timestamptz, \
             timestamptz, uuid, integer) TO clinicx_control WITH GRANT OPTION",
            "public.tenant_audit_logs: function_grant (clinicx_control)",
        ),
    ] {
        subject.check(tear, gap).await;
    }
}

#[tokio::test]
async fn a_setting_with_which_every_session_begins() {
    let mut subject = Subject::start().await;
    for (tear, gap) in [
        (
            "ALTER DATABASE postgres SET session_replication_role TO replica",
            "public: database_setting (session_replication_role postgres)",
        ),
        (
            "ALTER DATABASE postgres SET search_path TO public",
            "public: database_setting (search_path postgres)",
        ),
        (
            "ALTER DATABASE postgres SET app.current_tenant TO 'x'",
            "public: database_setting (app.current_tenant postgres)",
        ),
        (
            "ALTER ROLE ALL SET session_replication_role TO replica",
            "public: setting_of_all_roles (session_replication_role)",
        ),
        ("ALTER ROLE ALL SET search_path TO public", "public: setting_of_all_roles (search_path)"),
        ("ALTER ROLE ALL SET synchronous_commit TO off", "public: setting_of_all_roles (synchronous_commit)"),
        (
            "GRANT SET ON PARAMETER session_replication_role TO clinicx_app",
            "public: parameter_grant (session_replication_role clinicx_app)",
        ),
        (
            "GRANT SET, ALTER SYSTEM ON PARAMETER row_security TO PUBLIC",
            "public: parameter_grant (row_security PUBLIC)",
        ),
    ] {
        subject.check(tear, gap).await;
    }
    subject.run("ALTER SYSTEM SET session_replication_role TO replica").await;
    subject.check("SELECT pg_reload_conf(), pg_sleep(1)", "public: server_setting").await;
    // What a server or another application brings is nobody's gap.
    subject.run("CREATE ROLE helper LOGIN").await;
    subject.run("CREATE DATABASE theirs").await;
    for theirs in [
        "ALTER DATABASE postgres SET work_mem TO '8MB'",
        "ALTER DATABASE postgres SET TimeZone TO 'Asia/Damascus'",
        "ALTER DATABASE postgres SET statement_timeout TO '1min'",
        "ALTER DATABASE postgres SET app.settings.theirs TO 'x'",
        "ALTER DATABASE theirs SET search_path TO public",
        "ALTER ROLE ALL SET random_page_cost TO 1.1",
        "ALTER ROLE helper SET session_replication_role TO replica",
        "GRANT SET ON PARAMETER log_min_duration_statement TO helper",
    ] {
        subject.run(theirs).await;
        assert_eq!(subject.gaps().await, Vec::new(), "{theirs}");
    }
}

#[tokio::test]
async fn a_right_or_role_of_the_server() {
    let mut subject = Subject::start().await;
    subject.run("CREATE ROLE helper; CREATE ROLE monitor LOGIN IN ROLE helper").await;
    for (tear, gap) in [
        (
            "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO PUBLIC",
            "pg_catalog: server_function (pg_read_file(text) PUBLIC)",
        ),
        (
            "GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean) TO clinicx_app",
            "pg_catalog: server_function (pg_ls_dir(text,boolean,boolean) clinicx_app)",
        ),
        ("GRANT SELECT ON pg_catalog.pg_authid TO PUBLIC", "pg_catalog.pg_authid: grant (PUBLIC SELECT)"),
        ("CREATE ROLE \"Other\" LOGIN BYPASSRLS", "public: role_bypasses_row_security (Other)"),
        ("CREATE ROLE their_backup LOGIN BYPASSRLS", "public: role_bypasses_row_security (their_backup)"),
        ("ALTER ROLE helper BYPASSRLS", "public: role_bypasses_row_security (helper)"),
        ("ALTER ROLE clinicx_app CONNECTION LIMIT -1", "public: connection_limit_missing (clinicx_app)"),
    ] {
        subject.check(tear, gap).await;
    }
    // Another installation's backup login is stopped by the database; once it is let in it is one too many.
    let others = RoleNames::with_prefix("others").unwrap();
    subject.run("CREATE DATABASE others").await;
    let elsewhere = subject.server.superuser_url("others").parse().unwrap();
    system::migrate(&elsewhere, &others).await.unwrap();
    // What the server itself brings.
    for theirs in [
        "CREATE ROLE nobodys BYPASSRLS",
        "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO helper",
        "GRANT SELECT ON pg_catalog.pg_authid TO helper",
        "CREATE ROLE administrator LOGIN SUPERUSER BYPASSRLS",
    ] {
        subject.run(theirs).await;
        assert_eq!(subject.gaps().await, Vec::new(), "{theirs}");
    }
    let connect = "GRANT CONNECT ON DATABASE postgres TO others_backup";
    subject.check(connect, "public: role_bypasses_row_security (others_backup)").await;
}

#[tokio::test]
async fn a_membership_of_the_services_roles() {
    let mut subject = Subject::start().await;
    subject.run("CREATE ROLE herd; CREATE ROLE tenant_x NOINHERIT; GRANT tenant_x TO clinicx_app").await;
    subject.run("GRANT herd TO clinicx_control WITH ADMIN OPTION").await;
    for (tear, gap) in [
        ("SELECT 1", "public: role_member (clinicx_control has herd)"),
        ("GRANT pg_read_all_data TO clinicx_app", "public: role_member (clinicx_app has pg_read_all_data)"),
        (
            "GRANT pg_write_all_data TO clinicx_control",
            "public: role_member (clinicx_control has pg_write_all_data)",
        ),
        (
            "GRANT pg_monitor TO clinicx_provisioner",
            "public: role_member (clinicx_provisioner has pg_monitor)",
        ),
        ("GRANT pg_monitor TO clinicx_owner", "public: role_member (clinicx_owner has pg_monitor)"),
        (
            "GRANT pg_execute_server_program TO clinicx_migrator",
            "public: role_member (clinicx_migrator has pg_execute_server_program)",
        ),
        ("GRANT herd TO clinicx_registrar", "public: role_member (clinicx_registrar has herd)"),
        ("GRANT clinicx_owner TO clinicx_app", "public: role_member (clinicx_app has clinicx_owner)"),
        ("GRANT tenant_x TO clinicx_control", "public: role_member (clinicx_control has tenant_x)"),
        ("GRANT tenant_x TO clinicx_app WITH ADMIN OPTION", "public: role_member (clinicx_app has tenant_x)"),
        (
            "GRANT pg_read_all_data TO clinicx_backup WITH ADMIN OPTION",
            "public: role_member (clinicx_backup has pg_read_all_data)",
        ),
        ("GRANT clinicx_owner TO clinicx_migrator WITH ADMIN OPTION", "public: role_has_member"),
    ] {
        subject.check(tear, gap).await;
    }
    // What they need has been left alone.
    let kept: Vec<String> = sqlx::query_scalar(
        "SELECT format('%s has %s', pg_get_userbyid(member), pg_get_userbyid(roleid)) FROM pg_auth_members \
         WHERE pg_get_userbyid(member) LIKE 'clinicx%' ORDER BY 1",
    )
    .fetch_all(&mut subject.superuser)
    .await
    .unwrap();
    let expected = [
        "clinicx_app has tenant_x",
        "clinicx_backup has pg_read_all_data",
        "clinicx_migrator has clinicx_owner",
        "clinicx_provisioner has clinicx_owner",
        "clinicx_provisioner has pg_signal_backend",
    ];
    assert_eq!(kept, expected);
}

#[tokio::test]
async fn what_the_database_says_of_an_audit_row() {
    let mut subject = Subject::start().await;
    for (column, change) in [
        ("tenant_id", "DROP DEFAULT"),
        ("tenant_id", "SET DEFAULT '00000000-0000-0000-0000-000000000000'"),
        ("database_role", "SET DEFAULT 'clinicx_app'"),
        ("database_role", "DROP NOT NULL"),
        ("recorded_at", "SET DEFAULT '2020-01-01Z'"),
        ("transaction_id", "DROP DEFAULT"),
        ("id", "SET DEFAULT '00000000-0000-0000-0000-000000000000'"),
        ("actor_id", "SET DEFAULT '00000000-0000-0000-0000-000000000000'"),
    ] {
        let tear = format!("ALTER TABLE public.audit_logs ALTER {column} {change}");
        subject.check(&tear, &format!("public.audit_logs: audit_default ({column})")).await;
    }
}

#[tokio::test]
async fn what_reads_with_its_owners_rights() {
    let mut subject = Subject::start().await;
    subject.run("CREATE SCHEMA tenant_x; CREATE TABLE tenant_x.patients (id int); CREATE SCHEMA spare").await;
    subject.run("CREATE ROLE reports; CREATE EXTENSION hstore SCHEMA spare").await;
    let definer = |name: &str| {
        format!("CREATE FUNCTION {name}(a integer) RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'")
    };
    let plain = "CREATE VIEW spare.ids AS SELECT id FROM tenant_x.patients";
    for (tear, gap) in [
        (definer("extensions.f"), "extensions.f: definer_function (a integer)"),
        (definer("spare.f"), "spare.f: definer_function (a integer)"),
        (definer("tenant_x.f"), "tenant_x.f: definer_function (a integer)"),
        (
            format!(
                "{}; REVOKE EXECUTE ON FUNCTION spare.g FROM PUBLIC; ALTER FUNCTION spare.g OWNER TO clinicx_owner; \
                 GRANT EXECUTE ON FUNCTION spare.g TO clinicx_app",
                definer("spare.g")
            ),
            "spare.g: definer_function (a integer)",
        ),
        (format!("{plain}; GRANT SELECT ON spare.ids TO PUBLIC"), "spare.ids: view_with_owners_rights"),
        (
            "CREATE VIEW spare.\"More\" AS SELECT id FROM public.users; GRANT SELECT (id) ON spare.\"More\" TO reports"
                .to_owned(),
            "spare.More: view_with_owners_rights",
        ),
        (
            "ALTER VIEW spare.ids RESET (security_invoker); REVOKE ALL ON spare.ids FROM PUBLIC; \
             CREATE VIEW spare.again AS SELECT id FROM spare.ids; GRANT SELECT ON spare.again TO reports"
                .to_owned(),
            "spare.again: view_with_owners_rights",
        ),
        (
            "CREATE MATERIALIZED VIEW spare.kept AS SELECT id FROM tenant_x.patients; GRANT SELECT ON spare.kept TO PUBLIC"
                .to_owned(),
            "spare.kept: materialised_view",
        ),
    ] {
        subject.check(&tear, gap).await;
    }
    for theirs in [
        definer("spare.administrators") + "; REVOKE EXECUTE ON FUNCTION spare.administrators FROM PUBLIC",
        definer("spare.reports") + "; ALTER FUNCTION spare.reports OWNER TO reports",
        "CREATE VIEW spare.mine AS SELECT id FROM tenant_x.patients".to_owned(),
        "CREATE VIEW spare.times AS SELECT now(); GRANT SELECT ON spare.times TO PUBLIC".to_owned(),
    ] {
        subject.run(&theirs).await;
        assert_eq!(subject.gaps().await, Vec::new(), "{theirs}");
    }
}

#[tokio::test]
async fn code_of_others_that_the_systems_tables_call() {
    let mut subject = Subject::start().await;
    subject.run("CREATE SCHEMA spare; CREATE EXTENSION citext SCHEMA extensions").await;
    for function in [
        "spare.f(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END'",
        "spare.same(varchar, text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN true; END'",
        "spare.id(text) RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()'",
    ] {
        subject.run(&format!("CREATE FUNCTION {function}")).await;
    }
    // Nothing calls it yet, and nobody can name it.
    assert_eq!(subject.gaps().await, Vec::new());
    for (tear, gap) in [
        (
            "ALTER TABLE public.users ADD CONSTRAINT held CHECK (spare.f(email) <> '')",
            "public.users: code_in_constraint (held calls function spare.f(text))",
        ),
        (
            "ALTER TABLE public.sessions ALTER revoked_reason SET DEFAULT spare.f(NULL)",
            "public.sessions: code_in_default (revoked_reason calls",
        ),
        (
            "CREATE INDEX \"More\" ON public.memberships (spare.f(tenant_id::text))",
            "public.memberships: code_in_index (\"More\" calls",
        ),
        (
            "ALTER TABLE public.users ADD more text GENERATED ALWAYS AS (spare.f(email)) STORED",
            "public.users: code_in_generated_column (more calls",
        ),
        (
            "CREATE STATISTICS public.more ON spare.f(email), id FROM public.users",
            "public.users: code_in_statistics (more calls",
        ),
        (
            "CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = text, FUNCTION = spare.same)",
            "public: operator (public.= (character varying, text))",
        ),
        (
            "CREATE OPERATOR CLASS public.more FOR TYPE text USING btree AS OPERATOR 1 pg_catalog.<",
            "public: operator_class (public.more USING btree)",
        ),
        (
            "CREATE CAST (text AS uuid) WITH FUNCTION spare.id(text) AS IMPLICIT",
            "pg_catalog: cast (text AS uuid)",
        ),
        ("ALTER TABLE public.system_migrations SET UNLOGGED", "public.system_migrations: unlogged"),
    ] {
        subject.check(tear, gap).await;
    }
    // What an extension brings is an administrator's.
    subject.run("ALTER TABLE public.users ADD theirs extensions.citext DEFAULT 'x'").await;
    assert_eq!(subject.gaps().await, Vec::new());
}

#[tokio::test]
async fn code_of_others_that_the_service_may_run() {
    let mut subject = Subject::start().await;
    subject.run("CREATE ROLE reports LOGIN; CREATE SCHEMA spare AUTHORIZATION reports").await;
    let runs = |name: &str| {
        format!("CREATE FUNCTION {name}(a text) RETURNS void LANGUAGE plpgsql AS 'BEGIN EXECUTE a; END'")
    };
    subject.run(&format!("SET ROLE reports; {}; RESET ROLE", runs("spare.ex"))).await;
    // Everybody may execute it, and nobody can name it.
    assert_eq!(subject.gaps().await, Vec::new());
    let named = "spare.ex: function_in_reach ((a text) PUBLIC)";
    subject.check("GRANT USAGE ON SCHEMA spare TO PUBLIC", named).await;
    let granted = "GRANT EXECUTE ON FUNCTION spare.ex TO clinicx_app";
    subject.check(granted, "spare.ex: function_in_reach ((a text) clinicx_app)").await;
    for (tear, gap) in [
        (runs("extensions.ex"), "extensions.ex: function_in_reach"),
        (runs("pg_catalog.ex"), "pg_catalog.ex: function_in_reach"),
        (
            "GRANT USAGE ON SCHEMA spare TO PUBLIC; CREATE EXTENSION hstore SCHEMA spare".to_owned(),
            "spare: extension_in_reach (hstore PUBLIC)",
        ),
        (
            "CREATE EXTENSION tablefunc SCHEMA extensions".to_owned(),
            "extensions: extension_in_reach (tablefunc PUBLIC)",
        ),
    ] {
        subject.check(&tear, gap).await;
    }
    for theirs in [
        "CREATE EXTENSION unaccent SCHEMA extensions",
        "CREATE FUNCTION spare.more() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE SCHEMA theirs; GRANT USAGE ON SCHEMA theirs TO reports",
        "CREATE FUNCTION theirs.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ] {
        subject.run(theirs).await;
        assert_eq!(subject.gaps().await, Vec::new(), "{theirs}");
    }
}

#[tokio::test]
async fn a_login_of_others_that_reads_past_the_tables() {
    let mut subject = Subject::start().await;
    subject.run("CREATE ROLE herd; CREATE ROLE reports LOGIN IN ROLE herd; CREATE ROLE nobodys").await;
    for (tear, gap) in [
        ("CREATE ROLE standby LOGIN REPLICATION", "public: login_replicates (standby)"),
        (
            "GRANT pg_execute_server_program TO reports",
            "public: member_of_server_role (reports pg_execute_server_program)",
        ),
        ("GRANT pg_read_server_files TO herd", "public: member_of_server_role (herd pg_read_server_files)"),
        ("GRANT pg_write_server_files TO herd", "public: member_of_server_role (herd pg_write_server_files)"),
        (
            "GRANT CONNECT ON DATABASE postgres TO reports; GRANT pg_read_all_data TO herd",
            "public: member_of_server_role (herd pg_read_all_data)",
        ),
        ("GRANT pg_write_all_data TO reports", "public: member_of_server_role (reports pg_write_all_data)"),
    ] {
        subject.check(tear, gap).await;
    }
    for theirs in [
        "CREATE ROLE other LOGIN; GRANT pg_read_all_data TO other",
        "GRANT pg_read_server_files TO nobodys",
        "CREATE ROLE administrator LOGIN SUPERUSER; GRANT pg_read_server_files TO administrator",
        "GRANT pg_monitor TO reports",
    ] {
        subject.run(theirs).await;
        assert_eq!(subject.gaps().await, Vec::new(), "{theirs}");
    }
}
