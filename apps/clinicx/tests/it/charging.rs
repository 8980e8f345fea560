//! What was done before a clinic billed.

use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::support::{Api, Clinic, OPERATOR, configuration, start};

async fn operator() -> Api {
    let mut config = configuration("charging").await;
    config.jobs.enabled = true;
    config.jobs.poll = Duration::from_millis(100);
    let anonymous = Api { base: start(config).await, token: None, client: Client::new() };
    anonymous.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await
}

async fn perform(clinic: &Clinic, patient: &Value, procedure: Value) -> Value {
    let step = async |of: Value, action: &str| {
        let path = format!("/treatments/{}/{action}", of["id"].as_str().unwrap());
        clinic.admin.change(Method::POST, &path, &of["version"], json!({})).await.expect(200)
    };
    let path = format!("/patients/{}/treatments", patient.as_str().unwrap());
    let planned = clinic.admin.post(&path, procedure).await.expect(201);
    step(step(planned, "start").await, "complete").await
}

/// Gives a clinic billing, and waits for what was done before.
async fn enable(operator: &Api, clinic: &Clinic) -> Value {
    let modules = format!("/platform/tenants/{}/modules", clinic.slug);
    operator.post(&modules, json!({"module": "billing"})).await.expect(200);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let path = format!("/platform/jobs?kind=charges.hand_over&tenant={}", clinic.slug);
        let jobs = operator.get(&path).await.expect(200);
        let job = &jobs["items"][0];
        if job["state"] == "succeeded" {
            return job["output"].clone();
        }
        assert!(Instant::now() < deadline && job["state"] != "failed", "{jobs}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_before_a_clinic_billed_can_be_billed() {
    let operator = operator().await;
    let clinic = Clinic::made_by(&operator, json!({"modules": ["dental"]})).await;
    let api = &clinic.admin;
    let (patient, staff) = (clinic.patient("Payer").await["id"].clone(), clinic.staff().await["id"].clone());
    let filling = json!({"procedure_code": "RE01", "tooth": "36", "surfaces": ["O"], "staff_id": staff,
        "price": "80.00"});
    let done = perform(&clinic, &patient, filling).await;
    let looked = perform(&clinic, &patient, json!({"procedure_code": "EX01", "staff_id": staff})).await;
    let wrong = perform(&clinic, &patient, json!({"procedure_code": "EX01", "staff_id": staff})).await;
    let path = format!("/treatments/{}/void", wrong["id"].as_str().unwrap());
    api.change(Method::POST, &path, &wrong["version"], json!({})).await.expect(200);

    assert_eq!(enable(&operator, &clinic).await, json!({"treatments": 2, "left_out": 0}));
    let items = async || api.get("/charge-items").await.expect(200)["items"].as_array().unwrap().clone();
    let (first, all) = (items().await[0].clone(), items().await);
    let sources: Vec<&Value> = all.iter().map(|item| &item["source_id"]).collect();
    assert_eq!(sources, [&done["id"], &looked["id"]]);
    assert_eq!((&first["unit_price"], &first["performed_at"]), (&json!("80.00"), &done["completed_at"]));
    assert!(first["description"].as_str().unwrap().ends_with("36 O"), "{first}");
    let body = json!({"patient_id": patient, "lines": [{"treatment_id": done["id"]}]});
    let draft = api.post("/invoices", body).await.expect(201);

    // Begun once more, it changes nothing: what is billed stays, and so does what was done and billed as usual.
    let usual = perform(&clinic, &patient, json!({"procedure_code": "EX01", "staff_id": staff})).await;
    let before = items().await;
    assert_eq!((before.len(), &before[2]["source_id"]), (3, &usual["id"]));
    let modules = format!("/platform/tenants/{}/modules/billing", clinic.slug);
    operator.send(operator.request(Method::DELETE, &modules)).await.expect(200);
    assert_eq!(enable(&operator, &clinic).await["treatments"], 3);
    assert_eq!(items().await, before);
    assert_eq!((&before[0]["status"], &before[0]["invoice_id"]), (&json!("billed"), &draft["id"]));
}
