//! Changing a tenant's keys while it is served.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Client;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{
    program::Program,
    support::{Api, OPERATOR, PASSWORD, configuration, start},
};

/// How many clients read and write meanwhile.
const CLIENTS: usize = 8;
/// How many patients each of them has at the beginning.
const PATIENTS: usize = 60;
/// How often the command is killed.
const KILLS: usize = 4;

/// A served database with one clinic, the program on the same, and a superuser's eye on its rows.
struct Stage {
    program: Program,
    admin: Api,
    schema: String,
    url: String,
}

impl Stage {
    async fn open(slug: &str) -> Self {
        let config = configuration("rotation").await;
        let url = config.database.url.as_ref().unwrap().expose().to_owned();
        let program = Program::new()
            .with("CLINICX_DATABASE__URL", url.clone())
            .with("CLINICX_STATE_DIR", config.state_dir.0.display().to_string());
        let api = Api { base: start(config).await, token: None, client: Client::new() };
        let operator = api.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
        let email = format!("admin@{slug}.example");
        let body = json!({
            "slug": slug, "name": "A clinic", "modules": [], "time_zone": "Europe/Berlin", "currency": "EUR",
            "locale": "de-DE", "admin": {"email": email, "full_name": "Ada Admin", "password": PASSWORD},
        });
        operator.post("/platform/tenants", body).await.expect(201);
        let admin = api.login(json!({"email": email, "password": PASSWORD})).await;
        Self { program, admin, schema: format!("tenant_{}", slug.replace('-', "_")), url }
    }

    /// How many sealed values are under each version of the key.
    async fn values_by_version(&self) -> Vec<(i32, i64)> {
        let schema = &self.schema;
        let query = format!(
            "SELECT get_byte(sealed, 1) * 256 + get_byte(sealed, 2) AS version, count(*)
             FROM (SELECT value AS sealed FROM {schema}.patient_identifiers
                   UNION ALL SELECT notes FROM {schema}.patients WHERE notes IS NOT NULL) AS s
             GROUP BY 1 ORDER BY 1"
        );
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let rows = sqlx::query_as(AssertSqlSafe(query)).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        rows
    }

    /// Holds one patient's row just before values are sealed under the second version, so that a change of keys
    /// can't come to its end before it is killed. The row is let go with the connection.
    async fn hold_one(&self) -> PgConnection {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let wait = format!(
            "SELECT pg_sleep(GREATEST(0, extract(epoch FROM k.sealing_from - clock_timestamp()) - 0.3))::text
             FROM public.tenant_keys AS k JOIN public.tenants AS t ON t.id = k.tenant_id
             WHERE t.database_schema = '{}' AND k.version = 2",
            self.schema
        );
        let started = Instant::now();
        while sqlx::query(AssertSqlSafe(wait.as_str()))
            .fetch_optional(&mut connection)
            .await
            .unwrap()
            .is_none()
        {
            assert!(started.elapsed() < Duration::from_secs(120), "no second version is published");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        sqlx::query("BEGIN").execute(&mut connection).await.unwrap();
        let hold = format!(
            "SELECT 1 FROM {}.patients WHERE notes IS NOT NULL ORDER BY id DESC LIMIT 1 FOR NO KEY UPDATE",
            self.schema
        );
        sqlx::query(AssertSqlSafe(hold)).fetch_one(&mut connection).await.unwrap();
        connection
    }

    async fn under(&self, version: i32) -> i64 {
        self.values_by_version().await.iter().filter(|(of, _)| *of == version).map(|(_, count)| count).sum()
    }
}

/// One patient as a client knows it.
#[derive(Clone)]
struct Known {
    id: String,
    version: Value,
    passport: String,
    notes: String,
}

/// A client that works on patients of its own and checks every answer.
struct Worker {
    api: Api,
    number: usize,
    patients: Vec<Known>,
    made: usize,
}

impl Worker {
    async fn open(api: Api, number: usize) -> Self {
        let mut worker = Self { api, number, patients: Vec::new(), made: 0 };
        for _ in 0..PATIENTS {
            worker.register().await;
        }
        worker
    }

    async fn register(&mut self) {
        let (passport, notes) = (format!("P{}N{}", self.number, self.made), format!("note {}", self.made));
        self.made += 1;
        let body = json!({
            "family_name": "Doe", "given_name": "Jo", "phones": [], "emails": [], "notes": notes,
            "identifiers": [{"system": "passport", "value": passport}],
        });
        let made = self.api.post("/patients", body).await.expect(201);
        let id = made["id"].as_str().unwrap().to_owned();
        self.patients.push(Known { id, version: made["version"].clone(), passport, notes });
    }

    async fn check(&self, known: &Known) {
        let read = self.api.get(&format!("/patients/{}", known.id)).await.expect(200);
        assert_eq!(read["notes"], known.notes);
        assert_eq!(read["identifiers"][0]["value"], known.passport);
        assert_eq!(read["version"], known.version, "nobody else has changed it");
        let found =
            self.api.get(&format!("/patients?identifier=passport%7C{}", known.passport)).await.expect(200);
        assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
        assert_eq!(found["items"][0]["id"], known.id);
    }

    /// Does one thing after the other until it is told to stop; returns how many.
    async fn work(mut self, stop: Arc<AtomicBool>, steps: Arc<AtomicUsize>) -> Self {
        let mut turn = self.number;
        while !stop.load(Ordering::SeqCst) {
            let at = turn % self.patients.len();
            let known = self.patients[at].clone();
            match turn % 5 {
                0 => self.check(&known).await,
                1 => {
                    let notes = format!("{} changed in turn {turn}", known.passport);
                    self.change(at, json!({ "notes": notes })).await;
                    self.patients[at].notes = notes;
                }
                2 => {
                    let passport = format!("{}X{turn}", known.passport.split('X').next().unwrap());
                    self.change(at, json!({"identifiers": [{"system": "passport", "value": passport}]}))
                        .await;
                    self.patients[at].passport = passport;
                }
                3 => self.register().await,
                _ => {
                    let twin = json!({
                        "family_name": "Twin", "given_name": "Jo", "phones": [], "emails": [],
                        "identifiers": [{"system": "passport", "value": known.passport}],
                    });
                    self.api.post("/patients", twin).await.expect_problem(409, "identifier_taken");
                }
            }
            turn += 1;
            steps.fetch_add(1, Ordering::Relaxed);
        }
        self
    }

    async fn change(&mut self, at: usize, patch: Value) {
        let path = format!("/patients/{}", self.patients[at].id);
        let changed = self.api.patch(&path, &self.patients[at].version, patch).await.expect(200);
        self.patients[at].version = changed["version"].clone();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_change_under_load_though_the_command_is_killed_again_and_again() {
    let stage = Stage::open("rotation-load").await;
    let mut workers = Vec::new();
    for number in 0..CLIENTS {
        let api = stage.admin.clone();
        workers.push(tokio::spawn(Worker::open(api, number)));
    }
    let (stop, steps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut working = Vec::new();
    for worker in workers {
        let worker = worker.await.unwrap();
        working.push(tokio::spawn(worker.work(Arc::clone(&stop), Arc::clone(&steps))));
    }
    let all: i64 = stage.under(1).await;
    assert!(all >= i64::try_from(CLIENTS * PATIENTS * 2).unwrap());

    let rotate = ["keys", "rotate", "--tenant", "rotation-load", "--json"];
    let (mut halfway, mut before) = (0, steps.load(Ordering::Relaxed));
    for kill in 0..KILLS {
        if stage.under(1).await == 0 {
            // The one that was killed last may have come to its end; another would begin the next change.
            break;
        }
        let command = stage.program.start(&rotate);
        let held = if kill == 0 { Some(stage.hold_one().await) } else { None };
        let started = Instant::now();
        let done = stage.under(2).await;
        // Killed as soon as it has gone on; the clients' own writes bring a few values to the new key too.
        while stage.under(2).await < done + 150 && stage.under(1).await > 0 {
            assert!(started.elapsed() < Duration::from_secs(120), "the change of keys does not go on");
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        assert!(
            std::process::Command::new("kill")
                .args(["-9", &command.pid.to_string()])
                .status()
                .unwrap()
                .success()
        );
        drop(command);
        if let Some(held) = held {
            held.close().await.unwrap();
        }
        let (old, new) = (stage.under(1).await, stage.under(2).await);
        println!("killed {}: {old} values under the old key, {new} under the new one", kill + 1);
        halfway += usize::from(old > 0 && new > 0);
    }
    assert!(halfway >= 1, "no kill was in the middle");
    let listed = stage.program.run(&["keys", "list", "--tenant", "rotation-load", "--json"]).json();
    let second = listed.as_array().unwrap().iter().find(|key| key["version"] == 2).unwrap();
    if second["complete"] == false {
        let report = stage.program.run(&rotate).json();
        let report = &report[0];
        assert_eq!(
            (&report["version"], &report["resumed"], &report["unreadable"]),
            (&json!(2), &json!(true), &json!(0))
        );
        assert_eq!(report["complete"], true, "{report}");
    }

    // The clients go on a little under the new key alone.
    before = steps.load(Ordering::Relaxed) - before;
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.store(true, Ordering::SeqCst);
    let mut patients = 0;
    for worker in working {
        let worker = worker.await.expect("every answer was right");
        for known in &worker.patients {
            worker.check(known).await;
        }
        patients += worker.patients.len();
    }
    let left = stage.values_by_version().await;
    println!("{before} operations meanwhile, {patients} patients checked, values by version: {left:?}");
    assert_eq!(left.iter().map(|(version, _)| *version).collect::<Vec<_>>(), [2]);

    // Not killed any more, it finds nothing to go on with and begins the next change.
    let again =
        stage.program.run(&["keys", "rotate", "--tenant", "rotation-load", "--dry-run", "--json"]).json();
    assert_eq!((&again[0]["version"], &again[0]["resumed"]), (&json!(3), &json!(false)));
    let destroy = ["keys", "destroy", "--yes", "--tenant", "rotation-load", "--key-version"];
    let early = stage.program.run(&[&destroy[..], &["1"]].concat());
    assert!(early.refusal(1).contains("in use"), "{}", early.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_key_wraps_without_a_row_being_touched() {
    let stage = Stage::open("rewrap-only").await;
    let body = json!({
        "family_name": "Doe", "given_name": "Jo", "phones": [], "emails": [], "notes": "as before",
        "identifiers": [{"system": "passport", "value": "A1"}],
    });
    let made = stage.admin.post("/patients", body).await.expect(201);
    let listed = stage.program.run(&["keys", "list", "--json"]).json();
    assert_eq!((&listed[0]["version"], &listed[0]["state"]), (&json!(1), &json!("active")));
    let old_master = listed[0]["master_key"].as_str().unwrap().to_owned();

    // A second version stands beside the first in the file.
    let state = stage.program.run(&["doctor", "--json"]).stdout;
    let state: Value = serde_json::from_str(&state).unwrap();
    let file =
        std::path::Path::new(state["configuration"]["state_dir"].as_str().unwrap()).join("keys/master.key");
    let first = std::fs::read_to_string(&file).unwrap();
    let second = "2:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
    std::fs::write(&file, format!("1:{}\n{second}\n", first.trim())).unwrap();
    let before = stage.values_by_version().await;
    let report = stage.program.run(&["keys", "rotate", "--all", "--rewrap-only", "--json"]).json();
    assert_eq!(
        (&report[0]["rewrapped"], &report[0]["values"], &report[0]["complete"]),
        (&json!(1), &json!(0), &json!(true))
    );
    assert_eq!(stage.values_by_version().await, before);
    let listed = stage.program.run(&["keys", "list", "--json"]).json();
    let new_master = listed[0]["master_key"].as_str().unwrap();
    assert!(new_master.starts_with("2:") && new_master != old_master, "{new_master}");

    // The old one may go now; without the new one nothing starts.
    std::fs::write(&file, format!("{second}\n")).unwrap();
    assert_eq!(
        stage.program.run(&["keys", "rotate", "--all", "--rewrap-only", "--json"]).json()[0]["rewrapped"],
        0
    );
    std::fs::write(&file, first).unwrap();
    let refused = stage.program.run(&["keys", "rotate", "--all", "--rewrap-only"]);
    assert!(refused.refusal(1).contains("keys.master_key_file"), "{}", refused.stderr);
    // The service has its keys in memory.
    let id = made["id"].as_str().unwrap();
    let read = stage.admin.get(&format!("/patients/{id}")).await.expect(200);
    assert_eq!((&read["notes"], &read["version"]), (&json!("as before"), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_answer_is_sealed_anew_and_still_given_again() {
    let stage = Stage::open("rotation-kept").await;
    let keyed = async || {
        let room = json!({"name": "Kept", "kind": "room"});
        let request = stage.admin.request(reqwest::Method::POST, "/rooms").header("Idempotency-Key", "kept");
        stage.admin.send(request.json(&room)).await
    };
    let first = keyed().await.expect(201);
    let report = stage.program.run(&["keys", "rotate", "--tenant", "rotation-kept", "--json"]).json();
    assert_eq!((&report[0]["values"], &report[0]["complete"]), (&json!(1), &json!(true)), "{report}");
    let mut connection = PgConnection::connect(&stage.url).await.unwrap();
    let body = "SELECT substr(body, 1, 3) FROM tenant_rotation_kept.idempotency_keys";
    let head: Vec<u8> = sqlx::query_scalar(body).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert_eq!(head, [1, 0, 2]);
    let again = keyed().await;
    assert_eq!((again.expect(201), again.header("idempotency-replayed")), (first, "true"));
}
