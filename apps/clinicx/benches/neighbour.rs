//! A noisy neighbour: what one tenant at 50 times its load does to the answers of the others.
//!
//! Starts the built program with its own PostgreSQL and the default limits, and sends it real HTTP. Every tenant asks
//! at a steady rate, whatever the service does with it; now and then one of them asks 50 times as often. What counts is
//! from when a request was due to when its answer was there, so that a service that stalls does not hide it.
//!
//! `NEIGHBOUR_RATE` (requests of a tenant each second, 4), `NEIGHBOUR_TENANTS` (20), `NEIGHBOUR_SECONDS` (8) of each of
//! seven rounds of quiet and of noise.

#![expect(clippy::disallowed_methods, reason = "benchmarks make their own ids and read the machine's clock")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    reason = "a benchmark"
)]

mod program;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, time::Instant};

use crate::program::{OPERATOR, Program, log_in, post, setting};

const PASSWORD: &str = "a quite good passphrase";
/// How many times its load the noisy one asks.
const TIMES: u32 = 50;
/// How many requests one tenant has under way at the most; its further ones wait in its own browser tabs.
const OPEN: usize = 200;
/// How often quiet and noise follow each other, so that what else the machine does falls on both alike.
const ROUNDS: usize = 7;
/// How many patients a tenant has.
const PATIENTS: usize = 50;

struct Tenant {
    client: Client,
    base: String,
    token: String,
    patients: Vec<String>,
    staff: String,
}

impl Tenant {
    async fn create(client: &Client, base: &str, operator: &str, number: usize) -> Self {
        let (slug, email) = (format!("bench{number}"), format!("admin@bench{number}.example"));
        let body = json!({"slug": slug, "name": "A clinic", "modules": [], "time_zone": "Europe/Berlin",
            "currency": "EUR", "locale": "de-DE",
            "admin": {"email": email, "full_name": "Ada Admin", "password": PASSWORD}});
        post(client, base, Some(operator), "/platform/tenants", body).await;
        let token = log_in(client, base, &email, PASSWORD).await;
        let mut tenant = Self {
            client: client.clone(),
            base: base.to_owned(),
            token,
            patients: Vec::new(),
            staff: String::new(),
        };
        for patient in 0..PATIENTS {
            let body = json!({"family_name": format!("Family{patient}"), "given_name": "Test", "phones": [], "emails": []});
            tenant.patients.push(tenant.made("/patients", body).await);
        }
        tenant.staff = tenant
            .made("/staff", json!({"family_name": "Doc", "given_name": "Tor", "roles": ["doctor"]}))
            .await;
        tenant
    }

    async fn made(&self, path: &str, body: Value) -> String {
        let made = post(&self.client, &self.base, Some(&self.token), path, body).await;
        made["id"].as_str().unwrap().to_owned()
    }

    /// One of the things that a clinic does: six in ten look at a patient, three at a list, one books.
    async fn act(&self, dice: usize) -> u16 {
        let patient = &self.patients[dice % PATIENTS];
        let request = match dice % 10 {
            0..6 => self.request(Method::GET, &format!("/patients/{patient}")),
            6..8 => self.request(Method::GET, "/patients?limit=20"),
            8 => self.request(Method::GET, "/patients?q=family1"),
            _ => {
                let minutes = i64::try_from(dice).unwrap() * 20;
                let start = chrono::Utc::now() + chrono::TimeDelta::minutes(minutes);
                self.request(Method::POST, "/appointments").json(&json!({"patient_id": patient,
                    "staff_id": self.staff, "start": start.to_rfc3339(), "duration_minutes": 15}))
            }
        };
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        answer.bytes().await.unwrap();
        status
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}/api/v1{path}", self.base)).bearer_auth(&self.token)
    }
}

/// What was measured of one or more tenants.
#[derive(Default)]
struct Measured {
    latencies: Vec<Duration>,
    statuses: BTreeMap<u16, usize>,
}

impl Measured {
    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
    }

    fn percentile(&mut self, percent: usize) -> Duration {
        self.latencies.sort_unstable();
        self.latencies.get(self.latencies.len() * percent / 100).copied().unwrap_or_default()
    }

    fn print(&mut self, name: &str) {
        let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
        println!(
            "{name:<28} p50 {:7.1} ms   p99 {:7.1} ms   {:6} answers {:?}",
            ms(self.percentile(50)),
            ms(self.percentile(99)),
            self.latencies.len(),
            self.statuses
        );
    }
}

/// Asks at a steady rate, each request when it is due.
async fn ask(
    tenant: Arc<Tenant>,
    rate: u32,
    offset: Duration,
    until: Instant,
    into: Arc<Mutex<Measured>>,
    turn: usize,
) {
    let open = Arc::new(Semaphore::new(OPEN));
    let mut due = Instant::now() + offset;
    let mut dice = turn;
    let mut running = tokio::task::JoinSet::new();
    while due < until {
        tokio::time::sleep_until(due).await;
        dice += 1;
        let (tenant, into, open) = (tenant.clone(), into.clone(), open.clone());
        let dice = dice;
        running.spawn(async move {
            let _open = open.acquire().await.unwrap();
            let status = tenant.act(dice).await;
            let mut measured = into.lock().unwrap();
            measured.latencies.push(due.elapsed());
            *measured.statuses.entry(status).or_default() += 1;
        });
        due += Duration::from_secs(1) / rate;
    }
    running.join_all().await;
}

/// Lets all tenants ask for a while, the first so many times as often, and returns what it and the others got.
async fn phase(
    tenants: &[Arc<Tenant>],
    rate: u32,
    times: u32,
    seconds: u64,
    turn: usize,
) -> (Measured, Measured) {
    let until = Instant::now() + Duration::from_secs(seconds);
    let (first, others) = (Arc::new(Mutex::default()), Arc::new(Mutex::default()));
    let asking = tenants.iter().enumerate().map(|(number, tenant)| {
        let (rate, into) = if number == 0 { (rate * times, &first) } else { (rate, &others) };
        let offset = Duration::from_millis(u64::try_from(number * 37 % 250).unwrap());
        tokio::spawn(ask(tenant.clone(), rate, offset, until, Arc::clone(into), turn))
    });
    for asking in asking.collect::<Vec<_>>() {
        asking.await.unwrap();
    }
    let take = |measured: Arc<Mutex<Measured>>| std::mem::take(&mut *measured.lock().unwrap());
    (take(first), take(others))
}

/// A stall of the whole machine falls into one round and does not decide.
fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort_unstable();
    durations.get(durations.len() / 2).copied().unwrap_or_default()
}

fn main() {
    program::bench(run());
}

async fn run() {
    let (rate, seconds) = (setting("NEIGHBOUR_RATE", 4), u64::from(setting("NEIGHBOUR_SECONDS", 8)));
    let program = Program::start("neighbour", &[]);
    let client = Client::new();
    let operator = log_in(&client, &program.base, OPERATOR.0, OPERATOR.1).await;
    let mut tenants = Vec::new();
    for number in 0..usize::try_from(setting("NEIGHBOUR_TENANTS", 20)).unwrap() {
        // Each has connections of its own, as a clinic has.
        tenants.push(Arc::new(Tenant::create(&Client::new(), &program.base, &operator, number).await));
    }
    println!("{} tenants, each {rate} requests/s; then the first {} requests/s", tenants.len(), rate * TIMES);
    phase(&tenants, rate, 1, 5, 0).await;
    let [mut quiet, mut before, mut noisy, mut during] = <[Measured; 4]>::default();
    let (mut quiet_p99s, mut noisy_p99s) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let turn = 1_000 + round * 10_000;
        let (one, mut others) = phase(&tenants, rate, 1, seconds, turn).await;
        quiet_p99s.push(others.percentile(99));
        quiet.add(one);
        before.add(others);
        let (one, mut others) = phase(&tenants, rate, TIMES, seconds, turn + 1_000).await;
        noisy_p99s.push(others.percentile(99));
        noisy.add(one);
        during.add(others);
    }
    before.print("the others before");
    quiet.print("the one before");
    during.print("the others during");
    noisy.print("the one at 50 times its load");
    println!("the others' p99, round by round: {quiet_p99s:.0?} before, {noisy_p99s:.0?} during");
    let times = median(noisy_p99s).as_secs_f64() / median(quiet_p99s).as_secs_f64();
    println!("in the median round the others' p99 is {times:.2} times what it was (bar 2)");
    assert!(
        before.statuses.keys().chain(during.statuses.keys()).all(|status| matches!(status, 200 | 201 | 409))
    );
    drop(program);
    assert!(times <= 2.0, "the noisy one is heard");
}
