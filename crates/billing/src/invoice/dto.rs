//! What callers say and hear about invoices.

use chrono::{DateTime, NaiveDate, Utc};
use clinicx_core::{
    PatientId, ServiceId, StaffId,
    patch_field::{nullable, present},
    validation::{many_lines, one_line},
};
use clinicx_types::calendar;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use validator::Validate;

use super::{recipient::Recipient, status::InvoiceStatus};
use crate::{AccountId, ChargeItemId, InvoiceId, InvoiceLineId, settings::Issuer};

/// An invoice. Amounts are decimal strings in its currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Invoice {
    /// Which one.
    pub id: InvoiceId,
    /// Raised by every change, payments among them, the ETag; whether it is overdue follows from the day.
    pub version: i64,
    /// When it was drafted.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Its number; none before it is issued.
    pub number: Option<String>,
    /// Where it stands.
    pub status: InvoiceStatus,
    /// For whom something was done.
    pub patient_id: PatientId,
    /// From which account it is paid.
    pub account_id: AccountId,
    /// The currency of all its amounts (ISO 4217).
    pub currency: String,
    /// What stands on it.
    pub lines: Vec<InvoiceLine>,
    /// The taxes, one entry for each rate.
    pub taxes: Vec<TaxLine>,
    /// What a discount on the whole takes off; it is split over the lines.
    pub discount: String,
    /// The discount on the whole in percent, when it was given so.
    pub discount_percent: Option<String>,
    /// The sum of the lines.
    pub net: String,
    /// The sum of the taxes.
    pub tax: String,
    /// Both.
    pub gross: String,
    /// What payments cover.
    pub allocated: String,
    /// What credit notes take back.
    pub credited: String,
    /// What is left to be paid.
    pub due: String,
    /// Whether something of it is paid or credited, and not all.
    pub partly_paid: bool,
    /// Whether something is due and the day for it is over: its own, or that of an open part of an active plan.
    pub overdue: bool,
    /// When it was issued.
    pub issued_at: Option<DateTime<Utc>>,
    /// The clinic's local day of it.
    pub issued_on: Option<NaiveDate>,
    /// The last day on which it is not overdue, unless an installment plan says others.
    pub due_on: Option<NaiveDate>,
    /// When it was cancelled.
    pub cancelled_at: Option<DateTime<Utc>>,
    /// Why it was cancelled.
    pub cancellation_reason: Option<String>,
    /// Who the clinic was when it was issued.
    pub issuer: Option<Issuer>,
    /// Who was to pay when it was issued.
    pub recipient: Option<Recipient>,
    /// What is written below it.
    pub note: Option<String>,
}

/// A line of an invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InvoiceLine {
    /// Which one.
    pub id: InvoiceLineId,
    /// What it says.
    pub description: String,
    /// How many, a decimal string.
    pub quantity: String,
    /// The net price of one.
    pub unit_price: String,
    /// What its own discount takes off.
    pub discount: String,
    /// Its own discount in percent, when it was given so.
    pub discount_percent: Option<String>,
    /// Its part of the discount on the whole.
    pub header_discount: String,
    /// What it comes to.
    pub net: String,
    /// The tax in percent, a decimal string.
    pub tax_rate: String,
    /// What was done, when a module handed it over.
    pub charge_item_id: Option<ChargeItemId>,
    /// The clinic's local day on which it was done, when a module handed it over.
    pub performed_on: Option<NaiveDate>,
    /// By whom.
    pub staff_id: Option<StaffId>,
    /// The service that it was.
    pub service_id: Option<ServiceId>,
    /// The code in a module's own catalogue.
    pub code: Option<String>,
    /// How many were credited, a decimal string.
    pub credited_quantity: String,
}

/// The tax of one rate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TaxLine {
    /// The rate in percent, a decimal string.
    pub rate: String,
    /// The sum of the nets at that rate.
    pub net: String,
    /// The tax on it.
    pub tax: String,
}

/// A new draft.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct CreateInvoice {
    /// For whom something was done; their guarantor pays.
    pub patient_id: PatientId,
    /// The currency of all amounts (ISO 4217); the clinic's unless said otherwise.
    pub currency: Option<String>,
    /// What stands on it.
    #[validate(length(max = 200), nested)]
    pub lines: Vec<LineInput>,
    /// An amount off the whole, a decimal string.
    pub discount: Option<String>,
    /// A share off the whole in percent, a decimal string.
    pub discount_percent: Option<String>,
    /// The last day on which it is not overdue; the clinic's payment terms say unless given.
    #[serde(default, deserialize_with = "calendar::optional_day")]
    pub due_on: Option<NaiveDate>,
    /// What is written below it.
    #[validate(length(max = 2000), custom(function = many_lines))]
    pub note: Option<String>,
}

/// A new line.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct LineInput {
    /// What it says; the words of what was done or of the service unless given.
    #[validate(length(max = 500), custom(function = one_line))]
    pub description: Option<String>,
    /// How many, a decimal string; the treatment's number or one unless given.
    pub quantity: Option<String>,
    /// The net price of one, a decimal string; the treatment's or service's unless given, if they have one.
    pub unit_price: Option<String>,
    /// An amount off the line, a decimal string.
    pub discount: Option<String>,
    /// A share off the line in percent, a decimal string.
    pub discount_percent: Option<String>,
    /// The tax in percent, a decimal string; the treatment's or service's unless given, else none.
    pub tax_rate: Option<String>,
    /// A completed treatment, which is billed once.
    pub treatment_id: Option<Uuid>,
    /// Something else that a module has handed over, or a treatment by its charge item; it is billed once, too.
    pub charge_item_id: Option<ChargeItemId>,
    /// By whom; the treatment's performer unless given.
    pub staff_id: Option<StaffId>,
    /// The service that it was.
    pub service_id: Option<ServiceId>,
}

/// A change of a draft: an absent field stays as it is, `null` clears it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct UpdateInvoice {
    /// What stands on it; it replaces all lines.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Vec<LineInput>")]
    #[validate(length(max = 200), nested)]
    pub lines: Option<Vec<LineInput>>,
    /// An amount off the whole, a decimal string; it replaces a share in percent.
    #[serde(default, deserialize_with = "nullable")]
    pub discount: Option<Option<String>>,
    /// A share off the whole in percent, a decimal string; it replaces an amount.
    #[serde(default, deserialize_with = "nullable")]
    pub discount_percent: Option<Option<String>>,
    /// The last day on which it is not overdue.
    #[serde(default, deserialize_with = "calendar::nullable_day")]
    pub due_on: Option<Option<NaiveDate>>,
    /// What is written below it.
    #[serde(default, deserialize_with = "nullable")]
    #[validate(length(max = 2000), custom(function = many_lines))]
    pub note: Option<Option<String>>,
}

/// Why an invoice is cancelled.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct CancelInvoice {
    /// The reason.
    #[validate(length(max = 500), custom(function = one_line))]
    pub reason: Option<String>,
}

/// Which invoices a list holds; an absent field asks for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InvoiceFilter {
    /// Those of this patient.
    pub patient_id: Option<PatientId>,
    /// Those that are paid from this account.
    pub account_id: Option<AccountId>,
    /// Those in these states.
    pub statuses: Vec<InvoiceStatus>,
    /// Those that are overdue, or those that are not.
    pub overdue: Option<bool>,
}
