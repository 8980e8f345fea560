//! What a clinic writes about money and teeth, as it is meant: each operation takes it, and keeps it to itself.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Stage, Witness,
    values::{COMMENT, EMAIL, GIVEN, IDENTIFIER, NAME, NOTES, REASON, STREET},
};
use crate::support::Api;

/// Whoever writes: each answer is looked at, and has to be the one that is meant.
struct Desk<'a> {
    witness: &'a mut Witness,
    api: &'a Api,
}

impl Desk<'_> {
    async fn add(&mut self, path: &str, body: Value) -> Value {
        let key = Uuid::new_v4().to_string();
        let request = self.api.request(Method::POST, path).header("Idempotency-Key", key).json(&body);
        let answer = self.witness.send(request).await;
        assert_eq!(answer.status.as_u16(), 201, "{path}: {}", answer.text);
        answer.json()
    }

    async fn send(&mut self, method: Method, path: &str, body: Value) -> Value {
        let request = self.api.request(method, path).header("If-Match", "*").json(&body);
        let answer = self.witness.send(request).await;
        assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.text);
        if answer.text.starts_with('{') { answer.json() } else { Value::Null }
    }

    async fn step(&mut self, path: &str, body: Value) -> Value {
        self.send(Method::POST, path, body).await
    }

    async fn patch(&mut self, path: &str, body: Value) -> Value {
        self.send(Method::PATCH, path, body).await
    }

    /// Reads what has been written; what should be in it shows that the canaries were there at all.
    async fn read(&mut self, path: &str, holds: &[&str]) {
        let answer = self.witness.send(self.api.request(Method::GET, path)).await;
        assert_eq!(answer.status.as_u16(), 200, "{path}: {}", answer.text);
        for word in holds {
            assert!(answer.text.contains(word), "{path} has no {word}: {}", answer.text);
        }
    }

    /// Is refused by a rule, not for its form.
    async fn refused(&mut self, path: &str, body: Value) {
        let key = Uuid::new_v4().to_string();
        let request =
            self.api.request(Method::POST, path).header("Idempotency-Key", key).header("If-Match", "*");
        let answer = self.witness.send(request.json(&body)).await;
        assert_eq!(answer.status.as_u16(), 409, "{path}: {}", answer.text);
    }
}

fn id(thing: &Value) -> &str {
    thing["id"].as_str().unwrap()
}

fn words() -> String {
    format!("{COMMENT} {NAME} {REASON}")
}

/// Everything that is written about money.
pub(super) async fn money(stage: &mut Stage, patient: &Value) {
    let Stage { witness, admin, .. } = stage;
    let mut desk = Desk { witness, api: admin };
    let issuer = json!({"name": NAME, "address": STREET, "contact": EMAIL, "payment_details": IDENTIFIER});
    desk.patch("/billing-settings", json!({ "issuer": issuer })).await;

    let line = json!({"description": words(), "quantity": "2", "unit_price": "100.00", "tax_rate": "20"});
    let body = json!({"patient_id": patient["id"], "lines": [line, line], "note": NOTES});
    let draft = desk.add("/invoices", body.clone()).await;
    let invoice = format!("/invoices/{}", id(&draft));
    desk.patch(&invoice, json!({"note": format!("{NOTES} {NOTES}")})).await;
    let issued = desk.step(&format!("{invoice}/issue"), json!({})).await;
    desk.read(&invoice, &[NOTES, COMMENT]).await;
    for language in ["de", "en", "ar"] {
        let path = format!("{invoice}.pdf?language={language}");
        desk.read(&path, &["%PDF-"]).await;
    }
    desk.refused(&format!("{invoice}/discard"), json!({})).await;
    desk.add(&format!("{invoice}/installment-plans"), json!({"count": 2, "first_due_on": "2031-01-01"}))
        .await;

    let share = json!({"invoice_id": draft["id"], "amount": "50.00"});
    let payment = json!({"patient_id": patient["id"], "amount": "100.00", "method": "transfer", "reference": IDENTIFIER,
        "note": NOTES, "allocations": [share]});
    let paid = desk.add("/payments", payment.clone()).await;
    let paid = format!("/payments/{}", id(&paid));
    desk.read(&paid, &[IDENTIFIER, NOTES]).await;
    desk.refused(&format!("{paid}/allocations"), json!({"invoice_id": draft["id"], "amount": "90.00"})).await;
    let mut more = payment.clone();
    more["allocations"][0]["amount"] = json!("99.00");
    desk.add("/payments", more).await;
    desk.add(&format!("{paid}/refunds"), json!({"amount": "10.00", "reason": REASON})).await;
    desk.read(&format!("{paid}/refunds"), &[REASON]).await;
    desk.refused(&format!("{invoice}/cancel"), json!({"reason": REASON})).await;
    let credit = json!({"reason": words(),
        "lines": [{"invoice_line_id": issued["lines"][0]["id"], "quantity": "0.5"}]});
    desk.add(&format!("{invoice}/credit-notes"), credit).await;
    desk.read(&format!("{invoice}/credit-notes"), &[REASON]).await;

    let cancelled = desk.add("/invoices", body.clone()).await;
    let cancelled = format!("/invoices/{}", id(&cancelled));
    desk.step(&format!("{cancelled}/issue"), json!({})).await;
    desk.step(&format!("{cancelled}/cancel"), json!({"reason": words()})).await;
    let discarded = desk.add("/invoices", body).await;
    desk.step(&format!("/invoices/{}/discard", id(&discarded)), json!({})).await;
    let mut free = payment;
    free["allocations"] = json!([]);
    let void = desk.add("/payments", free).await;
    desk.step(&format!("/payments/{}/void", id(&void)), json!({"reason": words()})).await;

    let account = format!("/accounts/{}", issued["account_id"].as_str().unwrap());
    for path in [
        "/invoices".to_owned(),
        "/payments".to_owned(),
        "/accounts".to_owned(),
        format!("{account}/ledger"),
        format!("{account}/statement"),
        format!("/patients/{}/balance", id(patient)),
        "/reports/receivables".to_owned(),
        "/reports/takings".to_owned(),
        "/reports/revenue".to_owned(),
    ] {
        desk.read(&path, &[]).await;
    }
}

/// Everything that is written about teeth, by a member of staff.
pub(super) async fn teeth(stage: &mut Stage, patient: &Value, staff: &Value) {
    let Stage { witness, admin, .. } = stage;
    let mut desk = Desk { witness, api: admin };
    let of_patient = format!("/patients/{}", id(patient));
    let code = json!({"code": "KAN1", "name": format!("{GIVEN} {NAME}"), "price": "80.00"});
    let code = desk.add("/procedure-codes", code).await;
    desk.patch(&format!("/procedure-codes/{}", id(&code)), json!({"name": words()})).await;
    desk.patch(&format!("{of_patient}/dental-chart"), json!({"notation": "palmer"})).await;

    let event = json!({"tooth": "36", "state": "present", "note": NOTES, "staff_id": staff["id"]});
    desk.add(&format!("{of_patient}/tooth-presence"), event.clone()).await;
    let wrong = desk.add(&format!("{of_patient}/tooth-presence"), event).await;
    desk.step(&format!("{of_patient}/tooth-presence/{}/void", id(&wrong)), json!({})).await;

    let finding =
        json!({"tooth": "36", "code": "caries", "surfaces": ["O"], "note": NOTES, "staff_id": staff["id"]});
    let found = desk.add(&format!("{of_patient}/tooth-findings"), finding.clone()).await;
    let found = format!("{of_patient}/tooth-findings/{}", id(&found));
    desk.step(&format!("{found}/watch"), json!({})).await;
    desk.step(&format!("{found}/activate"), json!({})).await;
    desk.read(&found, &[NOTES]).await;
    let wrong = desk.add(&format!("{of_patient}/tooth-findings"), finding).await;
    desk.step(&format!("{of_patient}/tooth-findings/{}/void", id(&wrong)), json!({})).await;

    let exam = json!({"note": NOTES, "staff_id": staff["id"],
        "teeth": [{"tooth": "36", "sites": {"buccal": {"probing_mm": 5, "bleeding": true}}}]});
    let exam = desk.add(&format!("{of_patient}/perio-exams"), exam).await;
    desk.read(&format!("{of_patient}/perio-exams/{}", id(&exam)), &[NOTES]).await;

    let planned = json!({"procedure_code": "RE01", "tooth": "36", "surfaces": ["O"], "staff_id": staff["id"],
        "note": NOTES, "price": "120.00"});
    let treatment = desk.add(&format!("{of_patient}/treatments"), planned.clone()).await;
    let treatment = format!("/treatments/{}", id(&treatment));
    desk.patch(&treatment, json!({"note": format!("{NOTES} {COMMENT}")})).await;
    desk.refused(&format!("{treatment}/complete"), json!({"reason": REASON})).await;
    desk.step(&format!("{treatment}/start"), json!({})).await;
    desk.step(&format!("{treatment}/hold"), json!({"reason": words()})).await;
    desk.step(&format!("{treatment}/resume"), json!({})).await;
    desk.step(&format!("{treatment}/complete"), json!({})).await;
    desk.read(&treatment, &[NOTES]).await;
    let stopped = desk.add(&format!("{of_patient}/treatments"), planned.clone()).await;
    let stopped = format!("/treatments/{}", id(&stopped));
    desk.step(&format!("{stopped}/start"), json!({})).await;
    desk.step(&format!("{stopped}/stop"), json!({"reason": words()})).await;
    desk.step(&format!("{found}/resolve"), json!({})).await;

    let plan = json!({"staff_id": staff["id"], "title": words(), "note": NOTES,
        "phases": [{"title": NAME, "items": [{"treatment": planned}]}]});
    let plan = desk.add(&format!("{of_patient}/treatment-plans"), plan).await;
    let plan = format!("/treatment-plans/{}", id(&plan));
    desk.patch(&plan, json!({"note": format!("{NOTES} {NOTES}")})).await;
    desk.step(&format!("{plan}/present"), json!({})).await;
    desk.step(&format!("{plan}/accept"), json!({})).await;
    desk.read(&plan, &[NOTES, NAME]).await;
    desk.step(&format!("{plan}/revoke"), json!({"reason": words()})).await;

    let case = json!({"laboratory": format!("{STREET} {NAME}"), "note": NOTES, "material": COMMENT, "work": "crown",
        "shade": "A2", "cost": "90.00", "staff_id": staff["id"]});
    let case = desk.add(&format!("{of_patient}/lab-cases"), case).await;
    let case = format!("/lab-cases/{}", id(&case));
    desk.patch(&case, json!({"note": format!("{NOTES} {NOTES}")})).await;
    for action in ["send", "receive", "complete"] {
        desk.step(&format!("{case}/{action}"), json!({})).await;
    }
    desk.read(&case, &[NOTES, STREET]).await;
    for path in
        ["dental-chart", "dental-chart.svg", "treatments", "treatment-plans", "tooth-findings", "lab-cases"]
    {
        desk.read(&format!("{of_patient}/{path}"), &[]).await;
    }

    // What was done is billed: the words of a treatment and of its code come into an invoice.
    let lines = json!([{"treatment_id": treatment.rsplit('/').next()}]);
    let bill = json!({"patient_id": patient["id"], "note": NOTES, "lines": lines});
    let draft = desk.add("/invoices", bill.clone()).await;
    desk.refused("/invoices", bill).await;
    desk.step(&format!("/invoices/{}/issue", id(&draft)), json!({})).await;
    desk.read("/charge-items", &[]).await;
}
