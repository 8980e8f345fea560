//! The ciphers of tenants, kept in the process: one unwrapping for each tenant, not for each request.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use clinicx_persistence::SystemConnection;
use clinicx_types::id::TenantId;
use moka::future::Cache;

use crate::{
    cipher::FieldCipher,
    envelope::DataKey,
    error::KeyError,
    provider::KeyProviders,
    store::{self, KeyRow},
};

/// How long a cipher is used before the database is asked whether there are other keys by now.
const REREAD_AFTER: Duration = Duration::from_secs(2);
/// How long a cipher may be trusted to know every key under which there are values. A new version of a key is
/// published [`SEALING_DELAY`] before anything is sealed under it.
const FRESH_FOR: Duration = Duration::from_secs(4);
/// How long every process has to learn of a new key before anything is sealed under it. Longer than
/// `FRESH_FOR`, so that no cipher that is still fresh misses a key that is in use.
pub const SEALING_DELAY: Duration = Duration::from_secs(5);
/// How long an unwrapped key is kept unless another time is configured.
const KEPT_FOR: Duration = Duration::from_secs(15 * 60);
/// How many tenants' keys are kept.
const CAPACITY: u64 = 20_000;

/// Gives each tenant's cipher. Cheap to clone.
///
/// Unwrapped keys are kept for a while and wiped when they are let go; of many who ask at once for what is not
/// kept, one asks the provider. While the provider is away, tenants whose keys are kept go on.
#[derive(Clone, Debug)]
pub struct Keyring {
    app: SystemConnection,
    providers: KeyProviders,
    ciphers: Cache<TenantId, FieldCipher>,
    unwrapped: Cache<(TenantId, u16), Arc<DataKey>>,
}

impl Keyring {
    /// Makes one that reads the wrapped keys with the application's login.
    pub fn new(app: SystemConnection, providers: KeyProviders) -> Self {
        Self::keeping(app, providers, KEPT_FOR)
    }

    /// Makes one that keeps unwrapped keys for another time than a quarter of an hour.
    pub fn keeping(app: SystemConnection, providers: KeyProviders, kept_for: Duration) -> Self {
        Self {
            app,
            providers,
            ciphers: Cache::builder().max_capacity(CAPACITY).time_to_live(REREAD_AFTER).build(),
            unwrapped: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(kept_for)
                .support_invalidation_closures()
                .build(),
        }
    }

    /// Returns who wraps and unwraps.
    pub fn providers(&self) -> &KeyProviders {
        &self.providers
    }

    /// Returns the cipher of a tenant, for one operation; whoever needs it later asks again.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn cipher(&self, tenant: TenantId) -> Result<FieldCipher, KeyError> {
        let cipher = self.ciphers.try_get_with(tenant, self.make(tenant)).await;
        cipher.map_err(|error| KeyError::clone(&error))
    }

    /// Returns the cipher of a tenant after asking the database anew: a value was met that another process has
    /// sealed under a newer key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn refreshed(&self, tenant: TenantId) -> Result<FieldCipher, KeyError> {
        self.ciphers.invalidate(&tenant).await;
        self.cipher(tenant).await
    }

    async fn make(&self, tenant: TenantId) -> Result<FieldCipher, KeyError> {
        let asked_at = Instant::now();
        let rows = store::load(&self.app, tenant).await?;
        let sealing = rows.iter().rev().find(|row| row.sealing).map(|row| row.key.version);
        let Some(sealing) = sealing else {
            self.forget(tenant);
            return Err(KeyError::Missing);
        };
        let mut keys = BTreeMap::new();
        for row in &rows {
            keys.insert(row.key.version, self.unwrapped(row).await?);
        }
        Ok(FieldCipher::of(tenant, sealing, keys).fresh_until(asked_at + FRESH_FOR))
    }

    async fn unwrapped(&self, row: &KeyRow) -> Result<Arc<DataKey>, KeyError> {
        let place = (row.key.tenant, row.key.version);
        let unwrap = async {
            let unwrapped = DataKey::unwrap(&self.providers, &row.key).await;
            if let Err(error) = &unwrapped {
                tracing::error!(tenant.id = %row.key.tenant, key.version = row.key.version, error = %chain(error),
                    "a data key can't be unwrapped");
            }
            unwrapped.map(Arc::new)
        };
        let key = self.unwrapped.try_get_with(place, unwrap).await;
        key.map_err(|error| KeyError::clone(&error))
    }

    /// Lets go of every key of a tenant that has none any more.
    fn forget(&self, tenant: TenantId) {
        let _ = self.unwrapped.invalidate_entries_if(move |(owner, _), _| *owner == tenant);
    }
}

fn chain(error: &KeyError) -> String {
    match error {
        KeyError::Provider(provider) => format!("{error}: {provider}"),
        other => other.to_string(),
    }
}
