//! The module `dental` over HTTP: charts, drawings, treatments, and clinics that have it or not.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection;

use crate::support::{Api, Clinic, base};

/// One tooth of a chart.
fn tooth<'a>(chart: &'a Value, code: &str) -> &'a Value {
    chart["teeth"].as_array().unwrap().iter().find(|tooth| tooth["fdi"] == code).unwrap()
}

async fn practice() -> (Clinic, String, String) {
    let clinic = Clinic::with(json!({"modules": ["dental"]})).await;
    let patient = clinic.patient("Molar").await["id"].as_str().unwrap().to_owned();
    let staff = clinic.staff().await["id"].as_str().unwrap().to_owned();
    (clinic, patient, staff)
}

async fn step(api: &Api, of: &Value, action: &str) -> Value {
    let path = format!("/treatments/{}/{action}", of["id"].as_str().unwrap());
    api.change(Method::POST, &path, &of["version"], json!({})).await.expect(200)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mouth_is_charted_planned_and_treated() {
    let (clinic, patient, staff) = practice().await;
    let (api, base) = (&clinic.admin, format!("/patients/{patient}"));
    let empty = api.get(&format!("{base}/dental-chart")).await;
    assert_eq!(empty.header("etag"), "\"0\"");
    assert_eq!(tooth(&empty.expect(200), "36")["presence"], "unknown");
    let event = json!({"tooth": "36", "state": "present", "effective_on": "2020-01-01"});
    let made = api.post(&format!("{base}/tooth-presence"), event).await;
    made.expect(201);
    assert_eq!(
        api.get(made.header("location").strip_prefix("/api/v1").unwrap()).await.expect(200),
        made.json()
    );
    let finding = json!({"tooth": "19", "notation": "universal", "code": "caries", "surfaces": ["O"]});
    let finding = api.post(&format!("{base}/tooth-findings"), finding).await.expect(201);
    assert_eq!((&finding["tooth"], &finding["surfaces"]), (&json!("36"), &json!(["O"])));
    let body = json!({"procedure_code": "RE01", "tooth": "36", "surfaces": ["O"], "staff_id": staff});
    let planned = api.post(&format!("{base}/treatments"), body).await.expect(201);
    let refused = api
        .change(
            Method::POST,
            &format!("/treatments/{}/complete", planned["id"].as_str().unwrap()),
            &planned["version"],
            json!({}),
        )
        .await
        .expect_problem(409, "transition_refused");
    assert!(refused["allowed"].as_array().unwrap().contains(&json!("in-progress")));
    let begun = step(api, &planned, "start").await;
    let done = step(api, &begun, "complete").await;
    assert_eq!(done["status"], "completed");
    let out = json!({"procedure_code": "SU01", "tooth": "36", "staff_id": staff});
    let out = api.post(&format!("{base}/treatments"), out).await.expect(201);
    step(api, &step(api, &out, "start").await, "complete").await;
    let chart = api.get(&format!("{base}/dental-chart?notation=universal")).await.expect(200);
    let molar = tooth(&chart, "36");
    assert_eq!((&molar["tooth"], &molar["presence"]), (&json!("19"), &json!("extracted")));
    let done: Vec<_> = molar["treatments"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!((done, &molar["findings"]), (vec![&out["id"]], &json!([])));
    let found = finding["id"].as_str().unwrap();
    let found = api.get(&format!("{base}/tooth-findings/{found}")).await.expect(200);
    assert_eq!(found["status"], "resolved");
    let before = api.get(&format!("{base}/dental-chart?as_of=2020-01-01")).await.expect(200);
    assert_eq!(tooth(&before, "36")["presence"], "present");
    let gone = json!({"procedure_code": "RE01", "tooth": "36", "staff_id": staff});
    api.post(&format!("{base}/treatments"), gone).await.expect_problem(409, "tooth_gone");
    let back = json!({"tooth": "36", "state": "erupting"});
    let refused =
        api.post(&format!("{base}/tooth-presence"), back).await.expect_problem(409, "tooth_history");
    assert_eq!(refused["conflicts"].as_array().unwrap().len(), 1);
    let wrong = json!({"tooth": "66", "notation": "universal", "state": "present"});
    let wrong = api.post(&format!("{base}/tooth-presence"), wrong).await.expect_problem(422, "invalid");
    assert_eq!(wrong["errors"][0]["pointer"], "/tooth");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_is_drawn_for_those_who_may_see_it_and_the_look_is_kept() {
    let (clinic, patient, _) = practice().await;
    let path = format!("/patients/{patient}/dental-chart.svg?theme=dark&size=print");
    let drawn = clinic.admin.get(&path).await;
    assert_eq!(drawn.status, 200, "{}", drawn.text);
    assert_eq!((drawn.header("content-type"), drawn.header("cache-control")), ("image/svg+xml", "no-store"));
    assert!(drawn.header("content-security-policy").contains("default-src 'none'; style-src"));
    assert!(drawn.text.starts_with("<svg ") && drawn.text.contains("width=\"180mm\""));
    let looks = clinic.admin.get(&format!("/audit-logs?patient_id={patient}")).await.expect(200);
    let looks = looks["items"].as_array().unwrap().iter();
    assert_eq!(looks.filter(|row| row["action"] == "dental_chart.read").count(), 1);
    let other = Clinic::with(json!({"modules": ["dental"]})).await;
    other.admin.get(&path).await.expect_problem(404, "not_found");
    assert_eq!(Api::anonymous().await.get(&path).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_module_comes_goes_and_comes_back_with_its_data() {
    let operator = Api::operator().await;
    let (clinic, other) = (Clinic::create().await, Clinic::create().await);
    let patient = clinic.patient("Incisor").await["id"].as_str().unwrap().to_owned();
    let chart = format!("/patients/{patient}/dental-chart");
    clinic.admin.get(&chart).await.expect_problem(403, "module_not_enabled");
    let modules = format!("/platform/tenants/{}/modules", clinic.slug);
    let enabled = operator.post(&modules, json!({"module": "dental"})).await.expect(200);
    assert_eq!(enabled["modules"], json!(["dental"]));
    let event = json!({"tooth": "11", "state": "present"});
    clinic.admin.post(&format!("/patients/{patient}/tooth-presence"), event).await.expect(201);
    other.admin.get(&chart).await.expect_problem(403, "module_not_enabled");
    assert_eq!(tables(&clinic).await - tables(&other).await, 13);

    let take = async || operator.send(operator.request(Method::DELETE, &format!("{modules}/dental"))).await;
    let disabled = take().await.expect(200);
    assert_eq!(disabled["modules"], json!([]));
    assert_eq!(take().await.expect(200)["version"], disabled["version"]);
    clinic.admin.get(&chart).await.expect_problem(403, "module_not_enabled");
    let kept = tables(&clinic).await;
    operator.post(&modules, json!({"module": "dental"})).await.expect(200);
    assert_eq!(tables(&clinic).await, kept);
    assert_eq!(tooth(&clinic.admin.get(&chart).await.expect(200), "11")["presence"], "present");
    for (path, status) in [("core", 422), ("nothing", 404)] {
        let answer = operator.send(operator.request(Method::DELETE, &format!("{modules}/{path}"))).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    }
    let document = Api::anonymous().await.get("//openapi.json").await.expect(200);
    let operation = &document["paths"]["/api/v1/patients/{id}/dental-chart"]["get"];
    let codes = operation["x-codes"].as_array().unwrap();
    assert!(codes.contains(&json!("module_not_enabled")) && !operation["responses"]["403"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_billed_stays_so_without_the_module_and_what_is_done_meanwhile_waits() {
    let operator = Api::operator().await;
    let clinic = Clinic::with(json!({"modules": ["billing", "dental"]})).await;
    let patient = clinic.patient("Payer").await["id"].clone();
    let staff = clinic.staff().await["id"].clone();
    let api = &clinic.admin;
    let perform = async || {
        let body = json!({"procedure_code": "EX01", "staff_id": staff});
        let path = format!("/patients/{}/treatments", patient.as_str().unwrap());
        let planned = api.post(&path, body).await.expect(201);
        step(api, &step(api, &planned, "start").await, "complete").await
    };
    let bill = async |treatment: &Value| {
        let line = json!({"treatment_id": treatment["id"], "unit_price": "120.00"});
        api.post("/invoices", json!({"patient_id": patient, "lines": [line]})).await
    };
    let void = async |treatment: &Value| {
        let path = format!("/treatments/{}/void", treatment["id"].as_str().unwrap());
        api.change(Method::POST, &path, &treatment["version"], json!({})).await
    };
    let done = perform().await;
    let line = json!({"treatment_id": done["id"]});
    let unpriced = api.post("/invoices", json!({"patient_id": patient, "lines": [line]})).await;
    let unpriced = unpriced.expect_problem(422, "invalid");
    assert_eq!(unpriced["errors"][0]["pointer"], "/lines/0/unit_price");
    bill(&done).await.expect(201);
    let modules = format!("/platform/tenants/{}/modules", clinic.slug);
    operator.send(operator.request(Method::DELETE, &format!("{modules}/billing"))).await.expect(200);
    void(&done).await.expect_problem(409, "treatment_billed");
    let meanwhile = perform().await;
    operator.post(&modules, json!({"module": "billing"})).await.expect(200);
    bill(&meanwhile).await.expect(201);
    let without = Clinic::with(json!({"modules": ["dental"]})).await;
    let patient = without.patient("Molar").await["id"].as_str().unwrap().to_owned();
    let body = json!({"procedure_code": "EX01", "staff_id": without.staff().await["id"]});
    let planned = without.admin.post(&format!("/patients/{patient}/treatments"), body).await.expect(201);
    let done = step(&without.admin, &step(&without.admin, &planned, "start").await, "complete").await;
    let path = format!("/treatments/{}/void", done["id"].as_str().unwrap());
    without.admin.change(Method::POST, &path, &done["version"], json!({})).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_accepted_at_the_price_that_was_seen() {
    let (clinic, patient, staff) = practice().await;
    let (api, base) = (&clinic.admin, format!("/patients/{patient}"));
    let body = json!({"procedure_code": "RE01", "tooth": "36", "price": "10.00", "staff_id": staff});
    let filling = api.post(&format!("{base}/treatments"), body).await.expect(201);
    let treatment = format!("/treatments/{}", filling["id"].as_str().unwrap());
    let body = json!({"items": [{"treatment_id": filling["id"]}]});
    let draft = api.post(&format!("{base}/treatment-plans"), body).await.expect(201);
    let plan = format!("/treatment-plans/{}", draft["id"].as_str().unwrap());
    let act = async |action: &str, version: &Value| {
        api.change(Method::POST, &format!("{plan}/{action}"), version, json!({})).await
    };
    let shown = act("present", &draft["version"]).await.expect(200);
    let seen = api.get(&plan).await.header("etag").to_owned();
    let known = async || api.send(api.request(Method::GET, &plan).header("If-None-Match", &seen)).await;
    assert_eq!(known().await.status, 304);
    let dearer = json!({"price": "500.00"});
    let dearer = api.patch(&treatment, &filling["version"], dearer).await.expect(200);
    let now = known().await.expect(200);
    assert_eq!((&now["estimate"]["net"], &now["presented_at"]), (&json!("500.00"), &Value::Null));
    act("accept", &shown["version"]).await.expect_problem(412, "version_mismatch");
    let accepted = act("accept", &now["version"]).await.expect(200);
    let voided = act("void", &accepted["version"]).await.expect(200);
    assert_eq!(voided["status"], "entered-in-error");

    let reason = json!({"reason": "Not wanted."});
    api.change(Method::POST, &format!("{treatment}/stop"), &dearer["version"], reason).await.expect(200);
    let events = api.get(&format!("{treatment}/events?count=true")).await.expect(200);
    assert_eq!((&events["total"], &events["items"][1]["reason"]), (&json!(2), &json!("Not wanted.")));
    let case = json!({"laboratory": "A laboratory"});
    let case = api.post(&format!("{base}/lab-cases"), case).await.expect(201);
    let path = format!("/lab-cases/{}/void", case["id"].as_str().unwrap());
    let voided = api.change(Method::POST, &path, &case["version"], json!({})).await.expect(200);
    assert_eq!(voided["status"], "entered-in-error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drawing_that_is_known_is_not_sent_again_and_a_site_is_named() {
    let (clinic, patient, _) = practice().await;
    let (api, base) = (&clinic.admin, format!("/patients/{patient}"));
    let path = format!("{base}/dental-chart.svg");
    let tag = api.get(&path).await.header("etag").to_owned();
    let known = async || api.send(api.request(Method::GET, &path).header("If-None-Match", &tag)).await;
    assert_eq!(known().await.status, 304);
    let event = json!({"tooth": "36", "state": "present"});
    api.post(&format!("{base}/tooth-presence"), event).await.expect(201);
    let drawn = known().await;
    assert_eq!(drawn.status, 200);
    assert_ne!(drawn.header("etag"), tag);
    let check = async |sites: Value, pointer: &str| {
        let body = json!({"teeth": [{"tooth": "36", "sites": sites}]});
        let refused = api.post(&format!("{base}/perio-exams"), body).await.expect_problem(422, "invalid");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
    };
    let wrong = json!({"buccal": {"attachment_loss_mm": 3}});
    check(wrong, "/teeth/0/sites/buccal/attachment_loss_mm").await;
    check(json!({"buccal": {}, "x": {}}), "/teeth/0/sites/x").await;
}

/// Counts the tables of a clinic.
async fn tables(clinic: &Clinic) -> i64 {
    let server = clinicx_embedded_postgres::TestServer::shared().unwrap();
    let _ = base().await;
    let schema = clinic.tenant["database_schema"].as_str().unwrap();
    let mut total = 0;
    let mut postgres = sqlx::PgConnection::connect(&server.superuser_url("postgres")).await.unwrap();
    let databases: Vec<String> =
        sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE datname LIKE 'http\\_%'")
            .fetch_all(&mut postgres)
            .await
            .unwrap();
    for database in databases {
        let mut connection = sqlx::PgConnection::connect(&server.superuser_url(&database)).await.unwrap();
        let question = "SELECT count(*) FROM pg_tables WHERE schemaname = $1";
        let found: i64 = sqlx::query_scalar(question).bind(schema).fetch_one(&mut connection).await.unwrap();
        total += found;
    }
    total
}
