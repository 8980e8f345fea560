//! The rows of `public.tenant_keys`.

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
