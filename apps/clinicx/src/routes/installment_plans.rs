//! Installment plans.

use clinicx_billing::{
    InstallmentPlanId, InvoiceId, NAME,
    installment_plan::{self, CreateInstallmentPlan, InstallmentPlan},
    permission::{INVOICE_READ, INVOICE_WRITE},
};
use clinicx_web::{Access, ApiError, Body, HttpModule, List, Operation, Path, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;

/// The operations on installment plans.
pub fn module() -> HttpModule {
    let read = Access::Tenant(INVOICE_READ);
    let write = Access::Tenant(INVOICE_WRITE);
    HttpModule::new("installment plans", "When invoices are paid, part by part").requires(NAME).operations([
        Operation::post("/invoices/{id}/installment-plans", "create_installment_plan")
            .summary("Split what is due of an issued invoice into parts")
            .access(write)
            .answers::<InstallmentPlan>(201)
            .errors(&["not_found", "transition_refused", "nothing_due", "installment_plan_active"])
            .handler(create),
        Operation::get("/invoices/{id}/installment-plans", "list_installment_plans")
            .summary("List the installment plans of an invoice")
            .access(read)
            .shows_patients("installment_plan")
            .answers_page::<InstallmentPlan>()
            .errors(&["not_found"])
            .handler(list),
        Operation::get("/installment-plans/{id}", "get_installment_plan")
            .summary("Show an installment plan")
            .access(read)
            .shows_patients("installment_plan")
            .answers::<InstallmentPlan>(200)
            .derived()
            .errors(&["not_found"])
            .handler(get),
        Operation::transition("/installment-plans/{id}/cancel", "cancel_installment_plan")
            .summary("Give an installment plan up")
            .access(write)
            .answers::<InstallmentPlan>(200)
            .errors(&["not_found"])
            .handler(cancel),
    ])
}

/// The list has no filter.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {}

async fn create(
    cx: TenantCx,
    Path(id): Path<InvoiceId>,
    Body(input): Body<CreateInstallmentPlan>,
) -> Result<Reply, ApiError> {
    cx.write(move |tx, scope| {
        let input = input.clone();
        Box::pin(async move {
            let made = installment_plan::create(tx, scope, id, input).await?;
            Ok(Reply::created(format!("/installment-plans/{}", made.id), &made).showing([made.patient_id]))
        })
    })
    .await
}

async fn list(cx: TenantCx, Path(id): Path<InvoiceId>, list: List<Wanted>) -> Result<Reply, ApiError> {
    let (of, page) =
        cx.read(async |tx, scope| Ok(installment_plan::list(tx, scope, id, &list.page).await?)).await?;
    Ok(Reply::page(&list, &page).showing([of.patient_id]))
}

async fn get(cx: TenantCx, Path(id): Path<InstallmentPlanId>) -> Result<Reply, ApiError> {
    let found = cx.read(async |tx, scope| Ok(installment_plan::get(tx, scope, id).await?)).await?;
    Ok(Reply::ok(&found).showing([found.patient_id]))
}

async fn cancel(cx: TenantCx, Path(id): Path<InstallmentPlanId>) -> Result<Reply, ApiError> {
    let revision = (id, cx.expected_version());
    cx.write(move |tx, scope| {
        Box::pin(async move {
            let changed = installment_plan::cancel(tx, scope, revision).await?;
            Ok(Reply::ok(&changed).showing([changed.patient_id]))
        })
    })
    .await
}
