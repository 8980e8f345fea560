//! No answer without its audit row: clients read and write while the service is killed again and again.
//!
//! `COMPLETENESS_ANSWERS` and `COMPLETENESS_KILLS` set other numbers; `just audit-completeness` takes 10,000 and 10.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::{
    program::{PATIENCE, Program, Running},
    support::{Api, OPERATOR, PASSWORD, configuration},
};

const CLIENTS: usize = 32;
const TENANTS: usize = 4;

/// An answer whose head has arrived, and the action of the row that it must have.
type Given = (Uuid, &'static str);

/// What the clients share.
struct Load {
    given: Mutex<Vec<Given>>,
    answers: AtomicUsize,
    busy: AtomicUsize,
    is_over: AtomicBool,
}

/// One clinic as a client knows it.
#[derive(Clone)]
struct Clinic {
    admin: Api,
    other_slug: String,
    patient: String,
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn slug(number: usize) -> String {
    format!("complete-{number}-{}", std::process::id())
}

async fn clinic(api: &Api, operator: &Api, number: usize) -> Clinic {
    let slug_ = slug(number);
    let email = format!("admin@{slug_}.example");
    let body = json!({
        "slug": slug_, "name": "A clinic", "modules": [], "time_zone": "Europe/Berlin", "currency": "EUR",
        "locale": "de-DE", "admin": {"email": email, "full_name": "Ada Admin", "password": PASSWORD},
    });
    operator.post("/platform/tenants", body).await.expect(201);
    let admin = api.login(json!({"email": email, "password": PASSWORD})).await;
    let body = json!({"family_name": "Read", "given_name": "Re", "phones": [], "emails": []});
    let patient = admin.post("/patients", body).await.expect(201);
    let patient = patient["id"].as_str().unwrap().to_owned();
    Clinic { admin, other_slug: slug((number + 1) % TENANTS), patient }
}

/// Makes the request of a turn, with what its answer must leave and the status that it should have.
fn request(clinic: &Clinic, client: usize, turn: usize) -> (RequestBuilder, &'static str, u16) {
    let (api, patient) = (&clinic.admin, format!("/patients/{}", clinic.patient));
    match turn % 10 {
        0..=3 => (api.request(Method::GET, &patient), "patient.read", 200),
        4 | 5 => (api.request(Method::GET, "/patients?q=read&limit=5"), "patient.listed", 200),
        6 => {
            let denied = api.request(Method::GET, &patient).header("X-Tenant-ID", &clinic.other_slug);
            (denied, "access.denied", 403)
        }
        7 => {
            let name = format!("R{client}-{turn}-{}", Uuid::new_v4().simple());
            let body = json!({"name": name, "kind": "room"});
            (api.request(Method::POST, "/rooms").json(&body), "room.created", 201)
        }
        _ => {
            let body = json!({"family_name": "Write", "given_name": "Wr", "phones": [], "emails": []});
            (api.request(Method::POST, "/patients").json(&body), "patient.created", 201)
        }
    }
}

async fn work(load: Arc<Load>, clinic: Clinic, client: usize, wanted: usize) {
    for turn in client.. {
        if load.is_over.load(Ordering::Acquire) || load.answers.load(Ordering::Relaxed) >= wanted {
            return;
        }
        let id = Uuid::new_v4();
        let (request, action, status) = request(&clinic, client, turn);
        match request.header("X-Request-ID", id.to_string()).send().await {
            // The head alone is an answer, whether or not the rest arrives.
            Ok(answer) if answer.status().as_u16() == status => {
                load.given.lock().unwrap().push((id, action));
                load.answers.fetch_add(1, Ordering::Relaxed);
                let _rest = answer.bytes().await;
            }
            Ok(answer) if matches!(answer.status().as_u16(), 429 | 503) => {
                load.busy.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(answer) => {
                let status = answer.status();
                panic!("{action}: {status} {}", answer.text().await.unwrap_or_default());
            }
            // It was killed, or has not started yet.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn serve(program: &Program, port: &str) -> Running {
    let mut running = program.start(&["serve", "--port", port]);
    running.until(|line| line.contains("\"serving\""));
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_given_whose_row_is_missing_however_often_the_service_is_killed() {
    let (wanted, kills) = (number("COMPLETENESS_ANSWERS", 800), number("COMPLETENESS_KILLS", 3));
    let url = configuration("complete").await.database.url.unwrap().expose().to_owned();
    let program = Program::new();
    let state = program.folder().join("state").display().to_string();
    let program = program
        .with("CLINICX_DATABASE__URL", url.clone())
        .with("CLINICX_STATE_DIR", state)
        .with("CLINICX_HTTP__WORKERS", "2")
        .with("CLINICX_LOG__FILTER", "error,clinicx=info")
        .with("CLINICX_AUDIT__SEAL_EVERY", "200ms")
        .with("CLINICX_BOOTSTRAP__EMAIL", OPERATOR.0)
        .with("CLINICX_BOOTSTRAP__PASSWORD", OPERATOR.1);
    program.run(&["migrate", "system"]).expect(0);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut running = serve(&program, &port);
    let api = Api { base: format!("http://127.0.0.1:{port}"), token: None, client: Client::new() };
    let operator = api.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
    let mut clinics = Vec::new();
    for number in 0..TENANTS {
        clinics.push(clinic(&api, &operator, number).await);
    }
    let kept = program.folder().join("kept.txt").display().to_string();
    program.run(&["audit", "checkpoint", "--out", &kept]).expect(0);

    let load = Arc::new(Load {
        given: Mutex::default(),
        answers: AtomicUsize::new(0),
        busy: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
    });
    let begun = Instant::now();
    let workers: Vec<_> = (0..CLIENTS)
        .map(|client| {
            tokio::spawn(work(Arc::clone(&load), clinics[client % TENANTS].clone(), client, wanted))
        })
        .collect();
    for kill in 1..=kills {
        let due = wanted * kill / (kills + 1);
        while load.answers.load(Ordering::Relaxed) < due {
            assert!(begun.elapsed() < 2 * PATIENCE, "nothing is answered any more");
            assert!(!workers.iter().any(|worker| worker.is_finished()), "a client has given up");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        running.signal("KILL");
        assert!(!running.wait().success());
        running = serve(&program, &port);
    }
    for worker in workers {
        worker.await.unwrap();
    }
    running.signal("TERM");
    assert_eq!(running.wait().code(), Some(0), "{:#?}", running.stderr);

    let given = std::mem::take(&mut *load.given.lock().unwrap());
    assert!(given.len() >= wanted);
    let mut superuser = PgConnection::connect(&url).await.unwrap();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for answers in given.chunks(1_000) {
        let (ids, actions): (Vec<Uuid>, Vec<&str>) = answers.iter().copied().unzip();
        let missing: Vec<(Uuid, String)> = sqlx::query_as(
            "SELECT g.request_id, g.action FROM unnest($1::uuid[], $2::text[]) AS g (request_id, action)
             WHERE NOT EXISTS (
                 SELECT FROM audit_logs AS a WHERE a.request_id = g.request_id AND a.action = g.action
             )",
        )
        .bind(ids)
        .bind(actions)
        .fetch_all(&mut superuser)
        .await
        .unwrap();
        assert_eq!(missing, [], "answers without their rows");
        answers.iter().for_each(|(_, action)| *kinds.entry(action).or_default() += 1);
    }
    // The log that was sealed meanwhile, through all the kills, is whole.
    let report = program.run(&["audit", "verify", "--json", "--checkpoint", &kept]).json();
    assert_eq!(
        (&report["ok"], &report["unsealed"], &report["finding"]),
        (&json!(true), &json!(0), &Value::Null)
    );
    println!(
        "{} answers {kinds:?}, {kills} kills, {} times busy, {:.1?}: every answer has its row; the log of {} rows is right",
        given.len(),
        load.busy.load(Ordering::Relaxed),
        begun.elapsed(),
        report["size"]
    );
}
