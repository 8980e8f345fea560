//! What callers hear about the ledger.

use chrono::{DateTime, NaiveDate, Utc};
use clinicx_core::PatientId;
use schemars::JsonSchema;
use sea_orm::{DeriveActiveEnum, EnumIter};
use serde::Serialize;
use uuid::Uuid;

use super::entity::Model;
use crate::{AccountId, LedgerEntryId, input::shown};

/// What moves an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, JsonSchema)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// An invoice was issued.
    Invoice,
    /// Something of an invoice was credited.
    CreditNote,
    /// An invoice was cancelled.
    Cancellation,
    /// Money was received.
    Payment,
    /// Money was given back.
    Refund,
    /// A payment was voided.
    Void,
}

/// A movement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Entry {
    /// Which one.
    pub id: LedgerEntryId,
    /// When the row was made.
    pub created_at: DateTime<Utc>,
    /// On which account.
    pub account_id: AccountId,
    /// For whom.
    pub patient_id: PatientId,
    /// What moved.
    pub kind: EntryKind,
    /// The id of the invoice, the note, the payment or the refund.
    pub source_id: Uuid,
    /// How much, a decimal string: above zero is owed to the clinic.
    pub amount: String,
    /// The account's currency (ISO 4217).
    pub currency: String,
    /// When it was booked.
    pub occurred_at: DateTime<Utc>,
    /// The number of the invoice or note.
    pub reference: Option<String>,
}

impl From<Model> for Entry {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            created_at: row.created_at,
            account_id: row.account_id,
            patient_id: row.patient_id,
            kind: row.kind,
            source_id: row.source_id,
            amount: shown(row.amount, &row.currency),
            currency: row.currency,
            occurred_at: row.occurred_at,
            reference: row.reference,
        }
    }
}

/// A movement in a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Movement {
    /// The movement.
    #[serde(flatten)]
    pub entry: Entry,
    /// The account's balance after it, a decimal string.
    pub balance: String,
}

/// What moved an account in a range of days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Statement {
    /// Which account.
    pub account_id: AccountId,
    /// The guarantor.
    pub patient_id: PatientId,
    /// The account's currency (ISO 4217).
    pub currency: String,
    /// The first day, in the clinic's own time.
    pub from: NaiveDate,
    /// The last day.
    pub to: NaiveDate,
    /// The balance before the first day, a decimal string.
    pub opening: String,
    /// The movements, the oldest first.
    pub movements: Vec<Movement>,
    /// The balance after the last day, a decimal string.
    pub closing: String,
}

/// Which movements a list holds; an absent field asks for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerFilter {
    /// Those of this day of the clinic's own time or later.
    pub from: Option<NaiveDate>,
    /// Those of this day of the clinic's own time or before.
    pub to: Option<NaiveDate>,
}
