//! Many clients, many tenants, one pool: no answer ever carries another tenant's canary.
//!
//! `SOAK_RESPONSES` says how many answers (5,000 unless set); one in ten requests is aborted by its client.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{Answer, Api, Clinic};

const TENANTS: usize = 20;
const CLIENTS: usize = 64;
const PATIENTS: usize = 5;

struct Subject {
    canary: String,
    api: Api,
    patients: Vec<Value>,
    staff: Value,
}

impl Subject {
    async fn create(number: usize) -> Self {
        let clinic = Clinic::create().await;
        let canary = format!("Canary{number:02}x");
        let mut patients = Vec::new();
        for _ in 0..PATIENTS {
            patients.push(clinic.patient(&canary).await);
        }
        let body = json!({"family_name": canary, "given_name": "Staff", "roles": ["doctor"]});
        let staff = clinic.admin.post("/staff", body).await.expect(201);
        Self { canary, api: clinic.admin, patients, staff }
    }

    /// One of the things that a client does; returns its answer.
    async fn act(&self, dice: usize) -> Answer {
        let patient = &self.patients[dice % PATIENTS]["id"];
        match dice % 7 {
            0 | 1 => self.api.get(&format!("/patients/{}", patient.as_str().unwrap())).await,
            2 => self.api.get("/patients?limit=20").await,
            3 => self.api.get("/patients?q=canary").await,
            4 => self.api.get(&format!("/staff/{}", self.staff["id"].as_str().unwrap())).await,
            5 => {
                let body = json!({"family_name": self.canary, "given_name": format!("N{dice}"), "phones": [], "emails": []});
                self.api.post("/patients", body).await
            }
            _ => {
                let start =
                    chrono::Utc::now() + chrono::TimeDelta::minutes(i64::try_from(dice % 2_000_000).unwrap());
                let body = json!({"patient_id": patient, "staff_id": self.staff["id"],
                    "start": start.to_rfc3339(), "duration_minutes": 15, "comment": self.canary});
                self.api.post("/appointments", body).await
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_carries_another_tenants_canary() {
    let wanted: usize =
        std::env::var("SOAK_RESPONSES").ok().and_then(|text| text.parse().ok()).unwrap_or(5_000);
    let mut subjects = Vec::new();
    for number in 0..TENANTS {
        subjects.push(Subject::create(number).await);
    }
    let subjects = Arc::new(subjects);
    let (answered, aborted, foreign, wrong) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let begun = Instant::now();
    let clients = (0..CLIENTS).map(|client| {
        let (subjects, answered, aborted, foreign, wrong) =
            (subjects.clone(), answered.clone(), aborted.clone(), foreign.clone(), wrong.clone());
        tokio::spawn(async move {
            // A linear congruential generator: the same soak each time, and different for each client.
            let mut dice = client.wrapping_mul(7_919) + 1;
            while answered.load(Ordering::Relaxed) < wanted {
                dice = dice.wrapping_mul(1_103_515_245).wrapping_add(12_345) % 2_147_483_648;
                let subject = &subjects[(dice / 64) % TENANTS];
                let roll = dice / 8;
                let patience = if roll % 10 == 0 {
                    Duration::from_micros(u64::try_from(roll % 8_000).unwrap())
                } else {
                    Duration::from_secs(60)
                };
                let Ok(answer) = tokio::time::timeout(patience, subject.act(roll)).await else {
                    aborted.fetch_add(1, Ordering::Relaxed);
                    continue;
                };
                let seen = answered.fetch_add(1, Ordering::Relaxed) + 1;
                if seen % 10_000 == 0 {
                    println!("{seen} answers after {:.1?}", begun.elapsed());
                }
                let others = subjects.iter().filter(|other| other.canary != subject.canary);
                if others.into_iter().any(|other| answer.text.contains(&other.canary)) {
                    foreign.fetch_add(1, Ordering::Relaxed);
                }
                let slot_taken = answer.status == 409 && answer.code() == "slot_taken";
                let own = answer.text.contains(&subject.canary);
                if !slot_taken && (!answer.status.is_success() || !own) {
                    wrong.fetch_add(1, Ordering::Relaxed);
                    println!("unexpected: {} {}", answer.status, answer.text);
                }
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    println!(
        "{} answers from {TENANTS} tenants to {CLIENTS} clients in {:.1?}, {} aborted, {} with a foreign row, {} wrong",
        count(&answered),
        begun.elapsed(),
        count(&aborted),
        count(&foreign),
        count(&wrong)
    );
    assert_eq!((count(&foreign), count(&wrong)), (0, 0));
    assert!(count(&aborted) > wanted / 50, "the aborts did not happen");
}
