//! Installment plans.

use clinicx_billing::{
    installment_plan::{self, InstallmentPlan, PlanStatus},
    invoice::{self, InvoiceFilter},
    report,
};
use clinicx_types::page::PageRequest;
use serde_json::{Value, json};

use crate::practice::{Practice, code, read, wrong_field};

impl Practice {
    async fn split(
        &self,
        of: clinicx_billing::InvoiceId,
        body: Value,
    ) -> Result<InstallmentPlan, clinicx_billing::BillingError> {
        self.write(async |tx| installment_plan::create(tx, &self.scope, of, read(body.clone())).await).await
    }
}

#[tokio::test]
async fn the_first_part_takes_the_remainder_and_the_earliest_is_paid_first() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let invoice = practice.issued(patient, &["100.00"], "0").await;
    let plan = practice.split(invoice.id, json!({ "count": 3, "first_due_on": "2026-06-30" })).await.unwrap();
    let parts: Vec<(&str, String)> =
        plan.installments.iter().map(|part| (part.amount.as_str(), part.due_on.to_string())).collect();
    assert_eq!(
        parts,
        [
            ("33.34", "2026-06-30".to_owned()),
            ("33.33", "2026-07-30".to_owned()),
            ("33.33", "2026-08-30".to_owned())
        ]
    );
    let body = json!({ "patient_id": patient, "amount": "40.00", "method": "cash",
        "allocations": [{ "invoice_id": invoice.id, "amount": "40.00" }] });
    practice.pay(body).await.unwrap();
    let later = practice.at("2026-08-01T07:00:00Z");
    let now = installment_plan::get(&practice.tenant.connection, &later.scope, plan.id).await.unwrap();
    let paid: Vec<(&str, bool)> =
        now.installments.iter().map(|part| (part.paid.as_str(), part.overdue)).collect();
    assert_eq!(paid, [("33.34", false), ("6.66", true), ("0.00", false)]);
    let again = json!({ "count": 2, "first_due_on": "2026-06-30" });
    assert_eq!(code(practice.split(invoice.id, again.clone()).await), "installment_plan_active");
    let ended = practice
        .write(async |tx| installment_plan::cancel(tx, &practice.scope, (plan.id, Some(1))).await)
        .await
        .unwrap();
    assert_eq!(ended.status, PlanStatus::Cancelled);
    let rest = practice.split(invoice.id, again).await.unwrap();
    assert_eq!(rest.total, "60.00");
    let list = async |page: PageRequest| {
        let (db, scope) = (&practice.tenant.connection, &practice.scope);
        installment_plan::list(db, scope, invoice.id, &page).await.unwrap()
    };
    let (of, all) = list(PageRequest::default()).await;
    assert_eq!((of.patient_id, all.items.len(), all.next.is_none()), (patient, 2, true));
    let (_, first) = list(PageRequest::first(1).unwrap()).await;
    assert_eq!(first.items, all.items[..1]);
    let mut next = PageRequest::default();
    (next.after, next.count) = (first.next, true);
    let (_, second) = list(next).await;
    assert_eq!((&second.items[..], second.total), (&all.items[1..], Some(2)));
}

#[tokio::test]
async fn a_plan_is_completed_while_nothing_of_its_invoice_is_due() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let invoice = practice.issued(patient, &["90.00"], "0").await;
    let parts = json!({ "count": 3, "first_due_on": "2026-06-30" });
    let plan = practice.split(invoice.id, parts.clone()).await.unwrap();
    let status = async || {
        let found = installment_plan::get(&practice.tenant.connection, &practice.scope, plan.id).await;
        found.unwrap().status
    };
    let body = json!({ "patient_id": patient, "amount": "90.00", "method": "cash",
        "allocations": [{ "invoice_id": invoice.id, "amount": "90.00" }] });
    let paid = practice.pay(body).await.unwrap();
    assert_eq!(status().await, PlanStatus::Completed);
    let cancel =
        practice.write(async |tx| installment_plan::cancel(tx, &practice.scope, (plan.id, None)).await).await;
    assert_eq!(code(cancel), "transition_refused");
    assert_eq!(code(practice.split(invoice.id, parts.clone()).await), "nothing_due");
    // The money is gone again: the plan goes on.
    practice.void(&paid).await.unwrap();
    assert_eq!(status().await, PlanStatus::Active);
    assert_eq!(code(practice.split(invoice.id, parts).await), "installment_plan_active");
    practice.credit(invoice.id, json!({ "reason": "Mistake" })).await.unwrap();
    assert_eq!(status().await, PlanStatus::Completed);
}

#[tokio::test]
async fn no_part_is_due_after_the_last_day_that_can_be_written() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let invoice = practice.issued(patient, &["90.00"], "0").await;
    let body = json!({ "count": 2, "first_due_on": "9999-12-31" });
    let refused = wrong_field(practice.split(invoice.id, body).await);
    assert_eq!(refused, ("/first_due_on".into(), "out_of_range".into()));
    let body = json!({ "count": 2, "first_due_on": "9999-11-30" });
    let plan = practice.split(invoice.id, body).await.unwrap();
    assert_eq!(plan.installments[1].due_on.to_string(), "9999-12-30");
}

#[tokio::test]
async fn only_what_is_due_of_an_issued_invoice_is_split() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let draft = practice.draft(json!({ "patient_id": patient, "lines": [] })).await.unwrap();
    let body = json!({ "count": 3, "first_due_on": "2026-06-30" });
    assert_eq!(code(practice.split(draft.id, body.clone()).await), "transition_refused");
    let small = practice.issued(patient, &["0.02"], "0").await;
    assert_eq!(wrong_field(practice.split(small.id, body.clone()).await).0, "/count");
    let early = json!({ "count": 2, "first_due_on": "2026-05-31" });
    assert_eq!(wrong_field(practice.split(small.id, early).await).0, "/first_due_on");
    practice.credit(small.id, json!({ "reason": "Small" })).await.unwrap();
    assert_eq!(code(practice.split(small.id, body.clone()).await), "nothing_due");
    let cancelled = practice.issued(patient, &["90.00"], "0").await;
    let plan = practice.split(cancelled.id, body).await.unwrap();
    practice.cancel(cancelled.id).await.unwrap();
    let plan = installment_plan::get(&practice.tenant.connection, &practice.scope, plan.id).await.unwrap();
    assert_eq!(plan.status, PlanStatus::Cancelled);
}

#[tokio::test]
async fn a_plan_moves_when_its_invoice_is_due() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let invoice = practice.issued(patient, &["90.00"], "0").await;
    assert_eq!(invoice.due_on.unwrap().to_string(), "2026-06-15");
    let plan = practice.split(invoice.id, json!({ "count": 3, "first_due_on": "2026-08-01" })).await.unwrap();
    let check = async |now: &str, overdue: bool, ages: (&str, &str, &str)| {
        let then = practice.at(now);
        let (db, cipher) = (&practice.tenant.connection, &practice.tenant.cipher);
        assert_eq!(then.invoice(invoice.id).await.overdue, overdue, "{now}");
        for wanted in [true, false] {
            let filter = InvoiceFilter { overdue: Some(wanted), ..InvoiceFilter::default() };
            let found =
                invoice::list(db, &then.scope, cipher, &filter, &PageRequest::default()).await.unwrap();
            assert_eq!(found.items.len(), usize::from(wanted == overdue), "{now}");
            assert!(found.items.iter().all(|one| one.overdue == wanted), "{now}");
        }
        let found = report::receivables(db, &then.scope).await.unwrap().items.remove(0);
        let due = (found.not_overdue.as_str(), found.days_1_to_30.as_str(), found.days_31_to_60.as_str());
        assert_eq!((due, found.invoices), (ages, 1), "{now}");
    };
    check("2026-07-20T07:00:00Z", false, ("90.00", "0.00", "0.00")).await;
    check("2026-08-02T07:00:00Z", true, ("60.00", "30.00", "0.00")).await;
    check("2026-09-02T07:00:00Z", true, ("30.00", "30.00", "30.00")).await;
    let body = json!({ "patient_id": patient, "amount": "40.00", "method": "cash",
        "allocations": [{ "invoice_id": invoice.id, "amount": "40.00" }] });
    let paid = practice.pay(body).await.unwrap();
    check("2026-08-02T07:00:00Z", false, ("50.00", "0.00", "0.00")).await;
    check("2026-09-02T07:00:00Z", true, ("30.00", "20.00", "0.00")).await;
    practice
        .write(async |tx| installment_plan::cancel(tx, &practice.scope, (plan.id, None)).await)
        .await
        .unwrap();
    check("2026-07-20T07:00:00Z", true, ("0.00", "0.00", "50.00")).await;
    // Money that had come before the plan and goes again is none of its parts.
    practice.split(invoice.id, json!({ "count": 2, "first_due_on": "2026-08-01" })).await.unwrap();
    check("2026-07-20T07:00:00Z", false, ("50.00", "0.00", "0.00")).await;
    practice.release(&paid, json!({ "invoice_id": invoice.id })).await.unwrap();
    check("2026-07-20T07:00:00Z", true, ("50.00", "0.00", "40.00")).await;
}
