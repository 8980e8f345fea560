//! Finds the tenant of a request, from a small cache that forgets quickly.

use std::{sync::Arc, time::Duration};

use clinicx_persistence::SystemConnection;
use clinicx_types::{
    id::TenantId,
    name::TenantSlug,
    sabotage::{Bug, planted},
};
use moka::future::Cache;

use crate::{error::TenancyError, module::ModuleRegistry, registry, tenant::Tenant};

/// How long an answer is kept. What another process changes is seen after this at the latest; the fence in the
/// database holds at once.
const TIME_TO_LIVE: Duration = Duration::from_secs(2);
/// How many answers are kept, unknown tenants among them.
const CAPACITY: u64 = 20_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Id(TenantId),
    Slug(TenantSlug),
}

/// Looks tenants up for requests. Cheap to clone.
///
/// Answers are kept for two seconds, that there is no such tenant too; of many who ask at once for what is not
/// kept, one goes to the database.
#[derive(Clone, Debug)]
pub struct Resolver {
    app: SystemConnection,
    modules: Arc<ModuleRegistry>,
    cache: Cache<Key, Option<Arc<Tenant>>>,
}

impl Resolver {
    /// Makes one that reads the registry with the application's login.
    pub fn new(app: SystemConnection, modules: Arc<ModuleRegistry>) -> Self {
        let cache = Cache::builder().max_capacity(CAPACITY).time_to_live(TIME_TO_LIVE).build();
        Self { app, modules, cache }
    }

    /// Returns a tenant by its id, in whatever state.
    ///
    /// # Errors
    /// [`TenancyError::UnknownTenant`], [`TenancyError::Database`].
    pub async fn resolve_id(&self, id: TenantId) -> Result<Arc<Tenant>, TenancyError> {
        self.resolve(Key::Id(id)).await
    }

    /// Returns a tenant by its slug, in whatever state.
    ///
    /// # Errors
    /// As [`Resolver::resolve_id`].
    pub async fn resolve_slug(&self, slug: &TenantSlug) -> Result<Arc<Tenant>, TenancyError> {
        self.resolve(Key::Slug(slug.clone())).await
    }

    /// Refuses a tenant that can't be served now: by its state, or because its schema is too old.
    ///
    /// # Errors
    /// [`TenancyError::Suspended`], [`TenancyError::Gone`], [`TenancyError::Maintenance`],
    /// [`TenancyError::UpgradeRequired`].
    pub fn require_served(&self, tenant: &Tenant) -> Result<(), TenancyError> {
        tenant.require_active()?;
        self.modules.require_served(tenant)
    }

    /// Forgets what is kept of a tenant, so that this process sees its change at once.
    pub async fn invalidate(&self, tenant: &Tenant) {
        self.cache.invalidate(&Key::Id(tenant.id)).await;
        self.cache.invalidate(&Key::Slug(tenant.slug.clone())).await;
    }

    async fn resolve(&self, key: Key) -> Result<Arc<Tenant>, TenancyError> {
        let look_up = async {
            let found = match &key {
                Key::Id(id) => registry::find_by_id(&self.app, *id).await?,
                Key::Slug(slug) => registry::find_by_slug(&self.app, slug).await?,
            };
            Ok::<_, TenancyError>(found.map(Arc::new))
        };
        let cached_as = if planted(Bug::CacheWithoutTenant) {
            Key::Id(TenantId::new(uuid::Uuid::nil()))
        } else {
            key.clone()
        };
        let found = self.cache.try_get_with(cached_as, look_up).await;
        found.map_err(|error| TenancyError::clone(&error))?.ok_or(TenancyError::UnknownTenant)
    }
}
