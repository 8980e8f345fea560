//! The modules that the application was built with, and what a tenant with some of them has.

use std::collections::{BTreeMap, BTreeSet};

use clinicx_migration::tenant::{ModuleMigrations, Plan, PlanError};
use clinicx_types::{
    module::{EventType, ModuleFacts},
    name::{ModuleName, NameError},
    permission::PermissionRule,
    setting::{Declared, FeatureFlag},
};

use crate::{configuration::OF_THE_PLATFORM, error::TenancyError, tenant::Tenant};

/// A part of the service that a tenant can have.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// Its name, such as `dental`.
    pub name: &'static str,
    /// Its tables. A module that requires no other belongs to every tenant.
    pub migrations: ModuleMigrations,
    /// Its rights and events.
    pub facts: ModuleFacts,
}

/// Why modules can't make an application together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError {
    /// A module's name is none, or its migrations go by another.
    #[error("module {0:?} has a name that is none, or migrations under another")]
    Name(&'static str),
    /// Two modules declare the same permission.
    #[error("permission {0} is declared twice")]
    PermissionTwice(&'static str),
    /// Two modules declare the same event.
    #[error("event {0} is declared twice")]
    EventTwice(&'static str),
    /// Two modules declare the same feature flag or configuration.
    #[error("setting {0} is declared twice")]
    SettingTwice(&'static str),
    /// A configuration's own default is not acceptable to it.
    #[error("the default of setting {0} is none of its values")]
    SettingDefault(&'static str),
    /// Their migrations don't fit together.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// The modules of an application.
#[derive(Clone, Debug)]
pub struct ModuleRegistry {
    modules: BTreeMap<ModuleName, Module>,
    plan: Plan,
}

impl ModuleRegistry {
    /// Puts modules together and checks that they fit.
    ///
    /// # Errors
    /// [`ModuleError`].
    pub fn new(modules: impl IntoIterator<Item = Module>) -> Result<Self, ModuleError> {
        let mut by_name = BTreeMap::new();
        let mut permissions = BTreeSet::new();
        let mut events = BTreeSet::new();
        let mut settings = BTreeSet::new();
        check_settings(&mut settings, &[], OF_THE_PLATFORM)?;
        let mut migrations = Vec::new();
        for module in modules {
            let name =
                ModuleName::parse(module.name).map_err(|_: NameError| ModuleError::Name(module.name))?;
            if module.migrations.module != module.name {
                return Err(ModuleError::Name(module.name));
            }
            for rule in module.facts.permissions {
                if !permissions.insert(rule.permission) {
                    return Err(ModuleError::PermissionTwice(rule.permission.0));
                }
            }
            for event in module.facts.events {
                if !events.insert(*event) {
                    return Err(ModuleError::EventTwice(event.0));
                }
            }
            check_settings(&mut settings, module.facts.flags, module.facts.configurations)?;
            migrations.push(module.migrations);
            by_name.insert(name, module);
        }
        Ok(Self { modules: by_name, plan: Plan::new(migrations)? })
    }

    /// Returns every module's migrations.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Lists the names of the modules.
    pub fn names(&self) -> impl Iterator<Item = &ModuleName> {
        self.modules.keys()
    }

    /// Finds a module.
    pub fn find(&self, name: &str) -> Option<&Module> {
        self.modules.iter().find(|(known, _)| known.as_str() == name).map(|(_, module)| module)
    }

    /// Lists every line of the permission table.
    pub fn permissions(&self) -> impl Iterator<Item = &'static PermissionRule> {
        self.modules.values().flat_map(|module| module.facts.permissions)
    }

    /// Lists the lines of the permission table of some modules.
    pub fn permissions_of<'a>(
        &'a self,
        names: &'a BTreeSet<ModuleName>,
    ) -> impl Iterator<Item = &'static PermissionRule> + 'a {
        names.iter().filter_map(|name| self.modules.get(name)).flat_map(|module| module.facts.permissions)
    }

    /// Lists every feature flag.
    pub fn flags(&self) -> impl Iterator<Item = &'static FeatureFlag> + '_ {
        self.modules.values().flat_map(|module| module.facts.flags)
    }

    /// Lists every configuration, the platform's own among them.
    pub fn configurations(&self) -> impl Iterator<Item = &'static dyn Declared> + '_ {
        let of_modules = self.modules.values().flat_map(|module| module.facts.configurations);
        OF_THE_PLATFORM.iter().chain(of_modules).copied()
    }

    /// Lists every event.
    pub fn events(&self) -> impl Iterator<Item = EventType> + '_ {
        self.modules.values().flat_map(|module| module.facts.events.iter().copied())
    }

    /// Adds what the named modules require, and what every tenant has.
    pub fn with_required(&self, names: impl IntoIterator<Item = ModuleName>) -> BTreeSet<ModuleName> {
        let base = self.modules.iter().filter(|(_, module)| module.migrations.requires.is_empty());
        let mut open: Vec<ModuleName> = base.map(|(name, _)| name.clone()).chain(names).collect();
        let mut all = BTreeSet::new();
        while let Some(name) = open.pop() {
            if let Some(module) = self.modules.get(&name) {
                let required = |requires: &&'static str| ModuleName::parse(requires).ok();
                open.extend(module.migrations.requires.iter().filter_map(required));
            }
            all.insert(name);
        }
        all
    }

    /// Refuses a tenant whose schema is older than the oldest that this program serves, or that has a module which
    /// this program was built without. One that is newer is served: what the next program adds, this one can be
    /// without.
    ///
    /// # Errors
    /// [`TenancyError::UpgradeRequired`].
    pub fn require_served(&self, tenant: &Tenant) -> Result<(), TenancyError> {
        let served = self.serves(&tenant.modules, |module| tenant.position(module));
        if served { Ok(()) } else { Err(TenancyError::UpgradeRequired) }
    }

    /// Tells whether this program serves a schema with these modules at these positions.
    pub fn serves(&self, modules: &BTreeSet<ModuleName>, position: impl Fn(&ModuleName) -> i32) -> bool {
        modules.iter().all(|name| {
            self.modules.get(name).is_some_and(|module| {
                let has = |requires: &&'static str| modules.iter().any(|other| other.as_str() == *requires);
                position(name) >= module.migrations.oldest_served()
                    && module.migrations.requires.iter().all(has)
            })
        })
    }

    /// Tells whether a tenant's schema has everything that this program's migrations make.
    pub fn is_newest(&self, tenant: &Tenant) -> bool {
        let is_newest = |name: &ModuleName| {
            self.modules.get(name).is_some_and(|module| tenant.position(name) >= module.migrations.newest())
        };
        tenant.modules.iter().all(is_newest)
    }
}

/// Checks that no setting is declared twice, and that every default is acceptable.
fn check_settings(
    known: &mut BTreeSet<&'static str>,
    flags: &[FeatureFlag],
    configurations: &[&dyn Declared],
) -> Result<(), ModuleError> {
    let keys = flags.iter().map(|flag| flag.key).chain(configurations.iter().map(|one| one.key()));
    for key in keys {
        if !known.insert(key) {
            return Err(ModuleError::SettingTwice(key));
        }
    }
    match configurations.iter().find(|one| one.check(&one.fallback()).is_err()) {
        Some(wrong) => Err(ModuleError::SettingDefault(wrong.key())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: ModuleFacts = ModuleFacts { permissions: &[], events: &[], flags: &[], configurations: &[] };

    fn module(name: &'static str, requires: &'static [&'static str]) -> Module {
        Module {
            name,
            migrations: ModuleMigrations { module: name, requires, migrations: &[], serves_from: None },
            facts: NONE,
        }
    }

    #[test]
    fn what_modules_require_comes_with_them() {
        let registry = ModuleRegistry::new([
            module("core", &[]),
            module("dental", &["core"]),
            module("lab", &["dental"]),
        ])
        .unwrap();
        let check = |names: &[&str], expected: &[&str]| {
            let names = names.iter().map(|name| ModuleName::parse(name).unwrap());
            let all = registry.with_required(names);
            assert_eq!(all.iter().map(ModuleName::as_str).collect::<Vec<_>>(), expected);
        };
        check(&[], &["core"]);
        check(&["dental"], &["core", "dental"]);
        check(&["lab"], &["core", "dental", "lab"]);
    }

    #[test]
    fn modules_that_do_not_fit_are_refused() {
        let twice = ModuleRegistry::new([module("core", &[]), module("core", &[])]).unwrap_err();
        assert!(matches!(twice, ModuleError::Plan(PlanError::Unordered(_))), "{twice:?}");
        let alien = Module { name: "lab", ..module("core", &[]) };
        assert_eq!(ModuleRegistry::new([alien]).unwrap_err(), ModuleError::Name("lab"));
        assert_eq!(ModuleRegistry::new([module("a b", &[])]).unwrap_err(), ModuleError::Name("a b"));
        const FLAG: FeatureFlag = FeatureFlag { key: "a.b", description: "", enabled: false };
        let facts = ModuleFacts { flags: &[FLAG, FLAG], ..NONE };
        let twice = ModuleRegistry::new([Module { facts, ..module("core", &[]) }]).unwrap_err();
        assert_eq!(twice, ModuleError::SettingTwice("a.b"));
    }
}
