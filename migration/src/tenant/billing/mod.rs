//! The tables of the module `billing`.

mod invoices;
mod payments;

use super::{ModuleMigrations, TenantMigration};

/// The migrations of the module `billing`.
pub const MIGRATIONS: ModuleMigrations =
    ModuleMigrations { module: "billing", requires: &["core"], migrations: LIST };

const LIST: &[TenantMigration] = &[invoices::CREATE_INVOICES, payments::CREATE_PAYMENTS];
