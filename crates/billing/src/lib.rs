//! Invoices, payments and what is owed: the module `billing`.
//!
//! The crate owns the tables of that module: accounts, what can be billed, invoices with their credit notes, payments
//! with their allocations and refunds, the ledger, installment plans. Its operations take a connection with a tenant
//! applied and a [`TenantScope`](clinicx_persistence::TenantScope); they neither begin nor commit.
//!
//! **Invariant:** money history is only ever added to; a correction is a new row.
//! **Invariant:** an account's balance is the sum of its ledger, and that is its open invoices less its unapplied
//! credit, in every currency for itself.
//! **Invariant:** who needs several rows locks payments before invoices, invoices before charge items and all of them
//! before a series of numbers; rows of one kind by their ids.
//!
//! What is pure stands in [`pricing`], [`crediting`], [`split`] and [`number`]. Entry points: [`invoice::create`],
//! [`invoice::issue`], [`payment::receive`] and their siblings; [`charge_item::BillingCharges`] is where other modules
//! hand over what they did; [`FACTS`] lists rights and events.

pub mod account;
mod change;
pub mod charge_item;
pub mod credit_note;
pub mod crediting;
pub mod document;
pub mod error;
pub mod event;
pub mod input;
pub mod installment_plan;
pub mod invoice;
pub mod ledger;
pub mod number;
pub mod payment;
pub mod permission;
pub mod pricing;
pub mod report;
pub mod sealed;
pub mod settings;
pub mod split;

pub use error::BillingError;

use clinicx_types::module::ModuleFacts;

/// The module's name.
pub const NAME: &str = "billing";

/// The rights and events of the module.
pub const FACTS: ModuleFacts =
    ModuleFacts { permissions: permission::RULES, events: event::ALL, flags: &[], configurations: &[] };

clinicx_types::typed_id! {
    /// Names an account.
    AccountId,
    /// Names something that can be billed.
    ChargeItemId,
    /// Names an invoice.
    InvoiceId,
    /// Names a line of an invoice.
    InvoiceLineId,
    /// Names a credit note.
    CreditNoteId,
    /// Names a payment.
    PaymentId,
    /// Names a refund.
    RefundId,
    /// Names a movement in the ledger.
    LedgerEntryId,
    /// Names an installment plan.
    InstallmentPlanId,
}
