//! Many clients, many tenants, one pool: no answer ever carries another tenant's canary, also while backends are
//! killed.
//!
//! `SOAK_RESPONSES` says how many answers (5,000 unless set, 2,000 of them with faults); one in ten requests is
//! aborted by its client.

#![expect(clippy::print_stdout, reason = "a soak reports what it has seen")]

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use clinicx::config::Config;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use uuid::Uuid;

use crate::support::{Answer, Api, Clinic, OPERATOR, PASSWORD, configuration, start};

const TENANTS: usize = 20;
/// How many dead connections a pool can give out, one after the other, after the last kill.
const CONNECTIONS_AT_MOST: usize = 50;
const CLIENTS: usize = 64;
const PATIENTS: usize = 5;
/// How often a backend is killed.
const KILL_EVERY: Duration = Duration::from_millis(200);
/// How long a client waits before it repeats what could not be done; less than it is asked to, to press harder.
const PAUSE: Duration = Duration::from_millis(50);

/// After how long the clients log in anew; tokens are good for ten minutes.
const LOG_IN_EVERY: Duration = Duration::from_secs(4 * 60);

struct Subject {
    canary: String,
    log_in: Value,
    api: RwLock<Api>,
    patients: Vec<Value>,
    staff: Value,
}

/// A request, and the given name of the patient that it registers.
struct Deed {
    request: RequestBuilder,
    registers: Option<String>,
    /// Whether there may be nothing to answer with yet.
    may_be_empty: bool,
}

impl Subject {
    async fn create(operator: &Api, number: usize) -> Self {
        let clinic = Clinic::made_by(operator, json!({})).await;
        let canary = format!("Canary{number:02}x");
        let mut patients = Vec::new();
        for _ in 0..PATIENTS {
            patients.push(clinic.patient(&canary).await);
        }
        let body = json!({"family_name": canary, "given_name": "Staff", "roles": ["doctor"]});
        let staff = clinic.admin.post("/staff", body).await.expect(201);
        let log_in = json!({"email": format!("admin@{}.example", clinic.slug), "password": PASSWORD});
        Self { canary, log_in, api: RwLock::new(clinic.admin), patients, staff }
    }

    fn api(&self) -> Api {
        self.api.read().unwrap().clone()
    }

    /// Logs in anew; a killed backend may need more than one try.
    async fn renew(&self) {
        let anonymous = Api { token: None, ..self.api() };
        loop {
            let answer = anonymous.post("/auth/login", self.log_in.clone()).await;
            if answer.status != 503 {
                let token = answer.expect(200)["access_token"].as_str().unwrap().to_owned();
                *self.api.write().unwrap() = anonymous.with_token(&token);
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// One of the things that a client does.
    fn deed(&self, dice: usize, serial: usize) -> Deed {
        let patient = &self.patients[dice % PATIENTS]["id"];
        let read = |path: &str| Deed {
            request: self.api().request(Method::GET, path),
            registers: None,
            may_be_empty: false,
        };
        match dice % 8 {
            0 | 1 => read(&format!("/patients/{}", patient.as_str().unwrap())),
            2 => read("/patients?limit=20"),
            3 => read("/patients?q=canary"),
            4 => read(&format!("/staff/{}", self.staff["id"].as_str().unwrap())),
            // A clinic may have no appointment yet.
            5 => Deed { may_be_empty: true, ..read("/appointments?limit=20") },
            6 => {
                let name = format!("N{serial}");
                let body =
                    json!({"family_name": self.canary, "given_name": name, "phones": [], "emails": []});
                Deed { request: self.write("/patients", &body), registers: Some(name), may_be_empty: false }
            }
            _ => {
                let start =
                    chrono::Utc::now() + chrono::TimeDelta::minutes(i64::try_from(dice % 2_000_000).unwrap());
                let body = json!({"patient_id": patient, "staff_id": self.staff["id"],
                    "start": start.to_rfc3339(), "duration_minutes": 15, "comment": self.canary});
                Deed { request: self.write("/appointments", &body), registers: None, may_be_empty: false }
            }
        }
    }

    fn write(&self, path: &str, body: &Value) -> RequestBuilder {
        let key = Uuid::new_v4().to_string();
        self.api().request(Method::POST, path).header("Idempotency-Key", key).json(body)
    }

    /// Reads one page; connections of backends that were killed last may still be met.
    async fn page(&self, path: &str) -> Value {
        for _ in 0..CONNECTIONS_AT_MOST {
            let answer = self.api().get(path).await;
            if answer.status != 503 {
                return answer.expect(200);
            }
        }
        self.api().get(path).await.expect(200)
    }

    /// How often each given name is there.
    async fn given_names(&self) -> HashMap<String, usize> {
        let (mut names, mut path) = (HashMap::new(), "/patients?limit=200".to_owned());
        loop {
            let page = self.page(&path).await;
            for patient in page["items"].as_array().unwrap() {
                *names.entry(patient["given_name"].as_str().unwrap().to_owned()).or_default() += 1;
            }
            let Some(cursor) = page["next_cursor"].as_str() else { return names };
            path = format!("/patients?limit=200&cursor={cursor}");
        }
    }
}

/// What has happened.
#[derive(Default)]
struct Tally {
    answered: AtomicUsize,
    aborted: AtomicUsize,
    unavailable: AtomicUsize,
    foreign: AtomicUsize,
    wrong: AtomicUsize,
    serial: AtomicUsize,
    /// The patients whose registration was answered: the tenant's number and the given name.
    registered: Mutex<Vec<(usize, String)>>,
}

struct Soak {
    subjects: Vec<Subject>,
    with_faults: bool,
    wanted: usize,
    tally: Tally,
    begun: Instant,
}

impl Soak {
    async fn prepare(config: Config, with_faults: bool, wanted: usize) -> Arc<Self> {
        let anonymous = Api { base: start(config).await, token: None, client: Client::new() };
        let operator = anonymous.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
        let mut subjects = Vec::new();
        for number in 0..TENANTS {
            subjects.push(Subject::create(&operator, number).await);
        }
        Arc::new(Self { subjects, with_faults, wanted, tally: Tally::default(), begun: Instant::now() })
    }

    async fn run(self: &Arc<Self>) {
        let clients = (0..CLIENTS).map(|client| tokio::spawn(Arc::clone(self).client(client)));
        let renewing = tokio::spawn(Arc::clone(self).renew());
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
        renewing.abort();
    }

    async fn renew(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOG_IN_EVERY).await;
            for subject in &self.subjects {
                subject.renew().await;
            }
        }
    }

    async fn client(self: Arc<Self>, client: usize) {
        // A linear congruential generator: the same soak each time, and different for each client.
        let mut dice = client.wrapping_mul(7_919) + 1;
        while read(&self.tally.answered) < self.wanted {
            dice = dice.wrapping_mul(1_103_515_245).wrapping_add(12_345) % 2_147_483_648;
            let (number, roll) = ((dice / 64) % TENANTS, dice / 8);
            let subject = &self.subjects[number];
            let deed = subject.deed(roll, self.tally.serial.fetch_add(1, Ordering::Relaxed));
            if roll.is_multiple_of(10) {
                self.abort(subject, &deed, Duration::from_micros(u64::try_from(roll % 8_000).unwrap())).await;
                continue;
            }
            // What could not be done is repeated under the same key.
            loop {
                let answer = subject.api().send(deed.request.try_clone().unwrap()).await;
                self.check(subject, &deed, &answer);
                if answer.status != 503 {
                    if let (201, Some(name)) = (answer.status.as_u16(), &deed.registers) {
                        self.tally.registered.lock().unwrap().push((number, name.clone()));
                    }
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Hangs up before the answer; whoever was answered in time has half as much patience with the next one.
    async fn abort(&self, subject: &Subject, deed: &Deed, mut patience: Duration) {
        loop {
            let request = deed.request.try_clone().unwrap();
            match tokio::time::timeout(patience, subject.api().send(request)).await {
                Ok(answer) => self.check(subject, deed, &answer),
                Err(_) => break,
            }
            patience /= 2;
        }
        self.tally.aborted.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an answer.
    fn check(&self, subject: &Subject, deed: &Deed, answer: &Answer) {
        let tally = &self.tally;
        let seen = tally.answered.fetch_add(1, Ordering::Relaxed) + 1;
        if seen.is_multiple_of(10_000) {
            println!("{seen} answers after {:.1?}", self.begun.elapsed());
        }
        let others = self.subjects.iter().filter(|other| other.canary != subject.canary);
        if others.into_iter().any(|other| answer.text.contains(&other.canary)) {
            tally.foreign.fetch_add(1, Ordering::Relaxed);
        }
        let is_empty = deed.may_be_empty && answer.text.starts_with(r#"{"items":[]"#);
        let has_own = answer.text.contains(&subject.canary) || is_empty;
        let is_right = match answer.status.as_u16() {
            200 | 201 => has_own,
            409 => answer.code() == "slot_taken",
            503 if self.with_faults => {
                tally.unavailable.fetch_add(1, Ordering::Relaxed);
                answer.code() == "unavailable" && answer.header("retry-after").parse::<u32>().is_ok()
            }
            _ => false,
        };
        if !is_right {
            tally.wrong.fetch_add(1, Ordering::Relaxed);
            println!("unexpected: {} {}", answer.status, answer.text);
        }
    }

    /// Sees that no patient was registered twice, and none that was answered is missing.
    async fn check_registered(&self) {
        let mut names = Vec::new();
        for subject in &self.subjects {
            let mut found = subject.given_names().await;
            found.remove("Test");
            let twice: Vec<_> = found.iter().filter(|(_, count)| **count > 1).collect();
            assert!(twice.is_empty(), "{}: {twice:?}", subject.canary);
            names.push(found);
        }
        let registered = std::mem::take(&mut *self.tally.registered.lock().unwrap());
        assert!(!registered.is_empty());
        for (number, name) in &registered {
            assert!(
                names[*number].contains_key(name),
                "{name} of tenant {number} was answered and is not there"
            );
        }
        println!("{} patients registered, each once", registered.len());
    }

    fn conclude(&self) {
        let tally = &self.tally;
        println!(
            "{} answers from {TENANTS} tenants to {CLIENTS} clients in {:.1?}, {} aborted, {} unavailable, {} with a \
             foreign row, {} wrong",
            read(&tally.answered),
            self.begun.elapsed(),
            read(&tally.aborted),
            read(&tally.unavailable),
            read(&tally.foreign),
            read(&tally.wrong)
        );
        assert_eq!((read(&tally.foreign), read(&tally.wrong)), (0, 0));
        let (aborted, all) = (read(&tally.aborted), read(&tally.serial));
        assert!(aborted * 12 > all, "{aborted} of {all} were aborted, not one in ten");
    }
}

fn read(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::Relaxed)
}

fn wanted(usual: usize) -> usize {
    std::env::var("SOAK_RESPONSES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Kills one of the database's backends after the other until it is told to stop: a busy one, then any, and so on.
/// Returns how many it killed, in which time.
async fn kill_backends(url: String, stop: Arc<AtomicBool>) -> (u32, Duration) {
    const KILL: &str = "SELECT count(pg_terminate_backend(pid)) FROM (
        SELECT pid FROM pg_stat_activity
        WHERE datname = $1 AND backend_type = 'client backend' AND pid <> pg_backend_pid()
        ORDER BY $2 AND state <> 'idle' DESC, random() LIMIT 1) AS victim";
    let options: PgConnectOptions = url.parse().unwrap();
    let database = options.get_database().unwrap().to_owned();
    let mut connection = options.database("postgres").connect().await.unwrap();
    let (begun, mut killed, mut busy) = (Instant::now(), 0, true);
    let mut ticks = tokio::time::interval(KILL_EVERY);
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let query = sqlx::query_scalar::<_, i64>(KILL).bind(&database).bind(busy);
        killed += u32::try_from(query.fetch_one(&mut connection).await.unwrap()).unwrap();
        busy = !busy;
    }
    (killed, begun.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_carries_another_tenants_canary() {
    let soak = Soak::prepare(configuration("soak").await, false, wanted(5_000)).await;
    soak.run().await;
    soak.conclude();
    soak.check_registered().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_show_as_503_alone_and_no_write_is_lost_or_doubled() {
    let config = configuration("faults").await;
    let url = config.database.url.as_ref().unwrap().expose().to_owned();
    let soak = Soak::prepare(config, true, wanted(2_000)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let killer = tokio::spawn(kill_backends(url, Arc::clone(&stop)));
    soak.run().await;
    stop.store(true, Ordering::Relaxed);
    let (killed, took) = killer.await.unwrap();
    println!("{killed} backends killed in {took:.1?}");
    soak.conclude();
    // Five a second, but for a tick that found none to kill.
    assert!(f64::from(killed) >= 4.0 * took.as_secs_f64(), "{killed} in {took:?}");
    soak.check_registered().await;
}
