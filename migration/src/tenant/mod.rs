//! The tenants' migrations: one ordered list for each module.

pub mod billing;
pub mod core;
pub mod dental;
pub mod script;

use script::Script;

/// One step forward of a module's tables.
#[derive(Clone, Copy)]
pub struct TenantMigration {
    /// Its name in the ledger: `m<number>_<what it does>`; unique in the module, never changed.
    pub name: &'static str,
    /// Writes what it does.
    pub up: fn(&mut Script),
    /// How it is undone.
    pub down: Down,
}

/// How a migration is undone.
#[derive(Clone, Copy)]
pub enum Down {
    /// By these statements.
    Script(fn(&mut Script)),
    /// Not at all, and why not.
    Irreversible(&'static str),
}

/// A module's migrations.
#[derive(Clone, Copy)]
pub struct ModuleMigrations {
    /// The module's name.
    pub module: &'static str,
    /// The modules whose tables must be there first; every module but core needs core.
    pub requires: &'static [&'static str],
    /// Its migrations, oldest first; only ever appended to.
    pub migrations: &'static [TenantMigration],
}
