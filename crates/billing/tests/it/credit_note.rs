//! Credit notes.

use clinicx_billing::invoice::InvoiceStatus;
use clinicx_types::error::DomainError;
use serde_json::json;

use crate::practice::{Practice, code, wrong_field};

#[tokio::test]
async fn four_notes_of_a_line_each_equal_the_invoice() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let invoice = practice.issued(patient, &["68.33", "68.33", "57.50", "85.00"], "20").await;
    let mut gross = Vec::new();
    for line in &invoice.lines {
        let body =
            json!({ "lines": [{ "invoice_line_id": line.id, "quantity": "1" }], "reason": "Not done" });
        let note = practice.credit(invoice.id, body).await.unwrap();
        assert_eq!(practice.note(note.id).await, note);
        gross.push(note.gross);
    }
    assert_eq!(gross, ["82.00", "82.00", "69.00", "101.99"]);
    let after = practice.invoice(invoice.id).await;
    assert_eq!((after.credited.as_str(), after.due.as_str()), ("334.99", "0.00"));
    assert_eq!(after.status, InvoiceStatus::Balanced);
    let balance = practice.balance(patient).await;
    assert_eq!((balance.balance.as_str(), balance.open_invoices.as_str()), ("0.00", "0.00"));
    assert_eq!(code(practice.credit(invoice.id, json!({ "reason": "Again" })).await), "nothing_due");
    assert_eq!(code(practice.cancel(invoice.id).await), "transition_refused");
}

#[tokio::test]
async fn more_than_is_left_is_not_credited() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let body = json!({ "patient_id": patient, "lines": [
        { "description": "Visit", "quantity": "3", "unit_price": "10.00", "tax_rate": "7" }
    ] });
    let draft = practice.draft(body).await.unwrap();
    let line = draft.lines[0].id;
    let wish = |quantity: &str| json!({ "lines": [{ "invoice_line_id": line, "quantity": quantity }], "reason": "Wrong" });
    assert_eq!(code(practice.credit(draft.id, wish("1")).await), "transition_refused");
    practice.issue(draft.id, None).await.unwrap();
    let note = practice.credit(draft.id, wish("2")).await.unwrap();
    assert_eq!((note.net.as_str(), note.number.as_str()), ("20.00", "CN-2026-00001"));
    assert_eq!(code(practice.credit(draft.id, wish("1.5")).await), "over_credit");
    assert_eq!(wrong_field(practice.credit(draft.id, wish("0")).await).1, "out_of_range");
    let twice = json!({ "lines": [{ "invoice_line_id": line, "quantity": "0.5" },
        { "invoice_line_id": line, "quantity": "0.5" }], "reason": "Wrong" });
    assert_eq!(wrong_field(practice.credit(draft.id, twice).await).1, "duplicate");
    let other = practice.issued(patient, &["1.00"], "0").await;
    let foreign = json!({ "lines": [{ "invoice_line_id": other.lines[0].id }], "reason": "Wrong" });
    assert_eq!(
        wrong_field(practice.credit(draft.id, foreign).await),
        ("/lines/0/invoice_line_id".into(), "not_found".into())
    );
    let rest = practice.credit(draft.id, json!({ "reason": "The rest" })).await.unwrap();
    assert_eq!((rest.net.as_str(), rest.tax.as_str()), ("10.00", "0.70"));
    let all = json!({ "lines": [{ "invoice_line_id": line }], "reason": "Once more" });
    let refused = practice.credit(draft.id, all).await;
    assert_eq!(refused.as_ref().unwrap_err().code(), "over_credit");
    assert_eq!(wrong_field(refused), ("/lines/0/invoice_line_id".into(), "out_of_range".into()));
}

#[tokio::test]
async fn what_was_paid_beyond_the_rest_becomes_credit_again() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let invoice = practice.issued(patient, &["60.00", "40.00"], "0").await;
    let pay = async |amount: &str| {
        let body = json!({ "patient_id": patient, "amount": amount, "method": "card",
            "allocations": [{ "invoice_id": invoice.id, "amount": amount }] });
        practice.pay(body).await.unwrap()
    };
    let first = pay("70.00").await;
    let second = practice.at("2026-06-02T07:00:00Z");
    let body = json!({ "patient_id": patient, "amount": "30.00", "method": "cash",
        "allocations": [{ "invoice_id": invoice.id, "amount": "30.00" }] });
    let second = second.pay(body).await.unwrap();
    assert_eq!(practice.invoice(invoice.id).await.status, InvoiceStatus::Balanced);
    let line = json!({ "lines": [{ "invoice_line_id": invoice.lines[1].id }], "reason": "Not done" });
    practice.credit(invoice.id, line).await.unwrap();
    let after = practice.invoice(invoice.id).await;
    assert_eq!((after.allocated.as_str(), after.credited.as_str()), ("60.00", "40.00"));
    assert_eq!(after.status, InvoiceStatus::Balanced);
    assert_eq!(practice.payment(&second).await.unapplied, "30.00");
    assert_eq!(practice.payment(&first).await.unapplied, "10.00");
    let balance = practice.balance(patient).await;
    assert_eq!((balance.balance.as_str(), balance.unapplied_credit.as_str()), ("-40.00", "40.00"));
}
