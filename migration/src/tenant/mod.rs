//! The tenants' migrations: one ordered list for each module, and what applies them to a schema.
//!
//! [`plan`] orders the modules and tells what is pending, [`render`] writes the SQL, [`fences`] guards what it made,
//! [`apply`] brings one tenant forward, [`fleet`] all of them, [`baseline`] adopts a schema whose tables exist already.
//! What was applied stands in each schema's own [`ledger`]; [`drift`] finds what was changed past it.

pub mod apply;
pub mod baseline;
pub mod billing;
pub mod core;
pub mod dental;
pub mod drift;
pub mod fences;
pub mod fleet;
pub mod ledger;
pub mod limits;
pub mod maintain;
pub mod outside;
pub mod plan;
pub mod render;
pub mod script;

use script::Script;

pub use apply::{Applied, MigrateError, Outcome, Subject};
pub use limits::{Limits, Target};
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
    /// The position from which on this program serves a tenant: it neither reads nor writes anything that came later
    /// without looking first. `None` is the newest.
    pub serves_from: Option<i32>,
}

impl ModuleMigrations {
    /// Returns the position of the newest migration.
    pub fn newest(&self) -> i32 {
        i32::try_from(self.migrations.len()).unwrap_or(i32::MAX)
    }

    /// Returns the position from which on this program serves a tenant.
    pub fn oldest_served(&self) -> i32 {
        self.serves_from.map_or_else(|| self.newest(), |position| position.min(self.newest()))
    }
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
