//! Tokens: for which tenant they are given, and the same ones again for a client that lost the answer.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::support::{Answer, Api, Clinic, OPERATOR, PASSWORD, configuration, start};

const HEADER: &str = "X-Tenant-ID";

async fn ask(api: &Api, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let request = api.request(Method::POST, path).json(body);
    api.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

async fn tenant_of(api: &Api, tokens: &Value) -> Value {
    let me = api.with_token(tokens["access_token"].as_str().unwrap()).get("/auth/me").await.expect(200);
    me["tenant"].clone()
}

fn credentials(clinic: &Clinic) -> Value {
    json!({"email": format!("admin@{}.example", clinic.slug), "password": PASSWORD})
}

fn within(mut body: Value, tenant: &str) -> Value {
    body["tenant"] = json!(tenant);
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_is_for_the_tenant_that_header_or_host_name() {
    let (one, two) = (Clinic::create().await, Clinic::create().await);
    let body = json!({"slug": format!("{}-x", one.slug), "name": "X", "modules": [], "time_zone": "UTC",
        "currency": "EUR", "locale": "en", "admin": {"email": format!("admin@{}.example", one.slug), "full_name": "A"}});
    let second = Api::operator().await.post("/platform/tenants", body).await.expect(201);
    let (api, second) = (Api::anonymous().await, second["slug"].as_str().unwrap());
    let login = credentials(&one);
    ask(&api, "/auth/login", &[], &login).await.expect_problem(409, "tenant_required");
    for slug in [one.slug.as_str(), second] {
        let host = format!("{slug}.clinics.example");
        for header in [(HEADER, slug), ("Host", host.as_str())] {
            let tokens = ask(&api, "/auth/login", &[header], &login).await.expect(200);
            assert_eq!(tenant_of(&api, &tokens).await, slug);
            ask(&api, "/auth/login", &[header], &within(login.clone(), slug)).await.expect(200);
        }
    }
    let elsewhere = within(login.clone(), second);
    ask(&api, "/auth/login", &[(HEADER, &one.slug)], &elsewhere).await.expect_problem(403, "tenant_mismatch");
    ask(&api, "/auth/login", &[(HEADER, &two.slug)], &login).await.expect_problem(401, "invalid_credentials");
    let host = format!("{second}.clinics.example");
    let torn = ask(&api, "/auth/login", &[(HEADER, &one.slug), ("Host", &host)], &login).await;
    torn.expect_problem(400, "malformed_header");
    let operator = json!({"email": OPERATOR.0, "password": OPERATOR.1});
    let refused = ask(&api, "/auth/login", &[(HEADER, &one.slug)], &operator).await;
    refused.expect_problem(401, "invalid_credentials");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_is_for_the_tenant_of_its_session() {
    let (one, two) = (Clinic::create().await, Clinic::create().await);
    let api = Api::anonymous().await;
    let tokens = ask(&api, "/auth/login", &[], &credentials(&one)).await.expect(200);
    let body = json!({"refresh_token": tokens["refresh_token"]});
    let host = format!("{}.clinics.example", two.slug);
    for header in [(HEADER, two.slug.as_str()), ("Host", host.as_str())] {
        ask(&api, "/auth/refresh", &[header], &body).await.expect_problem(403, "tenant_mismatch");
    }
    ask(&api, "/auth/refresh", &[(HEADER, &one.slug)], &body).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_with_tokens_is_given_again_for_the_same_key_and_body() {
    let clinic = Clinic::create().await;
    let api = Api::anonymous().await;
    let key = Uuid::new_v4().to_string();
    let key = ("Idempotency-Key", key.as_str());
    let login = credentials(&clinic);
    let first = ask(&api, "/auth/login", &[key], &login).await;
    let again = ask(&api, "/auth/login", &[key], &login).await;
    assert_eq!((first.expect(200), again.header("idempotency-replayed")), (again.expect(200), "true"));
    let other = within(login.clone(), &clinic.slug);
    ask(&api, "/auth/login", &[key], &other).await.expect_problem(422, "idempotency_key_reused");
    let claimed = ask(&api, "/auth/login", &[key, (HEADER, &clinic.slug)], &login).await;
    claimed.expect_problem(422, "idempotency_key_reused");
    let mut guess = login.clone();
    guess["password"] = json!("a quite wrong passphrase");
    ask(&api, "/auth/login", &[key], &guess).await.expect_problem(401, "invalid_credentials");

    // The same operation, key and body: the session goes on. Without the key the token counts as stolen.
    let body = json!({"refresh_token": first.json()["refresh_token"]});
    let renewed = ask(&api, "/auth/refresh", &[key], &body).await.expect(200);
    assert_eq!(ask(&api, "/auth/refresh", &[key], &body).await.expect(200), renewed);
    let next = json!({"refresh_token": renewed["refresh_token"]});
    let newest = ask(&api, "/auth/refresh", &[key], &next).await.expect(200);
    assert_ne!(newest["refresh_token"], renewed["refresh_token"]);
    ask(&api, "/auth/refresh", &[("Idempotency-Key", "another")], &body).await.expect(401);
    let newest = json!({"refresh_token": newest["refresh_token"]});
    ask(&api, "/auth/refresh", &[], &newest).await.expect_problem(401, "invalid_refresh_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn switch_and_log_out_answer_a_repetition_alike() {
    let clinic = Clinic::create().await;
    let api = Api::anonymous().await;
    let tokens = ask(&api, "/auth/login", &[], &credentials(&clinic)).await.expect(200);
    let user = api.with_token(tokens["access_token"].as_str().unwrap());
    let other = ask(&api, "/auth/login", &[], &credentials(&clinic)).await.expect(200);
    let other = api.with_token(other["access_token"].as_str().unwrap());
    let key = [("Idempotency-Key", "k")];
    let body = json!({"tenant": clinic.slug});
    let there = ask(&user, "/auth/switch", &key, &body).await.expect(200);
    assert_eq!(ask(&user, "/auth/switch", &key, &body).await.expect(200), there);
    let nowhere = json!({"tenant": "nowhere-at-all"});
    ask(&user, "/auth/switch", &key, &nowhere).await.expect_problem(422, "idempotency_key_reused");
    ask(&user, "/auth/switch", &[], &nowhere).await.expect_problem(404, "not_found");

    let leave = async |api: &Api, key: &str| {
        api.send(api.request(Method::POST, "/auth/logout").header("Idempotency-Key", key)).await
    };
    leave(&user, "k").await.expect(204);
    let again = leave(&user, "k").await;
    again.expect(204);
    assert_eq!(again.header("idempotency-replayed"), "true");
    leave(&user, "another").await.expect_problem(401, "invalid_token");
    user.get("/auth/me").await.expect_problem(401, "invalid_token");
    // The same key of the same user in another session is another one.
    other.get("/auth/me").await.expect(200);
    leave(&other, "k").await.expect(204);
    other.get("/auth/me").await.expect_problem(401, "invalid_token");
}

/// A service of its own, whose rows and lock-outs are nobody else's; and a superuser in its database.
async fn own_service() -> (Api, PgConnection) {
    let config = configuration("tokens").await;
    let database = PgConnection::connect(config.database.url.as_ref().unwrap().expose()).await.unwrap();
    (Api { base: start(config).await, token: None, client: reqwest::Client::new() }, database)
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_tokens_are_sealed_and_last_ten_minutes() {
    let (api, mut database) = own_service().await;
    let key = ("Idempotency-Key", "k");
    let login = json!({"email": OPERATOR.0, "password": OPERATOR.1});
    let tokens = ask(&api, "/auth/login", &[key], &login).await.expect(200);
    let rows: Vec<(String, String, f64)> = sqlx::query_as(
        "SELECT t::text, encode(body, 'escape'), EXTRACT(epoch FROM expires_at - now())::float8
         FROM public.idempotency_keys t",
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    let [(row, body, left)] = rows.as_slice() else { panic!("{} rows", rows.len()) };
    for text in [row, body] {
        for secret in [&tokens["access_token"], &tokens["refresh_token"]] {
            assert!(!text.contains(secret.as_str().unwrap()));
        }
        assert!(!text.contains("Bearer") && !text.contains(OPERATOR.0) && !text.contains(OPERATOR.1));
    }
    assert!((500.0..=600.0).contains(left), "{left}");
    let expire = "UPDATE public.idempotency_keys SET expires_at = now()";
    sqlx::query(expire).execute(&mut database).await.unwrap();
    let later = ask(&api, "/auth/login", &[key], &login).await;
    assert_ne!(later.expect(200)["refresh_token"], tokens["refresh_token"]);
    assert_eq!(later.header("idempotency-replayed"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_out_holds_for_kept_answers_too() {
    let (api, _) = own_service().await;
    let key = ("Idempotency-Key", "guessable");
    let login = json!({"email": OPERATOR.0, "password": OPERATOR.1});
    ask(&api, "/auth/login", &[key], &login).await.expect(200);
    let mut guess = login.clone();
    guess["password"] = json!("a quite wrong passphrase");
    let mut tries = 0;
    while ask(&api, "/auth/login", &[key], &guess).await.status != 429 {
        tries += 1;
        assert!(tries < 50, "guessing is never locked out");
    }
    ask(&api, "/auth/login", &[key], &login).await.expect_problem(429, "too_many_attempts");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_one_is_is_not_told_in_a_suspended_clinic() {
    let clinic = Clinic::create().await;
    let operator = Api::operator().await;
    let step = async |step: &str| {
        operator.post(&format!("/platform/tenants/{}/{step}", clinic.slug), json!({})).await.expect(200);
    };
    clinic.admin.get("/auth/me").await.expect(200);
    step("suspend").await;
    within_five_seconds(async || clinic.admin.get("/auth/me").await.status == 403).await;
    clinic.admin.get("/auth/me").await.expect_problem(403, "tenant_suspended");
    step("resume").await;
    step("archive").await;
    within_five_seconds(async || clinic.admin.get("/auth/me").await.status == 410).await;
    clinic.admin.get("/auth/me").await.expect_problem(410, "tenant_gone");
}

async fn within_five_seconds(mut is_so: impl AsyncFnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !is_so().await {
        assert!(begin.elapsed().as_secs() < 5, "not within five seconds");
        tokio::task::yield_now().await;
    }
}
