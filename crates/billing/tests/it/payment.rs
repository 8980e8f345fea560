//! Payments: received, allocated, given back, voided.

use clinicx_billing::{
    invoice::InvoiceStatus,
    payment::{self, AllocationReason, PaymentFilter, PaymentStatus},
};
use clinicx_types::page::PageRequest;
use serde_json::json;
use uuid::Uuid;

use crate::practice::{Practice, code, line, read, wrong_field};

#[tokio::test]
async fn a_payment_pays_invoices_and_leaves_the_rest_as_credit() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let (one, two) =
        (practice.issued(patient, &["30.00"], "0").await, practice.issued(patient, &["50.00"], "0").await);
    let body = json!({ "patient_id": patient, "amount": "100", "method": "cash",
        "allocations": [{ "invoice_id": one.id, "amount": "30.00" }] });
    let paid = practice.pay(body).await.unwrap();
    assert_eq!((paid.amount.as_str(), paid.unapplied.as_str()), ("100.00", "70.00"));
    assert_eq!(practice.invoice(one.id).await.status, InvoiceStatus::Balanced);
    let balance = practice.balance(patient).await;
    assert_eq!(
        (balance.balance.as_str(), balance.open_invoices.as_str(), balance.unapplied_credit.as_str()),
        ("-20.00", "50.00", "70.00")
    );
    let more = practice.allocate(&paid, json!({ "invoice_id": two.id, "amount": "20.00" })).await.unwrap();
    assert_eq!((more.version, more.allocated.as_str(), more.allocations.len()), (2, "50.00", 2));
    let partly = practice.invoice(two.id).await;
    assert!(partly.partly_paid && partly.due == "30.00" && partly.status == InvoiceStatus::Issued);
    let back = practice.release(&paid, json!({ "invoice_id": one.id, "amount": "10.00" })).await.unwrap();
    assert_eq!(back.unapplied, "60.00");
    assert_eq!(practice.invoice(one.id).await.status, InvoiceStatus::Issued);
    assert_eq!(practice.payment(&paid).await, back);
    let (db, scope) = (&practice.tenant.connection, &practice.scope);
    let (_, history) = payment::list_allocations(db, scope, paid.id, &PageRequest::default()).await.unwrap();
    let history: Vec<(&str, AllocationReason)> =
        history.items.iter().map(|row| (row.amount.as_str(), row.reason)).collect();
    assert_eq!(
        history,
        [
            ("30.00", AllocationReason::Allocation),
            ("20.00", AllocationReason::Allocation),
            ("-10.00", AllocationReason::Release)
        ]
    );
    let (audit, events) = practice.trail(paid.id.uuid()).await;
    assert_eq!(audit, ["payment.received", "payment.allocated", "payment.released"]);
    assert_eq!(events, audit);
}

#[tokio::test]
async fn more_than_is_due_or_left_is_not_allocated() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let invoice = practice.issued(patient, &["100.00"], "0").await;
    let pay = async |amount: &str, share: &str| {
        let body = json!({ "patient_id": patient, "amount": amount, "method": "transfer",
            "allocations": [{ "invoice_id": invoice.id, "amount": share }] });
        practice.pay(body).await
    };
    assert_eq!(code(pay("100.01", "100.01").await), "over_allocation");
    assert_eq!(code(pay("50.00", "60.00").await), "over_allocation");
    let paid = pay("60.00", "60.00").await.unwrap();
    assert_eq!(code(pay("60.00", "60.00").await), "over_allocation");
    let share = |amount: &str| json!({ "invoice_id": invoice.id, "amount": amount });
    assert_eq!(code(practice.allocate(&paid, share("1.00")).await), "over_allocation");
    assert_eq!(code(practice.release(&paid, share("60.01")).await), "over_allocation");
    assert_eq!(wrong_field(practice.allocate(&paid, share("0.00")).await).1, "out_of_range");
    assert_eq!(wrong_field(practice.allocate(&paid, json!({})).await).0, "/invoice_id");
    let draft = practice.draft(json!({ "patient_id": patient, "lines": [line("1.00", "0")] })).await.unwrap();
    let free = practice.pay(json!({ "patient_id": patient, "amount": "5", "method": "cash" })).await.unwrap();
    let early = json!({ "invoice_id": draft.id, "amount": "1.00" });
    assert_eq!(code(practice.allocate(&free, early).await), "transition_refused");
    assert_eq!(practice.invoice(invoice.id).await.due, "40.00");
}

#[tokio::test]
async fn currencies_and_accounts_do_not_mix() {
    let practice = Practice::open().await;
    let (one, two) = (practice.patient().await, practice.patient().await);
    let euro = practice.issued(one, &["10.00"], "0").await;
    let dollar = json!({ "patient_id": one, "amount": "10.00", "currency": "USD", "method": "cash",
        "allocations": [{ "invoice_id": euro.id, "amount": "10.00" }] });
    assert_eq!(
        wrong_field(practice.pay(dollar).await),
        ("/allocations/0/invoice_id".into(), "currency_mismatch".into())
    );
    let foreign = json!({ "patient_id": two, "amount": "10.00", "method": "cash",
        "allocations": [{ "invoice_id": euro.id, "amount": "10.00" }] });
    assert_eq!(wrong_field(practice.pay(foreign).await).1, "other_account");
    let nothing = json!({ "patient_id": two, "amount": "10.00", "method": "cash",
        "allocations": [{ "invoice_id": practice.scope.next_id(), "amount": "10.00" }] });
    assert_eq!(wrong_field(practice.pay(nothing).await).1, "not_found");
    for (amount, expected) in [("0", "out_of_range"), ("-5.00", "out_of_range"), ("1e1", "malformed_amount")]
    {
        let body = json!({ "patient_id": one, "amount": amount, "method": "cash" });
        assert_eq!(wrong_field(practice.pay(body).await), ("/amount".into(), expected.into()));
    }
}

#[tokio::test]
async fn an_invoice_keeps_its_account_when_somebody_else_comes_to_pay() {
    let practice = Practice::open().await;
    let (patient, parent) = (practice.patient().await, practice.patient().await);
    let invoice = practice.issued(patient, &["10.00"], "0").await;
    let mut superuser = practice.superuser().await;
    sqlx::query("UPDATE patients SET guarantor_id = $1 WHERE id = $2")
        .bind(parent.uuid())
        .bind(patient.uuid())
        .execute(&mut superuser)
        .await
        .unwrap();
    let body = json!({ "patient_id": patient, "amount": "10.00", "method": "cash",
        "allocations": [{ "invoice_id": invoice.id, "amount": "10.00" }] });
    let paid = practice.pay(body).await.unwrap();
    assert_eq!(paid.account_id, invoice.account_id);
    let credit = practice.pay(json!({ "patient_id": patient, "amount": "1.00", "method": "cash" })).await;
    assert_ne!(credit.unwrap().account_id, invoice.account_id);
    assert_eq!(practice.balance(patient).await.accounts.len(), 2);
}

#[tokio::test]
async fn what_is_given_back_comes_off_the_latest_invoices() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let invoice = practice.issued(patient, &["80.00"], "0").await;
    let body = json!({ "patient_id": patient, "amount": "100.00", "method": "card",
        "allocations": [{ "invoice_id": invoice.id, "amount": "80.00" }] });
    let paid = practice.pay(body).await.unwrap();
    assert_eq!(code(practice.refund(&paid, "100.01").await), "over_refund");
    let first = practice.refund(&paid, "20.00").await.unwrap();
    assert_eq!((first.amount.as_str(), first.reason.as_str()), ("20.00", "Overpaid"));
    assert_eq!(practice.invoice(invoice.id).await.status, InvoiceStatus::Balanced);
    practice.refund(&paid, "50.00").await.unwrap();
    let due = practice.invoice(invoice.id).await;
    assert_eq!((due.status, due.due.as_str()), (InvoiceStatus::Issued, "50.00"));
    let after = practice.payment(&paid).await;
    assert_eq!((after.refunded.as_str(), after.allocated.as_str()), ("70.00", "30.00"));
    assert_eq!(after.unapplied, "0.00");
    assert_eq!(code(practice.refund(&paid, "30.01").await), "over_refund");
    assert_eq!(code(practice.void(&paid).await), "payment_refunded");
    let balance = practice.balance(patient).await;
    assert_eq!((balance.balance.as_str(), balance.open_invoices.as_str()), ("50.00", "50.00"));
}

#[tokio::test]
async fn a_voided_payment_counts_no_more() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let invoice = practice.issued(patient, &["80.00"], "0").await;
    let body = json!({ "patient_id": patient, "amount": "100.00", "method": "cheque", "reference": "No. 7",
        "allocations": [{ "invoice_id": invoice.id, "amount": "80.00" }] });
    let paid = practice.pay(body).await.unwrap();
    let voided = practice.void(&paid).await.unwrap();
    assert_eq!((voided.status, voided.allocated.as_str()), (PaymentStatus::Voided, "0.00"));
    assert_eq!(
        (voided.reference.as_deref(), voided.void_reason.as_deref()),
        (Some("No. 7"), Some("Bounced"))
    );
    let due = practice.invoice(invoice.id).await;
    assert_eq!((due.status, due.due.as_str()), (InvoiceStatus::Issued, "80.00"));
    assert_eq!(practice.balance(patient).await.balance, "80.00");
    assert_eq!(code(practice.void(&paid).await), "transition_refused");
    assert_eq!(code(practice.refund(&paid, "1.00").await), "transition_refused");
    let share = json!({ "invoice_id": invoice.id, "amount": "1.00" });
    assert_eq!(code(practice.allocate(&paid, share).await), "transition_refused");
}

#[tokio::test]
async fn a_payment_under_way_counts_when_it_has_arrived() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let body = json!({ "patient_id": patient, "amount": "10.00", "method": "transfer", "status": "pending" });
    let (one, two) = (practice.pay(body.clone()).await.unwrap(), practice.pay(body).await.unwrap());
    assert_eq!((one.status, one.unapplied.as_str()), (PaymentStatus::Pending, "0.00"));
    assert_eq!(practice.balance(patient).await.balance, "0.00");
    let (scope, cipher) = (&practice.scope, &practice.tenant.cipher);
    let arrived =
        practice.write(async |tx| payment::complete(tx, scope, cipher, (one.id, Some(1))).await).await;
    assert_eq!(arrived.unwrap().unapplied, "10.00");
    let failed = practice.write(async |tx| payment::fail(tx, scope, cipher, (two.id, None)).await).await;
    assert_eq!(failed.unwrap().status, PaymentStatus::Failed);
    let again = practice.write(async |tx| payment::complete(tx, scope, cipher, (two.id, None)).await).await;
    assert_eq!(code(again), "transition_refused");
    assert_eq!(practice.balance(patient).await.balance, "-10.00");
    let pending = PaymentFilter { status: Some(PaymentStatus::Pending), ..PaymentFilter::default() };
    let db = &practice.tenant.connection;
    let found = payment::list(db, scope, cipher, &pending, &PageRequest::default()).await.unwrap();
    assert!(found.items.is_empty());
}

#[tokio::test]
async fn payments_are_found_by_their_invoice() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let invoice = practice.issued(patient, &["80.00"], "0").await;
    let body = json!({ "patient_id": patient, "amount": "50.00", "method": "card",
        "allocations": [{ "invoice_id": invoice.id, "amount": "50.00" }] });
    let paid = practice.pay(body).await.unwrap();
    practice.pay(json!({ "patient_id": patient, "amount": "5.00", "method": "card" })).await.unwrap();
    let (db, scope, cipher) = (&practice.tenant.connection, &practice.scope, &practice.tenant.cipher);
    let filter = PaymentFilter { invoice_id: Some(invoice.id), ..PaymentFilter::default() };
    let found = payment::list(db, scope, cipher, &filter, &PageRequest::default()).await.unwrap();
    assert_eq!(found.items.iter().map(|one| one.id).collect::<Vec<_>>(), [paid.id]);
}

#[tokio::test]
async fn every_change_of_money_leaves_its_audit_row_and_event() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let invoice = practice.issued(patient, &["60.00", "40.00"], "0").await;
    let body = json!({ "patient_id": patient, "amount": "100.00", "method": "card",
        "allocations": [{ "invoice_id": invoice.id, "amount": "100.00" }] });
    let paid = practice.pay(body).await.unwrap();
    let line = json!({ "lines": [{ "invoice_line_id": invoice.lines[1].id }], "reason": "Not done" });
    practice.credit(invoice.id, line).await.unwrap();
    let refund = practice.refund(&paid, "50.00").await.unwrap();
    let plan = json!({ "count": 2, "first_due_on": "2026-06-30" });
    let plan = practice
        .write(async |tx| {
            clinicx_billing::installment_plan::create(tx, &practice.scope, invoice.id, read(plan.clone()))
                .await
        })
        .await
        .unwrap();
    practice.release(&paid, json!({ "invoice_id": invoice.id })).await.unwrap();
    practice.cancel(invoice.id).await.unwrap();
    let ways = async |id: Uuid, version: i64, expected: &[&str]| {
        let (audit, events) = practice.trail(id).await;
        assert_eq!(events, expected);
        assert_eq!(audit, events);
        assert_eq!(usize::try_from(version).unwrap(), events.len());
    };
    let after = practice.invoice(invoice.id).await;
    let of_invoice = ["created", "issued", "balanced", "settled", "reopened", "settled", "cancelled"];
    let of_invoice = of_invoice.map(|way| format!("invoice.{way}"));
    ways(invoice.id.uuid(), after.version, &of_invoice.each_ref().map(String::as_str)).await;
    let of_payment = ["payment.received", "payment.released", "payment.refunded", "payment.released"];
    ways(paid.id.uuid(), practice.payment(&paid).await.version, &of_payment).await;
    ways(refund.id.uuid(), 1, &["refund.created"]).await;
    ways(plan.id.uuid(), 2, &["installment_plan.created", "installment_plan.cancelled"]).await;
    let mut superuser = practice.superuser().await;
    let question = "SELECT payload->'invoice_ids' FROM outbox WHERE aggregate_id = $1 ORDER BY id";
    let named: Vec<serde_json::Value> =
        sqlx::query_scalar(question).bind(paid.id.uuid()).fetch_all(&mut superuser).await.unwrap();
    assert_eq!(named, vec![json!([invoice.id]); 4]);
}
