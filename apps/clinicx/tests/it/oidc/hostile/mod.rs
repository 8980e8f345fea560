//! Tokens that nobody may get in with: over HTTP, against the service as it runs.
//!
//! The bar: at least sixty, each answered 401 or 403 with a problem document, none with 5xx; and the right tokens beside
//! them are let in before and after, so that it is not a closed door that refuses.

mod issuers;
mod ours;
mod spellings;

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    forge::{Key, encode},
    world::{World, world},
};
use crate::support::{Answer, Api, PASSWORD};

/// A token that is shown, and the headers beside it.
struct Attack {
    name: String,
    token: String,
    headers: Vec<(&'static str, String)>,
}

struct Attacks(Vec<Attack>);

impl Attacks {
    fn add(&mut self, name: impl Into<String>, token: impl Into<String>) {
        self.0.push(Attack { name: name.into(), token: token.into(), headers: Vec::new() });
    }

    fn add_at(&mut self, name: &str, token: &str, header: &'static str, value: String) {
        self.0.push(Attack {
            name: name.to_owned(),
            token: token.to_owned(),
            headers: vec![(header, value)],
        });
    }
}

/// Changes members of an object; `null` takes one away.
fn with(mut object: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => object.as_object_mut().unwrap().remove(name),
            value => object.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    object
}

async fn show(world: &World, attack: &Attack) -> Answer {
    let api = world.with_token(&attack.token);
    let request = api.request(Method::GET, "/patients");
    let request = attack.headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
    api.send(request).await
}

async fn tokens(world: &World) -> (Api, Value) {
    let login = json!({"email": format!("owner@{}.example", world.clinic_a.slug), "password": PASSWORD});
    let tokens = world.anonymous.post("/auth/login", login).await.expect(200);
    (world.with_token(tokens["access_token"].as_str().unwrap()), tokens)
}

/// Things that are good once, shown a second time; returns how many were refused.
async fn replays(world: &World) -> usize {
    let (_, first) = tokens(world).await;
    let body = json!({"refresh_token": first["refresh_token"]});
    let second = world.anonymous.post("/auth/refresh", body.clone()).await.expect(200);
    world.anonymous.post("/auth/refresh", body).await.expect_problem(401, "invalid_refresh_token");
    // With the second use the whole log-in has ended.
    let body = json!({"refresh_token": second["refresh_token"]});
    world.anonymous.post("/auth/refresh", body).await.expect_problem(401, "invalid_refresh_token");
    let tokens = world.with_token(second["access_token"].as_str().unwrap());
    tokens.get("/patients").await.expect_problem(401, "invalid_token");
    3 + super::flow::replays(world).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_hostile_token_gets_in_and_none_is_answered_5xx() {
    let world = world().await;
    let (key, thief) = (&world.platform.key, Key::rsa("thief-1"));
    let right = world.claims(&world.platform);
    let token = key.token(&right);
    let (owner, local) = tokens(world).await;
    let mut attacks = Attacks(Vec::new());
    let unseen = with(right.clone(), &json!({"sub": "hostile-headers"}));
    issuers::algorithms(&mut attacks, key, &unseen);
    issuers::headers(&mut attacks, key, &thief, &unseen);
    issuers::claims(&mut attacks, world, &right);
    issuers::issuers(&mut attacks, world, &unseen);
    spellings::spellings(&mut attacks, &token, &thief);
    let refresh_token = local["refresh_token"].as_str().unwrap();
    ours::ours(&mut attacks, world, local["access_token"].as_str().unwrap(), refresh_token);

    let let_in = async || {
        world.patients(&token).await.expect(200);
        owner.get("/patients").await.expect(200);
    };
    let_in().await;
    let (mut unauthenticated, mut forbidden, mut wrong) = (0, 0, Vec::new());
    for attack in &attacks.0 {
        let answer = show(world, attack).await;
        let is_problem = answer.header("content-type") == "application/problem+json";
        match answer.status.as_u16() {
            401 if is_problem => unauthenticated += 1,
            403 if is_problem => forbidden += 1,
            status => wrong.push(format!("{}: {status} {}", attack.name, answer.text)),
        }
        assert!(
            !answer.text.contains(&attack.token) || attack.token.len() < 8,
            "{} is repeated",
            attack.name
        );
    }
    let_in().await;
    let replayed = replays(world).await;
    let total = attacks.0.len() + replayed;
    println!(
        "hostile tokens: {total} ({unauthenticated} answered 401, {forbidden} answered 403, {replayed} replays \
         answered 401 or 403), {} let in or answered otherwise",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(total >= 60, "only {total}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_no_head_has_room_for_is_refused_before_it_is_read() {
    let world = world().await;
    for bytes in [100_000, 1_000_000] {
        let token = format!("{}.{}.x", encode(world.platform.key.header().to_string()), "A".repeat(bytes));
        let request = world.with_token(&token).request(Method::GET, "/patients");
        // The server may close the connection while the client still writes.
        if let Ok(answer) = request.send().await {
            assert!(matches!(answer.status().as_u16(), 400 | 401 | 403 | 413 | 431), "{}", answer.status());
        }
    }
    world.clinic_a.owner.get("/patients").await.expect(200);
}
