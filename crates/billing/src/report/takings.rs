//! What was taken, day by day and by means.

use chrono::NaiveDate;
use clinicx_persistence::{TenantScope, TenantScoped};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use sea_orm::{FromQueryResult, raw_sql};
use serde::Serialize;

use super::{bounds, days};
use crate::{error::Result, input::shown, payment::PaymentMethod};

/// What was taken in a range of days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Takings {
    /// The first day, in the clinic's own time.
    pub from: NaiveDate,
    /// The last day.
    pub to: NaiveDate,
    /// One entry for each day, currency and means on which something was taken or given back.
    pub items: Vec<TakingsLine>,
}

/// What was taken on one day by one means. Amounts are decimal strings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TakingsLine {
    /// The day, in the clinic's own time.
    pub day: NaiveDate,
    /// The means.
    pub method: PaymentMethod,
    /// The currency (ISO 4217).
    pub currency: String,
    /// How many payments were received.
    pub payments: i64,
    /// What was received.
    pub received: String,
    /// What was given back, and what was voided on that day, whenever it had been received.
    pub returned: String,
    /// What is left.
    pub net: String,
}

#[derive(FromQueryResult)]
struct Row {
    day: NaiveDate,
    method: PaymentMethod,
    currency: String,
    payments: i64,
    received: Decimal,
    returned: Decimal,
}

/// Tells what was taken, day by day and by means. A payment counts on the day on which it came to be in the ledger,
/// whenever the money had changed hands: a day that is over does not change.
///
/// # Errors
/// [`CoreError::Invalid`](clinicx_core::CoreError::Invalid) unless the days are in their order and at most 366;
/// [`BillingError::Core`](crate::BillingError::Core) when the database fails.
pub async fn takings(
    db: &impl TenantScoped,
    scope: &TenantScope,
    wanted: (Option<NaiveDate>, Option<NaiveDate>),
) -> Result<Takings> {
    let (from, to) = days(scope, wanted)?;
    let (start, end) = bounds(scope, (from, to))?;
    let zone = scope.time_zone.name();
    let statement = raw_sql!(
        Postgres,
        r#"SELECT day,
                  method,
                  currency,
                  count(*) FILTER (WHERE came > 0) AS payments,
                  sum(came) AS received,
                  sum(went) AS returned
           FROM (SELECT CAST(entry.occurred_at AT TIME ZONE {zone} AS date) AS day,
                        payment.method,
                        entry.currency::text AS currency,
                        GREATEST(-entry.amount, 0) AS came,
                        GREATEST(entry.amount, 0) AS went
                 FROM ledger_entries AS entry
                 JOIN payments AS payment ON payment.id = entry.source_id
                 WHERE entry.kind IN ('payment', 'void')
                     AND entry.occurred_at >= {start}
                     AND entry.occurred_at < {end}
                 UNION ALL
                 SELECT CAST(refunded_at AT TIME ZONE {zone} AS date), method, currency::text, 0, amount
                 FROM refunds
                 WHERE refunded_at >= {start} AND refunded_at < {end}) AS moved
           GROUP BY day, method, currency
           ORDER BY day, currency, method"#
    );
    let rows = Row::find_by_statement(statement).all(db).await?;
    let one = |row: Row| TakingsLine {
        day: row.day,
        method: row.method,
        payments: row.payments,
        received: shown(row.received, &row.currency),
        returned: shown(row.returned, &row.currency),
        net: shown(row.received - row.returned, &row.currency),
        currency: row.currency,
    };
    Ok(Takings { from, to, items: rows.into_iter().map(one).collect() })
}
