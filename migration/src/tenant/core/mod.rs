//! The tables of the module `core`.

use super::{ModuleMigrations, TenantMigration};

/// The migrations of the module `core`.
pub const MIGRATIONS: ModuleMigrations =
    ModuleMigrations { module: "core", requires: &[], migrations: LIST };

const LIST: &[TenantMigration] = &[];
