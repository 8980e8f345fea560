//! Bad input gets a clear problem and changes nothing.

use reqwest::Method;
use serde_json::json;

use crate::support::{Api, Clinic, PASSWORD};

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_checked_whole_before_anything_is_made() {
    let operator = Api::operator().await;
    let clinic = Clinic::create().await;
    let admin = json!({"email": "a@b.example", "full_name": "A", "password": PASSWORD});
    let body = |slug: &str| {
        json!({"slug": slug, "name": "N", "modules": [], "time_zone": "Europe/Berlin", "currency": "EUR",
            "locale": "en", "admin": admin})
    };
    operator.post("/platform/tenants", body(&clinic.slug)).await.expect_problem(409, "slug_taken");
    let check = async |change: serde_json::Value, pointer: &str| {
        let mut body = body("bad-input");
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        let problem = operator.post("/platform/tenants", body).await.expect(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    };
    check(json!({"slug": "Bad_Slug"}), "/slug").await;
    check(json!({"slug": "public"}), "/slug").await;
    check(json!({"slug": "a".repeat(41)}), "/slug").await;
    check(json!({"modules": ["astrology"]}), "/modules/0").await;
    check(json!({"time_zone": "Mars/Olympus"}), "/time_zone").await;
    check(json!({"currency": "XXX"}), "/currency").await;
    check(json!({"surprise": 1}), "/surprise").await;
    check(json!({"admin": {"email": "nobody", "full_name": "A", "password": PASSWORD}}), "/admin/email")
        .await;
    operator.get("/platform/tenants/bad-input").await.expect_problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_of_a_body_decides_its_status() {
    let clinic = Clinic::create().await;
    let send = async |kind: &str, body: Vec<u8>| {
        let request = clinic.admin.request(Method::POST, "/patients").header("content-type", kind).body(body);
        clinic.admin.send(request).await
    };
    send("application/json", b"{\"family_name\":".to_vec()).await.expect_problem(400, "malformed_json");
    send("application/json", b"{\"family_name\":\"\xff\"}".to_vec()).await.expect(400);
    send("text/plain", b"{}".to_vec()).await.expect_problem(415, "unsupported_media_type");
    let large = json!({"family_name": "x".repeat(2_000_000), "given_name": "y"}).to_string();
    send("application/json", large.into_bytes()).await.expect_problem(413, "payload_too_large");
    let unknown = json!({"family_name": "a", "given_name": "b", "phones": [], "emails": [], "shoe_size": 44});
    let problem = send("application/json", unknown.to_string().into_bytes()).await.expect(422);
    assert_eq!(problem["errors"][0]["pointer"], "/shoe_size");
    let blank = json!({"family_name": "  ", "given_name": "b"}).to_string();
    let problem = send("application/json", blank.into_bytes()).await.expect(422);
    assert_eq!(problem["errors"][0]["pointer"], "/family_name");
    assert_eq!(clinic.admin.get("/patients?count=true").await.expect(200)["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_without_a_good_token_are_not_known() {
    let api = Api::anonymous().await;
    for (token, code) in
        [(None, "unauthenticated"), (Some("x"), "invalid_token"), (Some("a.b.c"), "invalid_token")]
    {
        let api = Api { token: token.map(str::to_owned), ..api.clone() };
        let answer = api.get("/patients").await;
        answer.expect_problem(401, code);
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
    api.get("/no-such-thing").await.expect_problem(404, "not_found");
    let answer = api.send(api.request(Method::DELETE, "/auth/login")).await;
    answer.expect_problem(405, "method_not_allowed");
    assert!(answer.header("allow").contains("POST"));
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_from_a_fixed_set() {
    let clinic = Clinic::create().await;
    for query in ["limit=0", "limit=201", "limit=x", "colour=red", "cursor=abc", "sort=shoe_size"] {
        clinic.admin.get(&format!("/patients?{query}")).await.expect(422);
    }
    clinic.admin.get("/patients/not-a-uuid").await.expect_problem(404, "not_found");
    clinic.admin.get("/appointments?day=2031-02-30").await.expect(422);
    let backwards = "/appointments?from=2031-02-02T00:00:00Z&to=2031-02-01T00:00:00Z";
    assert_eq!(clinic.admin.get(backwards).await.expect(422)["errors"][0]["pointer"], "?to");
}

#[tokio::test(flavor = "multi_thread")]
async fn problems_speak_the_callers_language() {
    let api = Api::anonymous().await;
    let ask = async |language: &str| {
        api.send(api.request(Method::GET, "/patients").header("accept-language", language)).await
    };
    let (english, arabic, german) = (ask("en").await, ask("ar-SY").await, ask("de").await);
    assert_eq!(english.code(), arabic.code());
    assert_ne!(english.json()["title"], arabic.json()["title"]);
    assert_ne!(english.json()["title"], german.json()["title"]);
    assert_eq!(arabic.header("content-language"), "ar");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_stay_right_while_rows_arrive() {
    let clinic = Clinic::create().await;
    for number in 0..7 {
        clinic.patient(&format!("Page{number}")).await;
    }
    let mut seen = Vec::new();
    let mut path = "/patients?limit=3".to_owned();
    loop {
        let page = clinic.admin.get(&path).await.expect(200);
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].to_string()));
        clinic.patient("Latecomer").await;
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/patients?limit=3&cursor={cursor}");
    }
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), all, "a row was shown twice");
    assert!(all >= 7);
    // A cursor is good for the list that gave it, in the tenant that gave it.
    let first = clinic.admin.get("/patients?limit=3").await.expect(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    let other = Clinic::create().await;
    other.admin.get(&format!("/patients?limit=3&cursor={cursor}")).await.expect(422);
    clinic.admin.get(&format!("/staff?limit=3&cursor={cursor}")).await.expect(422);
    // The search for patients also looks its cursor's row up, which another tenant lacks; a plain list has the seal alone.
    for _ in 0..2 {
        clinic.staff().await;
    }
    let first = clinic.admin.get("/staff?limit=1").await.expect(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    clinic.admin.get(&format!("/staff?limit=1&cursor={cursor}")).await.expect(200);
    other.admin.get(&format!("/staff?limit=1&cursor={cursor}")).await.expect(422);
}
