//! What is refused because there is too much of it, and what browsers on other sites may do.

use std::{net::SocketAddr, time::Duration};

use actix_web::{
    http::{Method, header},
    test::TestRequest,
};
use clinicx_web::{Cors, KitOptions, LimitOptions, Rate, SlotOptions};

use crate::module::{Answer, Client, get_as, post_as};

const ONE: &str = "/api/v1/things/00000000-0000-0000-0000-000000000001";
const SLOW: &str = "/api/v1/slow";

fn limited(change: impl FnOnce(&mut LimitOptions)) -> Client {
    Client::with(|options: &mut KitOptions| change(&mut options.limits))
}

fn from(address: &str, request: TestRequest) -> TestRequest {
    request.peer_addr(SocketAddr::new(address.parse().unwrap(), 4711))
}

#[track_caller]
fn refused(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (429, "throttled"), "{}", answer.text);
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[actix_web::test]
async fn a_tenant_that_asks_too_often_is_told_when_to_come_again() {
    let client = limited(|limits| limits.tenant = Rate { per_second: 1, burst: 2 });
    let first = client.send(get_as("doctor", ONE)).await;
    assert_eq!(first.status, 200);
    assert_eq!(first.header("ratelimit-policy"), Some("\"tenant\";q=2;w=2"));
    assert_eq!(first.header("ratelimit"), Some("\"tenant\";r=1;t=1"));
    assert_eq!(client.send(get_as("accountant", ONE)).await.status, 200);
    let third = client.send(get_as("doctor", ONE)).await;
    refused(&third);
    assert_eq!(third.header("ratelimit"), Some("\"tenant\";r=0;t=2"));
    let operator = client.send(post_as("operator", "/api/v1/jobs", "")).await;
    assert_eq!(operator.status, 202, "an operator is no tenant");
}

#[actix_web::test]
async fn a_denial_counts_and_a_throttled_one_leaves_no_audit_row() {
    let client = limited(|limits| limits.tenant = Rate { per_second: 1, burst: 1 });
    let denied = client.send(post_as("accountant", "/api/v1/things", r#"{"name":"x"}"#)).await;
    assert_eq!(denied.status, 403);
    refused(&client.send(post_as("accountant", "/api/v1/things", r#"{"name":"x"}"#)).await);
    assert_eq!(client.denials(), ["permission_denied"]);
}

#[actix_web::test]
async fn an_address_is_counted_before_its_token_is_looked_at() {
    let client = limited(|limits| limits.address = Rate { per_second: 1, burst: 3 });
    let ask = |address: &'static str, path: &'static str| client.send(from(address, get_as("nobody", path)));
    assert_eq!(ask("192.0.2.1", ONE).await.status, 401);
    assert_eq!(ask("192.0.2.1", "/nothing").await.status, 404);
    assert_eq!(ask("192.0.2.1", "/openapi.json").await.status, 200);
    refused(&ask("192.0.2.1", ONE).await);
    refused(&ask("192.0.2.1", "/nothing").await);
    assert_eq!(ask("192.0.2.2", ONE).await.status, 401, "another address has its own");
    for last in 1..=3 {
        let address: &'static str = ["2001:db8::1", "2001:db8::2", "2001:db8::3"][last - 1];
        assert_eq!(ask(address, ONE).await.status, 401);
    }
    refused(&ask("2001:db8::4", ONE).await);
    assert_eq!(ask("2001:db8:0:1::4", ONE).await.status, 401, "another network has its own");
}

#[actix_web::test]
async fn log_ins_have_a_limit_of_their_own() {
    let client = limited(|limits| limits.sign_in = Rate { per_second: 1, burst: 1 });
    let log_in = || client.send(from("192.0.2.1", post_as("", "/api/v1/login", "{}")));
    assert_eq!(log_in().await.status, 200);
    refused(&log_in().await);
    let other = client.send(from("192.0.2.1", get_as("doctor", ONE))).await;
    assert_eq!(other.status, 200);
}

#[actix_web::test]
async fn so_many_requests_of_a_tenant_run_and_so_many_wait() {
    let slots = SlotOptions { running: 1, waiting: 1, patience: Duration::from_millis(20) };
    let client = limited(|limits| limits.slots = slots);
    let runs = Box::pin(client.send(get_as("doctor", SLOW)));
    let waits = Box::pin(client.send(get_as("doctor", SLOW)));
    let refused_at_once = client.send(get_as("doctor", ONE));
    let (runs, waits, at_once) = futures_util::join!(runs, waits, refused_at_once);
    assert_eq!(runs.status, 504, "it ran until its deadline");
    refused(&waits);
    refused(&at_once);
    assert_eq!(client.send(get_as("doctor", ONE)).await.status, 200, "the slot is free again");
}

#[actix_web::test]
async fn a_slot_is_free_when_its_request_panics_or_its_client_goes() {
    let slots = SlotOptions { running: 1, waiting: 0, patience: Duration::ZERO };
    let client = limited(|limits| limits.slots = slots);
    let panicked = client.send(post_as("doctor", "/api/v1/panic", "")).await;
    assert_eq!(panicked.status, 500);
    let gone = client.send(get_as("doctor", SLOW));
    assert!(tokio::time::timeout(Duration::from_millis(20), gone).await.is_err());
    assert_eq!(client.send(get_as("doctor", ONE)).await.status, 200);
}

#[actix_web::test]
async fn a_head_has_a_largest_size() {
    let client = Client::with(|options| {
        options.url_limit_bytes = 200;
        options.header_limit_bytes = 500;
        options.header_limit_count = 5;
    });
    let long = client.send(get_as("doctor", &format!("{ONE}?q={}", "x".repeat(200)))).await;
    assert_eq!((long.status.as_u16(), long.code().as_str()), (414, "uri_too_long"));
    let large = client.send(get_as("doctor", ONE).insert_header(("x-large", "x".repeat(500)))).await;
    assert_eq!((large.status.as_u16(), large.code().as_str()), (431, "headers_too_large"));
    let many = (0..6)
        .fold(get_as("doctor", "/nothing"), |request, n| request.insert_header((format!("x-{n}"), "1")));
    assert_eq!(client.send(many).await.code(), "headers_too_large");
}

fn cross_site(origin: &str, credentials: bool) -> Client {
    let cors = Cors::new(&[origin.to_owned()], credentials, 600).unwrap();
    Client::with(|options| options.cors = Some(cors))
}

fn asked_by(page: &str, request: TestRequest) -> TestRequest {
    request.insert_header((header::ORIGIN, page))
}

#[actix_web::test]
async fn a_named_site_may_read_answers_and_refusals() {
    let client = cross_site("https://app.example/", false);
    for (path, status) in
        [(ONE, 200), ("/api/v1/things/00000000-0000-0000-0000-000000000002", 404), ("/no", 404)]
    {
        let answer = client.send(asked_by("https://app.example", get_as("doctor", path))).await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        let exposed = answer.header("access-control-expose-headers").unwrap();
        for name in ["ETag", "Location", "Retry-After", "X-Request-ID"] {
            assert!(exposed.split(", ").any(|exposed| exposed == name), "{name}");
        }
        let vary: Vec<_> = answer.headers.get_all("vary").map(|value| value.to_str().unwrap()).collect();
        assert!(vary.contains(&"origin"), "{vary:?}");
    }
}

#[actix_web::test]
async fn other_sites_get_no_leave() {
    let client = cross_site("https://app.example", true);
    for page in ["https://evil.example", "https://app.example.evil", "http://app.example", "null", "*", ""] {
        let answer = client.send(asked_by(page, get_as("doctor", ONE))).await;
        assert_eq!(answer.status, 200, "the browser hides it: {page}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{page}");
        let ahead = asked_by(page, TestRequest::default().method(Method::OPTIONS).uri(ONE))
            .insert_header((header::ACCESS_CONTROL_REQUEST_METHOD, "PATCH"));
        let ahead = client.send(ahead).await;
        assert_eq!(ahead.header("access-control-allow-methods"), None, "{page}");
    }
    let none = Client::new();
    let answer = none.send(asked_by("https://app.example", get_as("doctor", ONE))).await;
    assert_eq!((answer.header("access-control-allow-origin"), answer.header("vary")), (None, None));
}

#[actix_web::test]
async fn a_browser_that_asks_ahead_learns_the_methods_of_the_path() {
    let client = cross_site("https://app.example", true);
    let ahead = asked_by("https://app.example", TestRequest::default().method(Method::OPTIONS).uri(ONE))
        .insert_header((header::ACCESS_CONTROL_REQUEST_METHOD, "PATCH"))
        .insert_header((header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization,if-match"));
    let answer = client.send(ahead).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(answer.header("access-control-allow-methods"), answer.header("allow"));
    assert!(answer.header("allow").unwrap().contains("PATCH"));
    let headers = answer.header("access-control-allow-headers").unwrap();
    for name in ["Authorization", "If-Match", "Idempotency-Key", "X-Tenant-ID"] {
        assert!(headers.contains(name), "{name}");
    }
    assert_eq!(answer.header("access-control-max-age"), Some("600"));
}

#[actix_web::test]
async fn browsers_are_told_of_https_when_that_is_configured() {
    let client = Client::with(|options| options.hsts = Some(Duration::from_secs(3600)));
    let answer = client.send(get_as("nobody", ONE)).await;
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=3600; includeSubDomains"));
    let usual = Client::new().send(get_as("nobody", ONE)).await;
    assert_eq!(usual.header("strict-transport-security"), None);
}
