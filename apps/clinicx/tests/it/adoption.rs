//! A clinic that shares tables with others becomes a tenant, from the command line.

use std::fs;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::{command::on_an_empty_database, program::Program, support::configuration};

const TABLES: &str = "\
CREATE SCHEMA legacy AUTHORIZATION {owner};
SET ROLE {owner};
CREATE TABLE legacy.\"Patients\" (\"Id\" serial PRIMARY KEY, \"Clinic\" text, \"Last\" text, \"First\" text, \"Sex\" text);
CREATE TABLE legacy.\"Doctors\" (\"Id\" serial PRIMARY KEY, \"Clinic\" text, \"Last\" text, \"First\" text);
INSERT INTO legacy.\"Doctors\" (\"Clinic\", \"Last\", \"First\") VALUES ('a-1', 'حسن', 'Rana'), ('b-2', 'Other', 'Omar');
INSERT INTO legacy.\"Patients\" (\"Clinic\", \"Last\", \"First\", \"Sex\")
VALUES ('a-1', 'Haddad', 'Lina', 'f'), ('a-1', 'Secretname', NULL, 'm'), ('a-1', 'Khoury', 'Sami', 'm'), ('b-2', 'Other', 'Ola', 'f');
RESET ROLE;
GRANT USAGE ON SCHEMA legacy TO {reader};
GRANT SELECT ON ALL TABLES IN SCHEMA legacy TO {reader};
";

const MAPPING: &str = r#"
[legacy]
schema = "legacy"
[[tenants]]
slug = "{slug}"
legacy = "a-1"
name = "Clinic A"
time_zone = "Asia/Damascus"
currency = "SYP"
admin_email = "owner@clinic-a.example"
admin_name = "Owner A"
[tables.staff]
from = "Doctors"
tenant = "Clinic"
key = "Id"
[tables.staff.columns]
family_name = "Last"
given_name = "First"
roles = { value = "dentist" }
[tables.patients]
from = "Patients"
tenant = "Clinic"
key = "Id"
[tables.patients.columns]
family_name = "Last"
given_name = "First"
gender = { column = "Sex", values = { f = "female", m = "male" } }
"#;

/// The program on a database with old tables beside the system schema.
async fn beside_old_tables() -> (Program, PgConnection, String) {
    let mut config = configuration("adopting").await;
    let url = config.database.url.take().unwrap().expose().to_owned();
    let mut database = PgConnection::connect(&url).await.unwrap();
    let mark = Uuid::now_v7().simple().to_string();
    let (reader, owner) = (format!("reader_{mark}"), format!("owner_{mark}"));
    let as_user = |user: &str| url.replacen("://postgres@", &format!("://{user}@"), 1);
    let program = on_an_empty_database()
        .await
        .with("CLINICX_DATABASE__URL", url.clone())
        .with("LEGACY_READER_URL", as_user(&reader))
        .with("LEGACY_OWNER_URL", as_user(&owner));
    program.run(&["migrate", "system"]).expect(0);
    let roles = format!(
        "CREATE ROLE {reader} LOGIN; CREATE ROLE {owner} LOGIN; \
         DO $do$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO {reader}, {owner}', current_database()); \
         EXECUTE format('GRANT CREATE ON DATABASE %I TO {owner}', current_database()); END $do$"
    );
    database.execute(AssertSqlSafe(roles)).await.unwrap();
    let tables = TABLES.replace("{owner}", &owner).replace("{reader}", &reader);
    database.execute(AssertSqlSafe(tables)).await.unwrap();
    let slug = format!("adopted-{}", &mark[20..]);
    fs::write(program.folder().join("mapping.toml"), MAPPING.replace("{slug}", &slug)).unwrap();
    (program, database, slug)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clinic_is_moved_and_its_old_rows_are_dropped() {
    let (program, mut database, slug) = beside_old_tables().await;
    let adopt = |more: &[&str]| {
        program.run(&[&["tenant", "adopt", "--mapping", "mapping.toml", "--json"][..], more].concat())
    };
    let read = |ran: &crate::program::Ran, code: i32| -> Value {
        serde_json::from_str(&ran.expect(code).stdout).unwrap()
    };
    let one = |value: Value| value.as_array().unwrap()[0].clone();

    // One row does not fit: partly, and nobody's name is said.
    let dry = adopt(&["--dry-run"]);
    let shown = one(read(&dry, 3));
    assert_eq!((shown["rows"].as_i64(), shown["misfit_rows"].as_i64()), (Some(3), Some(1)));
    assert_eq!(shown["misfits"][0]["rule"], "missing");
    assert_eq!(shown["misfits"][0]["keys"][0], "2");
    assert!(!dry.stdout.contains("Secretname") && !dry.stderr.contains("Secretname"));
    program.run(&["tenant", "show", &slug]).refusal(1);

    assert_eq!(one(read(&adopt(&[]), 3))["state"], "copied");
    let tenant = program.run(&["tenant", "show", &slug, "--json"]).json();
    assert_eq!(tenant["status"], "provisioning");
    program.run(&["tenant", "resume", &slug]).refusal(1);
    let moved = one(read(&adopt(&["--cut-over"]), 3));
    assert_eq!(moved["state"], "switched");
    assert!(moved["pause_ms"].as_i64().unwrap() <= 2000);
    assert_eq!(program.run(&["tenant", "show", &slug, "--json"]).json()["status"], "active");
    let listed = program.run(&["tenant", "adopt", "--status", "--json"]).json();
    assert_eq!((&listed[0]["slug"], &listed[0]["rows"]), (&Value::from(slug.as_str()), &Value::from(3)));

    // Nobody is there to be asked.
    adopt(&["--clean-up"]).expect(2);
    adopt(&["--clean-up", "--revert"]).expect(2);
    assert_eq!(one(read(&adopt(&["--clean-up", "--yes"]), 0))["state"], "cleaned");
    let left: Vec<String> = sqlx::query_scalar("SELECT DISTINCT \"Clinic\" FROM legacy.\"Patients\"")
        .fetch_all(&mut database)
        .await
        .unwrap();
    assert_eq!(left, ["b-2"]);
    let archived =
        fs::read_to_string(program.folder().join("adoption-archive").join(&slug).join("patients.csv"))
            .unwrap();
    assert_eq!(archived.lines().count(), 4);
    let checked = program.run(&["doctor", "--json"]);
    assert!(!checked.stdout.contains("adoption"), "{}", checked.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_mapping_is_wrong_usage() {
    let (program, _, slug) = beside_old_tables().await;
    program.run(&["tenant", "adopt"]).expect(2);
    program.run(&["tenant", "adopt", "--mapping", "nowhere.toml"]).expect(2);
    program.run(&["tenant", "adopt", "--mapping", "mapping.toml", "--tenant", "nobody-knows"]).expect(2);
    program.run(&["tenant", "adopt", "--mapping", "mapping.toml", "--writers-stopped"]).expect(2);
    let text = MAPPING.replace("{slug}", &slug);
    for (from, to, said) in [
        ("gender =", "gander =", "unknown key tables.patients.columns.gander; did you mean gender?"),
        ("\"Last\"", "\"last\"", "names the column last, which is not there"),
        ("{ value = \"dentist\" }", "{ sql = \"(SELECT 1 FROM public.tenants)::text\" }", ""),
    ] {
        fs::write(program.folder().join("wrong.toml"), text.replace(from, to)).unwrap();
        let ran = program.run(&["tenant", "adopt", "--mapping", "wrong.toml", "--dry-run"]);
        // An expression is found out by the database, when it runs as somebody who may not.
        let code = if said.is_empty() { 1 } else { 2 };
        ran.expect(code);
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
}
