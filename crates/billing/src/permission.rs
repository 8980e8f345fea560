//! The rights of the module `billing` and the roles that have them.

use clinicx_types::permission::{
    Permission, PermissionRule,
    Role::{Accountant, Dentist, Doctor, Receptionist},
};

/// See invoices.
pub const INVOICE_READ: Permission = Permission("invoice.read");
/// Draft invoices and issue them.
pub const INVOICE_WRITE: Permission = Permission("invoice.write");
/// Cancel an issued invoice.
pub const INVOICE_CANCEL: Permission = Permission("invoice.cancel");
/// See payments.
pub const PAYMENT_READ: Permission = Permission("payment.read");
/// Take payments.
pub const PAYMENT_WRITE: Permission = Permission("payment.write");
/// Void a payment.
pub const PAYMENT_VOID: Permission = Permission("payment.void");

/// The module's lines of the permission table.
pub const RULES: &[PermissionRule] = &[
    PermissionRule {
        permission: INVOICE_READ,
        roles: &[Dentist, Doctor, Receptionist, Accountant],
        description: "See invoices",
    },
    PermissionRule {
        permission: INVOICE_WRITE,
        roles: &[Receptionist, Accountant],
        description: "Draft invoices and issue them",
    },
    PermissionRule {
        permission: INVOICE_CANCEL,
        roles: &[Accountant],
        description: "Cancel an issued invoice",
    },
    PermissionRule {
        permission: PAYMENT_READ,
        roles: &[Receptionist, Accountant],
        description: "See payments",
    },
    PermissionRule {
        permission: PAYMENT_WRITE,
        roles: &[Receptionist, Accountant],
        description: "Take payments",
    },
    PermissionRule { permission: PAYMENT_VOID, roles: &[Accountant], description: "Void a payment" },
];
