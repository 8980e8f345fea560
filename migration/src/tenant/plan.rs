//! Which migrations a tenant with certain modules has, in which order, and which of them are pending.

use std::{collections::BTreeMap, sync::Arc};

use clinicx_types::version::SchemaVersion;

use super::{ModuleMigrations, TenantMigration, ledger::LedgerRow, render};

/// Why modules can't be put together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No module of this name is known to the program.
    #[error("module {0} is unknown")]
    UnknownModule(String),
    /// A module needs another that is not there.
    #[error("module {module} requires module {requires}")]
    MissingRequirement {
        /// The module that was asked for.
        module: &'static str,
        /// What it needs.
        requires: &'static str,
    },
    /// Two modules have the same name, or they require each other.
    #[error("modules {0:?} have the same name or require each other")]
    Unordered(Vec<&'static str>),
}

/// Why a schema can't be brought forward: its ledger does not agree with the program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// A migration was changed after it had been applied.
    #[error("migration {module}/{name} was changed after it had been applied")]
    ChecksumMismatch {
        /// The module.
        module: String,
        /// The migration.
        name: String,
    },
    /// The ledger names a migration at a place where the program has none, or another: the schema is newer than
    /// the program, or the list was reordered.
    #[error("the schema has migration {module}/{name}, which this program does not have there")]
    UnknownMigration {
        /// The module.
        module: String,
        /// The migration.
        name: String,
    },
}

/// A migration and its checksum.
#[derive(Clone)]
pub struct PlannedMigration {
    /// The module.
    pub module: &'static str,
    /// Its place in the module's list, from 1.
    pub position: i32,
    /// What it does.
    pub migration: TenantMigration,
    /// SHA-256 over its script, written for a fixed placeholder tenant, as hexadecimal digits.
    pub checksum: Arc<str>,
}

/// The modules of one kind of tenant with their migrations, in the order in which they run.
#[derive(Clone)]
pub struct Plan {
    modules: Vec<ModuleMigrations>,
    migrations: Vec<PlannedMigration>,
}

impl Plan {
    /// Puts modules in an order in which each comes after what it requires.
    ///
    /// # Errors
    /// [`PlanError::MissingRequirement`], [`PlanError::Unordered`].
    pub fn new(modules: impl IntoIterator<Item = ModuleMigrations>) -> Result<Self, PlanError> {
        let modules = order(modules.into_iter().collect())?;
        let mut migrations = Vec::new();
        for module in &modules {
            for (position, migration) in (1_i32..).zip(module.migrations) {
                let checksum = render::checksum(migration).into();
                migrations.push(PlannedMigration {
                    module: module.module,
                    position,
                    migration: *migration,
                    checksum,
                });
            }
        }
        Ok(Self { modules, migrations })
    }

    /// Returns the plan of those modules of this one that are named.
    ///
    /// # Errors
    /// [`PlanError::UnknownModule`], [`PlanError::MissingRequirement`].
    pub fn of_modules<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<Self, PlanError> {
        let mut modules = Vec::new();
        for name in names {
            let found = self.modules.iter().find(|module| module.module == name);
            modules.push(*found.ok_or_else(|| PlanError::UnknownModule(name.to_owned()))?);
        }
        let modules = order(modules)?;
        let mut migrations = Vec::new();
        for module in &modules {
            migrations.extend(self.migrations.iter().filter(|one| one.module == module.module).cloned());
        }
        Ok(Self { modules, migrations })
    }

    /// Lists the modules in their order.
    pub fn modules(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.modules.iter().map(|module| module.module)
    }

    /// Lists the migrations in their order.
    pub fn migrations(&self) -> &[PlannedMigration] {
        &self.migrations
    }

    /// Returns how many migrations each module has.
    pub fn counts(&self) -> BTreeMap<&'static str, i32> {
        let count = |module: &ModuleMigrations| i32::try_from(module.migrations.len()).unwrap_or(i32::MAX);
        self.modules.iter().map(|module| (module.module, count(module))).collect()
    }

    /// Returns the version of a schema to which everything was applied.
    pub fn version(&self) -> SchemaVersion {
        version_of(self.counts())
    }

    /// Compares a ledger with the plan and lists what has not been applied.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn pending(&self, ledger: &[LedgerRow]) -> Result<Vec<PlannedMigration>, LedgerError> {
        let mut pending = self.migrations.clone();
        for row in ledger {
            if !self.modules.iter().any(|module| module.module == row.module) {
                continue;
            }
            let unknown =
                || LedgerError::UnknownMigration { module: row.module.clone(), name: row.name.clone() };
            let at = pending
                .iter()
                .position(|one| one.module == row.module && one.position == row.position)
                .ok_or_else(unknown)?;
            let planned = pending.remove(at);
            if planned.migration.name != row.name {
                return Err(unknown());
            }
            if *planned.checksum != *row.checksum {
                return Err(LedgerError::ChecksumMismatch {
                    module: row.module.clone(),
                    name: row.name.clone(),
                });
            }
        }
        Ok(pending)
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("modules", &self.modules).finish_non_exhaustive()
    }
}

/// Returns the schema version for a number of applied migrations of each module.
pub fn version_of<'a>(counts: impl IntoIterator<Item = (&'a str, i32)>) -> SchemaVersion {
    let mut version = SchemaVersion::default();
    for (module, count) in counts {
        let count = u32::try_from(count).unwrap_or_default();
        if module == "core" {
            version.core += count;
        } else {
            version.modules += count;
        }
    }
    version
}

fn order(mut rest: Vec<ModuleMigrations>) -> Result<Vec<ModuleMigrations>, PlanError> {
    for module in &rest {
        for requires in module.requires {
            if !rest.iter().any(|other| other.module == *requires) {
                return Err(PlanError::MissingRequirement { module: module.module, requires });
            }
        }
    }
    let mut ordered: Vec<ModuleMigrations> = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let has = |name: &str| ordered.iter().any(|module| module.module == name);
        let ready = rest
            .iter()
            .position(|module| !has(module.module) && module.requires.iter().all(|requires| has(requires)));
        let Some(ready) = ready else {
            return Err(PlanError::Unordered(rest.iter().map(|module| module.module).collect()));
        };
        ordered.push(rest.remove(ready));
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::Down;

    const fn migration(name: &'static str) -> TenantMigration {
        TenantMigration { name, up: |script| script.sql("SELECT 1"), down: Down::Irreversible("a test") }
    }

    const TWO: &[TenantMigration] = &[migration("m0001_a"), migration("m0002_b")];

    const fn module(
        module: &'static str,
        requires: &'static [&'static str],
        migrations: &'static [TenantMigration],
    ) -> ModuleMigrations {
        ModuleMigrations { module, requires, migrations }
    }

    fn row(plan: &Plan, at: usize) -> LedgerRow {
        let one = &plan.migrations()[at];
        LedgerRow {
            module: one.module.to_owned(),
            position: one.position,
            name: one.migration.name.to_owned(),
            checksum: one.checksum.to_string(),
        }
    }

    #[test]
    fn modules_come_after_what_they_require() {
        let plan = Plan::new([
            module("lab", &["core", "dental"], &[]),
            module("dental", &["core"], TWO),
            module("core", &[], TWO),
        ])
        .unwrap();
        assert_eq!(plan.modules().collect::<Vec<_>>(), ["core", "dental", "lab"]);
        assert_eq!(plan.version().to_string(), "1.2.2");
        assert_eq!(plan.of_modules(["core"]).unwrap().version().to_string(), "1.2.0");
    }

    #[test]
    fn modules_that_do_not_fit_are_refused() {
        let check = |modules: Vec<ModuleMigrations>, expected: PlanError| {
            assert_eq!(Plan::new(modules).map(|_| ()).unwrap_err(), expected);
        };
        check(
            vec![module("dental", &["core"], &[])],
            PlanError::MissingRequirement { module: "dental", requires: "core" },
        );
        check(vec![module("a", &["b"], &[]), module("b", &["a"], &[])], PlanError::Unordered(vec!["a", "b"]));
        check(vec![module("a", &[], &[]), module("a", &[], &[])], PlanError::Unordered(vec!["a"]));
        let plan = Plan::new([module("core", &[], TWO)]).unwrap();
        assert_eq!(plan.of_modules(["x"]).map(|_| ()), Err(PlanError::UnknownModule("x".to_owned())));
    }

    #[test]
    fn pending_is_what_the_ledger_does_not_name() {
        let plan = Plan::new([module("core", &[], TWO)]).unwrap();
        assert_eq!(plan.pending(&[]).unwrap().len(), 2);
        let rest = plan.pending(&[row(&plan, 0)]).unwrap();
        assert_eq!(rest.iter().map(|one| one.migration.name).collect::<Vec<_>>(), ["m0002_b"]);
    }

    #[test]
    fn a_ledger_that_disagrees_is_refused() {
        let plan = Plan::new([module("core", &[], TWO)]).unwrap();
        let changed = LedgerRow { checksum: "0".repeat(64), ..row(&plan, 0) };
        assert!(matches!(plan.pending(&[changed]), Err(LedgerError::ChecksumMismatch { .. })));
        let renamed = LedgerRow { name: "m0001_x".to_owned(), ..row(&plan, 0) };
        assert!(matches!(plan.pending(&[renamed]), Err(LedgerError::UnknownMigration { .. })));
        let newer = LedgerRow { position: 3, ..row(&plan, 1) };
        assert!(matches!(plan.pending(&[newer]), Err(LedgerError::UnknownMigration { .. })));
        let other_module = LedgerRow { module: "dental".to_owned(), ..row(&plan, 0) };
        assert_eq!(plan.pending(&[other_module]).unwrap().len(), 2);
    }
}
