//! Which migrations a tenant with certain modules has, in which order, and which of them are pending.

use std::{collections::BTreeMap, sync::Arc};

use clinicx_types::version::SchemaVersion;

use super::{
    Down, ModuleMigrations, TenantMigration, ledger::LedgerRow, limits::Limits, outside::Outside, render,
};

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
    /// A step outside of transactions has others beside it.
    #[error("a step outside of transactions must be alone in its migration; {module}/{name} has more")]
    Mixed {
        /// The module.
        module: &'static str,
        /// The migration.
        name: &'static str,
    },
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
    /// The step outside of transactions that it is, if it is one.
    pub outside: Option<Outside>,
    /// Why it may take away what programs before it need, if it does.
    pub contracts: Option<&'static str>,
}

/// What lies between a schema and where it is to be brought.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// What is to be applied, in its order.
    pub up: Vec<PlannedMigration>,
    /// What is applied and lies beyond the limits, the last first.
    pub down: Vec<PlannedMigration>,
    /// How many migrations of each of its modules the schema has had.
    pub applied: BTreeMap<&'static str, i32>,
}

impl Work {
    /// Tells whether the schema is where it is to be, and not beyond.
    pub fn is_done(&self) -> bool {
        self.up.is_empty() && self.down.is_empty()
    }
}

impl std::fmt::Debug for PlannedMigration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.module, self.migration.name)
    }
}

impl PlannedMigration {
    fn new(module: &'static str, position: i32, migration: TenantMigration) -> Result<Self, PlanError> {
        let script = render::for_nobody(&migration);
        if script.is_mixed() {
            return Err(PlanError::Mixed { module, name: migration.name });
        }
        let (outside, contracts) = (script.outside(), script.contracts());
        let checksum = render::checksum(script).into();
        Ok(Self { module, position, migration, checksum, outside, contracts })
    }

    /// Tells why it can't be undone, if it can't.
    pub fn irreversible(&self) -> Option<&'static str> {
        match self.migration.down {
            Down::Irreversible(why) => Some(why),
            Down::Script(_) => None,
        }
    }
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
    /// [`PlanError::MissingRequirement`], [`PlanError::Unordered`], [`PlanError::Mixed`].
    pub fn new(modules: impl IntoIterator<Item = ModuleMigrations>) -> Result<Self, PlanError> {
        let modules = order(modules.into_iter().collect())?;
        let mut migrations = Vec::new();
        for module in &modules {
            for (position, migration) in (1_i32..).zip(module.migrations) {
                migrations.push(PlannedMigration::new(module.module, position, *migration)?);
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

    /// Returns the plan as it was when the modules went no further than this.
    pub fn upto(&self, limits: &Limits) -> Self {
        let cut = |module: &ModuleMigrations| {
            let limit = limits.of(module.module).and_then(|limit| usize::try_from(limit).ok());
            let migrations = limit.and_then(|limit| module.migrations.get(..limit));
            ModuleMigrations { migrations: migrations.unwrap_or(module.migrations), ..*module }
        };
        let allowed = |one: &&PlannedMigration| limits.allows(one.module, one.position);
        Self {
            modules: self.modules.iter().map(cut).collect(),
            migrations: self.migrations.iter().filter(allowed).cloned().collect(),
        }
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
        self.modules.iter().map(|module| (module.module, module.newest())).collect()
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
        self.work(ledger, &Limits::default()).map(|work| work.up)
    }

    /// Compares a ledger with the plan and tells what lies between the schema and the limits.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn work(&self, ledger: &[LedgerRow], limits: &Limits) -> Result<Work, LedgerError> {
        let mut applied: BTreeMap<&'static str, i32> = self.modules().map(|module| (module, 0)).collect();
        let mut had = vec![false; self.migrations.len()];
        for row in ledger {
            let Some(count) = applied.get_mut(row.module.as_str()) else { continue };
            *count += 1;
            let is_there = |one: &PlannedMigration| one.module == row.module && one.position == row.position;
            let found = self.migrations.iter().zip(&mut had).find(|(one, _)| is_there(one));
            match found {
                Some((one, had)) if one.migration.name == row.name => {
                    if *one.checksum != *row.checksum {
                        return Err(LedgerError::ChecksumMismatch {
                            module: row.module.clone(),
                            name: row.name.clone(),
                        });
                    }
                    *had = true;
                }
                _ => {
                    return Err(LedgerError::UnknownMigration {
                        module: row.module.clone(),
                        name: row.name.clone(),
                    });
                }
            }
        }
        let mut work = Work { applied, ..Work::default() };
        for (one, had) in self.migrations.iter().zip(had) {
            match (limits.allows(one.module, one.position), had) {
                (true, false) => work.up.push(one.clone()),
                (false, true) => work.down.push(one.clone()),
                (true, true) | (false, false) => {}
            }
        }
        work.down.reverse();
        Ok(work)
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
        ModuleMigrations { module, requires, migrations, serves_from: None }
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
    fn limits_say_what_is_done_and_what_is_undone() {
        let plan = Plan::new([module("core", &[], TWO), module("dental", &["core"], TWO)]).unwrap();
        let limits: Limits = "core=1".parse().unwrap();
        let work = plan.work(&[row(&plan, 0), row(&plan, 1)], &limits).unwrap();
        assert_eq!(format!("{:?}", work.down), "[core/m0002_b]");
        assert_eq!(format!("{:?}", work.up), "[dental/m0001_a, dental/m0002_b]");
        assert_eq!(work.applied, BTreeMap::from([("core", 2), ("dental", 0)]));
        assert_eq!(plan.upto(&limits).version().to_string(), "1.1.2");
        assert!(plan.upto(&limits).work(&[row(&plan, 0)], &limits).unwrap().down.is_empty());
    }

    #[test]
    fn a_step_outside_of_transactions_is_alone() {
        const ALONE: &[TenantMigration] = &[TenantMigration {
            name: "m0001_index",
            up: |script| script.create_index_concurrently(INDEX),
            down: Down::Irreversible("a test"),
        }];
        const MIXED: &[TenantMigration] = &[TenantMigration {
            name: "m0001_index",
            up: |script| {
                script.sql("SELECT 1");
                script.create_index_concurrently(INDEX);
            },
            down: Down::Irreversible("a test"),
        }];
        const INDEX: crate::tenant::outside::ConcurrentIndex = crate::tenant::outside::ConcurrentIndex {
            name: "ix_a__b",
            table: "a",
            on: "(b)",
            is_unique: false,
        };
        let plan = Plan::new([module("core", &[], ALONE)]).unwrap();
        assert_eq!(plan.migrations()[0].outside, Some(Outside::Index(INDEX)));
        let mixed = Plan::new([module("core", &[], MIXED)]).map(|_| ()).unwrap_err();
        assert_eq!(mixed, PlanError::Mixed { module: "core", name: "m0001_index" });
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
