//! Notices a master key that is not the one with which the database's data keys were wrapped, and gives data keys to
//! tenants that are older than those.

use clinicx_core::sealed;
use clinicx_keys::{Field, KeyError, derived, probe, store};
use clinicx_persistence::{Failure, SystemExecutor};
use clinicx_tenancy::Tenancy;
use clinicx_types::id::TenantId;
use sea_orm::{FromQueryResult, JsonValue, raw_sql};

use crate::keys::DataKeys;

pub use clinicx_keys::probe::Standing;

/// The row of `system_configurations` by which a database remembered the master key before there were data keys.
const DIGEST: &str = "keys.master_key_check";
/// Stands for no column: the digest is of a key, not of a value.
const DIGEST_PLACE: Field = Field { table: "system_configurations", column: "master_key_check" };
/// The version of a tenant's first key.
const FIRST: u16 = 1;

/// Why keys could not be compared or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyCheckError {
    /// A key can't be wrapped, unwrapped or read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Another master key has wrapped the database's keys.
    #[error(
        "the master key is not the one that wrapped the keys of this database (missing: {0}); set \
         keys.master_key_file to the right one"
    )]
    WrongMasterKey(String),
    /// Tenants are sealed under keys that only a master key of the process's own can give.
    #[error(
        "the fields of {0} tenants are sealed under the master key that keys.master_key_file or keys.master_key held: \
         configure it beside the new provider"
    )]
    NoLocalKey(usize),
    /// The database failed.
    #[error("the database can't be asked for the tenants' keys")]
    Database(#[source] Failure),
}

impl From<sea_orm::DbErr> for KeyCheckError {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Database(Failure::of(&error))
    }
}

#[derive(FromQueryResult)]
struct Known {
    value: JsonValue,
}

#[derive(FromQueryResult)]
struct Keyless {
    id: TenantId,
}

/// Compares the master key with the one that the database remembers.
///
/// # Errors
/// [`KeyCheckError`].
pub async fn compare(db: &impl SystemExecutor, keys: &DataKeys) -> Result<Standing, KeyCheckError> {
    let standing = probe::compare(db, &keys.providers).await?;
    if standing != Standing::Unknown {
        return Ok(standing);
    }
    let known: Option<Known> = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT value FROM public.system_configurations WHERE key = {DIGEST}"#
        ))
        .await?;
    let (Some(known), Some(local)) = (known, &keys.local) else { return Ok(Standing::Unknown) };
    let digest = derived::master_key_digest(local, DIGEST, DIGEST_PLACE);
    Ok(if digest.as_deref() == known.value.as_str() {
        Standing::Right
    } else {
        Standing::Wrong("before there were data keys".to_owned())
    })
}

/// Remembers the master key, unless another process was first; compare afterwards.
///
/// # Errors
/// [`KeyCheckError`].
pub async fn remember(db: &impl SystemExecutor, keys: &DataKeys) -> Result<(), KeyCheckError> {
    Ok(probe::remember(db, &keys.providers).await?)
}

/// Makes sure, before anything is wrapped, that the master key is the database's, and remembers it where none is
/// known yet.
///
/// # Errors
/// [`KeyCheckError::WrongMasterKey`]; [`KeyCheckError`].
pub async fn establish(tenancy: &Tenancy, keys: &DataKeys) -> Result<(), KeyCheckError> {
    let control = tenancy.control();
    match compare(control, keys).await? {
        Standing::Right | Standing::Older => Ok(()),
        Standing::Wrong(missing) => Err(KeyCheckError::WrongMasterKey(missing)),
        Standing::Unknown => {
            remember(control, keys).await?;
            match probe::compare(control, &keys.providers).await? {
                Standing::Wrong(missing) => Err(KeyCheckError::WrongMasterKey(missing)),
                Standing::Right | Standing::Older | Standing::Unknown => Ok(()),
            }
        }
    }
}

/// Counts the tenants that have no data key.
///
/// # Errors
/// [`KeyCheckError::Database`].
pub async fn keyless(db: &impl SystemExecutor) -> Result<usize, KeyCheckError> {
    Ok(tenants_without(db).await?.len())
}

/// Puts the derived keys of tenants that have none in an envelope, so that they can be changed; returns how many.
/// Safe to run again and beside others.
///
/// # Errors
/// [`KeyCheckError`].
pub async fn adopt(tenancy: &Tenancy, keys: &DataKeys) -> Result<usize, KeyCheckError> {
    let control = tenancy.control();
    let tenants = tenants_without(control).await?;
    if tenants.is_empty() {
        return Ok(0);
    }
    let indexed = sealed::COLUMNS.iter().find(|column| column.index.is_some()).map(|column| column.field);
    let (Some(local), Some(indexed)) = (&keys.local, indexed) else {
        return Err(KeyCheckError::NoLocalKey(tenants.len()));
    };
    for tenant in &tenants {
        let key = derived::data_key(local, tenant.id, indexed);
        let key = key.ok_or(KeyCheckError::NoLocalKey(tenants.len()))?;
        let stored = key.wrap(&keys.providers, tenant.id, FIRST).await?;
        control.execute(store::insert_first(&stored)).await?;
    }
    Ok(tenants.len())
}

async fn tenants_without(db: &impl SystemExecutor) -> Result<Vec<Keyless>, KeyCheckError> {
    let statement = raw_sql!(
        Postgres,
        r#"SELECT t.id FROM public.tenants AS t
           WHERE t.status <> 'purged' AND NOT EXISTS (SELECT FROM public.tenant_keys AS k WHERE k.tenant_id = t.id)
           ORDER BY t.id"#
    );
    Ok(db.query_all(statement).await?)
}
