//! Invoices.

use clinicx_billing::{
    AccountId, InvoiceId, NAME,
    document::{self, DocumentError},
    invoice::{self, CancelInvoice, CreateInvoice, Invoice, InvoiceFilter, InvoiceStatus, UpdateInvoice},
    permission::{INVOICE_CANCEL, INVOICE_READ, INVOICE_WRITE},
};
use clinicx_core::PatientId;
use clinicx_types::lang::Language;
use clinicx_web::{Access, ApiError, Body, HttpModule, List, Operation, Path, Query, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::{sealed, wiring::Slot};

/// What can stand against lines.
const LINE_REFUSALS: &[&str] = &["already_billed", "patient_merged", "patient_erased"];

/// How many are laid out at a time; whoever comes then waits for a turn, within the time of the request.
static PRINTING: Semaphore = Semaphore::const_new(2);

/// The operations on invoices.
pub fn module(slot: &Slot) -> HttpModule {
    let (creating, listing, getting) = (slot.clone(), slot.clone(), slot.clone());
    let printing = slot.clone();
    let (updating, issuing, cancelling, discarding) =
        (slot.clone(), slot.clone(), slot.clone(), slot.clone());
    let read = Access::Tenant(INVOICE_READ);
    let write = Access::Tenant(INVOICE_WRITE);
    let operations = [
        Operation::post("/invoices", "create_invoice")
            .summary("Draft an invoice")
            .description(
                "A line that names a completed treatment, or something else that was done, takes its words, number, \
                 price and tax from it unless it says otherwise, and bills it: once.",
            )
            .access(write)
            .answers::<Invoice>(201)
            .errors(&["not_found"])
            .errors(LINE_REFUSALS)
            .handler(move |cx: TenantCx, body: Body<CreateInvoice>| create(creating.clone(), cx, body)),
        Operation::get("/invoices", "list_invoices")
            .summary("List invoices")
            .access(read)
            .shows_patients("invoice")
            .answers_page::<Invoice>()
            .handler(move |cx: TenantCx, wanted: List<Wanted>| list(listing.clone(), cx, wanted)),
        Operation::get("/invoices/{id}", "get_invoice")
            .summary("Show an invoice")
            .access(read)
            .shows_patients("invoice")
            .answers::<Invoice>(200)
            .derived()
            .errors(&["not_found"])
            .handler(move |cx: TenantCx, id: Path<InvoiceId>| get(getting.clone(), cx, id)),
        Operation::get("/invoices/{id}.pdf", "print_invoice")
            .summary("Show an invoice as PDF")
            .description("In the clinic's own language unless `language` says another one.")
            .access(read)
            .shows_patients("invoice")
            .answers_content("application/pdf")
            .errors(&["not_found"])
            .handler(move |cx: TenantCx, id: Path<InvoiceId>, wanted: Query<Printed>| {
                print(printing.clone(), cx, id, wanted)
            }),
        Operation::patch("/invoices/{id}", "update_invoice")
            .summary("Change a draft")
            .description("An absent field stays as it is; `null` clears it; `lines` replaces all lines.")
            .access(write)
            .answers::<Invoice>(200)
            .errors(&["not_found", "transition_refused"])
            .errors(LINE_REFUSALS)
            .handler(move |cx: TenantCx, id: Path<InvoiceId>, body: Body<UpdateInvoice>| {
                update(updating.clone(), cx, id, body)
            }),
        Operation::transition("/invoices/{id}/issue", "issue_invoice")
            .summary("Give a draft its number; from then on it never changes")
            .access(write)
            .answers::<Invoice>(200)
            .errors(&["not_found", "nothing_to_issue"])
            .handler(move |cx: TenantCx, id: Path<InvoiceId>| issue(issuing.clone(), cx, id)),
        Operation::transition("/invoices/{id}/cancel", "cancel_invoice")
            .summary("Cancel an issued invoice to which no money is allocated")
            .access(Access::Tenant(INVOICE_CANCEL))
            .answers::<Invoice>(200)
            .errors(&["not_found", "money_allocated"])
            .handler(move |cx: TenantCx, id: Path<InvoiceId>, body: Body<CancelInvoice>| {
                cancel(cancelling.clone(), cx, id, body)
            }),
        Operation::transition("/invoices/{id}/discard", "discard_invoice")
            .summary("Say that a draft should never have been made")
            .access(write)
            .answers::<Invoice>(200)
            .errors(&["not_found"])
            .handler(move |cx: TenantCx, id: Path<InvoiceId>| discard(discarding.clone(), cx, id)),
    ];
    HttpModule::new("invoices", "What patients owe")
        .requires(NAME)
        .texts(Language::English, include_str!("../../locales/billing.en.toml"))
        .texts(Language::German, include_str!("../../locales/billing.de.toml"))
        .texts(Language::Arabic, include_str!("../../locales/billing.ar.toml"))
        .operations(operations)
}

/// Which invoices are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Those of this patient.
    patient_id: Option<PatientId>,
    /// Those that are paid from this account.
    account_id: Option<AccountId>,
    /// Those in these states; may be repeated.
    #[serde(default)]
    status: Vec<InvoiceStatus>,
    /// Those that are overdue, or those that are not.
    overdue: Option<bool>,
}

/// In which language an invoice is printed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Printed {
    /// The language, a BCP 47 tag; the clinic's own unless given.
    #[schemars(length(max = 35))]
    language: Option<String>,
}

fn shown(invoice: &Invoice) -> Reply {
    Reply::ok(invoice).showing([invoice.patient_id])
}

async fn create(slot: Slot, cx: TenantCx, Body(input): Body<CreateInvoice>) -> Result<Reply, ApiError> {
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let input = input.clone();
        Box::pin(async move {
            let made = invoice::create(tx, scope, &cipher, input).await?;
            Ok(Reply::created(format!("/invoices/{}", made.id), &made).showing([made.patient_id]))
        })
    })
    .await
}

async fn list(slot: Slot, cx: TenantCx, list: List<Wanted>) -> Result<Reply, ApiError> {
    let Wanted { patient_id, account_id, status: statuses, overdue } = list.filter.clone();
    let filter = InvoiceFilter { patient_id, account_id, statuses, overdue };
    let page = sealed::read(&slot, &cx, async |tx, scope, cipher| {
        Ok(invoice::list(tx, scope, cipher, &filter, &list.page).await?)
    })
    .await?;
    Ok(Reply::page(&list, &page).showing(page.items.iter().map(|invoice| invoice.patient_id)))
}

async fn get(slot: Slot, cx: TenantCx, Path(id): Path<InvoiceId>) -> Result<Reply, ApiError> {
    let found =
        sealed::read(&slot, &cx, async |tx, scope, cipher| Ok(invoice::get(tx, scope, cipher, id).await?));
    Ok(shown(&found.await?))
}

async fn print(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<InvoiceId>,
    Query(wanted): Query<Printed>,
) -> Result<Reply, ApiError> {
    let language = Language::negotiate(wanted.language.as_deref().unwrap_or(&cx.scope().locale));
    let found =
        sealed::read(&slot, &cx, async |tx, scope, cipher| Ok(invoice::get(tx, scope, cipher, id).await?))
            .await?;
    let (version, patient) = (found.version, found.patient_id);
    let bytes = printed(found, language).await?;
    Ok(Reply::content("application/pdf", bytes).with_version(version).showing([patient]))
}

/// Lays an invoice out on a thread for blocking work, a few at a time; it keeps its turn even when nobody waits any more.
async fn printed(invoice: Invoice, language: Language) -> Result<Vec<u8>, DocumentError> {
    let turn = PRINTING.acquire().await.map_err(|_| DocumentError::Writer)?;
    let task = tokio::task::spawn_blocking(move || {
        let bytes = document::invoice(&invoice, language);
        drop(turn);
        bytes
    });
    task.await.map_err(|_| DocumentError::Writer)?
}

async fn update(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<InvoiceId>,
    Body(patch): Body<UpdateInvoice>,
) -> Result<Reply, ApiError> {
    let revision = (id, cx.expected_version());
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let patch = patch.clone();
        Box::pin(async move { Ok(shown(&invoice::update(tx, scope, &cipher, revision, patch).await?)) })
    })
    .await
}

async fn issue(slot: Slot, cx: TenantCx, Path(id): Path<InvoiceId>) -> Result<Reply, ApiError> {
    let revision = (id, cx.expected_version());
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        Box::pin(async move { Ok(shown(&invoice::issue(tx, scope, &cipher, revision).await?)) })
    })
    .await
}

async fn cancel(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<InvoiceId>,
    Body(input): Body<CancelInvoice>,
) -> Result<Reply, ApiError> {
    let revision = (id, cx.expected_version());
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let input = input.clone();
        Box::pin(async move { Ok(shown(&invoice::cancel(tx, scope, &cipher, revision, input).await?)) })
    })
    .await
}

async fn discard(slot: Slot, cx: TenantCx, Path(id): Path<InvoiceId>) -> Result<Reply, ApiError> {
    let revision = (id, cx.expected_version());
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        Box::pin(async move { Ok(shown(&invoice::discard(tx, scope, &cipher, revision).await?)) })
    })
    .await
}
