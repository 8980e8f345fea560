//! Accounts, their ledgers and statements, and what is owed for a patient.

use chrono::NaiveDate;
use clinicx_billing::{
    AccountId, NAME,
    account::{self, Account, AccountFilter, PatientBalance},
    ledger::{self, Entry, LedgerFilter, Statement},
    permission::ACCOUNT_READ,
};
use clinicx_core::PatientId;
use clinicx_types::calendar;
use clinicx_web::{Access, ApiError, HttpModule, List, Operation, Path, Query, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;

/// The operations on accounts.
pub fn module() -> HttpModule {
    let read = Access::Tenant(ACCOUNT_READ);
    HttpModule::new("accounts", "What guarantors owe, or have in advance").requires(NAME).operations([
        Operation::get("/accounts", "list_accounts")
            .summary("List accounts")
            .access(read)
            .shows_patients("account")
            .answers_page::<Account>()
            .handler(list),
        Operation::get("/accounts/{id}", "get_account")
            .summary("Show an account")
            .access(read)
            .shows_patients("account")
            .answers::<Account>(200)
            .derived()
            .errors(&["not_found"])
            .handler(get),
        Operation::get("/accounts/{id}/ledger", "list_ledger")
            .summary("List what moved an account")
            .access(read)
            .shows_patients("account")
            .answers_page::<Entry>()
            .errors(&["not_found"])
            .handler(list_ledger),
        Operation::get("/accounts/{id}/statement", "get_statement")
            .summary("Show what moved an account on some days, and its balance before and after")
            .access(read)
            .shows_patients("account")
            .answers::<Statement>(200)
            .errors(&["not_found"])
            .handler(statement),
        Operation::get("/patients/{id}/balance", "get_patient_balance")
            .summary("Show what is owed for a patient")
            .access(read)
            .shows_patients("account")
            .answers::<PatientBalance>(200)
            .errors(&["not_found", "patient_merged", "patient_erased", "transition_refused"])
            .handler(balance),
    ])
}

/// Which accounts are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Those of this guarantor.
    patient_id: Option<PatientId>,
}

/// Some days, both included.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Range {
    /// The first day, in the clinic's own time.
    #[serde(default, deserialize_with = "calendar::optional_day")]
    from: Option<NaiveDate>,
    /// The last day, in the clinic's own time.
    #[serde(default, deserialize_with = "calendar::optional_day")]
    to: Option<NaiveDate>,
}

async fn list(cx: TenantCx, list: List<Wanted>) -> Result<Reply, ApiError> {
    let filter = AccountFilter { patient_id: list.filter.patient_id };
    let page = cx.read(async |tx, scope| Ok(account::list(tx, scope, &filter, &list.page).await?)).await?;
    Ok(Reply::page(&list, &page).showing(page.items.iter().map(|account| account.patient_id)))
}

async fn get(cx: TenantCx, Path(id): Path<AccountId>) -> Result<Reply, ApiError> {
    let found = account::get(&cx.connection()?, cx.scope(), id).await?;
    Ok(Reply::ok(&found).showing([found.patient_id]))
}

async fn list_ledger(cx: TenantCx, Path(id): Path<AccountId>, list: List<Range>) -> Result<Reply, ApiError> {
    let filter = LedgerFilter { from: list.filter.from, to: list.filter.to };
    let (of, page) = cx
        .read(async |tx, scope| {
            let of = account::get(tx, scope, id).await?;
            Ok((of, ledger::list(tx, scope, id, &filter, &list.page).await?))
        })
        .await?;
    let shown = page.items.iter().map(|entry| entry.patient_id).chain([of.patient_id]);
    Ok(Reply::page(&list, &page).showing(shown))
}

async fn statement(
    cx: TenantCx,
    Path(id): Path<AccountId>,
    Query(range): Query<Range>,
) -> Result<Reply, ApiError> {
    let days = (range.from, range.to);
    let found = cx.read(async |tx, scope| Ok(ledger::statement(tx, scope, id, days).await?)).await?;
    let shown = found.movements.iter().map(|movement| movement.entry.patient_id).chain([found.patient_id]);
    Ok(Reply::ok(&found).showing(shown))
}

async fn balance(cx: TenantCx, Path(id): Path<PatientId>) -> Result<Reply, ApiError> {
    let found = cx.read(async |tx, scope| Ok(account::of(tx, scope, id).await?)).await?;
    let shown = found.accounts.iter().map(|account| account.patient_id).chain([id]);
    Ok(Reply::ok(&found).showing(shown))
}
