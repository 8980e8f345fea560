//! Clients that go away in the middle of a write.

use std::{collections::HashMap, time::Duration};

use clinicx_persistence::ApplyMode;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::cut::{Dice, Patience};
use crate::support::{Answer, Api, OPERATOR, PASSWORD, configuration, start};

const WRITES: usize = 200;
const SEED: u64 = 0x0bad_c11e;

async fn administrator(base: String) -> Api {
    let anonymous = Api { base, token: None, client: reqwest::Client::new() };
    let operator = anonymous.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
    let email = "admin@leaving.example";
    let slug = format!("leaving-{}", &Uuid::new_v4().simple().to_string()[..8]);
    let body = json!({
        "slug": slug, "name": "A clinic", "modules": [], "time_zone": "Europe/Berlin", "currency": "EUR",
        "locale": "de-DE", "admin": {"email": email, "full_name": "Ada", "password": PASSWORD},
    });
    operator.post("/platform/tenants", body).await.expect(201);
    anonymous.login(json!({"email": email, "password": PASSWORD})).await
}

/// Registers a patient and goes away after a while, unless the answer comes before.
async fn register(api: &Api, name: &str, key: Option<&str>, patience: Duration) -> Option<Answer> {
    let body = json!({"family_name": name, "given_name": "Leaving", "phones": [], "emails": []});
    let mut request = api.request(Method::POST, "/patients").json(&body);
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    tokio::time::timeout(patience, api.send(request)).await.ok()
}

/// Sends it again with its key until there is an answer.
async fn repeat(api: &Api, name: &str, key: &str) -> Answer {
    loop {
        let answer = register(api, name, Some(key), Duration::from_secs(60)).await.unwrap();
        if answer.status != 409 || answer.code() != "idempotency_in_progress" {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Finds the ids of the patients of each family name.
async fn registered(api: &Api) -> HashMap<String, Vec<Value>> {
    let mut found: HashMap<String, Vec<Value>> = HashMap::new();
    let mut path = "/patients?limit=200".to_owned();
    loop {
        let page = api.get(&path).await.expect(200);
        for patient in page["items"].as_array().unwrap() {
            let name = patient["family_name"].as_str().unwrap().to_owned();
            found.entry(name).or_default().push(patient["id"].clone());
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/patients?limit=200&cursor={cursor}"),
            None => return found,
        }
    }
}

async fn leave(mode: ApplyMode) {
    let mut config = configuration("leaving").await;
    config.database.apply_mode = mode;
    config.database.pool.max_connections = 4;
    let api = administrator(start(config).await).await;
    let (mut dice, mut patience) = (Dice::new(SEED), Patience::default());
    let (mut aborted, mut acknowledged) = (0, Vec::new());
    let mut repeated = Vec::new();
    for number in 0..WRITES {
        let name = format!("Leaver{number:04}");
        let key = Uuid::new_v4().to_string();
        let key = (number % 2 == 0).then_some(key.as_str());
        let outcome = register(&api, &name, key, patience.random(&mut dice)).await;
        patience.learn(outcome.is_some());
        match outcome {
            Some(answer) => acknowledged.push((name, answer.expect(201)["id"].clone())),
            None => {
                aborted += 1;
                if let Some(key) = key {
                    let first = repeat(&api, &name, key).await.expect(201);
                    assert_eq!(repeat(&api, &name, key).await.expect(201), first);
                    repeated.push((name, first["id"].clone()));
                }
            }
        }
    }
    let found = registered(&api).await;
    let there = |(name, id): &&(String, Value)| found.get(name).is_some_and(|ids| *ids == [id.clone()]);
    let lost = acknowledged.len() - acknowledged.iter().filter(there).count();
    let not_once = repeated.len() - repeated.iter().filter(there).count();
    let twice = found.values().filter(|ids| ids.len() > 1).count();
    println!(
        "clients that go away, {mode:?} mode: {WRITES} writes, {aborted} aborted, {} acknowledged, {lost} of them lost; \
         {} repeated with their key, {not_once} of them not there exactly once; {twice} there twice",
        acknowledged.len(),
        repeated.len(),
    );
    assert_eq!((lost, not_once, twice), (0, 0, 0));
    assert!(
        aborted > WRITES / 10 && acknowledged.len() > WRITES / 10,
        "{aborted} aborts are too few or too many"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_there_and_what_is_repeated_is_there_once_in_session_mode() {
    leave(ApplyMode::Session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_there_and_what_is_repeated_is_there_once_in_transaction_mode() {
    leave(ApplyMode::Transaction).await;
}
