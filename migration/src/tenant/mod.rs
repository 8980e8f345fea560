//! The tenants' migrations: one ordered list for each module, and what applies them to a schema.
//!
//! [`plan`] orders the modules and tells what is pending, [`render`] writes the SQL, [`fences`] guards what it made, [`apply`] brings
//! one tenant forward, [`fleet`] all of them, [`baseline`] adopts a schema whose tables exist already. What was applied
//! stands in each schema's own [`ledger`].

pub mod apply;
pub mod baseline;
pub mod billing;
pub mod core;
pub mod dental;
pub mod fences;
pub mod fleet;
pub mod ledger;
pub mod plan;
pub mod render;
pub mod script;

use script::Script;

pub use apply::{Applied, MigrateError, Outcome, Subject};
pub use plan::{Plan, PlanError};

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

impl std::fmt::Debug for ModuleMigrations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModuleMigrations")
            .field("module", &self.module)
            .field("requires", &self.requires)
            .field("migrations", &self.migrations.len())
            .finish()
    }
}
