//! The tables of the module `billing`.

use super::{ModuleMigrations, TenantMigration};

/// The migrations of the module `billing`.
pub const MIGRATIONS: ModuleMigrations =
    ModuleMigrations { module: "billing", requires: &["core"], migrations: LIST };

const LIST: &[TenantMigration] = &[];
