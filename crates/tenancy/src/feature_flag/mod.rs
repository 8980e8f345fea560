//! Feature flags: what is on for a tenant and off for another.
//!
//! Modules declare them ([`clinicx_types::setting::FeatureFlag`]). An override for one tenant counts before
//! everything; then a flag that is enabled is on for as many tenants in a hundred as its roll-out says.
//! [`FeatureFlags`] is for whoever asks, [`service`] for whoever shows and changes them.

mod reader;
pub mod rollout;
pub mod service;

use chrono::{DateTime, Utc};
use clinicx_types::name::TenantSlug;

pub use reader::FeatureFlags;

/// A flag as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Its name.
    pub key: &'static str,
    /// What is different when it is on, as it is declared or as an operator noted.
    pub description: String,
    /// Whether it is on for tenants without an override that the roll-out has reached.
    pub enabled: bool,
    /// For how many tenants in a hundred.
    pub rollout_percent: i16,
    /// For how many tenants there is an override.
    pub overrides: i64,
    /// Raised by every change, also of an override and back to the default; 0 as long as nobody has said anything.
    pub version: i64,
    /// When somebody said something first.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last changed.
    pub updated_at: Option<DateTime<Utc>>,
}

/// What holds for one tenant whatever the flag says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The tenant.
    pub slug: TenantSlug,
    /// Whether the flag is on for it.
    pub enabled: bool,
    /// When it was said.
    pub created_at: DateTime<Utc>,
}
