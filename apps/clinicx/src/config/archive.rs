//! Archives of tenants.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// Where archives of tenants are kept, how often they are made and how long they are kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArchiveConfig {
    /// The folder that holds them; without one there are no backups.
    pub folder: Option<PathBuf>,
    /// How often each active tenant is backed up; not by itself when absent.
    #[serde(with = "humantime_serde")]
    pub every: Option<Duration>,
    /// Whether a backup that was due is verified as well.
    pub verify: bool,
    /// How long backups are kept.
    #[serde(with = "humantime_serde")]
    pub keep_for: Duration,
    /// How many of each tenant's are kept however old they are.
    pub keep_last: u32,
}

impl Default for ArchiveConfig {
    fn default() -> Self {
        Self {
            folder: None,
            every: None,
            verify: true,
            keep_for: Duration::from_secs(30 * 86_400),
            keep_last: 3,
        }
    }
}
