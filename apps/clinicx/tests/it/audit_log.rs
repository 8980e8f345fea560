//! The log of the audit on the command line: kept elsewhere, proven, pruned.

use std::{fs, net::SocketAddr, time::Duration};

use reqwest::Client;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{
    program::{PATIENCE, Program, Running},
    support::{Api, OPERATOR, configuration},
};

/// The program on a database with the system schema, and the database's administrator beside it.
struct Stage {
    program: Program,
    url: String,
}

impl Stage {
    async fn open() -> Self {
        let url = configuration("audit_log").await.database.url.unwrap().expose().to_owned();
        let program = Program::new();
        let state = program.folder().join("state").display().to_string();
        let program = program
            .with("CLINICX_DATABASE__URL", url.clone())
            .with("CLINICX_STATE_DIR", state)
            .with("CLINICX_AUDIT__SEAL_EVERY", "100ms")
            .with("CLINICX_BOOTSTRAP__EMAIL", OPERATOR.0)
            .with("CLINICX_BOOTSTRAP__PASSWORD", OPERATOR.1);
        program.run(&["migrate", "system"]).expect(0);
        Self { program, url }
    }

    fn serve(&self) -> (Running, Api) {
        let mut running = self.program.start(&["serve", "--port", "0"]);
        let line = running.until(|line| line.contains("\"serving\""));
        let line: Value = serde_json::from_str(&line).unwrap();
        let address: SocketAddr = line["address"].as_str().unwrap().parse().unwrap();
        (running, Api { base: format!("http://{address}"), token: None, client: Client::new() })
    }

    fn file(&self, name: &str) -> String {
        self.program.folder().join(name).display().to_string()
    }

    async fn sql(&self, statement: &str) {
        let mut superuser = PgConnection::connect(&self.url).await.unwrap();
        let done = sqlx::query(AssertSqlSafe(statement)).execute(&mut superuser).await.unwrap();
        assert!(done.rows_affected() > 0, "{statement}");
        superuser.close().await.unwrap();
    }

    async fn count(&self, what: &str) -> i64 {
        let mut superuser = PgConnection::connect(&self.url).await.unwrap();
        let query = AssertSqlSafe(format!("SELECT count(*) FROM {what}"));
        let count = sqlx::query_scalar(query).fetch_one(&mut superuser).await.unwrap();
        superuser.close().await.unwrap();
        count
    }

    fn verify(&self, checkpoints: &[&str]) -> crate::program::Ran {
        let kept = checkpoints.iter().flat_map(|file| ["--checkpoint", file]);
        self.program.run(&["audit", "verify"].into_iter().chain(kept).collect::<Vec<_>>())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_seal_in_the_background_and_the_command_proves_it() {
    let stage = Stage::open().await;
    let (mut one, api) = stage.serve();
    let (mut other, second) = stage.serve();
    let operator = api.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
    let second = second.with_token(operator.token.as_deref().unwrap());
    let begun = std::time::Instant::now();
    let unsealed = "audit_logs AS a WHERE NOT EXISTS (SELECT FROM audit_leaves AS l WHERE l.audit_id = a.id)";
    for _ in 0..10 {
        operator.get("/platform/tenants").await.expect(200);
        second.get("/platform/tenants").await.expect(200);
    }
    assert!(stage.count("audit_logs").await >= 20);
    while stage.count(unsealed).await > 0 {
        assert!(begun.elapsed() < PATIENCE, "nobody seals");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let kept = stage.file("kept.txt");
    stage.program.run(&["audit", "checkpoint", "--out", &kept]).expect(0);
    assert!(fs::read_to_string(&kept).unwrap().starts_with("clinicx-audit\n"));
    // What comes and is sealed afterwards does not stand against it.
    for _ in 0..5 {
        second.get("/platform/tenants").await.expect(200);
    }
    for running in [&mut one, &mut other] {
        running.signal("TERM");
        assert_eq!(running.wait().code(), Some(0), "{:#?}", running.stderr);
        assert!(!running.stderr.iter().any(|line| line.contains("sealed")), "{:#?}", running.stderr);
    }
    assert_eq!(stage.count(unsealed).await, 0, "the last to go has sealed the rest");
    let proven = stage.verify(&[&kept]);
    assert!(proven.expect(0).stdout.contains("the kept checkpoint of"), "{}", proven.stdout);
    let report = stage.program.run(&["audit", "verify", "--json", "--checkpoint", &kept]).json();
    assert_eq!(
        (&report["ok"], &report["unsealed"], &report["finding"]),
        (&json!(true), &json!(0), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_administrator_of_the_database_does_is_named_with_its_position() {
    let stage = Stage::open().await;
    for number in 0..3 {
        let address = format!("user{number}@platform.example");
        stage.program.run(&["user", "create", &address, "--name", "A"]).expect(0);
    }
    let kept = stage.file("kept.txt");
    stage.program.run(&["audit", "checkpoint", "--out", &kept]).expect(0);
    let rows = stage.count("audit_logs").await;
    assert!(rows >= 3);
    let key = stage.program.run(&["audit", "public-key", "--json"]).json();
    let key = key["public_key"].as_str().unwrap();
    stage.program.run(&["audit", "verify", "--checkpoint", &kept, "--public-key", key]).expect(0);

    // A checkpoint that another key has signed, or that was touched, is none.
    let forged = Program::new()
        .with("CLINICX_DATABASE__URL", stage.url.clone())
        .with("CLINICX_STATE_DIR", stage.file("another state"));
    let refused = forged.run(&["audit", "checkpoint"]);
    assert!(
        refused.refusal(1).contains("clinicx audit verify"),
        "nothing is sealed with a key that is not known"
    );
    let refused = forged.run(&["audit", "verify", "--checkpoint", &kept]);
    assert!(refused.refusal(1).contains("no known key has signed"), "{}", refused.stderr);
    let touched = stage.file("touched.txt");
    let note = fs::read_to_string(&kept).unwrap();
    fs::write(&touched, note.replacen(&format!("\n{rows}\n"), &format!("\n{}\n", rows - 1), 1)).unwrap();
    stage.verify(&[&touched]).refusal(1);
    fs::write(&touched, "not a checkpoint").unwrap();
    stage.verify(&[&touched]).refusal(1);
    assert!(stage.verify(&["nowhere.txt"]).refusal(1).contains("nowhere.txt"));

    // That of another installation with the same key is a checkpoint, but not of this log.
    let other = Stage::open().await;
    let same_key = fs::read_to_string(stage.file("state/keys/audit.key")).unwrap();
    fs::create_dir_all(other.file("state/keys")).unwrap();
    fs::write(other.file("state/keys/audit.key"), same_key).unwrap();
    other.program.run(&["user", "create", "a@platform.example", "--name", "A"]).expect(0);
    let theirs = other.file("theirs.txt");
    other.program.run(&["audit", "checkpoint", "--out", &theirs]).expect(0);
    assert!(stage.verify(&[&theirs]).refusal(1).contains("another one"));

    stage.sql("UPDATE audit_logs SET action = 'x' WHERE id = (SELECT audit_id FROM audit_leaves WHERE position = 1)").await;
    let found = stage.verify(&[&kept]);
    assert!(found.refusal(1).contains("edited at position 1"), "{}", found.stderr);
    let found = stage.program.run(&["audit", "verify", "--json"]);
    let report: Value = serde_json::from_str(&found.expect(1).stdout).unwrap();
    assert_eq!((&report["finding"]["what"], &report["finding"]["position"]), (&json!("edited"), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_go_and_the_proof_stays() {
    let stage = Stage::open().await;
    for number in 0..3 {
        let address = format!("user{number}@platform.example");
        stage.program.run(&["user", "create", &address, "--name", "A"]).expect(0);
    }
    stage.sql("UPDATE audit_logs SET recorded_at = recorded_at - interval '11 years'").await;
    let rows = stage.count("audit_logs").await;
    let kept = stage.file("kept.txt");
    stage.program.run(&["audit", "checkpoint", "--out", &kept]).expect(0);
    let prune = |arguments: &[&str]| stage.program.run(&[&["audit", "prune"], arguments].concat());
    let before = (chrono::Utc::now() - chrono::TimeDelta::days(3_660)).format("%Y-%m-%d").to_string();
    prune(&[]).expect(2);
    prune(&["--before", "yesterday"]).expect(2);
    prune(&["--before", "2999-01-01", "--yes"]).refusal(2);
    let young = (chrono::Utc::now() - chrono::TimeDelta::days(3_600)).format("%Y-%m-%d").to_string();
    let refused = prune(&["--before", &young, "--yes"]);
    assert!(refused.refusal(2).contains("kept for 10years at least (audit.min_retention)"), "{refused:?}");
    assert!(prune(&["--before", &before]).refusal(2).contains("--yes"));
    assert_eq!(prune(&["--before", &before, "--yes", "--json"]).json()["rows"], rows);
    assert_eq!(stage.count("audit_logs").await, 1, "the statement alone is left");
    let report = stage.program.run(&["audit", "verify", "--json", "--checkpoint", &kept]).json();
    assert_eq!(
        (&report["ok"], &report["pruned"], &report["size"]),
        (&json!(true), &json!(rows), &json!(rows + 1))
    );
    assert_eq!(prune(&["--before", &before, "--yes", "--json"]).json()["rows"], 0);
    // A row that is gone without a statement is found.
    stage.sql("DELETE FROM audit_logs").await;
    assert!(stage.verify(&[&kept]).refusal(1).contains("removed at position 0"));
}

/// As docs/operations.md says what to do when the log was really tampered with.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_tampered_with_is_named_by_doctor_and_begun_anew() {
    let stage = Stage::open().await;
    let of_the_log = |program: &Program| {
        let ran = program.run(&["doctor", "--json"]);
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let checks = report["checks"].as_array().unwrap().clone();
        checks.into_iter().find(|check| check["name"] == "audit log").unwrap()
    };
    assert_eq!(of_the_log(&stage.program)["status"], "ok", "nothing was sealed yet");
    stage.program.run(&["user", "create", "a@platform.example", "--name", "A"]).expect(0);
    let kept = stage.file("kept.txt");
    stage.program.run(&["audit", "checkpoint", "--out", &kept]).expect(0);
    assert_eq!(of_the_log(&stage.program)["status"], "ok");

    stage.sql("UPDATE audit_checkpoints SET root_hash = sha256('x')").await;
    let check = of_the_log(&stage.program);
    assert_eq!(check["status"], "failed", "{check}");
    assert!(check["mend"].as_str().unwrap().contains("clinicx audit verify"), "{check}");
    assert!(stage.program.run(&["audit", "checkpoint"]).refusal(1).contains("clinicx audit verify"));

    stage.sql("WITH gone AS (DELETE FROM audit_leaves) DELETE FROM audit_checkpoints").await;
    let anew = Program::new()
        .with("CLINICX_DATABASE__URL", stage.url.clone())
        .with("CLINICX_STATE_DIR", stage.file("another state"))
        .with("CLINICX_AUDIT__LOG_NAME", "clinicx-audit-2");
    let kept_anew = stage.file("anew.txt");
    anew.run(&["audit", "checkpoint", "--out", &kept_anew]).expect(0);
    let report = anew.run(&["audit", "verify", "--json", "--checkpoint", &kept_anew]).json();
    assert_eq!((&report["ok"], &report["size"]), (&json!(true), &json!(stage.count("audit_logs").await)));
    assert_eq!(of_the_log(&anew)["status"], "ok");
    // A checkpoint of the log before is none of the new one.
    assert!(
        anew.run(&["audit", "verify", "--checkpoint", &kept]).refusal(1).contains("no known key has signed")
    );
}
