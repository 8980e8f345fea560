//! Invoices and payments: the module `billing`.
//!
//! The crate owns the tables `invoices` and `payments` of the tenants that have the module, and names who may do
//! what with them. **Invariant:** money history is only ever added to; a correction is a new row.
//!
//! Entry point: [`FACTS`], which the application's list of modules takes together with
//! [`clinicx_migration::tenant::billing::MIGRATIONS`].

pub mod event;
pub mod permission;

use clinicx_types::module::ModuleFacts;

/// The module's name.
pub const NAME: &str = "billing";

/// The rights and events of the module.
pub const FACTS: ModuleFacts =
    ModuleFacts { permissions: permission::RULES, events: event::ALL, flags: &[], configurations: &[] };

clinicx_types::typed_id! {
    /// Names an invoice.
    InvoiceId,
    /// Names a payment.
    PaymentId,
}
