//! Reports on money. They hold sums and no patient.

mod receivables;
mod revenue;
mod takings;

pub use receivables::{Receivables, ReceivablesByAge, receivables};
pub use revenue::{Revenue, RevenueLine, revenue};
pub use takings::{Takings, TakingsLine, takings};

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use clinicx_core::local_time;
use clinicx_persistence::TenantScope;

use crate::error::{BillingError, Result};

/// The most days of a report.
const MAX_DAYS: i64 = 366;

/// Returns the days of a report, both included: the month up to today unless days are named.
fn days(
    scope: &TenantScope,
    (from, to): (Option<NaiveDate>, Option<NaiveDate>),
) -> Result<(NaiveDate, NaiveDate)> {
    let to = to.unwrap_or_else(|| local_time::local_date(scope.now(), scope.time_zone));
    let from = from.or_else(|| to.with_day(1)).unwrap_or(to);
    if from > to {
        return Err(BillingError::invalid("?to", "end_before_start", "must not be before the first day"));
    }
    if (to - from).num_days() >= MAX_DAYS {
        return Err(BillingError::invalid("?to", "range_too_long", "must be at most 366 days in all"));
    }
    Ok((from, to))
}

/// Returns the instants at which days of the clinic begin and end, the last one excluded.
fn bounds(scope: &TenantScope, (from, to): (NaiveDate, NaiveDate)) -> Result<(DateTime<Utc>, DateTime<Utc>)> {
    let zone = scope.time_zone;
    let bounds = local_time::day_bounds(from, zone).zip(local_time::day_bounds(to, zone));
    let ((start, _), (_, end)) =
        bounds.ok_or_else(|| BillingError::invalid("?from", "out_of_range", "is out of range"))?;
    Ok((start, end))
}
