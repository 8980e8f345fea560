//! What was earned, by who did it and what it was.

use chrono::NaiveDate;
use clinicx_core::{ServiceId, StaffId};
use clinicx_persistence::{TenantScope, TenantScoped};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use sea_orm::{FromQueryResult, raw_sql};
use serde::Serialize;

use super::days;
use crate::{error::Result, input::shown};

/// What was earned in a range of days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Revenue {
    /// The first day, in the clinic's own time.
    pub from: NaiveDate,
    /// The last day.
    pub to: NaiveDate,
    /// One entry for each member of staff, service or code, and currency.
    pub items: Vec<RevenueLine>,
}

/// What was earned by one member of staff with one thing. Amounts are decimal strings without taxes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RevenueLine {
    /// Who did it, where that is known.
    pub staff_id: Option<StaffId>,
    /// Which service it was, where that is known.
    pub service_id: Option<ServiceId>,
    /// The code in the clinic's or a module's catalogue, where there is one.
    pub code: Option<String>,
    /// The currency (ISO 4217).
    pub currency: String,
    /// What was invoiced.
    pub invoiced: String,
    /// What was credited or cancelled on these days, whenever it had been invoiced.
    pub returned: String,
    /// What is left.
    pub net: String,
}

#[derive(FromQueryResult)]
struct Row {
    staff_id: Option<StaffId>,
    service_id: Option<ServiceId>,
    code: Option<String>,
    currency: String,
    invoiced: Decimal,
    returned: Decimal,
}

/// Tells what was earned, by who did it and what it was: lines of invoices by their day of issue, less what was
/// credited and cancelled, each by its own day.
///
/// # Errors
/// [`CoreError::Invalid`](clinicx_core::CoreError::Invalid) unless the days are in their order and at most 366;
/// [`BillingError::Core`](crate::BillingError::Core) when the database fails.
pub async fn revenue(
    db: &impl TenantScoped,
    scope: &TenantScope,
    wanted: (Option<NaiveDate>, Option<NaiveDate>),
) -> Result<Revenue> {
    let (from, to) = days(scope, wanted)?;
    let zone = scope.time_zone.name();
    let statement = raw_sql!(
        Postgres,
        r#"SELECT staff_id, service_id, code, currency, sum(came) AS invoiced, sum(went) AS returned
           FROM (SELECT l.staff_id, l.service_id, l.code, i.currency::text AS currency,
                        l.net AS came, CAST(0 AS numeric) AS went
                 FROM invoices AS i
                 JOIN invoice_lines AS l ON l.invoice_id = i.id
                 WHERE i.issued_on BETWEEN {from} AND {to}
                 UNION ALL
                 SELECT l.staff_id, l.service_id, l.code, i.currency::text, 0, l.net - l.credited_net
                 FROM invoices AS i
                 JOIN invoice_lines AS l ON l.invoice_id = i.id
                 WHERE i.status = 'cancelled'
                   AND CAST(i.cancelled_at AT TIME ZONE {zone} AS date) BETWEEN {from} AND {to}
                 UNION ALL
                 SELECT l.staff_id, l.service_id, l.code, n.currency::text, 0, c.net
                 FROM credit_notes AS n
                 JOIN credit_note_lines AS c ON c.credit_note_id = n.id
                 JOIN invoice_lines AS l ON l.id = c.invoice_line_id
                 WHERE n.issued_on BETWEEN {from} AND {to}) AS moved
           GROUP BY staff_id, service_id, code, currency
           ORDER BY staff_id, service_id, code, currency"#
    );
    let rows = Row::find_by_statement(statement).all(db).await?;
    let one = |row: Row| RevenueLine {
        staff_id: row.staff_id,
        service_id: row.service_id,
        code: row.code,
        invoiced: shown(row.invoiced, &row.currency),
        returned: shown(row.returned, &row.currency),
        net: shown(row.invoiced - row.returned, &row.currency),
        currency: row.currency,
    };
    Ok(Revenue { from, to, items: rows.into_iter().map(one).collect() })
}
