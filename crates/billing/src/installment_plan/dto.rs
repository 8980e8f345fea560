//! What callers say and hear about installment plans.

use chrono::{DateTime, Days, Months, NaiveDate, Utc};
use clinicx_core::PatientId;
use schemars::JsonSchema;
use sea_orm::{DeriveActiveEnum, EnumIter};
use serde::{Deserialize, Serialize};
use validator::Validate;

use crate::{InstallmentPlanId, InvoiceId};

/// Where a plan stands. What the database holds is either active or cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, JsonSchema)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
pub enum PlanStatus {
    /// The invoice is paid by it.
    Active,
    /// Nothing of the invoice is left to be paid; it is active again when money is taken off.
    Completed,
    /// It was given up.
    Cancelled,
}

impl PlanStatus {
    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How far apart parts are due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Interval {
    /// A week.
    Week,
    /// Two weeks.
    Fortnight,
    /// A month: the same day of it, or its last one.
    #[default]
    Month,
}

impl Interval {
    /// Returns the day that is so many of them after the first.
    pub fn after(self, first: NaiveDate, times: u16) -> Option<NaiveDate> {
        match self {
            Self::Week => first.checked_add_days(Days::new(7 * u64::from(times))),
            Self::Fortnight => first.checked_add_days(Days::new(14 * u64::from(times))),
            Self::Month => first.checked_add_months(Months::new(u32::from(times))),
        }
    }
}

/// An installment plan. Amounts are decimal strings in the invoice's currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InstallmentPlan {
    /// Which one.
    pub id: InstallmentPlanId,
    /// Raised by every change of the plan itself, the ETag; what is paid of it follows its invoice.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Of which invoice.
    pub invoice_id: InvoiceId,
    /// For whom something was done.
    pub patient_id: PatientId,
    /// The invoice's currency (ISO 4217).
    pub currency: String,
    /// The sum of the parts: what was due when the plan was made.
    pub total: String,
    /// Where it stands: completed follows from what is due of the invoice.
    pub status: PlanStatus,
    /// The parts.
    pub installments: Vec<Installment>,
}

/// A part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Installment {
    /// Its place, from 1.
    pub position: i32,
    /// When it is due.
    pub due_on: NaiveDate,
    /// How much.
    pub amount: String,
    /// What of it is paid or credited: the earliest parts come first.
    pub paid: String,
    /// Whether something of it is left and the day for it is over.
    pub overdue: bool,
}

/// A new installment plan for what is due of an invoice.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct CreateInstallmentPlan {
    /// How many parts, 2 to 60; the first takes what can't be split.
    #[validate(range(min = 2, max = 60))]
    pub count: u16,
    /// When the first is due.
    #[serde(deserialize_with = "day")]
    #[schemars(with = "NaiveDate")]
    pub first_due_on: NaiveDate,
    /// How far apart they are due.
    #[serde(default)]
    pub interval: Interval,
}

fn day<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<NaiveDate, D::Error> {
    let text = String::deserialize(deserializer)?;
    clinicx_types::calendar::day(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::Interval;

    #[test]
    fn months_end_on_their_last_day() {
        let first = "2027-01-31".parse().unwrap();
        let days: Vec<String> =
            (0..3).map(|times| Interval::Month.after(first, times).unwrap().to_string()).collect();
        assert_eq!(days, ["2027-01-31", "2027-02-28", "2027-03-31"]);
        assert_eq!(Interval::Fortnight.after(first, 2).unwrap().to_string(), "2027-02-28");
    }
}
