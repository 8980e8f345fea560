//! Issuers that mean harm, or are in a bad way: what they cost, and what they get.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use clinicx::config::OidcConfig;
use serde_json::json;

use super::{
    forge::Key,
    issuer::Issuer,
    world::{provider, world},
};
use crate::support::{Answer, Api, OPERATOR, configuration, start};

/// A service whose only issuer is at this URL.
async fn service(url: &str) -> Api {
    let mut config = configuration("faulty").await;
    let algorithms = vec!["ES256".to_owned()];
    config.auth.oidc = vec![OidcConfig { roles: None, algorithms, ..provider("faulty", url) }];
    Api { base: start(config).await, ..world().await.anonymous.clone() }
}

/// Shows a right token of the issuer.
async fn show(api: &Api, key: &Key, url: &str) -> Answer {
    let mut claims = world().await.claims(&world().await.platform);
    claims["iss"] = json!(url);
    api.with_token(&key.token(&claims)).get("/auth/me").await
}

async fn local_log_in(api: &Api) {
    let operator = api.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
    operator.get("/auth/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_redirects_leads_nowhere() {
    for path in ["/.well-known/openid-configuration", "/keys"] {
        let (issuer, inside) = (Issuer::start(Key::curve("k")), Issuer::start(Key::curve("k")));
        let target = format!("{}{path}", inside.url);
        issuer.set(|state| _ = state.instead.insert(path.to_owned(), (302, target, String::new())));
        let api = service(&issuer.url).await;
        show(&api, &issuer.key, &issuer.url).await.expect_problem(503, "issuer_unavailable");
        assert_eq!((issuer.hits(path), inside.hits(path)), (1, 0), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_set_that_is_too_large_is_not_read_and_not_asked_for_again_at_once() {
    let issuer = Issuer::start(Key::curve("k"));
    let body = format!(r#"{{"keys":[{}],"x":"{}"}}"#, issuer.key.jwk(), "x".repeat(10_000_000));
    issuer.set(|state| _ = state.instead.insert("/keys".to_owned(), (200, String::new(), body)));
    let api = service(&issuer.url).await;
    for _ in 0..20 {
        show(&api, &issuer.key, &issuer.url).await.expect_problem(503, "issuer_unavailable");
    }
    // Two, if this machine is so slow that ten seconds have passed.
    assert!(issuer.hits("/keys") <= 2, "{}", issuer.hits("/keys"));
    local_log_in(&api).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_never_answers_holds_nobody_else_up() {
    // It takes connections into its queue, and that is all.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let api = service(&url).await;
    let key = Key::curve("k");
    let begin = Instant::now();
    let waiting =
        async { tokio::join!(show(&api, &key, &url), show(&api, &key, &url), show(&api, &key, &url)) };
    let ((one, two, three), ()) = tokio::join!(waiting, local_log_in(&api));
    for answer in [one, two, three] {
        answer.expect_problem(503, "issuer_unavailable");
    }
    assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_subject_at_two_issuers_is_two_people() {
    let world = world().await;
    let subject = uuid::Uuid::new_v4().to_string();
    let mut people = Vec::new();
    for issuer in [&world.platform, &world.own] {
        let mut claims = world.claims(issuer);
        claims["sub"] = json!(subject);
        let api = world.with_token(&issuer.key.token(&claims));
        people.push(api.get("/auth/me").await.expect(200)["id"].clone());
    }
    assert_ne!(people[0], people[1]);
}
