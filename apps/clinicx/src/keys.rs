//! The two keys of a service: from the configuration, else from a file that is made on the first start.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};

use crate::config::{Config, Profile, Secret};

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

/// Returns the master key of data at rest.
///
/// # Errors
/// As [`token_key`].
pub fn master_key(config: &Config) -> anyhow::Result<[u8; KEY_BYTES]> {
    let keys = &config.keys;
    key("keys.master_key", keys.master_key.as_ref(), keys.master_key_file.as_deref(), config, "master.key")
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
    parse(text.trim()).with_context(|| format!("{} must hold {KEY_BYTES} bytes in base64", path.display()))
}

fn parse(text: &str) -> anyhow::Result<[u8; KEY_BYTES]> {
    let bytes = BASE64_STANDARD.decode(text)?;
    bytes.try_into().map_err(|bytes: Vec<u8>| anyhow::anyhow!("it has {} bytes", bytes.len()))
}

/// Returns the key file in the state folder; two processes that start at once agree on one.
fn made(state_dir: &Path, file: &str) -> anyhow::Result<PathBuf> {
    let folder = state_dir.join("keys");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let path = folder.join(file);
    if path.exists() {
        return Ok(path);
    }
    let fresh = folder.join(format!("{file}.{}", std::process::id()));
    let mut handle = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
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
