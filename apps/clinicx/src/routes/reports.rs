//! Reports on money.

use chrono::NaiveDate;
use clinicx_billing::{
    NAME,
    permission::BILLING_REPORT,
    report::{self, Receivables, Revenue, Takings},
};
use clinicx_types::calendar;
use clinicx_web::{Access, ApiError, HttpModule, Operation, Query, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;

/// The reports.
pub fn module() -> HttpModule {
    let read = Access::Tenant(BILLING_REPORT);
    HttpModule::new("reports", "Sums of what is owed, taken and earned").requires(NAME).operations([
        Operation::get("/reports/receivables", "report_receivables")
            .summary("Show what is owed, by age")
            .access(read)
            .shows_no_patient()
            .answers::<Receivables>(200)
            .handler(receivables),
        Operation::get("/reports/takings", "report_takings")
            .summary("Show what was taken, day by day and by means")
            .access(read)
            .shows_no_patient()
            .answers::<Takings>(200)
            .handler(takings),
        Operation::get("/reports/revenue", "report_revenue")
            .summary("Show what was earned, by who did it and what it was")
            .access(read)
            .shows_no_patient()
            .answers::<Revenue>(200)
            .handler(revenue),
    ])
}

/// Some days, both included: the month up to today unless said otherwise, 366 at most.
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

async fn receivables(cx: TenantCx) -> Result<Reply, ApiError> {
    Ok(Reply::ok(&report::receivables(&cx.connection()?, cx.scope()).await?))
}

async fn takings(cx: TenantCx, Query(range): Query<Range>) -> Result<Reply, ApiError> {
    let days = (range.from, range.to);
    Ok(Reply::ok(&report::takings(&cx.connection()?, cx.scope(), days).await?))
}

async fn revenue(cx: TenantCx, Query(range): Query<Range>) -> Result<Reply, ApiError> {
    let days = (range.from, range.to);
    Ok(Reply::ok(&report::revenue(&cx.connection()?, cx.scope(), days).await?))
}
