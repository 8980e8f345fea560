//! What the modules billing and dental ask of the service most: drafting an invoice of three lines, and the chart of an
//! adult with ten years of history, each in requests/s and p99 beside a point read of the same run.
//!
//! Starts the built program with its own PostgreSQL (durable, the demo practice in it) and sends it real HTTP from
//! 16 clients, the three operations in short turns after each other, so that what else the machine does falls on all.
//! `MODULES_ROUNDS` sets another number of turns than 12, `MODULES_TURN_MS` another length than 1,500.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    reason = "a benchmark"
)]

mod program;

use std::time::Duration;

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};

use crate::program::{Program, log_in, setting};

/// Clients at a time.
const CLIENTS: usize = 16;
/// The demo practice's administrator.
const ADMINISTRATOR: (&str, &str) = ("admin@dental1.example", "clinicx-demo-password");
/// The adult with ten years of history among its patients.
const ADULT: &str = "Greta Ahrens";

#[derive(Clone, Copy, Debug)]
enum Operation {
    PointRead,
    Invoice,
    Chart,
}

const OPERATIONS: [Operation; 3] = [Operation::PointRead, Operation::Invoice, Operation::Chart];

/// The practice as its administrator's clients know it.
#[derive(Clone)]
struct Practice {
    client: Client,
    base: String,
    token: String,
    patient: String,
}

impl Practice {
    async fn open(program: &Program) -> Self {
        let client = Client::new();
        let token = log_in(&client, &program.base, ADMINISTRATOR.0, ADMINISTRATOR.1).await;
        let mut practice =
            Self { client, base: format!("{}/api/v1", program.base), token, patient: String::new() };
        let found = practice.get("/patients").query(&[("q", ADULT)]).send().await.unwrap();
        let found: Value = found.json().await.unwrap();
        found["items"][0]["id"].as_str().unwrap().clone_into(&mut practice.patient);
        practice
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    async fn ask(&self, operation: Operation) -> usize {
        let patient = &self.patient;
        let request = match operation {
            Operation::PointRead => self.get(&format!("/patients/{patient}")),
            Operation::Chart => self.get(&format!("/patients/{patient}/dental-chart")),
            Operation::Invoice => {
                let line = |price: &str| {
                    json!({"description": "Filling", "quantity": "1", "unit_price": price,
                    "tax_rate": "20"})
                };
                let lines = [line("68.33"), line("57.50"), line("85.00")];
                self.client
                    .post(format!("{}/invoices", self.base))
                    .bearer_auth(&self.token)
                    .json(&json!({"patient_id": patient, "lines": lines}))
            }
        };
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{operation:?}: {status} {text}");
        text.len()
    }

    /// Lets the clients ask for a while and adds how long each answer took.
    async fn turn(&self, operation: Operation, length: Duration, measured: &mut Measured) {
        let started = Instant::now();
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let practice = self.clone();
            clients.spawn(async move {
                let mut latencies = Vec::new();
                while started.elapsed() < length {
                    let asked = Instant::now();
                    practice.ask(operation).await;
                    latencies.push(asked.elapsed());
                }
                latencies
            });
        }
        let latencies = clients.join_all().await.concat();
        measured.rates.push(rate(latencies.len(), started.elapsed()));
        measured.latencies.extend(latencies);
    }
}

/// What was measured of one operation.
#[derive(Default)]
struct Measured {
    /// Requests/s of each turn.
    rates: Vec<f64>,
    latencies: Vec<Duration>,
}

impl Measured {
    fn p99(&mut self) -> Duration {
        self.latencies.sort_unstable();
        self.latencies[self.latencies.len() * 99 / 100]
    }
}

fn rate(answers: usize, took: Duration) -> f64 {
    f64::from(u32::try_from(answers).unwrap()) / took.as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    program::bench(run());
}

async fn run() {
    let rounds = setting("MODULES_ROUNDS", 12);
    let length = Duration::from_millis(setting("MODULES_TURN_MS", 1_500).into());
    let unlimited = [
        ("CLINICX_LIMITS__TENANT__REQUESTS_PER_SECOND", "0"),
        ("CLINICX_LIMITS__TENANT__CONCURRENT_REQUESTS", "0"),
        ("CLINICX_LIMITS__ADDRESS__REQUESTS_PER_SECOND", "0"),
        ("CLINICX_LIMITS__AUTH__REQUESTS_PER_SECOND", "0"),
    ];
    let program = Program::start("modules", &unlimited);
    let practice = Practice::open(&program).await;
    let mut measured = OPERATIONS.map(|operation| (operation, Measured::default()));
    for operation in OPERATIONS {
        let size = practice.ask(operation).await;
        println!("{operation:?}: an answer of {size} bytes");
        practice.turn(operation, length, &mut Measured::default()).await;
    }
    for _ in 0..rounds {
        for (operation, measured) in &mut measured {
            practice.turn(*operation, length, measured).await;
        }
    }
    drop(program);
    let reads = measured[0].1.rates.clone();
    let read_p99 = measured[0].1.p99().as_secs_f64();
    for (operation, mut measured) in measured {
        let ratios = measured.rates.iter().zip(&reads).map(|(one, read)| one / read).collect();
        let p99 = measured.p99().as_secs_f64();
        println!(
            "{operation:?}: {:.0} requests/s = {:.3} of a point read's; p99 {:.1} ms = {:.2} of a point read's ({} answers)",
            median(measured.rates.clone()),
            median(ratios),
            p99 * 1_000.0,
            p99 / read_p99,
            measured.latencies.len()
        );
    }
}
