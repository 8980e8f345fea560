//! What an archive says of itself, under one MAC.
//!
//! ```text
//! {"format":1,"archive":…,"tenant":…,"provider":…,"key_id":…,"wrapped_key":…}     the envelope of the archive's key
//! <HMAC-SHA256 over the first line and everything after the second, as hexadecimal digits>
//! { … }                                                                            the manifest
//! ```
//!
//! The bytes themselves are authenticated, not what a parser makes of them. The tenant's data keys travel with it, as
//! the master key has wrapped them: without them nobody could read what is sealed in the rows.

use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use clinicx_keys::{
    ArchiveKey, KeyProviders, Wrapped, WrappedArchiveKey, envelope::Origin, store::StoredKey,
};
use clinicx_types::id::{TenantId, UserId};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::{
    ArchiveId,
    catalog::Table,
    error::{ArchiveError, Refusal},
    rows::hex,
    store::Place,
};

/// The name of the manifest's file.
pub const FILE: &str = "manifest";
/// The most bytes of a manifest.
pub const MOST_BYTES: usize = 16 << 20;
const FORMAT: u32 = 1;
const PURPOSE: &[&[u8]] = &[b"manifest"];

/// What an archive holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of the program that wrote it.
    pub program: String,
    /// The version of PostgreSQL, as `server_version_num`.
    pub server_version: i32,
    /// When the snapshot was taken, by the server's clock.
    pub taken_at: DateTime<Utc>,
    /// The position in the write-ahead log at that moment.
    pub lsn: String,
    /// The tenant as the registry had it.
    pub tenant: TenantFacts,
    /// The version of its schema, `1.<core>.<others>`.
    pub schema_version: String,
    /// Its migrations, as its own ledger has them.
    pub migrations: Vec<AppliedMigration>,
    /// Who may work in it.
    pub members: Vec<Member>,
    /// Its wrapped data keys, the oldest first.
    pub keys: Vec<TravellingKey>,
    /// Its tables.
    pub tables: Vec<TableEntry>,
}

/// A tenant as the registry had it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "they are the registry's")]
pub struct TenantFacts {
    pub id: TenantId,
    pub slug: String,
    pub name: String,
    pub modules: Vec<String>,
    pub region: Option<String>,
    pub plan: Option<String>,
    pub time_zone: String,
    pub currency: String,
    pub locale: String,
}

/// A migration that the tenant's schema has had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "they are the ledger's")]
pub struct AppliedMigration {
    pub module: String,
    pub position: i32,
    pub name: String,
    pub checksum: String,
}

/// Somebody who may work in the tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The account.
    pub user_id: UserId,
    /// Its roles.
    pub roles: Vec<String>,
}

/// A wrapped data key of the tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TravellingKey {
    version: u16,
    provider: String,
    key_id: String,
    algorithm: String,
    wrapped_key: String,
}

/// A table and its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableEntry {
    /// The table.
    pub table: Table,
    /// How many rows it has.
    pub rows: u64,
    /// The hash over them; see [`crate::rows::TableSum`].
    pub hash: String,
    /// How many bytes COPY wrote.
    pub bytes: u64,
    /// The file that holds them; a table without rows has none.
    pub file: Option<FileEntry>,
}

/// A file of an archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its name.
    pub name: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// SHA-256 over them, as hexadecimal digits.
    pub sha256: String,
}

/// The first line: whose archive it is, and its key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: u32,
    archive: ArchiveId,
    tenant: TenantId,
    provider: String,
    key_id: String,
    wrapped_key: String,
}

impl TravellingKey {
    /// Takes a stored key along.
    pub(crate) fn of(key: &StoredKey) -> Self {
        Self {
            version: key.version,
            provider: key.provider.clone(),
            key_id: key.wrapped.key_id.clone(),
            algorithm: key.origin.algorithm().to_owned(),
            wrapped_key: BASE64_STANDARD.encode(&key.wrapped.bytes),
        }
    }

    fn stored(&self, tenant: TenantId) -> Option<StoredKey> {
        let bytes = BASE64_STANDARD.decode(&self.wrapped_key).ok()?;
        Some(StoredKey {
            tenant,
            version: self.version,
            provider: self.provider.clone(),
            wrapped: Wrapped { key_id: self.key_id.clone(), bytes },
            origin: Origin::parse(&self.algorithm)?,
        })
    }
}

impl Manifest {
    /// Returns the tenant's data keys as they are stored.
    ///
    /// # Errors
    /// [`Refusal::Manifest`].
    pub fn stored_keys(&self) -> Result<Vec<StoredKey>, ArchiveError> {
        let keys: Option<Vec<_>> = self.keys.iter().map(|key| key.stored(self.tenant.id)).collect();
        keys.ok_or_else(|| Refusal::Manifest.into())
    }

    /// Returns how many rows there are in all.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }

    /// Returns how many bytes COPY wrote in all.
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }

    /// Returns how many bytes the files have.
    pub fn stored_bytes(&self) -> u64 {
        self.tables.iter().filter_map(|table| table.file.as_ref()).map(|file| file.bytes).sum()
    }

    /// Writes it for its place, and returns its file and its MAC.
    ///
    /// # Errors
    /// The key can't be used.
    pub(crate) fn write(
        &self,
        place: Place,
        key: &ArchiveKey,
        wrapped: &WrappedArchiveKey,
    ) -> Result<(Vec<u8>, String), ArchiveError> {
        let head = Head {
            format: FORMAT,
            archive: place.archive,
            tenant: place.tenant,
            provider: wrapped.provider.clone(),
            key_id: wrapped.wrapped.key_id.clone(),
            wrapped_key: BASE64_STANDARD.encode(&wrapped.wrapped.bytes),
        };
        let head = serde_json::to_string(&head).map_err(|_| Refusal::Manifest)?;
        let body = serde_json::to_string_pretty(self).map_err(|_| Refusal::Manifest)?;
        let mac = hex(&mac(key, head.as_bytes(), body.as_bytes())?.finalize().into_bytes());
        Ok((format!("{head}\n{mac}\n{body}").into_bytes(), mac))
    }
}

/// A manifest that was authenticated, with the archive's key.
#[derive(Debug)]
pub struct Opened {
    /// The manifest.
    pub manifest: Manifest,
    /// Its MAC, as hexadecimal digits.
    pub mac: String,
    /// The archive's key.
    pub key: ArchiveKey,
}

/// Authenticates a manifest, and reads it then.
///
/// # Errors
/// [`ArchiveError::Refused`]: it is none, it was changed, it is another archive's or another tenant's;
/// [`ArchiveError::Keys`] when the master key is away.
pub(crate) async fn open(
    file: &[u8],
    place: Place,
    providers: &KeyProviders,
) -> Result<Opened, ArchiveError> {
    let malformed = || ArchiveError::from(Refusal::Manifest);
    let text = std::str::from_utf8(file).map_err(|_| malformed())?;
    let (first, rest) = text.split_once('\n').ok_or_else(malformed)?;
    let (tag, body) = rest.split_once('\n').ok_or_else(malformed)?;
    let head: Head = serde_json::from_str(first).map_err(|_| malformed())?;
    if head.format != FORMAT {
        return Err(malformed());
    }
    if (head.archive, head.tenant) != (place.archive, place.tenant) {
        return Err(Refusal::Misplaced.into());
    }
    let bytes = BASE64_STANDARD.decode(&head.wrapped_key).map_err(|_| malformed())?;
    let wrapped =
        WrappedArchiveKey { provider: head.provider, wrapped: Wrapped { key_id: head.key_id, bytes } };
    let key = ArchiveKey::unwrap(providers, &wrapped, place.tenant, place.archive.uuid()).await;
    let key =
        key.map_err(|error| if is_away(&error) { error.into() } else { ArchiveError::from(Refusal::Mac) })?;
    let expected = read_hex(tag).ok_or(Refusal::Mac)?;
    mac(&key, first.as_bytes(), body.as_bytes())?.verify_slice(&expected).map_err(|_| Refusal::Mac)?;
    let manifest: Manifest = serde_json::from_str(body).map_err(|_| malformed())?;
    if manifest.tenant.id != place.tenant {
        return Err(Refusal::Misplaced.into());
    }
    Ok(Opened { manifest, mac: tag.to_owned(), key })
}

/// Tells whether the master key can't be asked, and the archive may be all right.
fn is_away(error: &clinicx_keys::KeyError) -> bool {
    use clinicx_keys::{KeyError, ProviderError};
    match error {
        KeyError::Provider(inner) => !matches!(inner, ProviderError::Refused),
        _ => false,
    }
}

fn mac(key: &ArchiveKey, head: &[u8], body: &[u8]) -> Result<Hmac<Sha256>, ArchiveError> {
    let key = key.derive(PURPOSE)?;
    let mac = Hmac::<Sha256>::new_from_slice(key.as_slice()).map_err(|_| Refusal::Mac)?;
    Ok(mac.chain_update(head).chain_update(b"\n").chain_update(body))
}

fn read_hex(text: &str) -> Option<Vec<u8>> {
    let is_plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 64 || !text.bytes().all(is_plain) {
        return None;
    }
    (0..64).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
