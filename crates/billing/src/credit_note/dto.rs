//! What callers say and hear about credit notes.

use chrono::{DateTime, NaiveDate, Utc};
use clinicx_core::{PatientId, validation::one_line};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use crate::{AccountId, CreditNoteId, InvoiceId, InvoiceLineId, invoice::TaxLine};

/// A credit note. Amounts are decimal strings in the invoice's currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CreditNote {
    /// Which one.
    pub id: CreditNoteId,
    /// Always 1: a note never changes.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The same.
    pub updated_at: DateTime<Utc>,
    /// Of which invoice.
    pub invoice_id: InvoiceId,
    /// On which account.
    pub account_id: AccountId,
    /// For whom something had been done.
    pub patient_id: PatientId,
    /// Its number.
    pub number: String,
    /// The invoice's currency (ISO 4217).
    pub currency: String,
    /// What is taken back.
    pub lines: Vec<CreditNoteLine>,
    /// The taxes, one entry for each rate.
    pub taxes: Vec<TaxLine>,
    /// The sum of the lines.
    pub net: String,
    /// The sum of the taxes.
    pub tax: String,
    /// Both.
    pub gross: String,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// The clinic's local day of it.
    pub issued_on: NaiveDate,
    /// Why.
    pub reason: String,
}

/// How much of a line is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CreditNoteLine {
    /// Which line of the invoice.
    pub invoice_line_id: InvoiceLineId,
    /// How many, a decimal string.
    pub quantity: String,
    /// What they come to.
    pub net: String,
    /// The tax in percent, a decimal string.
    pub tax_rate: String,
}

/// A new credit note.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct CreateCreditNote {
    /// What is taken back; all that is left unless lines are named.
    #[validate(length(min = 1, max = 200))]
    pub lines: Option<Vec<CreditedLine>>,
    /// Why.
    #[validate(length(max = 500), custom(function = one_line))]
    pub reason: String,
}

/// How much of a line is to be taken back.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreditedLine {
    /// Which line of the invoice.
    pub invoice_line_id: InvoiceLineId,
    /// How many, a decimal string; all that are left unless given.
    pub quantity: Option<String>,
}
