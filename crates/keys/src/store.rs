//! The rows of `public.tenant_keys`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clinicx_persistence::SystemExecutor;
use clinicx_types::id::TenantId;
use sea_orm::{FromQueryResult, Statement, raw_sql};

use crate::{envelope::Origin, error::KeyError, provider::Wrapped};

/// A wrapped data key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its version, from 1.
    pub version: u16,
    /// The provider that wrapped it.
    pub provider: String,
    /// What that provider made of it.
    pub wrapped: Wrapped,
    /// Where it comes from.
    pub origin: Origin,
}

/// A stored key and how it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The key.
    pub key: StoredKey,
    /// Whether its time to seal has come; of those for which it has, the highest version seals.
    pub sealing: bool,
    /// Whether every sealed value of the tenant is known to be under it or a later one.
    pub complete: bool,
}

#[derive(FromQueryResult)]
struct Row {
    version: i32,
    wrapped_key: Vec<u8>,
    provider: String,
    provider_key_id: String,
    algorithm: String,
    sealing: bool,
    complete: bool,
}

/// Reads a tenant's keys that are not destroyed, the oldest first.
///
/// # Errors
/// [`KeyError::Database`], [`KeyError::Malformed`].
pub async fn load(db: &impl SystemExecutor, tenant: TenantId) -> Result<Vec<KeyRow>, KeyError> {
    let rows: Vec<Row> = db
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT version, wrapped_key, provider, provider_key_id, algorithm,
                      sealing_from <= clock_timestamp() AS sealing, completed_at IS NOT NULL AS complete
               FROM public.tenant_keys
               WHERE tenant_id = {tenant} AND state <> 'destroyed'
               ORDER BY version"#
        ))
        .await?;
    let read = |row: Row| {
        Some(KeyRow {
            key: StoredKey {
                tenant,
                version: u16::try_from(row.version).ok()?,
                provider: row.provider,
                wrapped: Wrapped { key_id: row.provider_key_id, bytes: row.wrapped_key },
                origin: Origin::parse(&row.algorithm)?,
            },
            sealing: row.sealing,
            complete: row.complete,
        })
    };
    rows.into_iter().map(read).collect::<Option<_>>().ok_or(KeyError::Malformed)
}

/// Writes the statement that stores a tenant's first key, which seals at once. A random one is complete: nothing
/// was sealed before it.
pub fn insert_first(key: &StoredKey) -> Statement {
    let (tenant, version) = (key.tenant, i32::from(key.version));
    let (provider, key_id) = (key.provider.as_str(), key.wrapped.key_id.as_str());
    let (wrapped, algorithm) = (key.wrapped.bytes.as_slice(), key.origin.algorithm());
    let complete = key.origin == Origin::Random;
    raw_sql!(
        Postgres,
        r#"INSERT INTO public.tenant_keys
               (tenant_id, version, wrapped_key, provider, provider_key_id, algorithm, completed_at)
           VALUES ({tenant}, {version}, {wrapped}, {provider}, {key_id}, {algorithm},
                   CASE WHEN {complete} THEN now() END)
           ON CONFLICT (tenant_id, version) DO NOTHING"#
    )
}

/// A version of a tenant's data key, without the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyVersion {
    /// Its number, from 1.
    pub version: u16,
    /// `active`, `retired` or `destroyed`.
    pub state: String,
    /// The provider that wrapped it.
    pub provider: String,
    /// The provider's master key that wrapped it.
    pub master_key: String,
    /// How it was made and what it is used with.
    pub algorithm: String,
    /// Since when every sealed value of the tenant is known to be under this version or a later one.
    pub complete: bool,
    /// Whether every process has sealed under it, or a later one, for a while.
    pub settled: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When another took its place.
    pub retired_at: Option<DateTime<Utc>>,
}

impl KeyVersion {
    /// Tells whether it can be derived from the master key.
    pub fn is_derived(&self) -> bool {
        self.algorithm == Origin::Derived.algorithm()
    }
}

#[derive(FromQueryResult)]
struct VersionRow {
    version: i32,
    state: String,
    provider: String,
    provider_key_id: String,
    algorithm: String,
    complete: bool,
    settled: bool,
    created_at: DateTime<Utc>,
    retired_at: Option<DateTime<Utc>>,
}

/// Lists the versions of a tenant's data key, the oldest first, the destroyed ones too.
///
/// # Errors
/// [`KeyError::Database`], [`KeyError::Malformed`].
pub async fn versions(db: &impl SystemExecutor, tenant: TenantId) -> Result<Vec<KeyVersion>, KeyError> {
    let rows: Vec<VersionRow> = db
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT version, state, provider, provider_key_id, algorithm, completed_at IS NOT NULL AS complete,
                      sealing_from + interval '5 seconds' <= clock_timestamp() AS settled, created_at, retired_at
               FROM public.tenant_keys WHERE tenant_id = {tenant} ORDER BY version"#
        ))
        .await?;
    let read = |row: VersionRow| {
        Some(KeyVersion {
            version: u16::try_from(row.version).ok()?,
            state: row.state,
            provider: row.provider,
            master_key: row.provider_key_id,
            algorithm: row.algorithm,
            complete: row.complete,
            settled: row.settled,
            created_at: row.created_at,
            retired_at: row.retired_at,
        })
    };
    rows.into_iter().map(read).collect::<Option<_>>().ok_or(KeyError::Malformed)
}

/// Writes the statement that retires the active version, if it is still this one.
pub fn retire(tenant: TenantId, version: u16) -> Statement {
    let version = i32::from(version);
    raw_sql!(
        Postgres,
        r#"UPDATE public.tenant_keys SET state = 'retired', retired_at = now()
           WHERE tenant_id = {tenant} AND version = {version} AND state = 'active'"#
    )
}

/// Writes the statement that stores a new version, under which values are sealed after a while.
pub fn publish(key: &StoredKey, delay: Duration) -> Statement {
    let (tenant, version) = (key.tenant, i32::from(key.version));
    let (provider, key_id) = (key.provider.as_str(), key.wrapped.key_id.as_str());
    let (wrapped, algorithm) = (key.wrapped.bytes.as_slice(), key.origin.algorithm());
    let seconds = delay.as_secs_f64();
    raw_sql!(
        Postgres,
        r#"INSERT INTO public.tenant_keys
               (tenant_id, version, wrapped_key, provider, provider_key_id, algorithm, sealing_from)
           VALUES ({tenant}, {version}, {wrapped}, {provider}, {key_id}, {algorithm},
                   clock_timestamp() + make_interval(secs => {seconds}))"#
    )
}

/// Writes the statement that notes that nothing is sealed under an older version any more.
pub fn complete(tenant: TenantId, version: u16) -> Statement {
    let version = i32::from(version);
    raw_sql!(
        Postgres,
        r#"UPDATE public.tenant_keys SET completed_at = now()
           WHERE tenant_id = {tenant} AND version = {version} AND completed_at IS NULL"#
    )
}

/// Writes the statement that puts a key wrapped anew in the place of the old one, if that is still there.
pub fn rewrapped(old: &StoredKey, new: &StoredKey) -> Statement {
    let (tenant, version) = (old.tenant, i32::from(old.version));
    let (provider, key_id) = (new.provider.as_str(), new.wrapped.key_id.as_str());
    let (before, after) = (old.wrapped.bytes.as_slice(), new.wrapped.bytes.as_slice());
    raw_sql!(
        Postgres,
        r#"UPDATE public.tenant_keys
           SET wrapped_key = {after}, provider = {provider}, provider_key_id = {key_id}
           WHERE tenant_id = {tenant} AND version = {version} AND wrapped_key = {before}"#
    )
}

/// Writes the statement that destroys a retired version, in the place of which a later one is complete; it finds one
/// row when it has.
pub fn destroy(tenant: TenantId, version: u16) -> Statement {
    let version = i32::from(version);
    raw_sql!(
        Postgres,
        r#"SELECT 1 FROM public.destroy_tenant_key({tenant}, {version}) AS d (done) WHERE d.done"#
    )
}
