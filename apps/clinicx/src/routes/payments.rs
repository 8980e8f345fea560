//! Payments.

use clinicx_billing::{
    AccountId, InvoiceId, NAME, PaymentId,
    payment::{self, CreatePayment, Payment, PaymentFilter, PaymentMethod, PaymentStatus, VoidPayment},
    permission::{PAYMENT_READ, PAYMENT_VOID, PAYMENT_WRITE},
};
use clinicx_core::PatientId;
use clinicx_web::{Access, ApiError, Body, HttpModule, Idempotency, List, Operation, Path, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{sealed, wiring::Slot};

/// The operations on payments.
pub fn module(slot: &Slot) -> HttpModule {
    let (receiving, listing, getting) = (slot.clone(), slot.clone(), slot.clone());
    let (completing, failing, voiding) = (slot.clone(), slot.clone(), slot.clone());
    let read = Access::Tenant(PAYMENT_READ);
    let write = Access::Tenant(PAYMENT_WRITE);
    HttpModule::new("payments", "What patients have paid, and where it went").requires(NAME).operations([
        Operation::post("/payments", "create_payment")
            .summary("Record a payment, and allocate it to invoices at once")
            .access(write)
            .idempotency(Idempotency::Required)
            .answers::<Payment>(201)
            .errors(&[
                "not_found",
                "patient_merged",
                "patient_erased",
                "transition_refused",
                "over_allocation",
            ])
            .handler(move |cx: TenantCx, body: Body<CreatePayment>| receive(receiving.clone(), cx, body)),
        Operation::get("/payments", "list_payments")
            .summary("List payments")
            .access(read)
            .shows_patients("payment")
            .answers_page::<Payment>()
            .handler(move |cx: TenantCx, wanted: List<Wanted>| list(listing.clone(), cx, wanted)),
        Operation::get("/payments/{id}", "get_payment")
            .summary("Show a payment")
            .access(read)
            .shows_patients("payment")
            .answers::<Payment>(200)
            .errors(&["not_found"])
            .handler(move |cx: TenantCx, id: Path<PaymentId>| get(getting.clone(), cx, id)),
        Operation::transition("/payments/{id}/complete", "complete_payment")
            .summary("Say that a payment that was under way has arrived")
            .access(write)
            .answers::<Payment>(200)
            .errors(&["not_found"])
            .handler(move |cx: TenantCx, id: Path<PaymentId>| complete(completing.clone(), cx, id)),
        Operation::transition("/payments/{id}/fail", "fail_payment")
            .summary("Say that a payment that was under way did not arrive")
            .access(write)
            .answers::<Payment>(200)
            .errors(&["not_found"])
            .handler(move |cx: TenantCx, id: Path<PaymentId>| fail(failing.clone(), cx, id)),
        Operation::transition("/payments/{id}/void", "void_payment")
            .summary("Void a payment: what it paid is due again")
            .access(Access::Tenant(PAYMENT_VOID))
            .answers::<Payment>(200)
            .errors(&["not_found", "payment_refunded"])
            .handler(move |cx: TenantCx, id: Path<PaymentId>, body: Body<VoidPayment>| {
                void(voiding.clone(), cx, id, body)
            }),
    ])
}

/// Which payments are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Those for this patient.
    patient_id: Option<PatientId>,
    /// Those to this account.
    account_id: Option<AccountId>,
    /// Those of which something is on this invoice.
    invoice_id: Option<InvoiceId>,
    /// Those in this state.
    status: Option<PaymentStatus>,
    /// Those by this means.
    method: Option<PaymentMethod>,
}

fn shown(payment: &Payment) -> Reply {
    Reply::ok(payment).showing([payment.patient_id])
}

async fn receive(slot: Slot, cx: TenantCx, Body(input): Body<CreatePayment>) -> Result<Reply, ApiError> {
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let input = input.clone();
        Box::pin(async move {
            let made = payment::receive(tx, scope, &cipher, input).await?;
            Ok(Reply::created(format!("/payments/{}", made.id), &made).showing([made.patient_id]))
        })
    })
    .await
}

async fn list(slot: Slot, cx: TenantCx, list: List<Wanted>) -> Result<Reply, ApiError> {
    let Wanted { patient_id, account_id, invoice_id, status, method } = list.filter.clone();
    let filter = PaymentFilter { patient_id, account_id, status, method, invoice_id };
    let page = sealed::read(&slot, &cx, async |tx, scope, cipher| {
        Ok(payment::list(tx, scope, cipher, &filter, &list.page).await?)
    })
    .await?;
    Ok(Reply::page(&list, &page).showing(page.items.iter().map(|payment| payment.patient_id)))
}

async fn get(slot: Slot, cx: TenantCx, Path(id): Path<PaymentId>) -> Result<Reply, ApiError> {
    let found =
        sealed::read(&slot, &cx, async |tx, scope, cipher| Ok(payment::get(tx, scope, cipher, id).await?));
    Ok(shown(&found.await?))
}

async fn complete(slot: Slot, cx: TenantCx, Path(id): Path<PaymentId>) -> Result<Reply, ApiError> {
    let revision = (id, cx.expected_version());
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        Box::pin(async move { Ok(shown(&payment::complete(tx, scope, &cipher, revision).await?)) })
    })
    .await
}

async fn fail(slot: Slot, cx: TenantCx, Path(id): Path<PaymentId>) -> Result<Reply, ApiError> {
    let revision = (id, cx.expected_version());
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        Box::pin(async move { Ok(shown(&payment::fail(tx, scope, &cipher, revision).await?)) })
    })
    .await
}

async fn void(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<PaymentId>,
    Body(input): Body<VoidPayment>,
) -> Result<Reply, ApiError> {
    let revision = (id, cx.expected_version());
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let input = input.clone();
        Box::pin(async move { Ok(shown(&payment::void(tx, scope, &cipher, revision, input).await?)) })
    })
    .await
}
