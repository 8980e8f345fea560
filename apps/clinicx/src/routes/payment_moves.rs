//! Where the money of payments goes, and how it comes back.

use clinicx_billing::{
    NAME, PaymentId, RefundId,
    payment::{self, Allocation, CreateAllocations, CreateRefund, Payment, Refund, ReleaseAllocation},
    permission::{PAYMENT_READ, PAYMENT_REFUND, PAYMENT_WRITE},
};
use clinicx_web::{Access, ApiError, Body, HttpModule, Idempotency, List, Operation, Path, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{sealed, wiring::Slot};

/// The operations on allocations and refunds.
pub fn module(slot: &Slot) -> HttpModule {
    let (allocating, releasing, refunding) = (slot.clone(), slot.clone(), slot.clone());
    let (listing, getting) = (slot.clone(), slot.clone());
    let read = Access::Tenant(PAYMENT_READ);
    let write = Access::Tenant(PAYMENT_WRITE);
    HttpModule::new("allocations and refunds", "Where paid money goes, and how it comes back")
        .requires(NAME)
        .operations([
            Operation::post("/payments/{id}/allocations", "allocate_payment")
                .summary("Put unapplied money of a payment on invoices of its account")
                .description("`invoice_id` and `amount` name one invoice; `allocations` names several.")
                .access(write)
                .idempotency(Idempotency::Required)
                .answers::<Payment>(201)
                .errors(&["not_found", "transition_refused", "over_allocation"])
                .handler(move |cx: TenantCx, id: Path<PaymentId>, body: Body<CreateAllocations>| {
                    allocate(allocating.clone(), cx, id, body)
                }),
            Operation::get("/payments/{id}/allocations", "list_allocations")
                .summary("List what happened to a payment's money")
                .access(read)
                .shows_patients("payment")
                .answers_page::<Allocation>()
                .errors(&["not_found"])
                .handler(list_allocations),
            Operation::post("/payments/{id}/releases", "release_payment")
                .summary("Take money of a payment off an invoice again")
                .access(write)
                .idempotency(Idempotency::Required)
                .answers::<Payment>(201)
                .errors(&["not_found", "over_allocation"])
                .handler(move |cx: TenantCx, id: Path<PaymentId>, body: Body<ReleaseAllocation>| {
                    release(releasing.clone(), cx, id, body)
                }),
            Operation::post("/payments/{id}/refunds", "refund_payment")
                .summary("Give money of a payment back")
                .description(
                    "What is on no invoice goes first. Beyond that the latest invoices that it paid are due again.",
                )
                .access(Access::Tenant(PAYMENT_REFUND))
                .idempotency(Idempotency::Required)
                .answers::<Refund>(201)
                .errors(&["not_found", "transition_refused", "over_refund"])
                .handler(move |cx: TenantCx, id: Path<PaymentId>, body: Body<CreateRefund>| {
                    refund(refunding.clone(), cx, id, body)
                }),
            Operation::get("/payments/{id}/refunds", "list_refunds")
                .summary("List what was given back of a payment")
                .access(read)
                .shows_patients("refund")
                .answers_page::<Refund>()
                .errors(&["not_found"])
                .handler(move |cx: TenantCx, id: Path<PaymentId>, wanted: List<Wanted>| {
                    list_refunds(listing.clone(), cx, id, wanted)
                }),
            Operation::get("/refunds/{id}", "get_refund")
                .summary("Show what was given back")
                .access(read)
                .shows_patients("refund")
                .answers::<Refund>(200)
                .errors(&["not_found"])
                .handler(move |cx: TenantCx, id: Path<RefundId>| get_refund(getting.clone(), cx, id)),
        ])
}

/// The lists have no filter.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {}

fn moved(payment: &Payment) -> Reply {
    Reply::created(format!("/payments/{}", payment.id), payment).showing([payment.patient_id])
}

async fn allocate(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<PaymentId>,
    Body(input): Body<CreateAllocations>,
) -> Result<Reply, ApiError> {
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let input = input.clone();
        Box::pin(async move { Ok(moved(&payment::allocate(tx, scope, &cipher, id, input).await?)) })
    })
    .await
}

async fn list_allocations(
    cx: TenantCx,
    Path(id): Path<PaymentId>,
    list: List<Wanted>,
) -> Result<Reply, ApiError> {
    let (of, page) =
        cx.read(async |tx, scope| Ok(payment::list_allocations(tx, scope, id, &list.page).await?)).await?;
    Ok(Reply::page(&list, &page).showing([of.patient_id]))
}

async fn release(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<PaymentId>,
    Body(input): Body<ReleaseAllocation>,
) -> Result<Reply, ApiError> {
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let input = input.clone();
        Box::pin(async move { Ok(moved(&payment::release(tx, scope, &cipher, id, input).await?)) })
    })
    .await
}

async fn refund(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<PaymentId>,
    Body(input): Body<CreateRefund>,
) -> Result<Reply, ApiError> {
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let input = input.clone();
        Box::pin(async move {
            let made = payment::refund(tx, scope, &cipher, id, input).await?;
            let location = format!("/refunds/{}", made.id);
            Ok(Reply::created(location, &made).showing([made.patient_id]))
        })
    })
    .await
}

async fn list_refunds(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<PaymentId>,
    list: List<Wanted>,
) -> Result<Reply, ApiError> {
    let (of, page) = sealed::read(&slot, &cx, async |tx, scope, cipher| {
        Ok(payment::list_refunds(tx, scope, cipher, id, &list.page).await?)
    })
    .await?;
    Ok(Reply::page(&list, &page).showing([of.patient_id]))
}

async fn get_refund(slot: Slot, cx: TenantCx, Path(id): Path<RefundId>) -> Result<Reply, ApiError> {
    let found = sealed::read(&slot, &cx, async |tx, scope, cipher| {
        Ok(payment::get_refund(tx, scope, cipher, id).await?)
    })
    .await?;
    Ok(Reply::ok(&found).showing([found.patient_id]))
}
