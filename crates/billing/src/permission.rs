//! The rights of the module `billing` and the roles that have them.

use clinicx_types::permission::{
    Permission, PermissionRule,
    Role::{self, Accountant, Dentist, Doctor, Receptionist},
};

/// See invoices, credit notes and what can be billed.
pub const INVOICE_READ: Permission = Permission("invoice.read");
/// Draft invoices and issue them.
pub const INVOICE_WRITE: Permission = Permission("invoice.write");
/// Cancel an issued invoice, or credit something of it.
pub const INVOICE_CANCEL: Permission = Permission("invoice.cancel");
/// See payments.
pub const PAYMENT_READ: Permission = Permission("payment.read");
/// Take payments and allocate them.
pub const PAYMENT_WRITE: Permission = Permission("payment.write");
/// Void a payment.
pub const PAYMENT_VOID: Permission = Permission("payment.void");
/// Give money back.
pub const PAYMENT_REFUND: Permission = Permission("payment.refund");
/// See what accounts owe and how it came about.
pub const ACCOUNT_READ: Permission = Permission("account.read");
/// See the reports on money.
pub const BILLING_REPORT: Permission = Permission("billing.report");
/// Say how the clinic bills.
pub const BILLING_SETTINGS: Permission = Permission("billing.settings");

const fn rule(permission: Permission, roles: &'static [Role], description: &'static str) -> PermissionRule {
    PermissionRule { permission, roles, description }
}

/// The module's lines of the permission table.
pub const RULES: &[PermissionRule] = &[
    rule(
        INVOICE_READ,
        &[Dentist, Doctor, Receptionist, Accountant],
        "See invoices, credit notes and what can be billed",
    ),
    rule(INVOICE_WRITE, &[Receptionist, Accountant], "Draft invoices and issue them"),
    rule(INVOICE_CANCEL, &[Accountant], "Cancel an issued invoice, or credit something of it"),
    rule(PAYMENT_READ, &[Receptionist, Accountant], "See payments"),
    rule(PAYMENT_WRITE, &[Receptionist, Accountant], "Take payments and allocate them"),
    rule(PAYMENT_VOID, &[Accountant], "Void a payment"),
    rule(PAYMENT_REFUND, &[Accountant], "Give money back"),
    rule(ACCOUNT_READ, &[Receptionist, Accountant], "See what accounts owe and how it came about"),
    rule(BILLING_REPORT, &[Accountant], "See the reports on money"),
    rule(BILLING_SETTINGS, &[Accountant], "Say how the clinic bills"),
];
