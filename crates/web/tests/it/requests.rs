//! What each kind of request is answered.

use actix_web::{
    http::{Method, header},
    test::TestRequest,
};
use clinicx_types::uuid::Uuid;
use serde_json::{Value, json};

use crate::module::{Answer, Client, get_as, post_as, with};

const THINGS: &str = "/api/v1/things";
const ONE: &str = "/api/v1/things/00000000-0000-0000-0000-000000000001";
const TWO: &str = "/api/v1/things/00000000-0000-0000-0000-000000000002";

/// Checks a refusal: its status and code, and what every problem document has.
fn check(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{}", answer.text);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], format!("/problems/{code}"));
    assert_eq!(problem["request_id"].as_str(), answer.header("x-request-id"));
    assert_eq!(problem["instance"], format!("urn:uuid:{}", answer.header("x-request-id").unwrap()));
    for member in ["title", "detail"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member} of {code}");
    }
    hardened(answer);
}

fn hardened(answer: &Answer) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
}

fn pointers(answer: &Answer) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let errors = answer.json()["errors"].as_array().cloned().unwrap();
    errors.iter().map(|error| (text(&error["pointer"]), text(&error["code"]))).collect()
}

#[actix_web::test]
async fn only_who_may_comes_in() {
    let client = Client::new();
    let none = client.send(TestRequest::get().uri(ONE)).await;
    check(&none, 401, "unauthenticated");
    assert_eq!(none.header("www-authenticate"), Some("Bearer realm=\"clinicx\""));
    let bad = client.send(get_as("nobody", ONE)).await;
    check(&bad, 401, "invalid_token");
    assert_eq!(bad.header("www-authenticate"), Some("Bearer realm=\"clinicx\", error=\"invalid_token\""));
    let basic = TestRequest::get().uri(ONE).insert_header(("authorization", "Basic ZG9jdG9y"));
    check(&client.send(basic).await, 401, "unauthenticated");
    let down = client.send(get_as("down", ONE)).await;
    check(&down, 503, "unavailable");
    assert_eq!(down.header("retry-after"), Some("2"));
    assert_eq!(client.denials(), Vec::<&str>::new());
    check(&client.send(post_as("accountant", THINGS, "{}")).await, 403, "permission_denied");
    check(&client.send(get_as("suspended", ONE)).await, 403, "tenant_suspended");
    check(&client.send(get_as("purged", ONE)).await, 410, "tenant_gone");
    check(&client.send(get_as("doctor", "/api/v1/chairs")).await, 403, "module_not_enabled");
    check(&client.send(get_as("operator", ONE)).await, 403, "permission_denied");
    check(&client.send(post_as("doctor", "/api/v1/jobs", "")).await, 403, "permission_denied");
    let beyond = client.send(post_as("doctor", THINGS, r#"{"name":"beyond","parts":[]}"#)).await;
    check(&beyond, 403, "permission_denied");
    let denials = [
        "permission_denied",
        "tenant_suspended",
        "module_not_enabled",
        "permission_denied",
        "permission_denied",
        "permission_denied",
    ];
    assert_eq!(client.denials(), denials, "each once, whether gate or handler refused");
    assert_eq!(client.send(get_as("doctor", ONE)).await.status, 200);
    assert_eq!(client.send(get_as("suspended", "/api/v1/me")).await.status, 200, "no tenant is entered");
    let job = client.send(post_as("operator", "/api/v1/jobs", "")).await;
    assert_eq!(job.status, 202, "{}", job.text);
    assert_eq!(job.header("location"), Some("/api/v1/jobs/00000000-0000-0000-0000-000000000005"));
}

#[actix_web::test]
async fn a_refusal_without_its_audit_row_is_not_given() {
    let client = Client::new();
    client.break_audit();
    for request in [
        post_as("accountant", THINGS, "{}"),
        get_as("suspended", ONE),
        post_as("doctor", THINGS, r#"{"name":"beyond","parts":[]}"#),
    ] {
        let answer = client.send(request).await;
        check(&answer, 503, "unavailable");
        assert_eq!(answer.header("retry-after"), Some("2"));
    }
    assert_eq!(client.denials(), Vec::<&str>::new());
}

#[actix_web::test]
async fn header_host_and_token_name_the_same_tenant() {
    let client = Client::new();
    let ask = |token: &str, slug: &str| get_as(token, ONE).insert_header(("x-tenant-id", slug));
    assert_eq!(client.send(ask("doctor", "clinic1")).await.status, 200);
    check(&client.send(ask("doctor", "clinic2")).await, 403, "tenant_mismatch");
    check(&client.send(ask("doctor", "no slug")).await, 403, "tenant_mismatch");
    check(&client.send(ask("operator", "clinic1")).await, 403, "tenant_mismatch");
    let host = |host: &str| get_as("doctor", ONE).insert_header((header::HOST, host));
    assert_eq!(client.send(host("clinic1.example.org")).await.status, 200);
    check(&client.send(host("clinic2.example.org")).await, 403, "tenant_mismatch");
    assert_eq!(client.denials(), ["tenant_mismatch"; 4]);
    let login = TestRequest::post().uri("/api/v1/login").insert_header(("x-tenant-id", "clinic1"));
    assert_eq!(client.send(login).await.json(), json!({"tenant": "clinic1"}));
    let login = TestRequest::post().uri("/api/v1/login").insert_header(("x-tenant-id", "no slug"));
    let refused = client.send(login).await;
    check(&refused, 400, "malformed_header");
    assert!(refused.text.contains("X-Tenant-ID"), "{}", refused.text);
    for host in ["lb.internal.example.org", "UP_.example.org"] {
        let login = TestRequest::post().uri("/api/v1/login").insert_header((header::HOST, host));
        let refused = client.send(login).await;
        check(&refused, 400, "malformed_header");
        assert!(refused.text.contains("header Host"), "{}", refused.text);
        // Whoever looks whether the service lives comes by any name.
        let probe = TestRequest::get().uri("/api/v1/probe").insert_header((header::HOST, host));
        assert_eq!(client.send(probe.insert_header(("x-tenant-id", "no slug"))).await.status, 204, "{host}");
    }
}

#[actix_web::test]
async fn unknown_things_are_all_the_same() {
    let client = Client::new();
    let mut texts = Vec::new();
    for path in [TWO, "/api/v1/things/x", "/api/v1/things/%00", "/api/v1/nothing", "/nothing"] {
        let id = "0195b3a0-0000-7000-8000-000000000000";
        let answer = client.send(get_as("doctor", path).insert_header(("x-request-id", id))).await;
        check(&answer, 404, "not_found");
        assert_eq!(answer.header("x-request-id"), Some(id));
        texts.push(answer.text);
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "byte by byte");
}

#[actix_web::test]
async fn other_methods_are_refused_with_those_that_there_are() {
    let client = Client::new();
    let wrong = client.send(with("doctor", TestRequest::delete().uri(ONE))).await;
    check(&wrong, 405, "method_not_allowed");
    assert_eq!(wrong.header("allow"), Some("GET, HEAD, PATCH, OPTIONS"));
    let options = client.send(TestRequest::default().method(Method::OPTIONS).uri(ONE)).await;
    assert_eq!((options.status.as_u16(), options.header("allow")), (204, Some("GET, HEAD, PATCH, OPTIONS")));
    let head = client.send(with("doctor", TestRequest::default().method(Method::HEAD).uri(ONE))).await;
    assert_eq!((head.status.as_u16(), head.header("etag")), (200, Some("\"3\"")));
}

#[actix_web::test]
async fn bodies_are_read_strictly() {
    let client = Client::new();
    let made = client.send(post_as("doctor", THINGS, r#"{"name": "a"}"#)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    hardened(&made);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), Some(format!("/api/v1/things/{id}").as_str()));
    assert_eq!(made.header("etag"), Some("\"1\""));
    check(&client.send(post_as("doctor", THINGS, "{")).await, 400, "malformed_json");
    check(&client.send(post_as("doctor", THINGS, "")).await, 400, "malformed_json");
    check(&client.send(post_as("doctor", THINGS, &" ".repeat(1001))).await, 413, "payload_too_large");
    let plain = post_as("doctor", THINGS, "{}").insert_header((header::CONTENT_TYPE, "text/plain"));
    check(&client.send(plain).await, 415, "unsupported_media_type");
    let latin = post_as("doctor", THINGS, "{}")
        .insert_header((header::CONTENT_TYPE, "application/json; charset=latin1"));
    check(&client.send(latin).await, 415, "unsupported_media_type");
    let zipped = post_as("doctor", THINGS, "{}").insert_header((header::CONTENT_ENCODING, "gzip"));
    check(&client.send(zipped).await, 415, "unsupported_media_type");
    let utf8 = post_as("doctor", THINGS, r#"{"name": "ä"}"#)
        .insert_header((header::CONTENT_TYPE, "application/json; charset=UTF-8"));
    assert_eq!(client.send(utf8).await.status, 201);
    let unknown = client.send(post_as("doctor", THINGS, r#"{"name": "a", "x": 1}"#)).await;
    check(&unknown, 422, "invalid");
    assert_eq!(pointers(&unknown), [("/x".to_owned(), "unknown_field".to_owned())]);
    let rules =
        client.send(post_as("doctor", THINGS, r#"{"name": "", "parts": [{"size": 1}, {"size": 0}]}"#)).await;
    check(&rules, 422, "invalid");
    let expected = [("/name", "wrong_length"), ("/parts/1/size", "out_of_range")];
    assert_eq!(pointers(&rules), expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned())));
    let surplus = post_as("doctor", "/api/v1/panic", r#"{"x": 1}"#);
    check(&client.send(surplus).await, 422, "invalid");
}

#[actix_web::test]
async fn domain_errors_become_problems() {
    let client = Client::new();
    let taken = client.send(post_as("doctor", THINGS, r#"{"name": "taken"}"#)).await;
    check(&taken, 409, "slot_taken");
    assert_eq!(taken.json()["conflicts"], json!([Uuid::from_u128(7)]));
    assert_eq!(taken.json()["detail"], "the time is taken by a thing");
    let invalid = client.send(post_as("doctor", THINGS, r#"{"name": "invalid"}"#)).await;
    check(&invalid, 422, "invalid");
    assert_eq!(pointers(&invalid), [("/name".to_owned(), "required".to_owned())]);
    let close =
        |body: &str| post_as("doctor", &format!("{ONE}/close"), body).insert_header((header::IF_MATCH, "*"));
    for body in ["", "{}", r#"{"reason": null}"#] {
        let closed = client.send(close(body)).await;
        check(&closed, 409, "transition_refused");
        assert_eq!(closed.json()["allowed"], json!(["open"]));
    }
    check(&client.send(post_as("doctor", "/api/v1/panic", "")).await, 500, "internal");
    check(&client.send(get_as("doctor", "/api/v1/slow")).await, 504, "timeout");
}

#[actix_web::test]
async fn versions_guard_changes() {
    let client = Client::new();
    let change = |tag: Option<&str>| {
        let request = with("doctor", TestRequest::patch().uri(ONE))
            .insert_header((header::CONTENT_TYPE, "application/json"))
            .set_payload(r#"{"name": "b"}"#);
        tag.into_iter().fold(request, |request, tag| request.insert_header((header::IF_MATCH, tag)))
    };
    check(&client.send(change(None)).await, 428, "precondition_required");
    check(&client.send(change(Some("\"2\""))).await, 412, "version_mismatch");
    check(&client.send(change(Some("W/\"3\""))).await, 412, "version_mismatch");
    check(&client.send(change(Some("3"))).await, 400, "malformed_header");
    for tag in ["\"3\"", "*"] {
        let changed = client.send(change(Some(tag))).await;
        assert_eq!((changed.status.as_u16(), changed.header("etag")), (200, Some("\"4\"")), "{tag}");
    }
}

#[actix_web::test]
async fn what_the_client_has_is_not_sent_again() {
    let client = Client::new();
    let ask = |tag: &str| get_as("doctor", ONE).insert_header((header::IF_NONE_MATCH, tag));
    for tag in ["\"3\"", "W/\"3\"", "\"1\", \"3\"", "*"] {
        let answer = client.send(ask(tag)).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (304, ""), "{tag}");
        assert_eq!(answer.header("etag"), Some("\"3\""));
    }
    assert_eq!(client.send(ask("\"2\"")).await.status, 200);
}

#[actix_web::test]
async fn what_its_version_does_not_tell_is_always_sent() {
    let client = Client::new();
    for tag in ["\"3\"", "*"] {
        let request = get_as("doctor", "/api/v1/things/special").insert_header((header::IF_NONE_MATCH, tag));
        let answer = client.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, Some("\"3\"")), "{tag}");
    }
    let document = client.send(TestRequest::get().uri("/openapi.json")).await.json();
    let known = |path: &str| {
        let operation = &document["paths"][path]["get"];
        let headers = operation["parameters"].as_array().into_iter().flatten();
        let asks = headers.filter(|one| one["name"] == "If-None-Match").count();
        (operation["responses"]["304"].is_object(), asks)
    };
    assert_eq!((known("/api/v1/things/special"), known("/api/v1/things/{id}")), ((false, 0), (true, 1)));
}

#[actix_web::test]
async fn lists_are_read_page_by_page() {
    let client = Client::new();
    let first = client.send(get_as("doctor", "/api/v1/things?limit=2&q=a&count=true")).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let page = first.json();
    assert_eq!((page["items"].as_array().unwrap().len(), page["total"].as_u64()), (2, Some(3)));
    let cursor = page["next_cursor"].as_str().unwrap();
    let last =
        client.send(get_as("doctor", &format!("/api/v1/things?q=a&limit=2&cursor={cursor}"))).await.json();
    assert_eq!((last["items"].as_array().unwrap().len(), &last["next_cursor"]), (1, &Value::Null));
    assert!(last.get("total").is_none());
    let mut tampered = cursor.to_owned();
    tampered.replace_range(5..6, if &cursor[5..6] == "A" { "B" } else { "A" });
    for bad in [format!("q=b&cursor={cursor}"), format!("cursor={cursor}"), format!("q=a&cursor={tampered}")]
    {
        let refused = client.send(get_as("doctor", &format!("/api/v1/things?{bad}"))).await;
        check(&refused, 422, "invalid_cursor");
        assert_eq!(pointers(&refused), [("?cursor".to_owned(), "invalid_cursor".to_owned())]);
    }
    let refuse = async |query: &str, expected: &[(&str, &str)]| {
        let refused = client.send(get_as("doctor", &format!("/api/v1/things?{query}"))).await;
        check(&refused, 422, "invalid");
        let found = pointers(&refused);
        let found: Vec<_> = found.iter().map(|(pointer, code)| (pointer.as_str(), code.as_str())).collect();
        assert_eq!(found, expected, "{query}");
    };
    refuse("limit=0&count=x", &[("?limit", "out_of_range"), ("?count", "unknown_value")]).await;
    refuse("limit=201", &[("?limit", "out_of_range")]).await;
    refuse("limit=1&limit=2", &[("?limit", "duplicate")]).await;
    refuse("sort=size", &[("?sort", "unknown_value")]).await;
    refuse("colour=red", &[("?colour", "unknown_field")]).await;
    refuse("q=12345678901", &[("?q", "too_long")]).await;
    refuse("q=%00", &[("?q", "nul_character")]).await;
    check(&client.send(get_as("doctor", "/api/v1/things?q=%ff")).await, 400, "malformed_query");
    check(&client.send(get_as("doctor", "/api/v1/weight")).await, 422, "invalid");
    check(&client.send(get_as("doctor", &format!("{ONE}?x=1"))).await, 422, "invalid");
    assert_eq!(client.send(get_as("doctor", "/api/v1/weight?grams=7")).await.json(), json!({"grams": 7}));
}

#[actix_web::test]
async fn idempotency_keys_are_checked() {
    let client = Client::new();
    check(&client.send(post_as("doctor", "/api/v1/payments", "")).await, 400, "idempotency_key_required");
    let pay = |key: &str| post_as("doctor", "/api/v1/payments", "").insert_header(("idempotency-key", key));
    for bad in ["", "a b", &"x".repeat(256)] {
        check(&client.send(pay(bad)).await, 400, "malformed_header");
    }
    check(&client.send(pay("k1")).await, 503, "unavailable");
}

#[actix_web::test]
async fn literal_paths_come_before_general_ones() {
    let client = Client::new();
    let special = client.send(get_as("doctor", "/api/v1/things/special")).await;
    assert_eq!(special.json()["id"], json!(Uuid::from_u128(99)));
    let drawn = client.send(get_as("doctor", &format!("{ONE}.svg"))).await;
    assert_eq!((drawn.status.as_u16(), drawn.header("content-type")), (200, Some("image/svg+xml")));
}

#[actix_web::test]
async fn problems_speak_the_callers_language() {
    let client = Client::new();
    let mut titles = Vec::new();
    for (wanted, language) in [("en", "en"), ("de-AT, en;q=0.5", "de"), ("ar-SY", "ar"), ("fr", "en")] {
        let request = post_as("doctor", THINGS, "{}").insert_header((header::ACCEPT_LANGUAGE, wanted));
        let answer = client.send(request).await;
        check(&answer, 422, "invalid");
        assert_eq!(answer.header("content-language"), Some(language));
        assert_eq!(answer.header("vary"), Some("accept-language"));
        titles.push((answer.json()["title"].clone(), answer.json()["errors"][0]["detail"].clone()));
    }
    assert_eq!(titles[0], titles[3]);
    titles.truncate(3);
    assert_eq!(titles[1].1, "ist erforderlich");
    titles.dedup();
    assert_eq!(titles.len(), 3);
}
