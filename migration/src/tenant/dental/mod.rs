//! The tables of the module `dental`.

mod charts;
mod treatments;

use super::{ModuleMigrations, TenantMigration};

/// The migrations of the module `dental`.
pub const MIGRATIONS: ModuleMigrations =
    ModuleMigrations { module: "dental", requires: &["core"], migrations: LIST };

const LIST: &[TenantMigration] = &[charts::CREATE_DENTAL_CHARTS, treatments::CREATE_TREATMENTS];
