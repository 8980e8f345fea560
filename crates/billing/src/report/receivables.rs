//! What is owed to the clinic, by age.

use chrono::NaiveDate;
use clinicx_core::local_time;
use clinicx_persistence::{TenantScope, TenantScoped};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use sea_orm::{FromQueryResult, raw_sql};
use serde::Serialize;

use crate::{error::Result, input::shown};

/// What is due of issued invoices now, by how long the day for it is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Receivables {
    /// Today, in the clinic's own time.
    pub on: NaiveDate,
    /// One entry for each currency.
    pub items: Vec<ReceivablesByAge>,
}

/// What is due in one currency. Amounts are decimal strings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReceivablesByAge {
    /// The currency (ISO 4217).
    pub currency: String,
    /// On how many invoices.
    pub invoices: i64,
    /// What is due and not overdue.
    pub not_overdue: String,
    /// What is overdue for 1 to 30 days.
    pub days_1_to_30: String,
    /// What is overdue for 31 to 60 days.
    pub days_31_to_60: String,
    /// What is overdue for 61 to 90 days.
    pub days_61_to_90: String,
    /// What is overdue for more than 90 days.
    pub over_90_days: String,
    /// All of it.
    pub total: String,
}

#[derive(FromQueryResult)]
struct Row {
    currency: String,
    invoices: i64,
    not_overdue: Decimal,
    to_30: Decimal,
    to_60: Decimal,
    to_90: Decimal,
    over_90: Decimal,
    total: Decimal,
}

/// Tells what is owed to the clinic, by age. What is paid in parts is as old as each open part.
///
/// # Errors
/// [`BillingError::Core`](crate::BillingError::Core) when the database fails.
pub async fn receivables(db: &impl TenantScoped, scope: &TenantScope) -> Result<Receivables> {
    let today = local_time::local_date(scope.now(), scope.time_zone);
    let statement = raw_sql!(
        Postgres,
        r#"WITH parts AS (
               SELECT plan.invoice_id,
                      part.due_on,
                      LEAST(part.amount,
                            sum(part.amount) OVER (PARTITION BY plan.id ORDER BY part.position)
                            - GREATEST(bill.allocated + bill.credited - plan.allocated_before, 0)) AS due
               FROM installment_plans AS plan
               JOIN invoices AS bill ON bill.id = plan.invoice_id AND bill.status = 'issued'
               JOIN installments AS part ON part.plan_id = plan.id
               WHERE plan.status = 'active'
           )
           SELECT currency,
                  count(DISTINCT id) AS invoices,
                  COALESCE(sum(due) FILTER (WHERE days <= 0), 0) AS not_overdue,
                  COALESCE(sum(due) FILTER (WHERE days BETWEEN 1 AND 30), 0) AS to_30,
                  COALESCE(sum(due) FILTER (WHERE days BETWEEN 31 AND 60), 0) AS to_60,
                  COALESCE(sum(due) FILTER (WHERE days BETWEEN 61 AND 90), 0) AS to_90,
                  COALESCE(sum(due) FILTER (WHERE days > 90), 0) AS over_90,
                  sum(due) AS total
           FROM (SELECT bill.id,
                        bill.currency::text AS currency,
                        parts.due,
                        CAST({today} AS date) - parts.due_on AS days
                 FROM parts
                 JOIN invoices AS bill ON bill.id = parts.invoice_id
                 WHERE parts.due > 0
                 UNION ALL
                 -- What no part of a plan asks for.
                 SELECT bill.id,
                        bill.currency::text,
                        bill.gross - bill.allocated - bill.credited - COALESCE(planned.due, 0),
                        CAST({today} AS date) - bill.due_on
                 FROM invoices AS bill
                 LEFT JOIN (SELECT invoice_id, sum(due) AS due FROM parts WHERE due > 0 GROUP BY invoice_id) AS planned
                     ON planned.invoice_id = bill.id
                 WHERE bill.status = 'issued') AS open
           WHERE due > 0
           GROUP BY currency
           ORDER BY currency"#
    );
    let rows = Row::find_by_statement(statement).all(db).await?;
    let one = |row: Row| {
        let amount = |amount| shown(amount, &row.currency);
        ReceivablesByAge {
            invoices: row.invoices,
            not_overdue: amount(row.not_overdue),
            days_1_to_30: amount(row.to_30),
            days_31_to_60: amount(row.to_60),
            days_61_to_90: amount(row.to_90),
            over_90_days: amount(row.over_90),
            total: amount(row.total),
            currency: row.currency,
        }
    };
    Ok(Receivables { on: today, items: rows.into_iter().map(one).collect() })
}
