//! Money over HTTP: the whole way of an invoice, and who wins when requests race.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection;
use uuid::Uuid;

use crate::support::{Answer, Api, Clinic};

/// How often each race is run.
const ROUNDS: usize = 20;

impl Api {
    /// Sends a POST with an `Idempotency-Key` of its own.
    async fn pay(&self, path: &str, body: Value) -> Answer {
        self.pay_again(path, body, &Uuid::new_v4().to_string()).await
    }

    async fn pay_again(&self, path: &str, body: Value, key: &str) -> Answer {
        self.send(self.request(Method::POST, path).header("Idempotency-Key", key).json(&body)).await
    }

    async fn transition(&self, path: &str, version: &Value) -> Answer {
        let request = self.request(Method::POST, path).header("If-Match", format!("\"{version}\""));
        self.send(request).await
    }
}

async fn clinic() -> Clinic {
    Clinic::with(json!({"modules": ["billing"]})).await
}

fn id(thing: &Value) -> &str {
    thing["id"].as_str().unwrap()
}

fn lines(prices: &[&str]) -> Value {
    let line =
        |price: &&str| json!({"description": "Work", "quantity": "1", "unit_price": price, "tax_rate": "20"});
    prices.iter().map(line).collect()
}

async fn draft(api: &Api, patient: &Value, prices: &[&str]) -> Value {
    let body = json!({"patient_id": patient["id"], "lines": lines(prices)});
    api.post("/invoices", body).await.expect(201)
}

async fn issued(api: &Api, patient: &Value, prices: &[&str]) -> Value {
    let draft = draft(api, patient, prices).await;
    api.transition(&format!("/invoices/{}/issue", id(&draft)), &draft["version"]).await.expect(200)
}

/// Runs two requests at once and returns the answers by their success.
async fn race(
    one: impl Future<Output = Answer>,
    two: impl Future<Output = Answer>,
) -> (Vec<Answer>, Vec<Answer>) {
    let (one, two) = tokio::join!(one, two);
    let all: Vec<Answer> = [one, two].into_iter().collect();
    for answer in &all {
        assert!(answer.status.as_u16() < 500, "{} {}", answer.status, answer.text);
    }
    all.into_iter().partition(|answer| answer.status.is_success())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_is_issued_paid_and_credited() {
    let clinic = clinic().await;
    let api = &clinic.admin;
    let patient = clinic.patient("Payer").await;
    let answer = api
        .post(
            "/invoices",
            json!({"patient_id": patient["id"], "lines": lines(&["68.33", "68.33", "57.50", "85.00"])}),
        )
        .await;
    let draft = answer.expect(201);
    let path = format!("/invoices/{}", id(&draft));
    assert!(answer.header("location").ends_with(&path));
    assert_eq!((&draft["number"], &draft["status"]), (&Value::Null, &json!("draft")));
    assert_eq!(
        (&draft["net"], &draft["tax"], &draft["gross"]),
        (&json!("279.16"), &json!("55.83"), &json!("334.99"))
    );
    api.post(&format!("{path}/issue"), json!({})).await.expect_problem(428, "precondition_required");
    let issued = api.transition(&format!("{path}/issue"), &draft["version"]).await.expect(200);
    assert_eq!(issued["due"], "334.99");
    assert!(issued["number"].as_str().unwrap().ends_with("-00001"));
    api.patch(&path, &issued["version"], json!({"note": "x"}))
        .await
        .expect_problem(409, "transition_refused");

    let body = json!({"patient_id": patient["id"], "amount": "100.00", "method": "card",
        "allocations": [{"invoice_id": issued["id"], "amount": "100.00"}]});
    api.post("/payments", body.clone()).await.expect_problem(400, "idempotency_key_required");
    let key = Uuid::new_v4().to_string();
    let first = api.pay_again("/payments", body.clone(), &key).await;
    let paid = first.expect(201);
    let again = api.pay_again("/payments", body, &key).await;
    assert_eq!(again.expect(201)["id"], paid["id"]);
    assert_eq!(again.header("idempotency-replayed"), "true");
    let found = api.get(&path).await.expect(200);
    assert_eq!((&found["due"], &found["partly_paid"]), (&json!("234.99"), &json!(true)));
    api.change(Method::POST, &format!("{path}/cancel"), &found["version"], json!({}))
        .await
        .expect_problem(409, "money_allocated");

    let mut gross = Vec::new();
    for line in issued["lines"].as_array().unwrap() {
        let body = json!({"lines": [{"invoice_line_id": line["id"], "quantity": "1"}], "reason": "Not done"});
        gross.push(api.post(&format!("{path}/credit-notes"), body).await.expect(201)["gross"].clone());
    }
    assert_eq!(gross, ["82.00", "82.00", "69.00", "101.99"]);
    let found = api.get(&path).await.expect(200);
    assert_eq!((&found["status"], &found["allocated"]), (&json!("balanced"), &json!("0.00")));
    let notes = api.get(&format!("{path}/credit-notes")).await.expect(200);
    assert_eq!(notes["items"].as_array().unwrap().len(), 4);

    let balance = api.get(&format!("/patients/{}/balance", id(&patient))).await.expect(200);
    assert_eq!((&balance["balance"], &balance["unapplied_credit"]), (&json!("-100.00"), &json!("100.00")));
    let account = format!("/accounts/{}", issued["account_id"].as_str().unwrap());
    assert_eq!(api.get(&account).await.expect(200)["balance"], "-100.00");
    let ledger = api.get(&format!("{account}/ledger")).await.expect(200);
    assert_eq!(ledger["items"].as_array().unwrap().len(), 6);
    let statement = api.get(&format!("{account}/statement")).await.expect(200);
    assert_eq!((&statement["opening"], &statement["closing"]), (&json!("0.00"), &json!("-100.00")));
    let refunds = format!("/payments/{}/refunds", id(&paid));
    let refund = json!({"amount": "100.00", "reason": "Given back"});
    api.post(&refunds, refund.clone()).await.expect_problem(400, "idempotency_key_required");
    let refund = api.pay(&refunds, refund).await.expect(201);
    assert_eq!(api.get(&format!("/refunds/{}", id(&refund))).await.expect(200), refund);
    assert_eq!(api.get(&account).await.expect(200)["balance"], "0.00");
    for report in ["receivables", "takings", "revenue"] {
        api.get(&format!("/reports/{report}")).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_knows_a_version_still_hears_what_changed_around_it() {
    let clinic = clinic().await;
    let api = &clinic.admin;
    let patient = clinic.patient("Payer").await;
    let invoice = issued(api, &patient, &["100.00"]).await;
    let parts = json!({"count": 2, "first_due_on": "2999-01-31"});
    let plan = api.post(&format!("/invoices/{}/installment-plans", id(&invoice)), parts).await.expect(201);
    let account = format!("/accounts/{}", invoice["account_id"].as_str().unwrap());
    let plan = format!("/installment-plans/{}", id(&plan));
    let tag = async |path: &str| api.get(path).await.header("etag").to_owned();
    let tags = (tag(&account).await, tag(&plan).await);
    let body = json!({"patient_id": patient["id"], "amount": "70.00", "method": "cash",
        "allocations": [{"invoice_id": invoice["id"], "amount": "70.00"}]});
    api.pay("/payments", body).await.expect(201);
    let known = async |path: &str, tag: &str| {
        let request = api.request(Method::GET, path).header("If-None-Match", tag);
        api.send(request).await.expect(200)
    };
    assert_eq!(known(&account, &tags.0).await["balance"], "50.00");
    assert_eq!(known(&plan, &tags.1).await["installments"][0]["paid"], "60.00");
    // What is not overdue today can be so tomorrow.
    let path = format!("/invoices/{}", id(&invoice));
    assert_eq!(known(&path, &tag(&path).await).await["due"], "50.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clinic_without_the_module_does_not_bill() {
    let clinic = Clinic::create().await;
    for path in ["/invoices", "/payments", "/accounts", "/reports/takings", "/billing-settings"] {
        clinic.admin.get(path).await.expect_problem(403, "module_not_enabled");
    }
    let patient = clinic.patient("Nobody").await;
    let balance = clinic.admin.get(&format!("/patients/{}/balance", id(&patient))).await;
    balance.expect_problem(403, "module_not_enabled");
    let document = clinic.admin.get("//openapi.json").await.expect(200);
    assert!(document["paths"]["/api/v1/invoices"]["post"]["responses"]["403"].is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_that_are_numbers_are_refused() {
    let clinic = clinic().await;
    let patient = clinic.patient("Strict").await;
    for (field, value) in [("quantity", json!(1)), ("unit_price", json!(10.5)), ("discount", json!(1e3))] {
        let mut lines = lines(&["10.00"]);
        lines[0][field] = value;
        let body = json!({"patient_id": patient["id"], "lines": lines});
        let problem = clinic.admin.post("/invoices", body).await.expect(422);
        let error = &problem["errors"][0];
        assert_eq!(
            (&error["pointer"], &error["code"]),
            (&json!(format!("/lines/0/{field}")), &json!("wrong_type"))
        );
    }
    let body = json!({"patient_id": patient["id"], "amount": "NaN", "method": "cash"});
    let problem = clinic.admin.pay("/payments", body).await.expect(422);
    assert_eq!(problem["errors"][0]["code"], "malformed_amount");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_payments_beyond_what_is_due_one_wins() {
    let clinic = clinic().await;
    let api = &clinic.admin;
    let patient = clinic.patient("Racer").await;
    for _ in 0..ROUNDS {
        let line = json!({"description": "Work", "quantity": "1", "unit_price": "100.00"});
        let draft =
            api.post("/invoices", json!({"patient_id": patient["id"], "lines": [line]})).await.expect(201);
        let path = format!("/invoices/{}", id(&draft));
        api.transition(&format!("{path}/issue"), &draft["version"]).await.expect(200);
        let body = json!({"patient_id": patient["id"], "amount": "60.00", "method": "cash",
            "allocations": [{"invoice_id": draft["id"], "amount": "60.00"}]});
        let (winners, losers) = race(api.pay("/payments", body.clone()), api.pay("/payments", body)).await;
        assert_eq!(winners.len(), 1);
        losers[0].expect_problem(409, "over_allocation");
        assert_eq!(api.get(&path).await.expect(200)["due"], "40.00");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_allocations_beyond_a_payment_one_wins() {
    let clinic = clinic().await;
    let api = &clinic.admin;
    let patient = clinic.patient("Racer").await;
    for _ in 0..ROUNDS {
        let (one, two) = (issued(api, &patient, &["60.00"]).await, issued(api, &patient, &["60.00"]).await);
        let body = json!({"patient_id": patient["id"], "amount": "100.00", "method": "cash"});
        let paid = api.pay("/payments", body).await.expect(201);
        let path = format!("/payments/{}/allocations", id(&paid));
        let share = |invoice: &Value| json!({"invoice_id": invoice["id"], "amount": "60.00"});
        let (winners, losers) = race(api.pay(&path, share(&one)), api.pay(&path, share(&two))).await;
        assert_eq!(winners.len(), 1);
        losers[0].expect_problem(409, "over_allocation");
        let found = api.get(&format!("/payments/{}", id(&paid))).await.expect(200);
        assert_eq!(found["unapplied"], "40.00");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_refunds_beyond_a_payment_one_wins() {
    let clinic = clinic().await;
    let api = &clinic.admin;
    let patient = clinic.patient("Racer").await;
    for round in 0..ROUNDS {
        let mut body = json!({"patient_id": patient["id"], "amount": "100.00", "method": "cash"});
        if round % 2 == 0 {
            let invoice = issued(api, &patient, &["75.00"]).await;
            body["allocations"] = json!([{"invoice_id": invoice["id"], "amount": "90.00"}]);
        }
        let paid = api.pay("/payments", body).await.expect(201);
        let path = format!("/payments/{}/refunds", id(&paid));
        let refund = json!({"amount": "70.00", "reason": "Overpaid"});
        let (winners, losers) = race(api.pay(&path, refund.clone()), api.pay(&path, refund)).await;
        assert_eq!(winners.len(), 1);
        losers[0].expect_problem(409, "over_refund");
        let found = api.get(&format!("/payments/{}", id(&paid))).await.expect(200);
        assert_eq!(found["refunded"], "70.00");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_issues_of_a_draft_one_wins() {
    let clinic = clinic().await;
    let api = &clinic.admin;
    let patient = clinic.patient("Racer").await;
    for round in 1..=ROUNDS {
        let draft = draft(api, &patient, &["10.00"]).await;
        let path = format!("/invoices/{}/issue", id(&draft));
        let any = async || api.send(api.request(Method::POST, &path).header("If-Match", "*")).await;
        let (winners, losers) = if round % 2 == 0 {
            race(any(), any()).await
        } else {
            race(api.transition(&path, &draft["version"]), api.transition(&path, &draft["version"])).await
        };
        assert_eq!(winners.len(), 1);
        let code = if round % 2 == 0 { (409, "transition_refused") } else { (412, "version_mismatch") };
        losers[0].expect_problem(code.0, code.1);
        let number = winners[0].json()["number"].as_str().unwrap().to_owned();
        assert!(number.ends_with(&format!("-{round:05}")), "{number}");
    }
}

/// Writes what another module would hand over.
async fn charge(clinic: &Clinic, patient: &Value) -> Uuid {
    let url = crate::support::database().await;
    let mut superuser = sqlx::PgConnection::connect(&url).await.unwrap();
    let (id, treatment) = (Uuid::now_v7(), Uuid::now_v7());
    let schema = clinic.tenant["database_schema"].as_str().unwrap();
    let insert = format!(
        "INSERT INTO {schema}.charge_items (id, source_kind, source_id, patient_id, code, description, quantity,
             unit_price, currency, performed_at)
         VALUES ($1, 'treatment', $2, $3, 'X', 'Filling', 1, 80, 'EUR', now())"
    );
    sqlx::query(sqlx::AssertSqlSafe(insert))
        .bind(id)
        .bind(treatment)
        .bind(patient["id"].as_str().unwrap().parse::<Uuid>().unwrap())
        .execute(&mut superuser)
        .await
        .unwrap();
    superuser.close().await.unwrap();
    treatment
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_bills_of_a_treatment_one_wins() {
    let clinic = clinic().await;
    let api = &clinic.admin;
    let patient = clinic.patient("Racer").await;
    for _ in 0..ROUNDS {
        let treatment = charge(&clinic, &patient).await;
        let body = json!({"patient_id": patient["id"], "lines": [{"treatment_id": treatment}]});
        let (winners, losers) = race(api.post("/invoices", body.clone()), api.post("/invoices", body)).await;
        assert_eq!(winners.len(), 1);
        let problem = losers[0].expect_problem(409, "already_billed");
        assert_eq!(problem["conflicts"], json!([winners[0].json()["id"]]));
    }
    let items = api.get("/charge-items?status=billed").await.expect(200);
    assert_eq!(items["items"].as_array().unwrap().len(), ROUNDS);
    let unknown = json!({"patient_id": patient["id"], "lines": [{"treatment_id": Uuid::now_v7(),
        "description": "Work", "unit_price": "1.00"}]});
    let problem = api.post("/invoices", unknown).await.expect(422);
    assert_eq!(problem["errors"][0]["pointer"], "/lines/0/treatment_id");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_issues_with_twenty_failures_leave_no_gap() {
    let clinic = clinic().await;
    let api = &clinic.admin;
    let patient = clinic.patient("Numbers").await;
    let mut drafts = Vec::new();
    for index in 0..200 {
        // These break at the very end, after they have taken their number.
        let price = if index % 10 == 3 { "13.37" } else { "10.00" };
        let line = json!({"description": "Work", "quantity": "1", "unit_price": price});
        let body = json!({"patient_id": patient["id"], "lines": [line]});
        drafts.push(api.post("/invoices", body).await.expect(201));
    }
    let url = crate::support::database().await;
    let mut superuser = sqlx::PgConnection::connect(&url).await.unwrap();
    let schema = clinic.tenant["database_schema"].as_str().unwrap();
    let plant = format!(
        "ALTER TABLE {schema}.ledger_entries ADD CONSTRAINT ck_ledger_entries__planted CHECK (amount <> 13.37)"
    );
    sqlx::query(sqlx::AssertSqlSafe(plant)).execute(&mut superuser).await.unwrap();
    superuser.close().await.unwrap();
    let issues = drafts.iter().map(|draft| {
        let (api, path) = (api.clone(), format!("/invoices/{}/issue", id(draft)));
        let version = draft["version"].clone();
        tokio::spawn(async move { api.transition(&path, &version).await })
    });
    let (mut numbers, mut failed) = (BTreeSet::new(), 0);
    for issue in issues.collect::<Vec<_>>() {
        let answer = issue.await.unwrap();
        match answer.status.as_u16() {
            200 => assert!(numbers.insert(answer.json()["number"].as_str().unwrap().to_owned())),
            _ => {
                answer.expect_problem(422, "invalid_value");
                failed += 1;
            }
        }
    }
    assert_eq!((numbers.len(), failed), (180, 20));
    let year = numbers.first().unwrap().split('-').nth(1).unwrap().to_owned();
    let expected: BTreeSet<String> = (1..=180).map(|number| format!("INV-{year}-{number:05}")).collect();
    assert_eq!(numbers, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_is_printed() {
    let clinic = clinic().await;
    let patient = clinic.patient("Reader").await;
    let issued = issued(&clinic.admin, &patient, &["10.00"]).await;
    for language in ["", "?language=ar", "?language=en"] {
        let path = format!("/invoices/{}.pdf{language}", id(&issued));
        let response = clinic.admin.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "application/pdf");
        assert!(response.bytes().await.unwrap().starts_with(b"%PDF-"));
    }
    clinic.admin.get(&format!("/invoices/{}.pdf", Uuid::now_v7())).await.expect_problem(404, "not_found");
}
