//! What other modules hand over, and how it is billed once.

use clinicx_billing::{
    charge_item::{self, BillingCharges, ChargeItemFilter, ChargeItemStatus},
    invoice::InvoiceStatus,
};
use clinicx_core::{
    PatientId,
    charge::{Charge, ChargeSource, Charges, Withdrawal},
};
use clinicx_types::{money::Money, page::PageRequest};
use serde_json::json;
use uuid::Uuid;

use crate::practice::{Practice, code, wrong_field};

fn charge(patient: PatientId, id: Uuid, price: &str, currency: &str) -> Charge {
    Charge {
        source: ChargeSource { kind: "treatment", id },
        patient_id: patient,
        staff_id: None,
        code: "D100".to_owned(),
        description: "Filling".to_owned(),
        quantity: "1".parse().unwrap(),
        unit_price: Some(Money::parse(price, currency.parse().unwrap()).unwrap()),
        tax_rate: Some("7".parse().unwrap()),
        performed_at: "2026-05-30T10:00:00Z".parse().unwrap(),
    }
}

impl Practice {
    async fn charge(&self, charge: Charge) {
        let kept = self.write(async |tx| Ok(BillingCharges.charge(tx, &self.scope, charge.clone()).await?));
        kept.await.unwrap();
    }

    async fn withdraw(&self, id: Uuid) -> Withdrawal {
        let source = ChargeSource { kind: "treatment", id };
        self.write(async |tx| Ok(BillingCharges.withdraw(tx, &self.scope, source).await?)).await.unwrap()
    }

    async fn open_items(&self) -> usize {
        let filter = ChargeItemFilter { status: Some(ChargeItemStatus::Open), ..ChargeItemFilter::default() };
        let db = &self.tenant.connection;
        charge_item::list(db, &self.scope, &filter, &PageRequest::default()).await.unwrap().items.len()
    }
}

#[tokio::test]
async fn a_treatment_fills_its_line_and_is_billed_once() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let treatment = practice.scope.next_id();
    practice.charge(charge(patient, treatment, "80.00", "EUR")).await;
    practice.charge(charge(patient, treatment, "99.00", "EUR")).await;
    let body = json!({ "patient_id": patient, "lines": [{ "treatment_id": treatment }] });
    let draft = practice.draft(body.clone()).await.unwrap();
    let line = &draft.lines[0];
    assert_eq!((line.description.as_str(), line.code.as_deref()), ("Filling", Some("D100")));
    assert_eq!((line.net.as_str(), line.tax_rate.as_str(), draft.gross.as_str()), ("80.00", "7", "85.60"));
    assert_eq!(line.performed_on.unwrap().to_string(), "2026-05-30");
    let refused = practice.draft(body).await.unwrap_err();
    let error: &dyn clinicx_types::error::DomainError = &refused;
    assert_eq!((error.code(), error.conflicts()), ("already_billed", vec![draft.id.uuid()]));
    assert_eq!(practice.withdraw(treatment).await, Withdrawal::Billed);
    let same = json!({ "lines": [{ "treatment_id": treatment, "unit_price": "70.00" }] });
    let changed = practice.change(&draft, same).await.unwrap();
    assert_eq!(changed.net, "70.00");
    practice.issue(draft.id, None).await.unwrap();
    practice.cancel(draft.id).await.unwrap();
    assert_eq!(practice.open_items().await, 1);
    assert_eq!(practice.withdraw(treatment).await, Withdrawal::Withdrawn);
    let late = json!({ "patient_id": patient, "lines": [{ "treatment_id": treatment }] });
    assert_eq!(code(practice.draft(late).await), "already_billed");
}

#[tokio::test]
async fn a_treatment_without_a_price_takes_the_one_of_its_line() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let treatment = practice.scope.next_id();
    practice.charge(Charge { unit_price: None, ..charge(patient, treatment, "1.00", "EUR") }).await;
    let bill = |line: serde_json::Value| json!({ "patient_id": patient, "lines": [line] });
    let unpriced = practice.draft(bill(json!({ "treatment_id": treatment }))).await;
    assert_eq!(wrong_field(unpriced), ("/lines/0/unit_price".into(), "required".into()));
    let priced = json!({ "treatment_id": treatment, "unit_price": "120.00" });
    let draft = practice.draft(bill(priced)).await.unwrap();
    assert_eq!((draft.net.as_str(), practice.open_items().await), ("120.00", 0));
    let item = draft.lines[0].charge_item_id.unwrap();
    let item = charge_item::get(&practice.tenant.connection, &practice.scope, item).await.unwrap();
    assert_eq!((item.unit_price, item.currency), (None, None));
    assert_eq!(practice.withdraw(treatment).await, Withdrawal::Billed);
}

#[tokio::test]
async fn a_treatment_that_leaves_a_draft_can_be_billed_again() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let (one, two) = (practice.scope.next_id(), practice.scope.next_id());
    practice.charge(charge(patient, one, "10.00", "EUR")).await;
    practice.charge(charge(patient, two, "20.00", "EUR")).await;
    let both = json!({ "patient_id": patient, "lines": [{ "treatment_id": one }, { "treatment_id": two }] });
    let draft = practice.draft(both).await.unwrap();
    assert_eq!(practice.open_items().await, 0);
    let fewer = practice.change(&draft, json!({ "lines": [{ "treatment_id": two }] })).await.unwrap();
    assert_eq!((fewer.net.as_str(), practice.open_items().await), ("20.00", 1));
    let (scope, cipher) = (&practice.scope, &practice.tenant.cipher);
    let gone = practice
        .write(async |tx| clinicx_billing::invoice::discard(tx, scope, cipher, (draft.id, None)).await)
        .await
        .unwrap();
    assert_eq!((gone.status, practice.open_items().await), (InvoiceStatus::EnteredInError, 2));
}

#[tokio::test]
async fn a_treatment_that_is_credited_in_full_can_be_billed_again() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let treatment = practice.scope.next_id();
    practice.charge(charge(patient, treatment, "80.00", "EUR")).await;
    let body = json!({ "patient_id": patient, "lines": [{ "treatment_id": treatment, "quantity": "2" }] });
    let draft = practice.draft(body.clone()).await.unwrap();
    let issued = practice.issue(draft.id, None).await.unwrap();
    let half =
        json!({ "lines": [{ "invoice_line_id": issued.lines[0].id, "quantity": "1" }], "reason": "Half" });
    practice.credit(issued.id, half).await.unwrap();
    assert_eq!(code(practice.draft(body.clone()).await), "already_billed");
    practice.credit(issued.id, json!({ "reason": "The rest" })).await.unwrap();
    assert_eq!(practice.open_items().await, 1);
    let again = practice.draft(body).await.unwrap();
    assert_eq!(practice.withdraw(treatment).await, Withdrawal::Billed);
    let (scope, cipher) = (&practice.scope, &practice.tenant.cipher);
    practice
        .write(async |tx| clinicx_billing::invoice::discard(tx, scope, cipher, (again.id, None)).await)
        .await
        .unwrap();
    assert_eq!(practice.withdraw(treatment).await, Withdrawal::Withdrawn);
    let item = again.lines[0].charge_item_id.unwrap();
    let (audit, events) = practice.trail(item.uuid()).await;
    let ways = ["created", "billed", "freed", "billed", "freed", "withdrawn"];
    assert_eq!(events, ways.map(|way| format!("charge_item.{way}")));
    assert_eq!(audit, events);
}

#[tokio::test]
async fn what_any_module_has_done_is_billed_by_its_item() {
    let practice = Practice::open().await;
    let (patient, other) = (practice.patient().await, practice.patient().await);
    let done = practice.scope.next_id();
    let source = ChargeSource { kind: "consultation", id: done };
    practice.charge(Charge { source, ..charge(patient, done, "30.00", "EUR") }).await;
    let filter = ChargeItemFilter { patient_id: Some(patient), ..ChargeItemFilter::default() };
    let (db, page) = (&practice.tenant.connection, PageRequest::default());
    let item = charge_item::list(db, &practice.scope, &filter, &page).await.unwrap().items[0].id;
    let bill =
        |patient: PatientId, lines: serde_json::Value| json!({ "patient_id": patient, "lines": lines });
    let wrong = async |body: serde_json::Value| wrong_field(practice.draft(body).await);
    let named = json!({ "charge_item_id": item });
    let unknown =
        json!([{ "charge_item_id": practice.scope.next_id(), "description": "x", "unit_price": "1.00" }]);
    let at = "/lines/0/charge_item_id".to_owned();
    assert_eq!(wrong(bill(patient, unknown)).await, (at.clone(), "not_found".into()));
    let theirs = json!([{ "charge_item_id": item, "description": "x", "unit_price": "1.00" }]);
    assert_eq!(wrong(bill(other, theirs)).await, (at, "not_found".into()));
    let twice = bill(patient, json!([named, named]));
    assert_eq!(wrong(twice).await, ("/lines/1/charge_item_id".into(), "duplicate".into()));
    let treatment = practice.scope.next_id();
    practice.charge(charge(patient, treatment, "80.00", "EUR")).await;
    let both = json!([{ "charge_item_id": item, "treatment_id": treatment }]);
    assert_eq!(
        wrong(bill(patient, both)).await,
        ("/lines/0/charge_item_id".into(), "beside_treatment".into())
    );
    let draft = practice.draft(bill(patient, json!([named, { "treatment_id": treatment }]))).await.unwrap();
    assert_eq!((draft.net.as_str(), practice.open_items().await), ("110.00", 0));
    let again = practice.draft(bill(patient, json!([named]))).await;
    assert_eq!(code(again), "already_billed");
}

#[tokio::test]
async fn what_is_unknown_another_patients_or_in_another_currency_is_not_billed() {
    let practice = Practice::open().await;
    let (patient, other) = (practice.patient().await, practice.patient().await);
    let (theirs, dollars) = (practice.scope.next_id(), practice.scope.next_id());
    practice.charge(charge(other, theirs, "10.00", "EUR")).await;
    practice.charge(charge(patient, dollars, "10.00", "USD")).await;
    let bill = async |treatment: Uuid| {
        let body = json!({ "patient_id": patient, "lines": [{ "treatment_id": treatment,
            "description": "x", "quantity": "1", "unit_price": "1.00" }] });
        wrong_field(practice.draft(body).await)
    };
    let at = "/lines/0/treatment_id".to_owned();
    assert_eq!(bill(practice.scope.next_id()).await, (at.clone(), "not_found".into()));
    assert_eq!(bill(theirs).await, (at.clone(), "not_found".into()));
    assert_eq!(bill(dollars).await, (at, "currency_mismatch".into()));
    assert_eq!(practice.open_items().await, 2);
    let twice = practice.scope.next_id();
    practice.charge(charge(patient, twice, "10.00", "EUR")).await;
    let body =
        json!({ "patient_id": patient, "lines": [{ "treatment_id": twice }, { "treatment_id": twice }] });
    assert_eq!(wrong_field(practice.draft(body).await).1, "duplicate");
    let mut bad = charge(patient, practice.scope.next_id(), "10.00", "EUR");
    bad.quantity = "0".parse().unwrap();
    let refused =
        practice.write(async |tx| Ok(BillingCharges.charge(tx, &practice.scope, bad.clone()).await?));
    assert_eq!(wrong_field(refused.await).0, "/quantity");
}
