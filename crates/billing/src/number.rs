//! Numbers of invoices and credit notes: in series without gaps, one for each kind, prefix and fiscal year.

use chrono::{Datelike, NaiveDate};
use clinicx_persistence::{TenantScope, TenantTransaction};
use sea_orm::{ConnectionTrait, raw_sql};

use crate::{error::Result, settings::Settings};

/// What is numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Invoices.
    Invoice,
    /// Credit notes.
    CreditNote,
}

impl Kind {
    /// Returns the word for it in SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invoice => "invoice",
            Self::CreditNote => "credit-note",
        }
    }

    fn prefix(self, settings: &Settings) -> &str {
        match self {
            Self::Invoice => &settings.invoice_prefix,
            Self::CreditNote => &settings.credit_note_prefix,
        }
    }
}

/// Returns the fiscal year of a local date: the calendar year in which it began.
pub fn fiscal_year(day: NaiveDate, start_month: u32) -> i32 {
    if day.month() >= start_month { day.year() } else { day.year() - 1 }
}

/// Writes a number: the prefix, the fiscal year, and at least five digits.
pub fn written(prefix: &str, fiscal_year: i32, number: i64) -> String {
    format!("{prefix}-{fiscal_year}-{number:05}")
}

/// Takes the next number of the series for a local date.
///
/// The series stays locked until the transaction ends; one that is rolled back leaves the number to the next. It is
/// therefore taken last.
///
/// # Errors
/// [`BillingError::Core`](crate::BillingError::Core) when the database fails.
pub async fn next(
    tx: &TenantTransaction,
    scope: &TenantScope,
    kind: Kind,
    settings: &Settings,
    day: NaiveDate,
) -> Result<String> {
    let prefix = kind.prefix(settings);
    let start_month = u32::try_from(settings.fiscal_year_start_month).unwrap_or(1);
    let year = fiscal_year(day, start_month);
    let (id, word, now) = (scope.next_id(), kind.as_str(), scope.now());
    let statement = raw_sql!(
        Postgres,
        r#"INSERT INTO number_series (id, kind, prefix, fiscal_year, last_number, created_at, updated_at)
           VALUES ({id}, {word}, {prefix}, {year}, 1, {now}, {now})
           ON CONFLICT (kind, prefix, fiscal_year)
           DO UPDATE SET last_number = number_series.last_number + 1,
                         version = number_series.version + 1,
                         updated_at = excluded.updated_at
           RETURNING last_number"#
    );
    let row = tx.query_one_raw(statement).await?;
    let row = row.ok_or_else(|| sea_orm::DbErr::Custom("a series gave no number".to_owned()))?;
    Ok(written(prefix, year, row.try_get("", "last_number")?))
}

/// Tells whether a prefix has begun numbers of a kind, in whatever year.
///
/// # Errors
/// [`BillingError::Core`](crate::BillingError::Core) when the database fails.
pub async fn has_begun(tx: &TenantTransaction, kind: Kind, prefix: &str) -> Result<bool> {
    let word = kind.as_str();
    let statement = raw_sql!(
        Postgres,
        r#"SELECT 1 AS found FROM number_series WHERE kind = {word} AND prefix = {prefix} LIMIT 1"#
    );
    Ok(tx.query_one_raw(statement).await?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fiscal_year_begins_with_its_month() {
        let check = |day: &str, start: u32, expected: i32| {
            assert_eq!(fiscal_year(day.parse().unwrap(), start), expected, "{day} from month {start}");
        };
        check("2026-12-31", 1, 2026);
        check("2027-01-01", 1, 2027);
        check("2027-03-31", 4, 2026);
        check("2027-04-01", 4, 2027);
        check("2026-12-31", 12, 2026);
        check("2026-11-30", 12, 2025);
    }

    #[test]
    fn numbers_grow_beyond_five_digits() {
        assert_eq!(written("INV", 2026, 1), "INV-2026-00001");
        assert_eq!(written("CN", 2026, 123_456), "CN-2026-123456");
    }
}
