//! The audit over HTTP: what leaves a row, and who sees it.

use clinicx_persistence::{
    record::{Change, record},
    unaudited,
};
use clinicx_testing::TestTenant;
use clinicx_types::{id::TenantId, module::EventType};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Api, Clinic};

/// Asks with a request id of its own and returns it with the answer.
async fn ask(api: &Api, method: Method, path: &str) -> (Uuid, Answer) {
    let id = Uuid::new_v4();
    let answer = api.send(api.request(method, path).header("X-Request-ID", id.to_string())).await;
    (id, answer)
}

/// Returns the rows of a clinic's audit that a filter finds.
async fn rows(clinic: &Clinic, filter: &str) -> Vec<Value> {
    let page = clinic.admin.get(&format!("/audit-logs?limit=200&{filter}")).await.expect(200);
    page["items"].as_array().unwrap().clone()
}

/// Returns the one row of a request.
async fn row_of(clinic: &Clinic, request: Uuid) -> Value {
    let rows = rows(clinic, "").await;
    let mut found = rows.into_iter().filter(|row| row["request_id"] == json!(request));
    let row = found.next().expect("the request left a row");
    assert!(found.next().is_none(), "one row for one request");
    row
}

#[tokio::test(flavor = "multi_thread")]
async fn every_read_of_a_patient_leaves_a_row_that_the_patient_is_found_by() {
    let clinic = Clinic::create().await;
    let (patient, staff) = (clinic.patient("Reader").await, clinic.staff().await);
    let id = patient["id"].as_str().unwrap();
    let booking = json!({"patient_id": id, "staff_id": staff["id"], "start": "2031-01-06T10:00:00Z",
        "duration_minutes": 20});
    let appointment = clinic.admin.post("/appointments", booking).await.expect(201);
    let appointment = appointment["id"].as_str().unwrap();
    let me = clinic.admin.get("/auth/me").await.expect(200);
    let cases = [
        (format!("/patients/{id}"), "patient.read", json!(id), false),
        (format!("/appointments/{appointment}"), "appointment.read", json!(appointment), false),
        ("/patients?q=reader".to_owned(), "patient.listed", Value::Null, true),
        (format!("/appointments?patient_id={id}"), "appointment.listed", Value::Null, true),
    ];
    for (path, action, entity_id, is_list) in cases {
        let (request, answer) = ask(&clinic.admin, Method::GET, &path).await;
        answer.expect(200);
        let found = rows(&clinic, &format!("patient_id={id}&action={action}")).await;
        let row = found.iter().find(|row| row["request_id"] == json!(request)).expect(action);
        assert_eq!(row["entity_id"], entity_id, "{action}");
        assert_eq!((&row["actor_kind"], &row["actor_id"]), (&json!("user"), &me["id"]), "{action}");
        assert!(row["session_id"].is_string() && row["source_address"] == "127.0.0.1", "{row}");
        let (one, many) = (json!(id), json!([id]));
        let expected = if is_list { (&Value::Null, &many) } else { (&one, &Value::Null) };
        assert_eq!((&row["patient_id"], &row["patient_ids"]), expected, "{action}");
        assert!(!row.to_string().contains("reader"), "a filter's value is nobody's business");
    }
    let (request, _) = ask(&clinic.admin, Method::GET, "/patients?q=reader&limit=5").await;
    assert_eq!(row_of(&clinic, request).await["after"]["filters"], json!(["limit", "q"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_changes_nothing_leaves_the_row_of_a_read() {
    let clinic = Clinic::create().await;
    let (patient, staff) = (clinic.patient("Same").await, clinic.staff().await);
    let id = patient["id"].as_str().unwrap();
    let start = "2031-01-06T10:00:00Z";
    let booking = json!({"patient_id": id, "staff_id": staff["id"], "start": start, "duration_minutes": 20});
    let appointment = clinic.admin.post("/appointments", booking).await.expect(201);
    let (at, appointment) = (json!({"start": start}), appointment["id"].as_str().unwrap());
    let cases = [
        (Method::PATCH, format!("/patients/{id}"), json!({}), "patient.read", id),
        (Method::PATCH, format!("/patients/{id}"), json!({"family_name": "Same"}), "patient.read", id),
        (Method::PATCH, format!("/appointments/{appointment}"), json!({}), "appointment.read", appointment),
        (
            Method::POST,
            format!("/appointments/{appointment}/reschedule"),
            at,
            "appointment.read",
            appointment,
        ),
    ];
    for (method, path, body, action, entity_id) in cases {
        let request = Uuid::new_v4();
        let asked = clinic.admin.request(method, &path).header("If-Match", "*").json(&body);
        let answer = clinic.admin.send(asked.header("X-Request-ID", request.to_string())).await;
        assert_eq!(answer.expect(200)["version"], 1, "{path}");
        let row = row_of(&clinic, request).await;
        assert_eq!((&row["action"], &row["entity_id"]), (&json!(action), &json!(entity_id)), "{path}");
        assert_eq!(row["patient_id"], *id, "{path}");
    }
    // What changes something has its own row, and no other.
    let request = Uuid::new_v4();
    let asked = clinic.admin.request(Method::PATCH, &format!("/patients/{id}")).header("If-Match", "*");
    let asked = asked.header("X-Request-ID", request.to_string()).json(&json!({"family_name": "Other"}));
    clinic.admin.send(asked).await.expect(200);
    assert_eq!(row_of(&clinic, request).await["action"], "patient.updated");
}

#[test]
fn no_tenant_can_be_left_unaudited() {
    // Only the benchmark of the audit is built with the feature.
    unaudited::leave(TenantId::new(Uuid::nil())).unwrap_err();
}

#[tokio::test]
async fn what_a_savepoint_undoes_was_not_recorded() {
    let tenant = TestTenant::builder().create().await;
    let change = |patient: u128| Change {
        event: EventType("patient.updated"),
        aggregate: "patient",
        aggregate_id: Uuid::from_u128(patient),
        patient_id: Some(Uuid::from_u128(patient)),
        before: None,
        after: None,
        payload: Value::Null,
    };
    let patients = |numbers: &[u128]| -> Vec<_> {
        numbers.iter().map(|number| Some(Uuid::from_u128(*number))).collect()
    };
    let tx = tenant.connection.begin().await.unwrap();
    record(&tx, &tenant.scope, change(1)).await.unwrap();
    let point = tx.savepoint().await.unwrap();
    record(&point, &tenant.scope, change(2)).await.unwrap();
    assert_eq!(tx.recorded(), patients(&[1, 2]));
    point.rollback().await.unwrap();
    assert_eq!(tx.recorded(), patients(&[1]));
    let point = tx.savepoint().await.unwrap();
    record(&point, &tenant.scope, change(3)).await.unwrap();
    point.commit().await.unwrap();
    let dropped = tx.savepoint().await.unwrap();
    record(&dropped, &tenant.scope, change(4)).await.unwrap();
    drop(dropped);
    record(&tx, &tenant.scope, change(5)).await.unwrap();
    assert_eq!(tx.recorded(), patients(&[1, 3, 5]));
    tx.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_finds_nobody_leaves_a_row_and_a_missing_patient_none() {
    let clinic = Clinic::create().await;
    let (request, answer) = ask(&clinic.admin, Method::GET, "/patients?q=nobody").await;
    answer.expect(200);
    assert_eq!(row_of(&clinic, request).await["patient_ids"], json!([]));
    let (request, answer) = ask(&clinic.admin, Method::GET, &format!("/patients/{}", Uuid::new_v4())).await;
    answer.expect_problem(404, "not_found");
    assert!(rows(&clinic, "").await.iter().all(|row| row["request_id"] != json!(request)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_given_again_leaves_a_row_again() {
    let clinic = Clinic::create().await;
    let body = json!({"family_name": "Again", "given_name": "A", "phones": [], "emails": []});
    let send = async || {
        let request = clinic.admin.request(Method::POST, "/patients").header("Idempotency-Key", "again");
        clinic.admin.send(request.json(&body)).await
    };
    let (first, second) = (send().await, send().await);
    let patient = first.expect(201);
    assert_eq!(second.expect(201), patient);
    assert_eq!(second.header(":shown"), "");
    let found = rows(&clinic, &format!("patient_id={}", patient["id"].as_str().unwrap())).await;
    let actions: Vec<&str> = found.iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["answer.repeated", "patient.created"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_looks_at_the_audit_leave_rows() {
    let (clinic, other) = (Clinic::create().await, Clinic::create().await);
    let request = Uuid::new_v4();
    let denied = clinic.admin.request(Method::GET, "/patients").header("X-Tenant-ID", &other.slug);
    let denied = clinic.admin.send(denied.header("X-Request-ID", request.to_string())).await;
    denied.expect_problem(403, "tenant_mismatch");
    let row = row_of(&clinic, request).await;
    assert_eq!((&row["action"], &row["after"]["code"]), (&json!("access.denied"), &json!("tenant_mismatch")));
    let (request, answer) = ask(&clinic.admin, Method::GET, "/audit-logs?entity=room").await;
    answer.expect(200);
    assert_eq!(row_of(&clinic, request).await["action"], "audit_log.listed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_is_paged_newest_first_and_filtered() {
    let clinic = Clinic::create().await;
    for number in 0..5 {
        clinic.admin.post("/rooms", json!({"name": format!("R{number}"), "kind": "room"})).await.expect(201);
    }
    let (mut cursor, mut seen) = (String::new(), Vec::new());
    loop {
        let path = format!("/audit-logs?action=room.created&limit=2&count=true{cursor}");
        let page = clinic.admin.get(&path).await.expect(200);
        assert_eq!(page["total"], 5);
        seen.extend(page["items"].as_array().unwrap().iter().map(|row| row["recorded_at"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut sorted = seen.clone();
    sorted.sort_by(|a, b| b.as_str().cmp(&a.as_str()));
    assert_eq!((seen.len(), &seen), (5, &sorted));
    let until = seen[2].as_str().unwrap().replace('+', "%2B");
    assert_eq!(rows(&clinic, &format!("action=room.created&to={until}")).await.len(), 2);
    assert_eq!(rows(&clinic, &format!("action=room.created&from={until}")).await.len(), 3);
    assert_eq!(rows(&clinic, &format!("actor_id={}", Uuid::new_v4())).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_who_and_what_and_not_what_a_clinic_changed() {
    let clinic = Clinic::create().await;
    let patient = clinic.patient("Hidden").await;
    clinic.admin.get(&format!("/patients/{}", patient["id"].as_str().unwrap())).await.expect(200);
    let operator = Api::operator().await;
    let (request, answer) = ask(&operator, Method::GET, &format!("/platform/tenants/{}", clinic.slug)).await;
    answer.expect(200);
    let path = format!("/platform/audit-logs?tenant={}&limit=200", clinic.slug);
    let page = operator.get(&path).await.expect(200);
    let items = page["items"].as_array().unwrap();
    let of = |action: &str| items.iter().find(|row| row["action"] == action).expect(action);
    assert!(items.iter().all(|row| row["tenant_id"] == clinic.tenant["id"]));
    for action in ["patient.created", "patient.read"] {
        let row = of(action);
        assert!(row["actor_id"].is_string() && row["before"].is_null() && row["after"].is_null(), "{row}");
        assert!(row.get("patient_id").is_none(), "{row}");
    }
    assert!(!of("tenant.created")["after"].is_null());
    let look = of("platform.read");
    assert_eq!((&look["request_id"], &look["actor_kind"]), (&json!(request), &json!("operator")));
    let again = operator.get(&path).await.expect(200);
    assert!(again["items"].as_array().unwrap().iter().any(|row| row["action"] == "audit_log.listed"));
    operator.get("/platform/audit-logs?tenant=nobody-has-this").await.expect_problem(422, "invalid");
}
