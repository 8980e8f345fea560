//! Canaries of patient data: put in through every operation, and looked for wherever they have no business to be.
//!
//! The built program runs with its log at `trace`, on a PostgreSQL with the settings of `deploy/postgresql.conf`. Values
//! go in by the front door, rightly and wrongly; the database refuses, cancels, deadlocks and is killed. Then the log in
//! both formats, the metrics, every header, every refusal's body and PostgreSQL's own log are searched.

mod modules;
mod trouble;
mod values;

use std::time::Duration;

use clinicx_embedded_postgres::TestServer;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::{
    program::{Program, Running},
    support::{Answer, Api, OPERATOR},
};
use values::{
    BAD, BORN, COMMENT, CONTROL, Canaries, EMAIL, GIVEN, IDENTIFIER, NAME, NOTES, PASSWORD, PHONE, REASON,
    WRONG_PASSWORD,
};

const ADMIN: &str = EMAIL;

/// Looks at every answer.
struct Witness {
    api: Api,
    canaries: Canaries,
    answers: usize,
    refusals: usize,
    found: Vec<String>,
}

impl Witness {
    /// Sends a request and looks at its answer: the headers always, the body when it refuses.
    async fn send(&mut self, request: RequestBuilder) -> Answer {
        let answer = self.api.send(request).await;
        self.answers += 1;
        let headers = format!("{:?}", answer.headers);
        let mut seen = self.canaries.find(&headers);
        if !answer.status.is_success() {
            self.refusals += 1;
            seen.extend(self.canaries.find(&answer.text));
        }
        self.found.extend(seen.into_iter().map(|what| format!("{}: {what}", answer.status)));
        answer
    }

    async fn call(&mut self, api: &Api, method: Method, path: &str, body: &Value) -> Answer {
        let request = api.request(method, path).header("If-Match", "\"1\"").json(body);
        self.send(request).await
    }

    async fn log_in(&mut self, email: &str, password: &str) -> Api {
        let api = self.api.clone();
        let request =
            api.request(Method::POST, "/auth/login").json(&json!({"email": email, "password": password}));
        let tokens = self.send(request).await.expect(200);
        for token in ["access_token", "refresh_token"] {
            self.canaries.add(tokens[token].as_str().unwrap());
        }
        api.with_token(tokens["access_token"].as_str().unwrap())
    }
}

/// The program, and who acts on it.
struct Stage {
    running: Running,
    witness: Witness,
    admin: Api,
    operator: Api,
}

impl Stage {
    async fn open(program: &Program, format: &str) -> Self {
        let mut command = program.command(&["serve"]);
        command.env("CLINICX_LOG__FORMAT", format).env("CLINICX_LOG__FILTER", "trace");
        let mut running = Running::start(&mut command);
        let line = running.until(|line| line.contains("serving"));
        let at = line.find("127.0.0.1:").unwrap();
        let address: String =
            line[at..].chars().take_while(|sign| sign.is_ascii_digit() || ".:".contains(*sign)).collect();
        let api = Api { base: format!("http://{address}"), token: None, client: Client::new() };
        let mut witness =
            Witness { api, canaries: Canaries::new(), answers: 0, refusals: 0, found: Vec::new() };
        let operator = witness.log_in(OPERATOR.0, OPERATOR.1).await;
        let body = json!({"slug": format!("clinic-{format}"), "name": "Clinic", "modules": ["billing", "dental"],
            "time_zone": "UTC", "currency": "EUR", "locale": "de-DE",
            "admin": {"email": format!("{format}.{ADMIN}"), "full_name": NAME, "password": PASSWORD}});
        witness.call(&operator, Method::POST, "/platform/tenants", &body).await.expect(201);
        let admin = witness.log_in(&format!("{format}.{ADMIN}"), PASSWORD).await;
        Self { running, witness, admin, operator }
    }

    /// Looks at the metrics, ends the program and looks at everything that it has said.
    async fn close(mut self) -> (Witness, Vec<String>) {
        let metrics = self.witness.api.get("//metrics").await;
        assert!(metrics.text.contains("clinicx_http_requests_total"));
        self.witness.found.extend(self.witness.canaries.find(&metrics.text));
        self.running.signal("TERM");
        self.running.wait();
        let said = [self.running.stdout.clone(), self.running.stderr.clone()].concat();
        self.witness.found.extend(said.iter().flat_map(|line| self.witness.canaries.find(line)));
        (self.witness, said)
    }
}

/// A server with the settings of `deploy/postgresql.conf` as far as they can be set while it runs.
async fn server() -> (TestServer, PgConnection) {
    let server = TestServer::start().unwrap();
    let mut superuser = PgConnection::connect(&server.superuser_url("postgres")).await.unwrap();
    let mut set = 0;
    for line in include_str!("../../../../../deploy/postgresql.conf").lines() {
        let Some((name, value)) = line.split_once('#').map_or(line, |(before, _)| before).split_once('=')
        else {
            continue;
        };
        let (name, value) = (name.trim(), value.trim().trim_matches('\''));
        let context: String = sqlx::query_scalar("SELECT context FROM pg_settings WHERE name = $1")
            .bind(name)
            .fetch_one(&mut superuser)
            .await
            .unwrap();
        if context != "postmaster" && name != "fsync" && name != "full_page_writes" {
            let statement = format!("ALTER SYSTEM SET {name} = '{value}'");
            superuser.execute(AssertSqlSafe(statement)).await.unwrap();
            set += 1;
        }
    }
    assert!(set > 8, "{set} settings");
    superuser.execute("SELECT pg_reload_conf()").await.unwrap();
    (server, superuser)
}

/// Everything that a clinic does, as it is meant.
async fn a_day_in_the_clinic(stage: &mut Stage) -> Value {
    let Stage { witness, admin, .. } = stage;
    let patient = witness.call(admin, Method::POST, "/patients", &values::patient()).await.expect(201);
    let id = patient["id"].as_str().unwrap().to_owned();
    let path = format!("/patients/{id}");
    let change =
        json!({"notes": format!("{NOTES} {NOTES}"), "usual_name": GIVEN, "phones": [{"value": PHONE}]});
    let changed =
        witness.send(admin.request(Method::PATCH, &path).header("If-Match", "\"1\"").json(&change)).await;
    changed.expect(200);
    let phone = PHONE.replace('+', "%2B");
    for query in [
        format!("/patients?q={NAME}"),
        format!("/patients?phone={phone}"),
        format!("/patients?birth_date={BORN}"),
        format!("/patients?identifier={IDENTIFIER}"),
        format!("/patients?q={GIVEN}&limit=1&count=true"),
        path.clone(),
    ] {
        assert!(witness.send(admin.request(Method::GET, &query)).await.text.contains(NAME), "{query}");
    }
    let person = json!({"family_name": NAME, "given_name": GIVEN, "roles": ["dentist"], "email": EMAIL});
    let staff = witness.call(admin, Method::POST, "/staff", &person).await;
    let staff = match staff.status.as_u16() {
        201 => staff.json(),
        _ => {
            let person = json!({"family_name": NAME, "given_name": GIVEN, "roles": ["dentist"]});
            witness.call(admin, Method::POST, "/staff", &person).await.expect(201)
        }
    };
    let booking = |start: &str| {
        json!({"patient_id": id, "staff_id": staff["id"], "start": start, "duration_minutes": 20,
        "comment": COMMENT, "reason": REASON, "overbook": true})
    };
    for (hour, action) in
        ["confirm", "arrive", "check-in", "fulfil", "cancel", "no-show", "void"].iter().enumerate()
    {
        let start = format!("2031-01-06T{:02}:00:00Z", 8 + hour);
        let made = witness.call(admin, Method::POST, "/appointments", &booking(&start)).await.expect(201);
        let path = format!("/appointments/{}/{action}", made["id"].as_str().unwrap());
        witness.call(admin, Method::POST, &path, &json!({"reason": REASON})).await;
    }
    // Taken already: the constraint says so.
    let mut twice = booking("2031-01-06T08:05:00Z");
    twice["overbook"] = json!(false);
    witness.call(admin, Method::POST, "/appointments", &twice).await;
    modules::teeth(stage, &patient, &staff).await;
    modules::money(stage, &patient).await;
    patient
}

/// Every operation of the API document, with nonsense that holds canaries.
async fn every_operation(stage: &mut Stage, patient: &Value) {
    let document: Value = serde_json::from_str(include_str!("../../../../../docs/openapi.json")).unwrap();
    let id = patient["id"].as_str().unwrap();
    let Stage { witness, admin, operator, .. } = stage;
    let mut operations = 0;
    for (template, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            if operation["responses"].is_null() || template.ends_with("/logout") {
                continue;
            }
            operations += 1;
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let body =
                if schema.is_null() { json!({"note": BAD}) } else { values::body(&document, schema, 0) };
            let path = template.strip_prefix("/api/v1").unwrap_or(template);
            for (place, api) in
                [(id, &*admin), (BAD, &*admin), ("no-such-clinic", &*operator), (BAD, &witness.api.clone())]
            {
                let mut path = path.to_owned();
                while let Some((start, end)) = path.find('{').zip(path.find('}')) {
                    path.replace_range(start..=end, place);
                }
                let path = if path.starts_with("/healthz")
                    || path.starts_with("/readyz")
                    || path.starts_with("/metrics")
                {
                    format!("/{path}")
                } else {
                    path
                };
                let query = format!("{path}?q={BAD}&cursor={BAD}&phone={BAD}&unknown={NAME}&limit={BAD}");
                witness.call(api, method.clone(), &path, &body).await;
                witness
                    .send(api.request(method.clone(), &query).header("Idempotency-Key", BAD).json(&body))
                    .await;
            }
        }
    }
    assert!(operations > 40, "{operations} operations");
}

/// Input that is wrong in every way that HTTP and JSON know.
async fn bad_input(stage: &mut Stage) {
    let Stage { witness, admin, .. } = stage;
    let whole = values::patient();
    let mut bodies: Vec<(&str, Vec<u8>)> = vec![
        ("application/json", format!("{{\"family_name\": \"{NAME}\", ").into_bytes()),
        (
            "application/json",
            format!("{{\"family_name\": \"{NAME}\\u0000\", \"given_name\": \"{GIVEN}\"}}").into_bytes(),
        ),
        ("application/json", format!("\"{BAD}\"").into_bytes()),
        ("application/json", [format!("{{\"notes\": \"{NOTES}").as_bytes(), b"\xff\"}"].concat()),
        ("text/plain", NAME.as_bytes().to_vec()),
        ("application/x-www-form-urlencoded", format!("family_name={NAME}").into_bytes()),
        ("application/json", format!("{{\"notes\": \"{}\"}}", NOTES.repeat(200_000)).into_bytes()),
    ];
    for (name, value) in whole.as_object().unwrap() {
        for wrong in [
            json!(format!("{BAD}{NAME}")),
            json!([BAD]),
            json!({ "x": BAD }),
            json!(NAME.repeat(2_000)),
            json!(18_472_955),
        ] {
            if &wrong != value {
                let mut body = whole.clone();
                body[name] = wrong;
                bodies.push(("application/json", body.to_string().into_bytes()));
            }
        }
    }
    for (kind, body) in bodies {
        let request = admin.request(Method::POST, "/patients").header("content-type", kind).body(body);
        witness.send(request).await;
    }
    let get = |path: String| admin.request(Method::GET, &path);
    for request in [
        get(format!("/patients/{NAME}")),
        get(format!("/{NAME}/{BAD}")),
        get("/patients".to_owned()).header("X-Tenant-ID", BAD),
        get("/patients".to_owned()).header("X-Request-ID", NAME),
        get("/patients".to_owned()).header("Cookie", format!("session={NAME}")),
        get("/patients".to_owned()).header("User-Agent", NAME),
        get("/patients".to_owned()).header("If-None-Match", BAD),
        get("/patients".to_owned()).header("Accept-Language", BAD),
        get("/patients".to_owned()).header("Forwarded", format!("for={NAME}")),
        get("/patients".to_owned()).header("Origin", format!("https://{BAD}.example")),
        witness.api.request(Method::GET, "/patients").header("Authorization", format!("Bearer {BAD}")),
        witness.api.request(Method::GET, "/patients").basic_auth(NAME, Some(PASSWORD)),
        admin.request(Method::from_bytes(BAD.as_bytes()).unwrap(), "/patients"),
    ] {
        witness.send(request).await;
    }
    for (email, password) in
        [(EMAIL, WRONG_PASSWORD), (BAD, PASSWORD), ("kanarie.post@zwitscher.example", "")]
    {
        let body = json!({"email": email, "password": password});
        let request = witness.api.request(Method::POST, "/auth/login").json(&body);
        witness.send(request).await;
    }
    let refresh = witness.api.request(Method::POST, "/auth/refresh").json(&json!({"refresh_token": BAD}));
    witness.send(refresh).await;
}

/// What is logged on purpose is found, on both sides.
async fn detector_finds(program: &Program, server: &TestServer, superuser: &mut PgConnection) {
    let mut canaries = Canaries::new();
    canaries.add(CONTROL);
    let ran = crate::program::finish(
        program.command(&["serve"]).env(format!("CLINICX_{CONTROL}").to_uppercase(), "1"),
    );
    assert!(
        !canaries.find(&ran.stderr).is_empty(),
        "the program named the setting it does not know: {}",
        ran.stderr
    );
    assert!(superuser.execute(AssertSqlSafe(format!("SELECT '{CONTROL}'::integer"))).await.is_err());
    let log = postgres_log(server);
    assert!(!canaries.find(&log).is_empty(), "a literal in a failed statement stands in PostgreSQL's log");
}

fn postgres_log(server: &TestServer) -> String {
    String::from_utf8_lossy(&std::fs::read(server.folder().join("log")).unwrap()).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patient_data_is_in_no_log_metric_header_or_refusal() {
    let (server, mut superuser) = server().await;
    let program = Program::new()
        .with("CLINICX_DATABASE__URL", server.superuser_url("postgres"))
        .with("CLINICX_HTTP__PORT", "0")
        .with("CLINICX_BOOTSTRAP__EMAIL", OPERATOR.0)
        .with("CLINICX_BOOTSTRAP__PASSWORD", OPERATOR.1)
        .with("CLINICX_LIMITS__ADDRESS__REQUESTS_PER_SECOND", "0")
        .with("CLINICX_LIMITS__AUTH__REQUESTS_PER_SECOND", "0")
        .with("CLINICX_LIMITS__TENANT__REQUESTS_PER_SECOND", "0")
        .with("CLINICX_DATABASE__LOCK_TIMEOUT", "3s")
        .with("CLINICX_DATABASE__STATEMENT_TIMEOUT", "4s");
    program.run(&["migrate", "system"]).expect(0);

    let mut stage = Stage::open(&program, "json").await;
    let patient = a_day_in_the_clinic(&mut stage).await;
    trouble::constraints(&mut stage, &mut superuser).await;
    every_operation(&mut stage, &patient).await;
    bad_input(&mut stage).await;
    trouble::cancelled_and_locked(&mut stage, &mut superuser, &patient).await;
    trouble::deadlock(&mut stage, &server, &patient).await;
    trouble::killed(&mut stage, &server, &mut superuser, &patient).await;
    let (json, said) = stage.close().await;
    assert!(said.iter().any(|line| line.contains("\"request.id\"")), "the log says nothing: {said:?}");
    let log = postgres_log(&server);
    for word in [
        "canceling statement",
        "deadlock detected",
        "duplicate key value violates unique constraint",
        "violates check constraint",
        "was terminated by signal 9",
    ] {
        assert!(log.contains(word), "PostgreSQL did not say {word}: {log}");
    }
    let in_postgres = json.canaries.find(&log);
    println!(
        "json: {} answers, {} refusals, {} lines of log, {} bytes of PostgreSQL's log",
        json.answers,
        json.refusals,
        said.len(),
        log.len()
    );

    let mut superuser = trouble::reconnect(&server).await;
    let mut stage = Stage::open(&program, "human").await;
    let patient = a_day_in_the_clinic(&mut stage).await;
    trouble::every_sqlstate(&mut stage, &mut superuser, &patient).await;
    bad_input(&mut stage).await;
    let (human, said) = stage.close().await;
    println!("human: {} answers, {} refusals, {} lines of log", human.answers, human.refusals, said.len());
    tokio::time::timeout(Duration::from_secs(60), detector_finds(&program, &server, &mut superuser))
        .await
        .unwrap();

    let found: Vec<&String> = json.found.iter().chain(&human.found).chain(&in_postgres).collect();
    assert!(found.is_empty(), "{} found: {found:#?}", found.len());
    assert!(json.refusals > 300 && human.refusals > 60, "{} {}", json.refusals, human.refusals);
}
