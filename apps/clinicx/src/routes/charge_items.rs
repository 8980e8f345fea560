//! What was done and can be billed.

use clinicx_billing::{
    ChargeItemId, NAME,
    charge_item::{self, ChargeItem, ChargeItemFilter, ChargeItemStatus},
    permission::INVOICE_READ,
};
use clinicx_core::PatientId;
use clinicx_web::{Access, ApiError, HttpModule, List, Operation, Path, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;

/// The operations on what can be billed.
pub fn module() -> HttpModule {
    let read = Access::Tenant(INVOICE_READ);
    HttpModule::new("charge items", "What was done and can be billed, once").requires(NAME).operations([
        Operation::get("/charge-items", "list_charge_items")
            .summary("List what can be billed or was")
            .access(read)
            .shows_patients("charge_item")
            .answers_page::<ChargeItem>()
            .handler(list),
        Operation::get("/charge-items/{id}", "get_charge_item")
            .summary("Show something that can be billed or was")
            .access(read)
            .shows_patients("charge_item")
            .answers::<ChargeItem>(200)
            .errors(&["not_found"])
            .handler(get),
    ])
}

/// Which of them are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Those of this patient.
    patient_id: Option<PatientId>,
    /// Those in this state.
    status: Option<ChargeItemStatus>,
}

async fn list(cx: TenantCx, list: List<Wanted>) -> Result<Reply, ApiError> {
    let filter = ChargeItemFilter { patient_id: list.filter.patient_id, status: list.filter.status };
    let page =
        cx.read(async |tx, scope| Ok(charge_item::list(tx, scope, &filter, &list.page).await?)).await?;
    Ok(Reply::page(&list, &page).showing(page.items.iter().map(|item| item.patient_id)))
}

async fn get(cx: TenantCx, Path(id): Path<ChargeItemId>) -> Result<Reply, ApiError> {
    let found = charge_item::get(&cx.connection()?, cx.scope(), id).await?;
    Ok(Reply::ok(&found).showing([found.patient_id]))
}
