//! What callers say and hear about how a clinic bills.

use chrono::{DateTime, Utc};
use clinicx_core::{
    patch_field::present,
    validation::{many_lines, one_line, refusal},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use validator::{Validate, ValidationError};

/// Who the clinic is on its invoices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The name; the clinic's own stands in for it while there is none.
    #[validate(length(max = 200), custom(function = one_line))]
    pub name: Option<String>,
    /// The address, line by line.
    #[validate(length(max = 500), custom(function = many_lines))]
    pub address: Option<String>,
    /// The number under which the clinic pays taxes.
    #[validate(length(max = 50), custom(function = one_line))]
    pub tax_number: Option<String>,
    /// Telephone, e-mail and the like, line by line.
    #[validate(length(max = 500), custom(function = many_lines))]
    pub contact: Option<String>,
    /// Where to pay, line by line.
    #[validate(length(max = 500), custom(function = many_lines))]
    pub payment_details: Option<String>,
}

/// How the clinic bills.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Settings {
    /// Which settings; a clinic has one of them.
    pub id: Uuid,
    /// Raised by every change; the ETag.
    pub version: i64,
    /// When the clinic got the module.
    pub created_at: DateTime<Utc>,
    /// When they were last changed.
    pub updated_at: DateTime<Utc>,
    /// Who the clinic is on its invoices.
    pub issuer: Issuer,
    /// The first part of invoices' numbers; another one begins a new series.
    pub invoice_prefix: String,
    /// The first part of credit notes' numbers.
    pub credit_note_prefix: String,
    /// The month in which a fiscal year begins, 1 to 12.
    pub fiscal_year_start_month: i16,
    /// How many days after its issue an invoice is due.
    pub payment_terms_days: i16,
}

/// A change of them: an absent field stays as it is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct UpdateSettings {
    /// Who the clinic is on its invoices; it replaces the one before.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Issuer")]
    #[validate(nested)]
    pub issuer: Option<Issuer>,
    /// The first part of invoices' numbers: 1 to 12 capital letters or digits.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String")]
    #[validate(custom(function = prefix))]
    pub invoice_prefix: Option<String>,
    /// The first part of credit notes' numbers: 1 to 12 capital letters or digits, others than those of invoices.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String")]
    #[validate(custom(function = prefix))]
    pub credit_note_prefix: Option<String>,
    /// The month in which a fiscal year begins, 1 to 12.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "i16")]
    #[validate(range(min = 1, max = 12))]
    pub fiscal_year_start_month: Option<i16>,
    /// How many days after its issue an invoice is due, 0 to 365.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "i16")]
    #[validate(range(min = 0, max = 365))]
    pub payment_terms_days: Option<i16>,
}

fn prefix(text: &str) -> Result<(), ValidationError> {
    let fits = (1..=12).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if fits {
        return Ok(());
    }
    Err(refusal("malformed_prefix", "must be 1 to 12 capital letters or digits"))
}
