//! The tables of the module `dental`.

use super::{ModuleMigrations, TenantMigration};

/// The migrations of the module `dental`.
pub const MIGRATIONS: ModuleMigrations =
    ModuleMigrations { module: "dental", requires: &["core"], migrations: LIST };

const LIST: &[TenantMigration] = &[];
