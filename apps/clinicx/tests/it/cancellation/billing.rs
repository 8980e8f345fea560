//! The operations of the module `billing`.

use clinicx_billing::{
    AccountId, BillingError, ChargeItemId, CreditNoteId, InstallmentPlanId, InvoiceId, PaymentId, RefundId,
    account::{self, AccountFilter},
    charge_item::{self, BillingCharges, ChargeItemFilter},
    credit_note, installment_plan,
    invoice::{self, InvoiceFilter},
    ledger::{self, LedgerFilter},
    payment::{self, PaymentFilter},
    report, settings,
};
use clinicx_core::{
    CoreError, PatientId,
    charge::{Charge, ChargeSource, Charges},
};
use clinicx_types::money::Money;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    clinic::{self, Call, Clinic, Manner},
    paths::{Answer, Path, Subject, Work, no_query, page, path},
};

/// The one set of settings that a clinic has.
pub(super) const SETTINGS: Subject = Subject::Billing(Thing::Settings);

/// Operations that refuse to work without an `Idempotency-Key`.
pub(super) const NEED_A_KEY: &[&str] =
    &["create_payment", "allocate_payment", "release_payment", "refund_payment"];

/// To what of the module it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Thing {
    Settings,
    Account,
    OwingPatient,
    ChargeItem,
    Draft,
    Issued,
    Note,
    Plan,
    Payment,
    Pending,
    Allocated,
    Refund,
}

/// Issues one invoice and one note, so that account, series and settings are there already, and a large invoice, which
/// it returns.
pub(super) async fn furnish(clinic: &Clinic) -> Uuid {
    clinic.done_to("create_credit_note", prepare(clinic, Thing::Issued).await).await;
    let changing = path("update_billing_settings");
    let subject = prepare(clinic, Thing::Settings).await;
    clinic.call(changing, subject).run(changing, Manner::Plain).await.unwrap();
    let drafting = path("create_invoice");
    let mut call = clinic.call(drafting, clinic::Thing::default());
    call.body["lines"] = json!([{"description": "Work", "quantity": "1", "unit_price": "1000000000.00"}]);
    let draft = clinic::thing(&call.run(drafting, Manner::Plain).await.unwrap());
    clinic.done_to("issue_invoice", draft).await.id
}

/// Makes such a thing; all of them are of the clinic's one patient.
pub(super) async fn prepare(clinic: &Clinic, thing: Thing) -> clinic::Thing {
    let patient = clinic::Thing { id: clinic.patient().uuid(), version: 1 };
    let drafted = async || clinic.done_to("create_invoice", clinic::Thing::default()).await;
    let issued = async || clinic.done_to("issue_invoice", drafted().await).await;
    let paid = async || clinic.done_to("create_payment", clinic::Thing::default()).await;
    match thing {
        Thing::Settings => {
            let call = clinic.call(path("get_billing_settings"), clinic::Thing::default());
            let version = settings::get(&clinic.db, &call.scope).await.unwrap().version;
            clinic::Thing { id: call.scope.tenant_id.uuid(), version }
        }
        Thing::Account => {
            let call = clinic.call(path("list_accounts"), clinic::Thing::default());
            let found = account::list(&clinic.db, &call.scope, &AccountFilter::default(), &page()).await;
            clinic::Thing { id: found.unwrap().items[0].id.uuid(), version: 1 }
        }
        Thing::OwingPatient => patient,
        Thing::ChargeItem => charged(clinic).await,
        Thing::Draft => drafted().await,
        Thing::Issued => issued().await,
        Thing::Note => clinic.done_to("create_credit_note", issued().await).await,
        Thing::Plan => clinic.done_to("create_installment_plan", issued().await).await,
        Thing::Payment => paid().await,
        Thing::Pending => {
            let receiving = path("create_payment");
            let mut call = clinic.call(receiving, clinic::Thing::default());
            call.body["status"] = json!("pending");
            clinic::thing(&call.run(receiving, Manner::Plain).await.unwrap())
        }
        Thing::Allocated => {
            let receiving = path("create_payment");
            let mut call = clinic.call(receiving, clinic::Thing::default());
            call.body["allocations"] = json!([{"invoice_id": call.invoice, "amount": "400.00"}]);
            clinic::thing(&call.run(receiving, Manner::Plain).await.unwrap())
        }
        Thing::Refund => clinic.done_to("refund_payment", paid().await).await,
    }
}

/// Hands over something that was done, as another module does.
async fn charged(clinic: &Clinic) -> clinic::Thing {
    let call = clinic.call(path("list_charge_items"), clinic::Thing::default());
    let charge = Charge {
        source: ChargeSource { kind: "treatment", id: call.scope.next_id() },
        patient_id: call.patient,
        staff_id: Some(call.staff),
        code: "X".to_owned(),
        description: "Work".to_owned(),
        quantity: "1".parse().unwrap(),
        unit_price: Some(Money::parse("10.00", call.scope.currency).unwrap()),
        tax_rate: None,
        performed_at: call.scope.now(),
    };
    let tx = clinic.db.begin().await.unwrap();
    BillingCharges.charge(&tx, &call.scope, charge).await.unwrap();
    tx.commit().await.unwrap();
    let filter = ChargeItemFilter { patient_id: Some(call.patient), status: None };
    let found = charge_item::list(&clinic.db, &call.scope, &filter, &page()).await.unwrap();
    clinic::Thing { id: found.items[0].id.uuid(), version: 1 }
}

/// What was refused because a drop before had come after the COMMIT was sent is stale.
fn shown<T: Serialize>(result: Result<T, BillingError>) -> Answer {
    match result {
        Ok(value) => Ok(serde_json::to_value(value).unwrap()),
        Err(BillingError::Core(error)) => Err(error),
        Err(BillingError::PlanActive) => Err(CoreError::Stale { thing: "invoice" }),
        Err(other) => panic!("{other:?}"),
    }
}

fn revision<T: From<Uuid>>(call: &Call) -> (T, Option<i64>) {
    (call.subject.id.into(), Some(call.subject.version))
}

const DRAFT: Subject = Subject::Billing(Thing::Draft);
const ISSUED: Subject = Subject::Billing(Thing::Issued);
const PAYMENT: Subject = Subject::Billing(Thing::Payment);
const ACCOUNT: Subject = Subject::Billing(Thing::Account);

/// A range on which nothing has moved, so that answers stay short.
fn old_days(_: &Call) -> String {
    "from=2020-01-01&to=2020-01-02".to_owned()
}

const OLD_DAYS: (Option<chrono::NaiveDate>, Option<chrono::NaiveDate>) =
    (chrono::NaiveDate::from_ymd_opt(2020, 1, 1), chrono::NaiveDate::from_ymd_opt(2020, 1, 2));

/// Wraps a write.
macro_rules! write {
    ($id:literal, $subject:expr, $body:expr, |$tx:ident, $call:ident| $work:expr) => {
        Path::write($id, $subject, $body, |$tx, $call| Box::pin(async move { shown($work.await) }))
    };
}

/// Wraps reads that agree.
macro_rules! read {
    ($id:literal, $subject:expr, |$tx:ident, $call:ident| $work:expr) => {
        Path::get($id, $subject, Work::Read(|$tx, $call| Box::pin(async move { shown($work.await) })))
    };
}

/// Wraps a list.
macro_rules! list {
    ($id:literal, $query:expr, |$tx:ident, $call:ident| $work:expr) => {
        Path::list($id, $query, |$tx, $call| {
            Box::pin(async move { shown($work.await.map(|page| page.items)) })
        })
    };
}

/// All of them.
pub(super) static PATHS: &[Path] = &[
    write!(
        "create_invoice",
        Subject::Nothing,
        |call| {
            json!({
                "patient_id": call.patient, "note": call.text(), "discount": "1.00",
                "lines": [
                    {"description": call.text(), "quantity": "2", "unit_price": "500.00", "tax_rate": "20"},
                    {"description": call.text(), "quantity": "1", "unit_price": "10.00", "staff_id": call.staff},
                ],
            })
        },
        |tx, call| invoice::create(tx, &call.scope, &call.cipher, call.input())
    ),
    list!("list_invoices", |call| format!("patient_id={}&limit=20", call.patient), |tx, call| async {
        let filter = InvoiceFilter { patient_id: Some(call.patient), ..InvoiceFilter::default() };
        invoice::list(tx, &call.scope, &call.cipher, &filter, &page()).await
    }),
    read!("get_invoice", ISSUED, |tx, call| {
        invoice::get(tx, &call.scope, &call.cipher, InvoiceId::new(call.subject.id))
    }),
    read!("print_invoice", ISSUED, |tx, call| {
        invoice::get(tx, &call.scope, &call.cipher, InvoiceId::new(call.subject.id))
    }),
    write!(
        "update_invoice",
        DRAFT,
        |call| json!({"note": call.text(), "discount_percent": "10"}),
        |tx, call| invoice::update(tx, &call.scope, &call.cipher, revision(call), call.input())
    ),
    write!("issue_invoice", DRAFT, |_| Value::Null, |tx, call| {
        invoice::issue(tx, &call.scope, &call.cipher, revision(call))
    }),
    write!("cancel_invoice", ISSUED, |call| json!({"reason": call.text()}), |tx, call| invoice::cancel(
        tx,
        &call.scope,
        &call.cipher,
        revision(call),
        call.input()
    )),
    write!("discard_invoice", DRAFT, |_| Value::Null, |tx, call| {
        invoice::discard(tx, &call.scope, &call.cipher, revision(call))
    }),
    write!("create_credit_note", ISSUED, |call| json!({"reason": call.text()}), |tx, call| async {
        let id = InvoiceId::new(call.subject.id);
        match credit_note::issue(tx, &call.scope, &call.cipher, id, call.input()).await {
            Err(BillingError::NothingDue) => Err(CoreError::Stale { thing: "invoice" }.into()),
            done => done,
        }
    }),
    Path::get(
        "list_credit_notes",
        ISSUED,
        Work::Read(|tx, call| {
            Box::pin(async move {
                let id = InvoiceId::new(call.subject.id);
                let found = credit_note::list(tx, &call.scope, &call.cipher, id, &page()).await;
                shown(found.map(|page| page.items))
            })
        }),
    ),
    read!("get_credit_note", Subject::Billing(Thing::Note), |tx, call| {
        credit_note::get(tx, &call.scope, &call.cipher, CreditNoteId::new(call.subject.id))
    }),
    write!(
        "create_payment",
        Subject::Nothing,
        |call| {
            json!({"patient_id": call.patient, "amount": "500.00", "method": "cheque", "reference": call.text()})
        },
        |tx, call| payment::receive(tx, &call.scope, &call.cipher, call.input())
    ),
    list!("list_payments", |call| format!("patient_id={}&limit=20", call.patient), |tx, call| async {
        let filter = PaymentFilter { patient_id: Some(call.patient), ..PaymentFilter::default() };
        payment::list(tx, &call.scope, &call.cipher, &filter, &page()).await
    }),
    read!("get_payment", PAYMENT, |tx, call| {
        payment::get(tx, &call.scope, &call.cipher, PaymentId::new(call.subject.id))
    }),
    write!("complete_payment", Subject::Billing(Thing::Pending), |_| Value::Null, |tx, call| {
        payment::complete(tx, &call.scope, &call.cipher, revision(call))
    }),
    write!("fail_payment", Subject::Billing(Thing::Pending), |_| Value::Null, |tx, call| {
        payment::fail(tx, &call.scope, &call.cipher, revision(call))
    }),
    write!(
        "void_payment",
        Subject::Billing(Thing::Allocated),
        |call| json!({"reason": call.text()}),
        |tx, call| payment::void(tx, &call.scope, &call.cipher, revision(call), call.input())
    ),
    write!("allocate_payment", Subject::Billing(Thing::Allocated), allocation, |tx, call| {
        payment::allocate(tx, &call.scope, &call.cipher, PaymentId::new(call.subject.id), call.input())
    }),
    Path::get(
        "list_allocations",
        PAYMENT,
        Work::Read(|tx, call| {
            Box::pin(async move {
                let id = PaymentId::new(call.subject.id);
                let found = payment::list_allocations(tx, &call.scope, id, &page()).await;
                shown(found.map(|(_, page)| page.items))
            })
        }),
    ),
    write!("release_payment", Subject::Billing(Thing::Allocated), allocation, |tx, call| {
        payment::release(tx, &call.scope, &call.cipher, PaymentId::new(call.subject.id), call.input())
    }),
    write!("refund_payment", PAYMENT, |call| json!({"amount": "0.01", "reason": call.text()}), |tx, call| {
        payment::refund(tx, &call.scope, &call.cipher, PaymentId::new(call.subject.id), call.input())
    }),
    Path::get(
        "list_refunds",
        PAYMENT,
        Work::Read(|tx, call| {
            Box::pin(async move {
                let id = PaymentId::new(call.subject.id);
                let found = payment::list_refunds(tx, &call.scope, &call.cipher, id, &page()).await;
                shown(found.map(|(_, page)| page.items))
            })
        }),
    ),
    read!("get_refund", Subject::Billing(Thing::Refund), |tx, call| {
        payment::get_refund(tx, &call.scope, &call.cipher, RefundId::new(call.subject.id))
    }),
    write!(
        "create_installment_plan",
        ISSUED,
        |_| json!({"count": 3, "first_due_on": "2060-01-31"}),
        |tx, call| installment_plan::create(tx, &call.scope, InvoiceId::new(call.subject.id), call.input())
    ),
    Path::get(
        "list_installment_plans",
        ISSUED,
        Work::Read(|tx, call| {
            Box::pin(async move {
                let of = InvoiceId::new(call.subject.id);
                let found = installment_plan::list(tx, &call.scope, of, &page()).await;
                shown(found.map(|(_, plans)| plans.items))
            })
        }),
    ),
    read!("get_installment_plan", Subject::Billing(Thing::Plan), |tx, call| {
        installment_plan::get(tx, &call.scope, InstallmentPlanId::new(call.subject.id))
    }),
    write!("cancel_installment_plan", Subject::Billing(Thing::Plan), |_| Value::Null, |tx, call| {
        installment_plan::cancel(tx, &call.scope, revision(call))
    }),
    list!("list_charge_items", |call| format!("patient_id={}", call.patient), |tx, call| async {
        let filter = ChargeItemFilter { patient_id: Some(call.patient), status: None };
        charge_item::list(tx, &call.scope, &filter, &page()).await
    }),
    Path::get(
        "get_charge_item",
        Subject::Billing(Thing::ChargeItem),
        Work::Single(|db, call| {
            let id = ChargeItemId::new(call.subject.id);
            Box::pin(async move { shown(charge_item::get(db, &call.scope, id).await) })
        }),
    ),
    list!("list_accounts", no_query, |tx, call| async {
        account::list(tx, &call.scope, &AccountFilter::default(), &page()).await
    }),
    Path::get(
        "get_account",
        ACCOUNT,
        Work::Single(|db, call| {
            let id = AccountId::new(call.subject.id);
            Box::pin(async move { shown(account::get(db, &call.scope, id).await) })
        }),
    ),
    Path {
        query: old_days,
        ..read!("list_ledger", ACCOUNT, |tx, call| async {
            let filter = LedgerFilter { from: OLD_DAYS.0, to: OLD_DAYS.1 };
            let id = AccountId::new(call.subject.id);
            ledger::list(tx, &call.scope, id, &filter, &page()).await.map(|page| page.items)
        })
    },
    Path {
        query: old_days,
        ..read!("get_statement", ACCOUNT, |tx, call| {
            ledger::statement(tx, &call.scope, AccountId::new(call.subject.id), OLD_DAYS)
        })
    },
    read!("get_patient_balance", Subject::Billing(Thing::OwingPatient), |tx, call| {
        account::of(tx, &call.scope, PatientId::new(call.subject.id))
    }),
    Path::get(
        "report_receivables",
        Subject::Nothing,
        Work::Single(|db, call| Box::pin(async move { shown(report::receivables(db, &call.scope).await) })),
    ),
    Path {
        query: old_days,
        ..Path::get(
            "report_takings",
            Subject::Nothing,
            Work::Single(|db, call| {
                Box::pin(async move { shown(report::takings(db, &call.scope, OLD_DAYS).await) })
            }),
        )
    },
    Path {
        query: old_days,
        ..Path::get(
            "report_revenue",
            Subject::Nothing,
            Work::Single(|db, call| {
                Box::pin(async move { shown(report::revenue(db, &call.scope, OLD_DAYS).await) })
            }),
        )
    },
    Path::get(
        "get_billing_settings",
        Subject::Nothing,
        Work::Single(|db, call| Box::pin(async move { shown(settings::get(db, &call.scope).await) })),
    ),
    write!(
        "update_billing_settings",
        Subject::Billing(Thing::Settings),
        |call| json!({"payment_terms_days": call.number % 360 + 1}),
        |tx, call| settings::update(tx, &call.scope, Some(call.subject.version), call.input())
    ),
];

/// A little more, or a little less, of a payment on the invoice on which it is already.
fn allocation(call: &Call) -> Value {
    json!({"invoice_id": call.invoice, "amount": "0.01"})
}
