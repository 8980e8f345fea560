//! What callers hear about accounts.

use chrono::{DateTime, Utc};
use clinicx_core::PatientId;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use sea_orm::FromQueryResult;
use serde::Serialize;

use crate::{AccountId, input::shown};

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Account {
    /// Which one.
    pub id: AccountId,
    /// Raised by every change of the account itself; its sums follow the ledger and do not raise it.
    pub version: i64,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// When it was itself last changed.
    pub updated_at: DateTime<Utc>,
    /// The guarantor: who pays.
    pub patient_id: PatientId,
    /// The currency of everything on it (ISO 4217).
    pub currency: String,
    /// What is owed to the clinic, a decimal string; below zero when the clinic owes.
    pub balance: String,
    /// What of issued invoices is neither paid nor credited, a decimal string.
    pub open_invoices: String,
    /// What was paid and is on no invoice, a decimal string.
    pub unapplied_credit: String,
}

/// What is owed for a patient, whoever pays. What the same guarantor owes for others is none of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PatientBalance {
    /// Which patient.
    pub patient_id: PatientId,
    /// The clinic's currency.
    pub currency: String,
    /// What is owed in that currency for this patient: what is open less what is unapplied, a decimal string; below zero
    /// when the clinic owes.
    pub balance: String,
    /// What of the patient's issued invoices is neither paid nor credited in that currency, a decimal string.
    pub open_invoices: String,
    /// What was paid for the patient in that currency and is on no invoice, a decimal string.
    pub unapplied_credit: String,
    /// The accounts from which the patient's invoices are paid, in every currency, each with all that stands on it: what
    /// its guarantor owes for others, too.
    pub accounts: Vec<Account>,
}

/// Which accounts a list holds; an absent field asks for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountFilter {
    /// Those of this guarantor.
    pub patient_id: Option<PatientId>,
}

/// A patient's own sums in one currency, as the database has them.
#[derive(Clone, Copy, Debug, Default, FromQueryResult)]
pub(super) struct OwnPart {
    pub(super) open_invoices: Decimal,
    pub(super) unapplied_credit: Decimal,
}

/// An account and its sums, as the database has them.
#[derive(Clone, Debug, FromQueryResult)]
pub(super) struct Sums {
    pub(super) id: AccountId,
    pub(super) version: i64,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
    pub(super) patient_id: PatientId,
    pub(super) currency: String,
    pub(super) balance: Decimal,
    pub(super) open_invoices: Decimal,
    pub(super) unapplied_credit: Decimal,
}

impl From<Sums> for Account {
    fn from(row: Sums) -> Self {
        Self {
            id: row.id,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            patient_id: row.patient_id,
            balance: shown(row.balance, &row.currency),
            open_invoices: shown(row.open_invoices, &row.currency),
            unapplied_credit: shown(row.unapplied_credit, &row.currency),
            currency: row.currency,
        }
    }
}
