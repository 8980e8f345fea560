//! Changes a tenant's data key while it is served.
//!
//! A new version is published [`SEALING_DELAY`] before anything is sealed under it, so that every process knows it by
//! then; values are then sealed anew in small transactions, each only where the value is still the one that was read.
//! Everything is found by looking at the rows: whoever is killed begins again and ends what was left.

mod reseal;

use std::time::Duration;

use clinicx_keys::{
    DataKey, FieldCipher, KeyError, Keyring, cipher,
    keyring::SEALING_DELAY,
    sealed::SealedColumn,
    store::{self, KeyVersion},
};
use clinicx_persistence::{SystemExecutor, SystemTransaction};
use clinicx_types::id::TenantId;
use serde_json::json;

use crate::{
    audit,
    error::TenancyError,
    scope::PlatformScope,
    service::{Tenancy, settle},
    tenant::Tenant,
};

pub use reseal::Resealed;

/// How often a new version is published when others publish one at the same time.
const ATTEMPTS: u32 = 4;
/// How often the rows are looked through until nothing is left; what is sealed under an older key meanwhile comes from
/// requests that had their cipher before the change.
const PASSES: u32 = 60;
const SETTLING_PAUSE: Duration = Duration::from_millis(500);
/// How long a key must have been retired before it may be destroyed: longer than any request runs that may still
/// seal under it.
const KEPT_AFTER_RETIRING: chrono::TimeDelta = chrono::TimeDelta::minutes(5);

/// A change of keys that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The version under which everything is to be sealed.
    pub version: u16,
    /// Whether somebody else has begun it.
    pub resumed: bool,
}

impl Tenancy {
    /// Lists the versions of a tenant's data key, the oldest first.
    ///
    /// # Errors
    /// [`TenancyError::Keys`], [`TenancyError::Database`].
    pub async fn key_versions(&self, tenant: TenantId) -> Result<Vec<KeyVersion>, TenancyError> {
        Ok(store::versions(self.control(), tenant).await?)
    }

    /// Publishes a new version of a tenant's data key, unless a change of keys is underway. Writes an audit row.
    ///
    /// # Errors
    /// [`TenancyError::Keys`], [`TenancyError::Maintenance`] when others change the keys at the same time,
    /// [`TenancyError::Database`].
    #[tracing::instrument(name = "tenancy.begin_key_change", skip_all, fields(tenant.slug = %tenant.slug), err(level = "debug"))]
    pub async fn begin_key_change(
        &self,
        tenant: &Tenant,
        by: &PlatformScope,
    ) -> Result<KeyChange, TenancyError> {
        for _ in 0..ATTEMPTS {
            let versions = self.key_versions(tenant.id).await?;
            let active =
                versions.iter().find(|version| version.state == "active").ok_or(KeyError::Missing)?;
            if !active.complete && !active.is_derived() {
                return Ok(KeyChange { version: active.version, resumed: true });
            }
            let last = versions.iter().map(|version| version.version).max().unwrap_or_default();
            let next = last.checked_add(1).ok_or(KeyError::Malformed)?;
            // Before the transaction: wrapping may ask a service on another machine.
            let key = DataKey::random()?.wrap(self.keys(), tenant.id, next).await?;
            let tx = self.control().begin().await?;
            let published = async {
                // Whoever was first has retired the version that was active.
                if tx.execute(store::retire(tenant.id, active.version)).await? == 0 {
                    return Ok(false);
                }
                tx.execute(store::publish(&key, SEALING_DELAY)).await?;
                let after = json!({ "version": next, "provider": key.provider });
                let before = json!({ "version": active.version });
                record(&tx, by, tenant.id, "tenant.key_published", Some(before), after).await?;
                Ok(true)
            };
            let published = published.await;
            if settle(tx, published).await? {
                return Ok(KeyChange { version: next, resumed: false });
            }
        }
        Err(TenancyError::Maintenance)
    }

    /// Seals everything of a tenant anew that is sealed under an older key or not at all, and notes when nothing is
    /// left. `progress` hears of every value. Writes an audit row at the end.
    ///
    /// Rows keep their version and time of change: nobody has changed what they say.
    ///
    /// # Errors
    /// [`TenancyError::Keys`], [`TenancyError::Database`].
    #[tracing::instrument(name = "tenancy.reseal", skip_all, fields(tenant.slug = %tenant.slug), err(level = "debug"))]
    pub async fn reseal(
        &self,
        tenant: &Tenant,
        columns: &[SealedColumn],
        by: &PlatformScope,
        progress: impl Fn() + Sync,
    ) -> Result<Resealed, TenancyError> {
        let cipher = self.sealing_cipher(tenant.id).await?;
        let mut all = Resealed { version: cipher.version(), ..Resealed::default() };
        for _ in 0..PASSES {
            let turn = self.turn().await;
            let pass = reseal::pass(self, tenant, &cipher, columns, &progress).await?;
            drop(turn);
            all.values += pass.values;
            all.unreadable = pass.unreadable;
            if pass.values > 0 {
                continue;
            }
            // A process that asked for its cipher just before the change may still use it for a moment.
            if self.is_settled(tenant.id, cipher.version()).await? {
                break;
            }
            tokio::time::sleep(SETTLING_PAUSE).await;
        }
        all.complete =
            all.unreadable == 0 && self.values_to_reseal(tenant, cipher.version(), columns).await? == 0;
        if all.complete {
            let tx = self.control().begin().await?;
            let done = async {
                if tx.execute(store::complete(tenant.id, cipher.version())).await? > 0 {
                    let after = json!({ "version": cipher.version(), "values": all.values });
                    record(&tx, by, tenant.id, "tenant.key_change_completed", None, after).await?;
                }
                Ok(())
            };
            let done = done.await;
            settle(tx, done).await?;
        }
        Ok(all)
    }

    /// Counts the values that [`Tenancy::reseal`] would seal anew for a version.
    ///
    /// # Errors
    /// [`TenancyError::Database`].
    pub async fn values_to_reseal(
        &self,
        tenant: &Tenant,
        version: u16,
        columns: &[SealedColumn],
    ) -> Result<u64, TenancyError> {
        reseal::count(self, tenant, columns, reseal::Wanted::NotUnder(cipher::head(version))).await
    }

    /// Lets the present master key wrap a tenant's data keys; no row of the tenant is touched. Returns how many were
    /// wrapped anew. Writes an audit row when there were any.
    ///
    /// # Errors
    /// [`TenancyError::Keys`], [`TenancyError::Database`].
    #[tracing::instrument(name = "tenancy.rewrap", skip_all, fields(tenant.slug = %tenant.slug), err(level = "debug"))]
    pub async fn rewrap_keys(&self, tenant: &Tenant, by: &PlatformScope) -> Result<usize, TenancyError> {
        let primary = self.keys().primary();
        let present = primary.key_id().await.map_err(KeyError::from)?;
        let mut rewrapped = 0;
        for row in store::load(self.control(), tenant.id).await? {
            let old = row.key;
            if old.provider == primary.name() && old.wrapped.key_id == present {
                continue;
            }
            let wrapped = self.keys().rewrap(&old.provider, &old.wrapped).await.map_err(KeyError::from)?;
            let new = store::StoredKey { provider: primary.name().to_owned(), wrapped, ..old.clone() };
            // A key that would not open again is never written over one that does.
            DataKey::unwrap(self.keys(), &new).await?;
            let tx = self.control().begin().await?;
            let written = async {
                let written = tx.execute(store::rewrapped(&old, &new)).await?;
                if written > 0 {
                    let name = |key: &store::StoredKey| json!({ "version": key.version, "provider": key.provider, "master_key": key.wrapped.key_id });
                    record(&tx, by, tenant.id, "tenant.key_rewrapped", Some(name(&old)), name(&new)).await?;
                }
                Ok(written)
            };
            let written = written.await;
            rewrapped += usize::from(settle(tx, written).await? > 0);
        }
        Ok(rewrapped)
    }

    /// Destroys a retired version of a tenant's data key, under which nothing is sealed any more. Writes an audit row.
    ///
    /// # Errors
    /// [`TenancyError::KeyInUse`] when it is not retired, not for long enough, or values are still sealed under it;
    /// [`TenancyError::Database`].
    #[tracing::instrument(name = "tenancy.destroy_key", skip_all, fields(tenant.slug = %tenant.slug, version), err(level = "debug"))]
    pub async fn destroy_key(
        &self,
        tenant: &Tenant,
        version: u16,
        columns: &[SealedColumn],
        by: &PlatformScope,
    ) -> Result<(), TenancyError> {
        let versions = self.key_versions(tenant.id).await?;
        let retired =
            versions.iter().find(|known| known.version == version).and_then(|known| known.retired_at);
        if retired.is_none_or(|at| by.now() - at < KEPT_AFTER_RETIRING) {
            return Err(TenancyError::KeyInUse);
        }
        if reseal::count(self, tenant, columns, reseal::Wanted::Under(cipher::head(version))).await? > 0 {
            return Err(TenancyError::KeyInUse);
        }
        let tx = self.control().begin().await?;
        let destroyed = async {
            if tx.execute(store::destroy(tenant.id, version)).await? == 0 {
                return Err(TenancyError::KeyInUse);
            }
            record(&tx, by, tenant.id, "tenant.key_destroyed", Some(json!({ "version": version })), json!({}))
                .await
        };
        let destroyed = destroyed.await;
        settle(tx, destroyed).await
    }

    async fn is_settled(&self, tenant: TenantId, version: u16) -> Result<bool, TenancyError> {
        let versions = self.key_versions(tenant).await?;
        Ok(versions.iter().any(|known| known.version == version && known.settled))
    }

    /// Waits until the newest key seals, and returns its cipher.
    async fn sealing_cipher(&self, tenant: TenantId) -> Result<FieldCipher, TenancyError> {
        let newest = self.key_versions(tenant).await?.iter().map(|version| version.version).max();
        let keyring = Keyring::new(self.control().clone(), self.keys().clone());
        let mut waited = Duration::ZERO;
        loop {
            let cipher = keyring.refreshed(tenant).await?;
            if Some(cipher.version()) == newest {
                return Ok(cipher.lasting());
            }
            if waited > SEALING_DELAY * 2 {
                return Err(TenancyError::Maintenance);
            }
            let pause = Duration::from_millis(200);
            tokio::time::sleep(pause).await;
            waited += pause;
        }
    }
}

async fn record(
    tx: &SystemTransaction,
    by: &PlatformScope,
    tenant_id: TenantId,
    name: &'static str,
    before: Option<serde_json::Value>,
    after: serde_json::Value,
) -> Result<(), TenancyError> {
    let action = audit::Action::on_tenant(name, tenant_id, before, Some(after));
    tx.execute(audit::statement(by, action)).await?;
    Ok(())
}
