//! A tenant as the registry has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use chrono::{DateTime, Utc};
use clinicx_persistence::TenantTarget;
use clinicx_types::{
    id::TenantId,
    money::Currency,
    name::{ClusterName, DatabaseName, ModuleName, SchemaName, TenantSlug},
    version::SchemaVersion,
};
use serde::{Deserialize, Serialize};

use crate::{error::TenancyError, limits::TenantLimits};

/// The state of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantStatus {
    /// Its schema is being made, or its rows are being brought over from elsewhere; it answers nobody yet.
    Provisioning,
    /// It is served.
    Active,
    /// It is fenced and answers nobody; it can be resumed at once.
    Suspended,
    /// It is fenced and waits for its end.
    Archived,
    /// Its schema is being dropped; nobody outside the transaction that does it sees this.
    Purging,
    /// Its data are gone; the row is a tombstone that keeps the slug.
    Purged,
}

impl TenantStatus {
    /// Every state, in the order of a tenant's life.
    pub const ALL: [Self; 6] =
        [Self::Provisioning, Self::Active, Self::Suspended, Self::Archived, Self::Purging, Self::Purged];

    /// Returns the word for it in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Archived => "archived",
            Self::Purging => "purging",
            Self::Purged => "purged",
        }
    }

    /// Returns the states to which an operator can bring a tenant from this one.
    pub fn leads_to(self) -> &'static [Self] {
        match self {
            Self::Active => &[Self::Suspended, Self::Archived],
            Self::Suspended => &[Self::Active, Self::Archived],
            Self::Archived => &[Self::Active, Self::Purged],
            Self::Provisioning | Self::Purging | Self::Purged => &[],
        }
    }
}

impl fmt::Display for TenantStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no such thing; it must be one of the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of {}", .0.join(", "))]
pub struct WordError(pub &'static [&'static str]);

impl FromStr for TenantStatus {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        const WORDS: &[&str] = &["provisioning", "active", "suspended", "archived", "purging", "purged"];
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(WordError(WORDS))
    }
}

/// How far a tenant is kept apart from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// A schema of its own.
    #[default]
    Schema,
    /// A database of its own.
    Database,
}

impl Isolation {
    /// Returns the word for it in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Database => "database",
        }
    }
}

impl FromStr for Isolation {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        match text {
            "schema" => Ok(Self::Schema),
            "database" => Ok(Self::Database),
            _ => Err(WordError(&["schema", "database"])),
        }
    }
}

/// A clinic or practice.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    /// Names it for ever.
    pub id: TenantId,
    /// Names it in URLs and host names.
    pub slug: TenantSlug,
    /// Names it for people.
    pub name: String,
    /// Its state.
    pub status: TenantStatus,
    /// Its schema.
    pub database_schema: SchemaName,
    /// How far its schema has been migrated.
    pub schema_version: SchemaVersion,
    /// Its modules, with those that the others require.
    pub modules: BTreeSet<ModuleName>,
    /// How many migrations each module has had, those that were taken from it among them.
    pub positions: BTreeMap<ModuleName, i32>,
    /// How far it is kept apart.
    pub isolation: Isolation,
    /// The cluster that holds it.
    pub cluster: ClusterName,
    /// The database that holds it; `None` is the cluster's own.
    pub database: Option<DatabaseName>,
    /// The region in which its data must stay.
    pub region: Option<String>,
    /// What it has subscribed to.
    pub plan: Option<String>,
    /// Limits that differ from the plan's.
    pub limits: TenantLimits,
    /// The clinic's time zone.
    pub time_zone: chrono_tz::Tz,
    /// The clinic's currency.
    pub currency: Currency,
    /// The clinic's locale, a BCP 47 tag.
    pub locale: String,
    /// Rises with each change.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Tenant {
    /// Returns what has to be applied to a connection that serves it.
    pub fn target(&self) -> TenantTarget {
        TenantTarget {
            tenant_id: self.id,
            cluster: self.cluster.clone(),
            database: self.database.clone(),
            schema: self.database_schema.clone(),
            role: Some(self.database_schema.role()),
            schema_version: self.schema_version,
        }
    }

    /// Tells whether it has a module.
    pub fn has_module(&self, name: &str) -> bool {
        self.modules.iter().any(|module| module.as_str() == name)
    }

    /// Returns how many migrations a module has had.
    pub fn position(&self, module: &ModuleName) -> i32 {
        self.positions.get(module).copied().unwrap_or_default()
    }

    /// Refuses a tenant whose state does not let it be served.
    ///
    /// # Errors
    /// [`TenancyError::Suspended`], [`TenancyError::Gone`], [`TenancyError::Maintenance`].
    pub fn require_active(&self) -> Result<(), TenancyError> {
        match self.status {
            TenantStatus::Active => Ok(()),
            TenantStatus::Suspended => Err(TenancyError::Suspended),
            TenantStatus::Archived | TenantStatus::Purging | TenantStatus::Purged => Err(TenancyError::Gone),
            TenantStatus::Provisioning => Err(TenancyError::Maintenance),
        }
    }
}
