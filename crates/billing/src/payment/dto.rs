//! What callers say and hear about payments.

use chrono::{DateTime, Utc};
use clinicx_core::{
    PatientId,
    validation::{many_lines, one_line},
};
use clinicx_types::calendar;
use schemars::JsonSchema;
use sea_orm::{DeriveActiveEnum, EnumIter};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use validator::Validate;

use super::status::{PaymentMethod, PaymentStatus};
use crate::{AccountId, InvoiceId, PaymentId, RefundId};

/// A payment. Amounts are decimal strings in its currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Payment {
    /// Which one.
    pub id: PaymentId,
    /// Raised by every change, allocations among them; the ETag.
    pub version: i64,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// For whom it was paid.
    pub patient_id: PatientId,
    /// To which account.
    pub account_id: AccountId,
    /// How much.
    pub amount: String,
    /// In which currency (ISO 4217).
    pub currency: String,
    /// By which means.
    pub method: PaymentMethod,
    /// Where it stands.
    pub status: PaymentStatus,
    /// When the money changed hands.
    pub received_at: DateTime<Utc>,
    /// What of it is on invoices.
    pub allocated: String,
    /// What of it was given back.
    pub refunded: String,
    /// What is neither on an invoice nor given back.
    pub unapplied: String,
    /// On which invoices it is now.
    pub allocations: Vec<AllocationShare>,
    /// What it is known by elsewhere, such as a cheque's number.
    pub reference: Option<String>,
    /// Notes.
    pub note: Option<String>,
    /// When it was voided.
    pub voided_at: Option<DateTime<Utc>>,
    /// Why it was voided.
    pub void_reason: Option<String>,
}

/// How much of a payment is on an invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllocationShare {
    /// Which invoice.
    pub invoice_id: InvoiceId,
    /// How much, a decimal string.
    pub amount: String,
}

/// Why money came to an invoice or left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, JsonSchema)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
pub enum AllocationReason {
    /// It was allocated.
    Allocation,
    /// Somebody released it.
    Release,
    /// What it had paid was credited.
    CreditNote,
    /// It was given back.
    Refund,
    /// The payment was voided.
    Void,
}

/// Money that came to an invoice, or left it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Allocation {
    /// Which row.
    pub id: Uuid,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Of which payment.
    pub payment_id: PaymentId,
    /// To which invoice.
    pub invoice_id: InvoiceId,
    /// How much, a decimal string; below zero when it left.
    pub amount: String,
    /// Why.
    pub reason: AllocationReason,
}

/// Money that was given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Refund {
    /// Which one.
    pub id: RefundId,
    /// Always 1: a refund never changes.
    pub version: i64,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
    /// The same.
    pub updated_at: DateTime<Utc>,
    /// Of which payment.
    pub payment_id: PaymentId,
    /// From which account.
    pub account_id: AccountId,
    /// For whom it had been paid.
    pub patient_id: PatientId,
    /// How much, a decimal string.
    pub amount: String,
    /// In which currency (ISO 4217).
    pub currency: String,
    /// By which means.
    pub method: PaymentMethod,
    /// When the money changed hands.
    pub refunded_at: DateTime<Utc>,
    /// Why.
    pub reason: String,
}

/// A new payment.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct CreatePayment {
    /// For whom it is paid.
    pub patient_id: PatientId,
    /// How much, a decimal string.
    pub amount: String,
    /// In which currency (ISO 4217); the clinic's unless said otherwise.
    pub currency: Option<String>,
    /// By which means.
    pub method: PaymentMethod,
    /// `completed` unless it is still under way: `pending`.
    pub status: Option<PaymentStatus>,
    /// When the money changed hands; now unless said otherwise.
    #[serde(default, deserialize_with = "calendar::optional_instant")]
    pub received_at: Option<DateTime<Utc>>,
    /// To which invoices it goes at once.
    #[serde(default)]
    #[validate(length(max = 100))]
    pub allocations: Vec<AllocationShare>,
    /// What it is known by elsewhere, such as a cheque's number.
    #[validate(length(max = 100), custom(function = one_line))]
    pub reference: Option<String>,
    /// Notes.
    #[validate(length(max = 2000), custom(function = many_lines))]
    pub note: Option<String>,
}

/// Where money of a payment goes: one invoice, or several.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct CreateAllocations {
    /// The one invoice.
    pub invoice_id: Option<InvoiceId>,
    /// How much goes to it, a decimal string.
    pub amount: Option<String>,
    /// Several invoices, and how much goes to each.
    #[serde(default)]
    #[validate(length(max = 100))]
    pub allocations: Vec<AllocationShare>,
}

/// What is taken off an invoice again.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct ReleaseAllocation {
    /// Which invoice.
    pub invoice_id: InvoiceId,
    /// How much, a decimal string; all of the payment's unless given.
    pub amount: Option<String>,
}

/// Money to be given back.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct CreateRefund {
    /// How much, a decimal string.
    pub amount: String,
    /// Why.
    #[validate(length(max = 500), custom(function = one_line))]
    pub reason: String,
    /// By which means; as it was paid unless said otherwise.
    pub method: Option<PaymentMethod>,
}

/// Why a payment is voided.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct VoidPayment {
    /// The reason.
    #[validate(length(max = 500), custom(function = one_line))]
    pub reason: Option<String>,
}

/// Which payments a list holds; an absent field asks for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaymentFilter {
    /// Those for this patient.
    pub patient_id: Option<PatientId>,
    /// Those to this account.
    pub account_id: Option<AccountId>,
    /// Those in this state.
    pub status: Option<PaymentStatus>,
    /// Those by this means.
    pub method: Option<PaymentMethod>,
    /// Those of which something is on this invoice.
    pub invoice_id: Option<InvoiceId>,
}
