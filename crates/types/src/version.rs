//! The version of a tenant's schema.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How far a tenant's schema has been migrated, written `1.<core>.<modules>`.
///
/// `core` is the number of core migrations applied, `modules` the number applied of all other modules
/// together. Every structural change of a schema raises one of them, which is why it stands in the tag of
/// each SQL statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SchemaVersion {
    /// Core migrations applied.
    pub core: u32,
    /// Migrations applied of all other modules together.
    pub modules: u32,
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}.{}", self.core, self.modules)
    }
}

/// The text is no `1.<core>.<modules>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("schema version must look like 1.<core>.<modules>")]
pub struct SchemaVersionError;

impl FromStr for SchemaVersion {
    type Err = SchemaVersionError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("1.").ok_or(SchemaVersionError)?;
        let (core, modules) = rest.split_once('.').ok_or(SchemaVersionError)?;
        let number = |part: &str| part.parse().map_err(|_| SchemaVersionError);
        Ok(Self { core: number(core)?, modules: number(modules)? })
    }
}

impl TryFrom<String> for SchemaVersion {
    type Error = SchemaVersionError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SchemaVersion> for String {
    fn from(version: SchemaVersion) -> Self {
        version.to_string()
    }
}
