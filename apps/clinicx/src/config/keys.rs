//! Keys that protect data at rest, and who keeps the master key.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::Secret;

/// Keys that protect data at rest. Whoever loses the master key loses every protected field.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeysConfig {
    /// Who wraps the tenants' data keys; when absent, `environment` where `master_key` is set, else `file`. What else
    /// is configured goes on unwrapping what it once wrapped.
    pub provider: Option<KeyProviderKind>,
    /// The master key: 32 bytes in base64. Several are `1:…,2:…`, of which the highest version wraps.
    pub master_key: Option<Secret>,
    /// A file that holds it, one version a line when there are several; made in the state folder when nothing else
    /// is configured.
    pub master_key_file: Option<PathBuf>,
    /// How long an unwrapped data key is kept in memory.
    #[serde(with = "humantime_serde")]
    pub cache_ttl: Duration,
    /// The transit engine of a Vault or OpenBao server.
    pub vault: VaultConfig,
}

/// The transit engine of a Vault or OpenBao server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VaultConfig {
    /// The server's address, such as `https://vault.internal:8200`; it is used when it is set.
    pub address: Option<String>,
    /// The path at which the transit engine is mounted.
    pub mount: String,
    /// The name of the transit key.
    pub key: String,
    /// The namespace, where the server has them.
    pub namespace: Option<String>,
    /// The token.
    pub token: Option<Secret>,
    /// A file that holds it, read for every request.
    pub token_file: Option<PathBuf>,
    /// A file with the certificates (PEM) that the server's must come from; those of the system when absent.
    pub ca_file: Option<PathBuf>,
    /// How long one try may take.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// How often it is tried in all when the server does not answer.
    pub attempts: u32,
}

impl Default for VaultConfig {
    fn default() -> Self {
        Self {
            address: None,
            mount: "transit".to_owned(),
            key: "clinicx".to_owned(),
            namespace: None,
            token: None,
            token_file: None,
            ca_file: None,
            timeout: Duration::from_secs(5),
            attempts: 3,
        }
    }
}

impl Default for KeysConfig {
    fn default() -> Self {
        Self {
            provider: None,
            master_key: None,
            master_key_file: None,
            cache_ttl: Duration::from_secs(15 * 60),
            vault: VaultConfig::default(),
        }
    }
}

/// Who keeps the master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyProviderKind {
    /// A file.
    File,
    /// The configuration, as a rule the environment.
    Environment,
    /// The transit engine of a Vault or OpenBao server.
    Vault,
}
