//! Configurations of the platform: values that an operator changes while the service runs.
//!
//! Modules declare them ([`clinicx_types::setting`]); what nobody declares is unknown and can't be set.
//! [`Configurations`] is for whoever reads one, [`service`] for whoever shows and changes them.

mod reader;
pub mod service;

use std::time::Duration;

use chrono::{DateTime, Utc};
use clinicx_types::setting::{Boolean, Configuration, Declared, Text, TimeSpan};
use serde_json::Value;

pub use reader::Configurations;

/// Whether writes of all tenants are refused, such as while the database is moved.
pub const READ_ONLY: Configuration<Boolean> = Configuration {
    key: "platform.read_only",
    description: "Refuses the writes of all tenants with 503 maintenance; reads go on",
    kind: Boolean { default: false },
};

/// What whoever is refused because of [`READ_ONLY`] is told.
pub const MAINTENANCE_MESSAGE: Configuration<Text> = Configuration {
    key: "platform.maintenance_message",
    description: "What users are told while writes are refused, in whatever language it is written",
    kind: Text { default: "", max_chars: 500 },
};

/// After how long whoever is refused because of [`READ_ONLY`] may try again.
pub const MAINTENANCE_RETRY_AFTER: Configuration<TimeSpan> = Configuration {
    key: "platform.maintenance_retry_after",
    description: "After how long clients try again while writes are refused",
    kind: TimeSpan {
        default: Duration::from_secs(120),
        min: Duration::from_secs(1),
        max: Duration::from_secs(86_400),
    },
};

/// Those that belong to no module.
pub(crate) const OF_THE_PLATFORM: &[&dyn Declared] =
    &[&READ_ONLY, &MAINTENANCE_MESSAGE, &MAINTENANCE_RETRY_AFTER];

/// A configuration as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its name.
    pub key: &'static str,
    /// What it changes, as it is declared or as an operator noted.
    pub description: String,
    /// The word for its type.
    pub type_name: &'static str,
    /// What it is now.
    pub value: Value,
    /// What it is as long as nobody has said anything.
    pub default: Value,
    /// The least that it may be.
    pub min: Option<Value>,
    /// The most that it may be.
    pub max: Option<Value>,
    /// Raised by every change, also by one back to the default; 0 as long as nobody has said anything.
    pub version: i64,
    /// When somebody said something first.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last changed.
    pub updated_at: Option<DateTime<Utc>>,
}
