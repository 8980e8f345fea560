//! The tables of the module `billing`.

mod accounts;
mod allocations;
mod amendments;
mod charge_items;
mod credit_notes;
mod extensions;
mod installments;
mod invoice_lines;
mod invoices;
mod ledger_entries;
mod payments;

use super::{ModuleMigrations, TenantMigration};

/// The migrations of the module `billing`.
pub const MIGRATIONS: ModuleMigrations =
    ModuleMigrations { module: "billing", requires: &["core"], migrations: LIST, serves_from: None };

const LIST: &[TenantMigration] = &[
    invoices::CREATE_INVOICES,
    payments::CREATE_PAYMENTS,
    accounts::CREATE_ACCOUNTS,
    accounts::CREATE_BILLING_SETTINGS,
    accounts::CREATE_NUMBER_SERIES,
    extensions::EXTEND_INVOICES,
    charge_items::CREATE_CHARGE_ITEMS,
    invoice_lines::CREATE_INVOICE_LINES,
    invoice_lines::CREATE_INVOICE_TAXES,
    credit_notes::CREATE_CREDIT_NOTES,
    credit_notes::CREATE_CREDIT_NOTE_LINES,
    credit_notes::CREATE_CREDIT_NOTE_TAXES,
    extensions::EXTEND_PAYMENTS,
    allocations::CREATE_PAYMENT_ALLOCATIONS,
    allocations::CREATE_REFUNDS,
    ledger_entries::CREATE_LEDGER_ENTRIES,
    installments::CREATE_INSTALLMENT_PLANS,
    installments::CREATE_INSTALLMENTS,
    amendments::ALLOW_CHARGE_ITEMS_WITHOUT_PRICE,
    amendments::TIE_PREFIXES_TO_KINDS,
    amendments::FIND_LEDGER_ENTRIES_BY_DAY,
    amendments::DATE_INVOICE_LINES,
    amendments::BEGIN_BILLING_SETTINGS,
];
