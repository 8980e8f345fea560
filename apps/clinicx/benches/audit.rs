//! What the audit costs: the same requests over HTTP to a service that leaves audit rows and to one that leaves none,
//! in one run.
//!
//! `just bench-audit` starts a durable PostgreSQL (fsync on) with a database for each of two services
//! in this process, and measures requests/s in short turns, so that whatever else the machine does falls on both.
//! With the audit: a read's answer waits for its row, a booking has its row in its own transaction, and what a turn has
//! left is sealed into the log before the turn is over. Without: the gatekeeper takes no row of a read, and a
//! change sends its outbox row alone (the feature `unaudited` of clinicx-persistence).
//! `CLINICX_BENCH_ROUNDS` sets another number of turns than 12, `CLINICX_BENCH_TURN_MS` another length than 1,500,
//! `CLINICX_BENCH_CLIENTS` another number of clients than 32. With few clients it is the wait for the disk that counts,
//! with many the work for each row.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that can't go on has failed")]

use std::{
    env,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use actix_web::{App, HttpServer};
use async_trait::async_trait;
use chrono::{TimeDelta, TimeZone, Utc};
use clinicx::{
    cli,
    config::{Config, LimitsConfig, Secret, StateDir},
    gatekeeper::Gate,
    modules,
    wiring::Platform,
};
use clinicx_audit::seal::Turn;
use clinicx_embedded_postgres::server::{Options, Server};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantConnection, unaudited};
use clinicx_types::{clock::SystemClock, id::TenantId};
use clinicx_web::{ApiError, Caller, Denial, Disclosure, Gatekeeper, RequestOrigin, TenantEntry};
use reqwest::Client;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

const OPERATOR: (&str, &str) = ("operator@bench.example", "correct horse battery staple");
const PASSWORD: &str = "a quite good passphrase";
/// Tenants of each service.
const TENANTS: usize = 4;
/// Clients at a time, unless told otherwise.
const CLIENTS: u32 = 32;
const PATIENTS: usize = 50;
/// How often the service with the audit seals within a turn.
const SEAL_EVERY: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug)]
enum Operation {
    PointRead,
    Booking,
}

impl Operation {
    /// The most that may be lost.
    const fn bar(self) -> f64 {
        match self {
            Self::PointRead => 0.25,
            Self::Booking => 0.10,
        }
    }

    /// The action of the row that each answer leaves.
    const fn action(self) -> &'static str {
        match self {
            Self::PointRead => "patient.read",
            Self::Booking => "appointment.created",
        }
    }
}

fn main() {
    // `cargo bench` passes flags of its own, and `cargo test --benches` asks for a run as a test.
    if env::args().any(|argument| argument == "--test") {
        return;
    }
    // actix's workers need the arbiter of a runtime of its own.
    actix_web::rt::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    })
    .block_on(run());
}

fn setting(name: &str, usual: u32) -> u32 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

async fn run() {
    let rounds = setting("CLINICX_BENCH_ROUNDS", 12);
    let turn = Duration::from_millis(setting("CLINICX_BENCH_TURN_MS", 1_500).into());
    let clients = setting("CLINICX_BENCH_CLIENTS", CLIENTS);
    let folder = env::temp_dir().join(format!("clinicx-audit-{}", std::process::id()));
    let server = Server::start(Options::new(&folder)).await.unwrap();
    let on = Side::start(&server, &folder, "audited").await;
    let off = Side::start(&server, &folder, "silent").await;
    let mut database = PgConnection::connect(&on.url).await.unwrap();
    let fsync: String = sqlx::query_scalar("SHOW fsync").fetch_one(&mut database).await.unwrap();
    assert_eq!(fsync, "on");
    println!(
        "{TENANTS} tenants of each service, {clients} clients, {rounds} turns of {turn:?} each, fsync {fsync}, over HTTP"
    );
    let mut held = true;
    for operation in [Operation::PointRead, Operation::Booking] {
        held &= compare(operation, (&on, &off), rounds, turn).await;
    }
    for side in [on, off] {
        side.stop().await;
    }
    let _closed = database.close().await;
    server.stop().await.unwrap();
    let _removed = std::fs::remove_dir_all(&folder);
    assert!(held, "a bar is missed");
}

/// Lets both services answer in turns, prints what came of it, and tells whether the bar holds.
async fn compare(operation: Operation, (on, off): (&Side, &Side), rounds: u32, turn: Duration) -> bool {
    for side in [on, off] {
        side.turn(operation, turn).await;
        side.analyse().await;
    }
    let before = on.rows(operation).await;
    let (mut answers, mut rates, mut ratios) = (0, (0.0, 0.0), Vec::new());
    for round in 0..rounds {
        // Whoever comes first has the colder caches.
        let (first, second) = if round % 2 == 0 { (on, off) } else { (off, on) };
        let (first, second) = (first.turn(operation, turn).await, second.turn(operation, turn).await);
        let (with, without) = if round % 2 == 0 { (first, second) } else { (second, first) };
        answers += with.answers;
        let ratio = with.rate() / without.rate();
        println!(
            "{operation:?}, round {:2}: {:.0} : {:.0} requests/s = {ratio:.3}",
            round + 1,
            with.rate(),
            without.rate()
        );
        rates = (rates.0 + with.rate(), rates.1 + without.rate());
        ratios.push(ratio);
    }
    assert_eq!(on.rows(operation).await - before, i64::from(answers), "each answer has its row");
    assert_eq!(off.rows(operation).await, 0, "without the audit there is no row");
    ratios.sort_by(f64::total_cmp);
    let middle = ratios.len() / 2;
    // Of an even number there are two in the middle.
    let median = f64::midpoint(ratios[middle], ratios[(ratios.len() - 1) / 2]);
    let (bar, count) = (operation.bar(), f64::from(rounds));
    let held = 1.0 - median <= bar;
    println!(
        "{operation:?}: {:.0} requests/s with the audit : {:.0} without = {:.3} (median of rounds {median:.3}, from {:.3} \
         to {:.3}); the bar of {bar} loss {}",
        rates.0 / count,
        rates.1 / count,
        rates.0 / rates.1,
        ratios[0],
        ratios[ratios.len() - 1],
        if held { "holds" } else { "is missed" }
    );
    held
}

/// What one turn has given.
struct Given {
    answers: u32,
    took: Duration,
}

impl Given {
    fn rate(&self) -> f64 {
        f64::from(self.answers) / self.took.as_secs_f64()
    }
}

/// One of the two services, with its database and its tenants.
struct Side {
    url: String,
    platform: Platform,
    is_audited: bool,
    handle: actix_web::dev::ServerHandle,
    clinics: Arc<Vec<Clinic>>,
    next: Arc<AtomicUsize>,
}

impl Side {
    async fn start(server: &Server, folder: &Path, name: &str) -> Self {
        let is_audited = name == "audited";
        let mut superuser = PgConnection::connect(&server.address().superuser_url()).await.unwrap();
        superuser.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        let url = server.url(server.address().superuser(), name);
        let config = configuration(&url, folder.join(name));
        cli::migrate::system(&config).await.unwrap();
        let platform = Platform::open(&config).await.unwrap();
        platform.ready_to_serve().await.unwrap();
        let gate = Gate::new(platform.clone());
        let gate: Arc<dyn Gatekeeper> = if is_audited { Arc::new(gate) } else { Arc::new(Silent(gate)) };
        let kit = modules::kit_behind(&platform, gate, Arc::new(SystemClock)).unwrap();
        let http = HttpServer::new(move || App::new().configure(kit.configure()))
            .workers(2)
            .disable_signals()
            .bind(("127.0.0.1", 0))
            .unwrap();
        let base = format!("http://{}/api/v1", http.addrs()[0]);
        let running = http.run();
        let handle = running.handle();
        tokio::spawn(running);
        let clinics = clinics(&base, name).await;
        if !is_audited {
            take_the_audit_away(&url).await;
        }
        Self { url, platform, is_audited, handle, clinics: Arc::new(clinics), next: Arc::default() }
    }

    /// Lets the clients ask for a while; what they have left is sealed within the time that counts.
    async fn turn(&self, operation: Operation, length: Duration) -> Given {
        let started = Instant::now();
        let asking = (0..setting("CLINICX_BENCH_CLIENTS", CLIENTS)).map(|_| {
            let (clinics, next) = (Arc::clone(&self.clinics), Arc::clone(&self.next));
            tokio::spawn(async move {
                let mut answers = 0_u32;
                while started.elapsed() < length {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    clinics[at % TENANTS].ask(operation, at / TENANTS).await;
                    answers += 1;
                }
                answers
            })
        });
        let asking: Vec<_> = asking.collect();
        while self.is_audited && started.elapsed() + SEAL_EVERY < length {
            tokio::time::sleep(SEAL_EVERY).await;
            self.seal().await;
        }
        let mut answers = 0;
        for client in asking {
            answers += client.await.unwrap();
        }
        if self.is_audited {
            self.seal().await;
        }
        Given { answers, took: started.elapsed() }
    }

    async fn seal(&self) {
        let control = self.platform.tenancy().unwrap().control();
        self.platform.log_keys.seal(control, Turn::Wait).await.unwrap();
    }

    /// Counts the audit rows of an operation.
    async fn rows(&self, operation: Operation) -> i64 {
        let mut database = PgConnection::connect(&self.url).await.unwrap();
        sqlx::query_scalar("SELECT count(*) FROM public.audit_logs WHERE action = $1")
            .bind(operation.action())
            .fetch_one(&mut database)
            .await
            .unwrap()
    }

    /// Lets PostgreSQL know its tables, so that it does not find out about one service's earlier than the other's.
    async fn analyse(&self) {
        let mut superuser = PgConnection::connect(&self.url).await.unwrap();
        superuser.execute("VACUUM ANALYZE").await.unwrap();
    }

    async fn stop(self) {
        self.handle.stop(true).await;
        self.platform.close().await;
    }
}

/// Takes no row of a read.
struct Silent(Gate);

#[async_trait]
impl Gatekeeper for Silent {
    async fn authenticate(&self, token: &str, origin: RequestOrigin) -> Result<Caller, ApiError> {
        self.0.authenticate(token, origin).await
    }

    async fn tenant(&self, id: TenantId) -> Result<Arc<TenantEntry>, ApiError> {
        self.0.tenant(id).await
    }

    fn connection(&self, tenant: &TenantEntry) -> Result<TenantConnection, ApiError> {
        self.0.connection(tenant)
    }

    async fn cipher(&self, id: TenantId) -> Result<FieldCipher, ApiError> {
        self.0.cipher(id).await
    }

    async fn invalidate(&self, id: TenantId) {
        self.0.invalidate(id).await;
    }

    async fn denied(&self, denial: Denial) -> Result<(), ApiError> {
        self.0.denied(denial).await
    }

    async fn disclosed(&self, _disclosure: Disclosure) -> Result<(), ApiError> {
        Ok(())
    }
}

/// Lets the changes of every tenant of a database leave no audit row.
async fn take_the_audit_away(url: &str) {
    let mut superuser = PgConnection::connect(url).await.unwrap();
    let tenants: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT id FROM public.tenants").fetch_all(&mut superuser).await.unwrap();
    for tenant in tenants {
        unaudited::leave(TenantId::new(tenant)).unwrap();
    }
}

/// A tenant as its administrator's clients know it.
struct Clinic {
    client: Client,
    base: String,
    token: String,
    patients: Vec<String>,
    staff: String,
    booked: AtomicUsize,
}

impl Clinic {
    async fn ask(&self, operation: Operation, at: usize) {
        let patient = &self.patients[at % PATIENTS];
        let request = match operation {
            Operation::PointRead => self.client.get(format!("{}/patients/{patient}", self.base)),
            Operation::Booking => {
                // The next quarter of an hour that is free.
                let slot = i64::try_from(self.booked.fetch_add(1, Ordering::Relaxed)).unwrap();
                let start =
                    Utc.with_ymd_and_hms(2031, 1, 1, 0, 0, 0).unwrap() + TimeDelta::minutes(15 * slot);
                let body = json!({"patient_id": patient, "staff_id": self.staff, "start": start.to_rfc3339(),
                    "duration_minutes": 15});
                self.client.post(format!("{}/appointments", self.base)).json(&body)
            }
        };
        let answer = request.bearer_auth(&self.token).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{operation:?}: {status} {text}");
    }
}

async fn clinics(base: &str, name: &str) -> Vec<Clinic> {
    let client = Client::new();
    let operator = log_in(&client, base, OPERATOR.0, OPERATOR.1).await;
    let mut clinics = Vec::new();
    for number in 0..TENANTS {
        // Roles belong to the whole server: the services' tenants have no slug in common.
        let (slug, email) = (format!("{name}-{number}"), format!("admin@{name}-{number}.example"));
        let body = json!({"slug": slug, "name": "A clinic", "modules": [], "time_zone": "Europe/Berlin",
            "currency": "EUR", "locale": "de-DE",
            "admin": {"email": email, "full_name": "Ada Admin", "password": PASSWORD}});
        post(&client, base, Some(&operator), "/platform/tenants", body).await;
        let token = log_in(&client, base, &email, PASSWORD).await;
        let made = async |path: &str, body: Value| {
            post(&client, base, Some(&token), path, body).await["id"].as_str().unwrap().to_owned()
        };
        let mut patients = Vec::new();
        for patient in 0..PATIENTS {
            let body = json!({"family_name": format!("Family{patient}"), "given_name": "Test", "phones": [], "emails": []});
            patients.push(made("/patients", body).await);
        }
        let person = json!({"family_name": "Doc", "given_name": "Tor", "roles": ["doctor"]});
        let staff = made("/staff", person).await;
        let (client, base) = (client.clone(), base.to_owned());
        clinics.push(Clinic { client, base, token, patients, staff, booked: AtomicUsize::new(0) });
    }
    clinics
}

async fn log_in(client: &Client, base: &str, email: &str, password: &str) -> String {
    let tokens = post(client, base, None, "/auth/login", json!({"email": email, "password": password})).await;
    tokens["access_token"].as_str().unwrap().to_owned()
}

async fn post(client: &Client, base: &str, token: Option<&str>, path: &str, body: Value) -> Value {
    let mut request = client.post(format!("{base}{path}")).json(&body);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).unwrap()
}

fn configuration(url: &str, state_dir: std::path::PathBuf) -> Config {
    let mut config = Config { state_dir: StateDir(state_dir), ..Config::default() };
    config.limits = LimitsConfig::unlimited();
    config.database.url = Some(Secret::new(url));
    config.bootstrap.email = Some(OPERATOR.0.to_owned());
    config.bootstrap.password = Some(Secret::new(OPERATOR.1));
    config
}
