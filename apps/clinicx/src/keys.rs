//! The keys of a service: from the configuration, else from files that are made on the first start; and who wraps
//! the tenants' data keys.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};
use clinicx_keys::{KeyProvider, KeyProviders, local::LocalProvider};
use clinicx_vault::{TokenSource, VaultOptions, VaultProvider};
use zeroize::Zeroizing;

use crate::{
    config::{Config, KeyProviderKind, Profile, Secret, VaultConfig},
    said::wrong_setting,
};

/// The bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Returns the key that signs access tokens.
///
/// # Errors
/// The configured key or file is not a key; the file can't be made.
pub fn token_key(config: &Config) -> anyhow::Result<[u8; KEY_BYTES]> {
    let auth = &config.auth;
    key("auth.token_key", auth.token_key.as_ref(), auth.token_key_file.as_deref(), config, "token.key")
}

/// Returns the token key of before, which still opens what was sealed with it.
///
/// # Errors
/// What is configured is no key.
pub fn previous_token_key(config: &Config) -> anyhow::Result<Option<[u8; KEY_BYTES]>> {
    let configured = config.auth.previous_token_key.as_ref();
    let parsed = configured.map(|text| parse(text.expose())).transpose();
    parsed.with_context(|| format!("auth.previous_token_key must be {KEY_BYTES} bytes in base64"))
}

/// Who wraps the tenants' data keys.
#[derive(Clone, Debug)]
pub struct DataKeys {
    /// All that are configured.
    pub providers: KeyProviders,
    /// The master key that the process itself holds, if it does.
    pub local: Option<Arc<LocalProvider>>,
}

/// Returns who wraps the tenants' data keys.
///
/// # Errors
/// A configured key or file holds no key; the file can't be made; what the provider needs is not configured.
pub fn data_keys(config: &Config) -> anyhow::Result<DataKeys> {
    let keys = &config.keys;
    let kind = keys.provider.unwrap_or(match keys.master_key {
        Some(_) => KeyProviderKind::Environment,
        None => KeyProviderKind::File,
    });
    let environment = match &keys.master_key {
        Some(text) => Some(parsed("keys.master_key", LocalProvider::ENVIRONMENT, text.expose())?),
        None if kind == KeyProviderKind::Environment => anyhow::bail!(
            "keys.provider is environment, and keys.master_key (CLINICX_KEYS__MASTER_KEY) is not set"
        ),
        None => None,
    };
    let file = if kind == KeyProviderKind::File || keys.master_key_file.is_some() {
        let text = file_text("keys.master_key", keys.master_key_file.as_deref(), config, "master.key")?;
        Some(parsed("keys.master_key_file", LocalProvider::FILE, &text)?)
    } else {
        None
    };
    let vault = if kind == KeyProviderKind::Vault || keys.vault.address.is_some() {
        Some(Arc::new(vault(&keys.vault)?))
    } else {
        None
    };
    let local = match kind {
        KeyProviderKind::Environment => environment.clone().or_else(|| file.clone()),
        KeyProviderKind::File | KeyProviderKind::Vault => file.clone().or_else(|| environment.clone()),
    };
    let dynamic = |provider: Arc<LocalProvider>| -> Arc<dyn KeyProvider> { provider };
    let all = [
        (KeyProviderKind::File, file.map(dynamic)),
        (KeyProviderKind::Environment, environment.map(dynamic)),
        (KeyProviderKind::Vault, vault.map(|provider| -> Arc<dyn KeyProvider> { provider })),
    ];
    let (mut primary, mut others) = (None, Vec::new());
    for (of_kind, provider) in all {
        match provider {
            Some(provider) if of_kind == kind => primary = Some(provider),
            provider => others.extend(provider),
        }
    }
    let primary = primary.context("keys.provider names what is not configured")?;
    Ok(DataKeys { providers: KeyProviders::new(primary).with_others(others), local })
}

fn vault(config: &VaultConfig) -> anyhow::Result<VaultProvider> {
    let address =
        config.address.as_deref().context("keys.provider is vault, and keys.vault.address is not set")?;
    let token = match (&config.token, &config.token_file) {
        (Some(token), None) => TokenSource::Given(token.expose().to_owned().into()),
        (None, Some(file)) => TokenSource::File(file.clone()),
        _ => anyhow::bail!("keys.vault needs either token or token_file"),
    };
    let read = |file: &PathBuf| {
        fs::read(file).with_context(|| format!("read keys.vault.ca_file {}", file.display()))
    };
    let options = VaultOptions {
        address: address.parse().context("keys.vault.address is no URL")?,
        mount: config.mount.clone(),
        key: config.key.clone(),
        namespace: config.namespace.clone(),
        token,
        ca_pem: config.ca_file.as_ref().map(read).transpose()?,
        timeout: config.timeout,
        attempts: config.attempts,
    };
    VaultProvider::new(options).map_err(|error| wrong_setting("keys.vault", error))
}

fn parsed(name: &str, provider: &'static str, text: &str) -> anyhow::Result<Arc<LocalProvider>> {
    let provider = LocalProvider::parse(provider, text);
    Ok(Arc::new(provider.with_context(|| format!("{name} must hold {KEY_BYTES} bytes in base64"))?))
}

/// Returns the seed of the key that signs the audit's checkpoints.
///
/// # Errors
/// As [`token_key`].
pub fn audit_seed(config: &Config) -> anyhow::Result<[u8; KEY_BYTES]> {
    let audit = &config.audit;
    let (key_, file) = (audit.signing_key.as_ref(), audit.signing_key_file.as_deref());
    key("audit.signing_key", key_, file, config, "audit.key")
}

fn key(
    name: &str,
    configured: Option<&Secret>,
    file: Option<&Path>,
    config: &Config,
    default_file: &str,
) -> anyhow::Result<[u8; KEY_BYTES]> {
    if let Some(text) = configured {
        return parse(text.expose()).with_context(|| format!("{name} must be {KEY_BYTES} bytes in base64"));
    }
    let text = file_text(name, file, config, default_file)?;
    parse(text.trim()).with_context(|| format!("{name}_file must hold {KEY_BYTES} bytes in base64"))
}

fn file_text(
    name: &str,
    file: Option<&Path>,
    config: &Config,
    default_file: &str,
) -> anyhow::Result<Zeroizing<String>> {
    let path = match file {
        Some(path) => path.to_owned(),
        // A key that one machine made up for itself would part it from the others, and from its own backups.
        None if config.profile == Profile::Production => {
            let kept = config.state_dir.0.join("keys").join(default_file);
            anyhow::ensure!(
                kept.is_file(),
                "{name} is not configured, and in production none is made up: set {name}_file to a file with the \
                 output of `openssl rand -base64 32`, the same for every process"
            );
            kept
        }
        None => made(&config.state_dir.0, default_file)?,
    };
    let text = fs::read_to_string(&path).with_context(|| format!("read {name}_file {}", path.display()))?;
    Ok(Zeroizing::new(text))
}

fn parse(text: &str) -> anyhow::Result<[u8; KEY_BYTES]> {
    let bytes = BASE64_STANDARD.decode(text)?;
    bytes.try_into().map_err(|bytes: Vec<u8>| anyhow::anyhow!("it has {} bytes", bytes.len()))
}

/// Returns the key file in the state folder; two processes that start at once agree on one.
fn made(state_dir: &Path, file: &str) -> anyhow::Result<PathBuf> {
    let folder = state_dir.join("keys");
    fs::create_dir_all(&folder).with_context(|| format!("create {}, as state_dir says", folder.display()))?;
    let path = folder.join(file);
    if path.exists() {
        return Ok(path);
    }
    let fresh = folder.join(format!("{file}.{}", std::process::id()));
    let handle = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh);
    let mut handle = handle.with_context(|| format!("create {}, as state_dir says", fresh.display()))?;
    writeln!(handle, "{}", BASE64_STANDARD.encode(rand::random::<[u8; KEY_BYTES]>()))?;
    handle.sync_all()?;
    // A hard link fails when somebody else was first; then theirs counts.
    let linked = fs::hard_link(&fresh, &path);
    fs::remove_file(&fresh)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("create {}", path.display()))
        }
        _ => Ok(path),
    }
}
