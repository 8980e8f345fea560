//! How far the modules of a tenant are to be brought, when not to their ends.

use std::{collections::BTreeMap, fmt, str::FromStr};

use clinicx_types::{name::ModuleName, version::SchemaVersion};
use sea_orm::JsonValue;

use super::plan::Plan;

/// The last migration of some modules that is to be applied, by its position; the other modules go to their ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits(BTreeMap<ModuleName, i32>);

/// The text is no module and position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a module and a position, such as core=21")]
pub struct LimitError;

impl Limits {
    /// Tells whether every module goes to its end.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Limits a module, to the lower of two when it is limited already.
    pub fn set(&mut self, module: ModuleName, position: i32) {
        let limit = self.0.entry(module).or_insert(position);
        *limit = (*limit).min(position);
    }

    /// Returns a module's last position, when it is limited.
    pub fn of(&self, module: &str) -> Option<i32> {
        self.0.iter().find(|(name, _)| name.as_str() == module).map(|(_, position)| *position)
    }

    /// Tells whether the migration at this position is to be applied.
    pub fn allows(&self, module: &str, position: i32) -> bool {
        self.of(module).is_none_or(|limit| position <= limit)
    }

    /// Returns the tighter of two for each module.
    pub fn and(&self, other: &Self) -> Self {
        let mut all = self.clone();
        for (module, position) in &other.0 {
            all.set(module.clone(), *position);
        }
        all
    }

    /// Lists the limits by module.
    pub fn iter(&self) -> impl Iterator<Item = (&ModuleName, i32)> {
        self.0.iter().map(|(module, position)| (module, *position))
    }

    /// Returns it as it is stored.
    pub fn to_stored(&self) -> JsonValue {
        JsonValue::Object(
            self.0.iter().map(|(module, position)| (module.to_string(), (*position).into())).collect(),
        )
    }

    /// Reads what is stored; what can't be read limits nothing.
    pub fn from_stored(stored: &JsonValue) -> Self {
        let pairs = stored.as_object().into_iter().flatten();
        let read = |(module, position): (&String, &JsonValue)| {
            Some((ModuleName::parse(module).ok()?, i32::try_from(position.as_i64()?).ok()?))
        };
        Self(pairs.filter_map(read).collect())
    }
}

impl FromIterator<(ModuleName, i32)> for Limits {
    fn from_iter<T: IntoIterator<Item = (ModuleName, i32)>>(pairs: T) -> Self {
        let mut limits = Self::default();
        for (module, position) in pairs {
            limits.set(module, position);
        }
        limits
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (module, position)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{module}={position}")?;
        }
        Ok(())
    }
}

/// Where a fleet is brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// To the newest that the program has.
    #[default]
    Newest,
    /// To a version of the schema, `1.<core>.<modules>`.
    Version(SchemaVersion),
    /// To these positions.
    Limits(Limits),
}

/// A version says of several modules only how many migrations they have had together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("version {0} does not say how far each module goes; name them, such as billing=18")]
pub struct AmbiguousVersion(pub SchemaVersion);

impl Target {
    /// Returns the limits for a tenant with the modules of this plan.
    ///
    /// # Errors
    /// [`AmbiguousVersion`].
    pub fn limits(&self, plan: &Plan) -> Result<Limits, AmbiguousVersion> {
        match self {
            Self::Newest => Ok(Limits::default()),
            Self::Limits(limits) => Ok(limits.clone()),
            Self::Version(version) => of_version(*version, plan).ok_or(AmbiguousVersion(*version)),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("newest"),
            Self::Version(version) => version.fmt(f),
            Self::Limits(limits) => limits.fmt(f),
        }
    }
}

/// Reads `1.22.31`, or `core=22,billing=18`.
impl FromStr for Target {
    type Err = LimitError;
    fn from_str(text: &str) -> Result<Self, LimitError> {
        if let Ok(version) = text.parse() {
            return Ok(Self::Version(version));
        }
        text.parse().map(Self::Limits)
    }
}

/// Reads `core=22,billing=18`.
impl FromStr for Limits {
    type Err = LimitError;
    fn from_str(text: &str) -> Result<Self, LimitError> {
        let pair = |part: &str| {
            let (module, position) = part.split_once('=')?;
            let position = position.parse().ok().filter(|position| *position >= 0)?;
            Some((ModuleName::parse(module).ok()?, position))
        };
        text.split(',').map(|part| pair(part).ok_or(LimitError)).collect()
    }
}

fn of_version(version: SchemaVersion, plan: &Plan) -> Option<Limits> {
    let number = |count: u32| i32::try_from(count).ok();
    let others: Vec<&str> = plan.modules().filter(|module| *module != "core").collect();
    let mut limits = Limits::default();
    limits.set(ModuleName::parse("core").ok()?, number(version.core)?);
    let all = plan.version().modules;
    match others.as_slice() {
        [] => {}
        [one] => limits.set(ModuleName::parse(one).ok()?, number(version.modules)?),
        _ if version.modules >= all => {}
        several if version.modules == 0 => {
            for module in several {
                limits.set(ModuleName::parse(module).ok()?, 0);
            }
        }
        _ => return None,
    }
    Some(limits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::{billing, core, dental};

    #[test]
    fn targets_are_versions_or_positions() {
        assert_eq!("1.2.3".parse(), Ok(Target::Version(SchemaVersion { core: 2, modules: 3 })));
        let limits: Limits = "core=21,dental=4".parse().unwrap();
        assert_eq!((limits.of("core"), limits.of("dental"), limits.of("billing")), (Some(21), Some(4), None));
        assert!(limits.allows("core", 21) && !limits.allows("core", 22) && limits.allows("billing", 99));
        assert_eq!(limits.to_string(), "core=21,dental=4");
        assert_eq!(Limits::from_stored(&limits.to_stored()), limits);
        for bad in ["", "core", "core=-1", "core=x", "core=1,", "A=1"] {
            assert_eq!(bad.parse::<Target>(), Err(LimitError), "{bad:?}");
        }
    }

    #[test]
    fn the_tighter_limit_counts() {
        let one: Limits = "core=21,dental=4".parse().unwrap();
        let two: Limits = "core=22,billing=1".parse().unwrap();
        assert_eq!(one.and(&two), "core=21,dental=4,billing=1".parse().unwrap());
    }

    #[test]
    fn a_version_is_understood_where_it_says_enough() {
        let plan = Plan::new([core::MIGRATIONS, billing::MIGRATIONS, dental::MIGRATIONS]).unwrap();
        let check = |modules: &[&str], version: &str, expected: Option<&str>| {
            let target: Target = version.parse().unwrap();
            let limits = target.limits(&plan.of_modules(modules.iter().copied()).unwrap());
            assert_eq!(limits.ok().map(|limits| limits.to_string()).as_deref(), expected, "{version}");
        };
        let all = plan.version().modules;
        check(&["core"], "1.5.0", Some("core=5"));
        check(&["core", "billing"], "1.5.7", Some("billing=7,core=5"));
        check(&["core", "billing", "dental"], "1.5.7", None);
        check(&["core", "billing", "dental"], "1.5.0", Some("billing=0,core=5,dental=0"));
        check(&["core", "billing", "dental"], &format!("1.5.{all}"), Some("core=5"));
    }
}
