//! A tenant's life over HTTP, and what its users see of it.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{Api, Clinic, PASSWORD};

/// Asks until the answer has the status, for at most the five seconds in which a change must be seen.
async fn soon(api: &Api, path: &str, status: u16) -> crate::support::Answer {
    let begun = std::time::Instant::now();
    loop {
        let answer = api.get(path).await;
        if answer.status.as_u16() == status || begun.elapsed().as_secs() >= 5 {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_created_tenant_is_ready_and_described() {
    let clinic = Clinic::with(json!({"modules": ["dental"]})).await;
    assert_eq!(clinic.tenant["status"], "active");
    assert_eq!(clinic.tenant["modules"], json!(["dental"]));
    assert_eq!(clinic.tenant["isolation"], "schema");
    assert_eq!(clinic.tenant["database_schema"], format!("tenant_{}", clinic.slug.replace('-', "_")));
    assert!(clinic.tenant["schema_version"].as_str().unwrap().starts_with("1."));
    clinic.admin.get("/patients").await.expect(200);
    let me = clinic.admin.get("/auth/me").await.expect(200);
    assert_eq!(me["tenant"], clinic.slug);
    assert!(me["permissions"].as_array().unwrap().contains(&json!("patient.write")));
}

#[tokio::test(flavor = "multi_thread")]
async fn suspend_resume_archive_and_purge_are_obeyed_at_once() {
    let (operator, clinic) = (Api::operator().await, Clinic::create().await);
    clinic.patient("Kept").await;
    let path = format!("/platform/tenants/{}", clinic.slug);
    let act = async |action: &str| operator.post(&format!("{path}/{action}"), json!({})).await;

    assert_eq!(act("suspend").await.expect(200)["status"], "suspended");
    soon(&clinic.admin, "/patients", 403).await.expect_problem(403, "tenant_suspended");
    act("suspend").await.expect_problem(409, "transition_refused");
    assert_eq!(act("resume").await.expect(200)["status"], "active");
    soon(&clinic.admin, "/patients", 200).await.expect(200);
    let kept = clinic.admin.get("/patients?count=true").await.expect(200);
    assert_eq!(kept["total"], 1);

    let early =
        operator.send(operator.request(Method::DELETE, &format!("{path}?confirm={}", clinic.slug))).await;
    early.expect_problem(409, "transition_refused");
    assert_eq!(act("archive").await.expect(200)["status"], "archived");
    soon(&clinic.admin, "/patients", 410).await.expect_problem(410, "tenant_gone");
    let delete =
        async |query: &str| operator.send(operator.request(Method::DELETE, &format!("{path}?{query}"))).await;
    delete("force=true").await.expect(422);
    delete("confirm=another&force=true").await.expect(422);
    let stale = operator.request(Method::DELETE, &format!("{path}?confirm={}&force=true", clinic.slug));
    operator.send(stale.header("If-Match", "\"999\"")).await.expect_problem(412, "version_mismatch");
    delete(&format!("confirm={}", clinic.slug)).await.expect_problem(409, "retention_not_over");
    delete(&format!("confirm={}&force=true", clinic.slug)).await.expect(204);
    assert_eq!(operator.get(&path).await.expect(200)["status"], "purged");
    soon(&clinic.admin, "/patients", 410).await.expect_problem(410, "tenant_gone");
    let again = json!({"slug": clinic.slug, "name": "N", "modules": [], "time_zone": "UTC", "currency": "EUR",
        "locale": "en", "admin": {"email": "x@y.example", "full_name": "X", "password": PASSWORD}});
    operator.post("/platform/tenants", again).await.expect_problem(409, "slug_taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_changed_with_their_version_only() {
    let (operator, clinic) = (Api::operator().await, Clinic::create().await);
    let path = format!("/platform/tenants/{}", clinic.slug);
    let shown = operator.get(&path).await;
    let version = shown.expect(200)["version"].clone();
    assert_eq!(shown.header("etag"), format!("\"{version}\""));
    let change = json!({"name": "Renamed", "time_zone": "Asia/Damascus", "limits": {"burst": 10}});
    let bare = operator.send(operator.request(Method::PATCH, &path).json(&change)).await;
    bare.expect_problem(428, "precondition_required");
    assert_eq!(operator.patch(&path, &version, change.clone()).await.expect(200)["name"], "Renamed");
    operator.patch(&path, &version, change).await.expect_problem(412, "version_mismatch");
    let current = operator.get(&path).await.expect(200)["version"].clone();
    let wrong = operator.patch(&path, &current, json!({"time_zone": "Mars/Olympus"})).await.expect(422);
    assert_eq!(wrong["errors"][0]["pointer"], "/time_zone");
    for (limits, pointer) in [
        (json!({"patients": 10}), "/limits/patients"),
        (json!({"burst": 0}), "/limits/burst"),
        (json!({"connections": "many"}), "/limits/connections"),
        (json!([]), "/limits"),
    ] {
        let wrong = operator.patch(&path, &current, json!({"limits": limits})).await.expect(422);
        assert_eq!(wrong["errors"][0]["pointer"], pointer);
    }
    for field in ["name", "time_zone"] {
        let wrong = operator.patch(&path, &current, json!({field: null})).await.expect(422);
        assert_eq!(
            (&wrong["errors"][0]["pointer"], &wrong["errors"][0]["code"]),
            (&json!(format!("/{field}")), &json!("wrong_type"))
        );
    }
    let same = operator.patch(&path, &current, json!({})).await.expect(200);
    assert_eq!((&same["version"], &same["limits"]), (&current, &json!({"burst": 10})));
    let cleared = operator.patch(&path, &current, json!({"limits": null})).await.expect(200);
    assert_eq!(cleared["limits"], json!({}));
    let listed = operator.get(&format!("/platform/tenants?q={}", clinic.slug)).await.expect(200);
    assert_eq!(listed["items"][0]["slug"], clinic.slug);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_enabled_later_brings_its_tables() {
    let (operator, clinic) = (Api::operator().await, Clinic::create().await);
    let path = format!("/platform/tenants/{}/modules", clinic.slug);
    let before = clinic.tenant["schema_version"].clone();
    operator.post(&path, json!({"module": "astrology"})).await.expect(422);
    let after = operator.post(&path, json!({"module": "dental"})).await.expect(200);
    assert_eq!(after["modules"], json!(["dental"]));
    assert_ne!(after["schema_version"], before);
    clinic.admin.get("/patients").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_clinics_are_no_operators() {
    let clinic = Clinic::create().await;
    for path in ["/platform/tenants", &format!("/platform/tenants/{}", clinic.slug)] {
        assert_eq!(clinic.admin.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let operator = Api::operator().await;
    assert_eq!(operator.get("/patients").await.status, StatusCode::FORBIDDEN);
}
