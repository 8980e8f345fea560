//! Credit notes.

use clinicx_billing::{
    CreditNoteId, InvoiceId, NAME,
    credit_note::{self, CreateCreditNote, CreditNote},
    permission::{INVOICE_CANCEL, INVOICE_READ},
};
use clinicx_web::{Access, ApiError, Body, HttpModule, List, Operation, Path, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{sealed, wiring::Slot};

/// The operations on credit notes.
pub fn module(slot: &Slot) -> HttpModule {
    let (creating, listing, getting) = (slot.clone(), slot.clone(), slot.clone());
    let read = Access::Tenant(INVOICE_READ);
    HttpModule::new("credit notes", "What is taken back of issued invoices").requires(NAME).operations([
        Operation::post("/invoices/{id}/credit-notes", "create_credit_note")
            .summary("Credit some of an issued invoice, or all that is left of it")
            .description(
                "All notes of an invoice together never come to more than it, and to exactly as much when they \
                 credit all of it. What is paid beyond the rest becomes unapplied credit of its payments.",
            )
            .access(Access::Tenant(INVOICE_CANCEL))
            .answers::<CreditNote>(201)
            .errors(&["not_found", "transition_refused", "over_credit", "nothing_due"])
            .handler(move |cx: TenantCx, id: Path<InvoiceId>, body: Body<CreateCreditNote>| {
                create(creating.clone(), cx, id, body)
            }),
        Operation::get("/invoices/{id}/credit-notes", "list_credit_notes")
            .summary("List the credit notes of an invoice")
            .access(read)
            .shows_patients("credit_note")
            .answers_page::<CreditNote>()
            .errors(&["not_found"])
            .handler(move |cx: TenantCx, id: Path<InvoiceId>, wanted: List<Wanted>| {
                list(listing.clone(), cx, id, wanted)
            }),
        Operation::get("/credit-notes/{id}", "get_credit_note")
            .summary("Show a credit note")
            .access(read)
            .shows_patients("credit_note")
            .answers::<CreditNote>(200)
            .errors(&["not_found"])
            .handler(move |cx: TenantCx, id: Path<CreditNoteId>| get(getting.clone(), cx, id)),
    ])
}

/// The list has no filter.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {}

async fn create(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<InvoiceId>,
    Body(input): Body<CreateCreditNote>,
) -> Result<Reply, ApiError> {
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let input = input.clone();
        Box::pin(async move {
            let made = credit_note::issue(tx, scope, &cipher, id, input).await?;
            Ok(Reply::created(format!("/credit-notes/{}", made.id), &made).showing([made.patient_id]))
        })
    })
    .await
}

async fn list(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<InvoiceId>,
    list: List<Wanted>,
) -> Result<Reply, ApiError> {
    let page = sealed::read(&slot, &cx, async |tx, scope, cipher| {
        Ok(credit_note::list(tx, scope, cipher, id, &list.page).await?)
    })
    .await?;
    Ok(Reply::page(&list, &page).showing(page.items.iter().map(|note| note.patient_id)))
}

async fn get(slot: Slot, cx: TenantCx, Path(id): Path<CreditNoteId>) -> Result<Reply, ApiError> {
    let found =
        sealed::read(
            &slot,
            &cx,
            async |tx, scope, cipher| Ok(credit_note::get(tx, scope, cipher, id).await?),
        )
        .await?;
    Ok(Reply::ok(&found).showing([found.patient_id]))
}
