//! How a clinic bills.

use clinicx_billing::{
    NAME,
    permission::{BILLING_SETTINGS, INVOICE_READ},
    settings::{self, Settings, UpdateSettings},
};
use clinicx_web::{Access, ApiError, Body, HttpModule, Operation, Reply, TenantCx};

/// The operations on how a clinic bills.
pub fn module() -> HttpModule {
    HttpModule::new("billing settings", "Who the clinic is on its invoices, and how they are numbered")
        .requires(NAME)
        .operations([
            Operation::get("/billing-settings", "get_billing_settings")
                .summary("Show how the clinic bills")
                .access(Access::Tenant(INVOICE_READ))
                .shows_no_patient()
                .answers::<Settings>(200)
                .handler(get),
            Operation::patch("/billing-settings", "update_billing_settings")
                .summary("Change how the clinic bills")
                .description(
                    "Invoices that are issued stay as they are. The version is 0 before the first change.",
                )
                .access(Access::Tenant(BILLING_SETTINGS))
                .answers::<Settings>(200)
                .handler(update),
        ])
}

async fn get(cx: TenantCx) -> Result<Reply, ApiError> {
    Ok(Reply::ok(&settings::get(&cx.connection()?, cx.scope()).await?))
}

async fn update(cx: TenantCx, Body(patch): Body<UpdateSettings>) -> Result<Reply, ApiError> {
    let expected = cx.expected_version();
    cx.write(move |tx, scope| {
        let patch = patch.clone();
        Box::pin(async move { Ok(Reply::ok(&settings::update(tx, scope, expected, patch).await?)) })
    })
    .await
}
