//! What is changed by hand is named with the command that mends it, and nothing is served in production until then.

use base64::{Engine, prelude::BASE64_STANDARD};
use clinicx_embedded_postgres::{
    TestServer,
    server::{Options, Server},
};
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};

use crate::{
    program::{Folder, Program},
    support::PASSWORD,
};

/// A production's program: a login of its own for each part, its keys configured.
fn production(url: impl Fn(&str) -> String, admin: &str) -> Program {
    without_migrator(&url, admin).with("CLINICX_DATABASE__MIGRATOR_URL", url("clinicx_migrator"))
}

fn without_migrator(url: impl Fn(&str) -> String, admin: &str) -> Program {
    let key = |byte: u8| BASE64_STANDARD.encode([[byte; 16], [9; 16]].concat());
    Program::new()
        .with("CLINICX_PROFILE", "production")
        .with("CLINICX_DATABASE__URL", url("clinicx_app"))
        .with("CLINICX_DATABASE__CONTROL_URL", url("clinicx_control"))
        .with("CLINICX_DATABASE__ADMIN_URL", admin)
        .with("CLINICX_AUTH__TOKEN_KEY", key(1))
        .with("CLINICX_KEYS__MASTER_KEY", key(2))
        .with("CLINICX_AUDIT__SIGNING_KEY", key(3))
        .with("CLINICX_HTTP__PORT", "0")
        .with("SOME_PASSWORD", PASSWORD)
}

/// Returns the failed checks as name, finding, mend.
fn failed(program: &Program) -> Vec<(String, String, String)> {
    let ran = program.run(&["doctor", "--json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let text = |check: &Value, part: &str| check[part].as_str().unwrap().to_owned();
    let checks = report["checks"].as_array().unwrap().iter().filter(|check| check["status"] != "ok");
    checks.map(|check| (text(check, "name"), text(check, "finding"), text(check, "mend"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_lose_writes_is_not_served_on_in_production() {
    let server = TestServer::start().unwrap();
    let program = production(|login| server.url(login, "postgres"), &server.superuser_url("postgres"));
    program.run(&["migrate", "system"]).expect(0);
    let checks = failed(&program);
    let (name, finding, mend) = &checks[0];
    assert_eq!((name.as_str(), finding.as_str()), ("fsync", "off"));
    assert!(mend.contains("ALTER SYSTEM SET fsync = on"), "{mend}");
    let refusal = program.run(&["serve"]);
    assert_eq!(refusal.code, Some(1));
    assert!(refusal.stderr.lines().last().unwrap().contains("ALTER SYSTEM SET fsync = on"), "{refusal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_in_production_is_refused_with_the_command_that_mends_it() {
    let folder = Folder::new();
    let options =
        Options { fallback: None, max_connections: 60, ..Options::new(folder.path().join("state")) };
    let server = Server::start(options).await.unwrap();
    let program = production(|login| server.url(login, "postgres"), &server.address().superuser_url());
    program.run(&["migrate", "system"]).expect(0);
    let create = [
        "tenant",
        "create",
        "checked",
        "--name",
        "A",
        "--time-zone",
        "UTC",
        "--currency",
        "EUR",
        "--admin-email",
        "a@b.example",
        "--admin-name",
        "Ada",
        "--admin-password-env",
        "SOME_PASSWORD",
    ];
    program.run(&create).expect(0);
    assert_eq!(failed(&program), vec![]);

    // A login that is not configured takes its own part away and nothing else.
    let partly = without_migrator(|login| server.url(login, "postgres"), &server.address().superuser_url());
    for (step, status) in [("suspend", "suspended"), ("resume", "active")] {
        assert_eq!(partly.run(&["tenant", step, "checked", "--json"]).json()["status"], status);
    }
    let another = create.map(|word| if word == "checked" { "another" } else { word });
    assert!(partly.run(&another).refusal(1).contains("database.migrator_url"));

    let mut superuser = PgConnection::connect(&server.address().superuser_url()).await.unwrap();
    let (tenants, system) = (&["migrate", "tenants"][..], &["migrate", "system"][..]);
    for (tear, check, found, mend, command) in [
        (
            "GRANT SELECT ON tenant_checked.patients TO PUBLIC",
            "fences",
            "tenant_checked.patients: grant (PUBLIC SELECT)",
            "clinicx migrate tenants",
            tenants,
        ),
        (
            "ALTER TABLE tenant_checked.staff DISABLE ROW LEVEL SECURITY",
            "fences",
            "tenant_checked.staff: row_security_not_enabled",
            "clinicx migrate tenants",
            tenants,
        ),
        (
            "ALTER ROLE clinicx_control BYPASSRLS",
            "roles and rights",
            "role_attributes (clinicx_control)",
            "clinicx migrate system",
            system,
        ),
        (
            "GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO PUBLIC",
            "roles and rights",
            "everybody_may_set_config",
            "clinicx migrate system",
            system,
        ),
        (
            "DROP FUNCTION public.set_current_tenant(uuid)",
            "roles and rights",
            "public.set_current_tenant: provisioning_function",
            "clinicx migrate system",
            system,
        ),
        (
            "CREATE OR REPLACE FUNCTION public.drop_tenant_schema(p_tenant_id varchar, p_schema_name varchar) \
             RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'BEGIN END'",
            "roles and rights",
            "public.drop_tenant_schema: provisioning_function",
            "clinicx migrate system",
            system,
        ),
        (
            "GRANT pg_read_all_data TO clinicx_app",
            "roles and rights",
            "role_member (clinicx_app has pg_read_all_data)",
            "clinicx migrate system",
            system,
        ),
        (
            "ALTER ROLE clinicx_app CONNECTION LIMIT -1",
            "roles and rights",
            "connection_limit_missing (clinicx_app)",
            "clinicx migrate system",
            system,
        ),
        (
            "ALTER ROLE clinicx_app BYPASSRLS CREATEROLE",
            "application login",
            "clinicx_app has BYPASSRLS, CREATEROLE",
            "clinicx migrate system",
            system,
        ),
        (
            "ALTER ROLE clinicx_app SUPERUSER",
            "application login",
            "database.url is a superuser's (clinicx_app)",
            "clinicx migrate system",
            system,
        ),
    ] {
        superuser.execute(tear).await.unwrap();
        let checks = failed(&program);
        // The attributes of a login are seen from the login and from the roles.
        let wanted = if check.ends_with("login") || found.starts_with("role_attributes") { 2 } else { 1 };
        assert_eq!(checks.len(), wanted, "{tear}: {checks:?}");
        let (_, finding, said) = checks.iter().find(|(name, ..)| name == check).unwrap();
        assert!(finding.contains(found) && said.contains(mend), "{tear}: {finding}: {said}");
        let refusal = program.run(&["serve"]);
        let line = refusal.stderr.lines().last().unwrap();
        assert_eq!(refusal.code, Some(1), "{tear}: {refusal:?}");
        assert!(checks.iter().any(|(name, ..)| line.contains(name)) && line.contains(mend), "{tear}: {line}");
        program.run(command).expect(0);
        assert_eq!(failed(&program), vec![], "after {tear}");
    }

    // Logins that are not the service's own: one as which somebody lets it run, and one that could make itself a member.
    for (make, variable, check, found, mend) in [
        (
            "CREATE ROLE clinic_reader LOGIN BYPASSRLS IN ROLE clinicx_app",
            Some("clinic_reader"),
            "application login",
            "database.url logs in as clinic_reader, not as clinicx_app; clinic_reader has BYPASSRLS, INHERIT",
            "set database.url to the login clinicx_app",
        ),
        (
            "CREATE ROLE clinic_reader LOGIN CREATEROLE",
            None,
            "roles and rights",
            "login_creates_roles (clinic_reader)",
            "ALTER ROLE \"clinic_reader\" NOCREATEROLE",
        ),
    ] {
        superuser.execute(make).await.unwrap();
        let login = variable.unwrap_or("clinicx_app");
        let program = production(
            |part| server.url(if part == "clinicx_app" { login } else { part }, "postgres"),
            &server.address().superuser_url(),
        );
        let checks = failed(&program);
        let told = checks
            .iter()
            .any(|(name, finding, said)| name == check && finding.contains(found) && said.contains(mend));
        assert!(told, "{make}: {checks:?}");
        assert_eq!(program.run(&["serve"]).code, Some(1), "{make}");
        superuser.execute("DROP ROLE clinic_reader").await.unwrap();
    }
    // The service's own logins, mixed up.
    for (part, login, setting) in [
        ("clinicx_app", "clinicx_migrator", "database.url"),
        ("clinicx_app", "clinicx_control", "database.url"),
        ("clinicx_app", "clinicx_backup", "database.url"),
        ("clinicx_control", "clinicx_app", "database.control_url"),
        ("clinicx_migrator", "clinicx_control", "database.migrator_url"),
    ] {
        let url = |wanted: &str| server.url(if wanted == part { login } else { wanted }, "postgres");
        let program = production(url, &server.address().superuser_url());
        let ran = program.run(&["serve"]);
        let refused = ran.stderr.lines().last().unwrap();
        assert_eq!(ran.code, Some(1), "{part} as {login}: {refused}");
        let (found, mend) =
            (format!("{setting} logs in as {login}"), format!("set {setting} to the login {part}"));
        assert!(refused.contains(&found) && refused.contains(&mend), "{part} as {login}: {refused}");
    }
    // A superuser's URL alone is for development.
    let superusers = production(|_| server.address().superuser_url(), &server.address().superuser_url());
    let checks = failed(&superusers);
    let [(name, finding, said)] = &checks[..] else { panic!("{checks:?}") };
    assert_eq!(name, "application login");
    assert!(
        finding.contains("a superuser's (postgres)") && said.contains("set database.url"),
        "{finding}: {said}"
    );
    assert_eq!(superusers.run(&["serve"]).code, Some(1));
    let developers = superusers.with("CLINICX_PROFILE", "development");
    let ran = developers.run(&["doctor"]);
    let line = ran.expect(0).stdout.lines().find(|line| line.contains("application login")).unwrap();
    assert!(line.contains("warning"), "{line}");

    // What the program may not mend, it says how to.
    for (tear, mend) in [
        (
            "GRANT SELECT ON public.users TO PUBLIC",
            "REVOKE SELECT ON \"public\".\"users\" FROM PUBLIC CASCADE",
        ),
        (
            "ALTER DATABASE postgres SET session_replication_role = 'replica'",
            "ALTER DATABASE \"postgres\" RESET \"session_replication_role\"",
        ),
        ("ALTER ROLE ALL SET search_path TO public", "ALTER ROLE ALL RESET \"search_path\""),
        (
            "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO PUBLIC",
            "REVOKE EXECUTE ON FUNCTION pg_read_file(text) FROM PUBLIC CASCADE",
        ),
        (
            "GRANT SET ON PARAMETER session_replication_role TO clinicx_app",
            "REVOKE ALL ON PARAMETER \"session_replication_role\" FROM \"clinicx_app\" CASCADE",
        ),
        ("CREATE ROLE clinic_reader LOGIN BYPASSRLS", "ALTER ROLE \"clinic_reader\" NOBYPASSRLS"),
        (
            "ALTER TABLE public.audit_logs ALTER tenant_id DROP DEFAULT",
            "ALTER TABLE \"public\".\"audit_logs\" ALTER tenant_id SET DEFAULT public.tenant_id_of(current_user::text)",
        ),
        (
            "CREATE FUNCTION extensions.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS \
             'SELECT count(*) FROM tenant_checked.patients'",
            "DROP ROUTINE \"extensions\".\"peek\"()",
        ),
        (
            "CREATE SCHEMA reports; CREATE VIEW reports.names AS SELECT id FROM tenant_checked.patients; \
             GRANT SELECT ON reports.names TO PUBLIC",
            "ALTER VIEW \"reports\".\"names\" SET (security_invoker = true)",
        ),
    ] {
        superuser.execute(tear).await.unwrap();
        let checks = failed(&program);
        assert!(checks.iter().any(|(_, _, said)| said.ends_with(mend)), "{tear}: {checks:?}");
        superuser.execute(mend).await.unwrap();
        assert_eq!(failed(&program), vec![], "after {tear}");
    }
    let mut running = program.start(&["serve"]);
    running.until(|line| line.contains("serving"));
    running.signal("TERM");
    let status = running.wait();
    assert!(status.success(), "{status}: {:?}", running.stderr);
    server.stop().await.unwrap();
}
