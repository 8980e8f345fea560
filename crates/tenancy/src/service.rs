//! What an operator of the platform can do with tenants.

use std::{sync::Arc, time::Duration};

use clinicx_keys::KeyProviders;
use clinicx_migration::owner::{OwnerConnection, OwnerLogin};
use clinicx_persistence::{SystemConnection, SystemExecutor, SystemTransaction};
use clinicx_types::{id::TenantId, name::ClusterName};
use sea_orm::raw_sql;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

use crate::{
    draft::{NewTenant, TenantDraft},
    error::TenancyError,
    module::ModuleRegistry,
};

/// How many idle connections of the owner role are kept for the next creation.
const PARKED_CONNECTIONS: usize = 2;

/// How many creations and changes of modules have a connection of the owner role at once; others wait.
const OWNER_CONNECTIONS: usize = 4;

/// A cluster as the configuration describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterEntry {
    /// Its name.
    pub name: ClusterName,
    /// The region in which its data are.
    pub region: Option<String>,
}

/// How the registry is reached and what tenants can have.
#[derive(Clone, Debug)]
pub struct TenancyOptions {
    /// The application's login: reads the registry.
    pub app: SystemConnection,
    /// The control login: writes the registry, fences and ends tenants.
    pub control: SystemConnection,
    /// The migrator's login: makes and migrates schemas. Without it the rest can still be done.
    pub migrator: Option<OwnerLogin>,
    /// The modules of the application.
    pub modules: Arc<ModuleRegistry>,
    /// Who wraps the tenants' data keys.
    pub keys: KeyProviders,
    /// The cluster in which the registry itself lives, and where new tenants go.
    pub home: ClusterEntry,
    /// Further clusters that are configured.
    pub others: Vec<ClusterEntry>,
    /// How long an archived tenant is kept before it may be purged without force.
    pub retention: Duration,
}

/// The operator's hand on tenants. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tenancy {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: TenancyOptions,
    parked: Mutex<Vec<OwnerConnection>>,
    turns: Semaphore,
}

impl Tenancy {
    /// Makes the hand; nothing is connected to before it is used.
    pub fn new(options: TenancyOptions) -> Self {
        Self {
            inner: Arc::new(Inner {
                options,
                parked: Mutex::new(Vec::new()),
                turns: Semaphore::new(OWNER_CONNECTIONS),
            }),
        }
    }

    /// Returns the modules of the application.
    pub fn modules(&self) -> &Arc<ModuleRegistry> {
        &self.inner.options.modules
    }

    /// Returns the application's connection to the registry, for reading.
    pub fn app(&self) -> &SystemConnection {
        &self.inner.options.app
    }

    /// Returns the control login's connection to the registry.
    pub fn control(&self) -> &SystemConnection {
        &self.inner.options.control
    }

    /// Returns the migrator's login, for migrating many tenants.
    ///
    /// # Errors
    /// [`TenancyError::NotConfigured`].
    pub fn migrator(&self) -> Result<&OwnerLogin, TenancyError> {
        self.inner.options.migrator.as_ref().ok_or(TenancyError::NotConfigured)
    }

    /// Returns who wraps the tenants' data keys.
    pub fn keys(&self) -> &KeyProviders {
        &self.inner.options.keys
    }

    /// Returns how long an archived tenant is kept.
    pub fn retention(&self) -> Duration {
        self.inner.options.retention
    }

    /// Writes the configured clusters into the registry, and the regions of those that it knows; where none is
    /// configured, the region that it knows stays.
    ///
    /// # Errors
    /// [`TenancyError::Database`].
    pub async fn register_clusters(&self) -> Result<(), TenancyError> {
        let options = &self.inner.options;
        for cluster in std::iter::once(&options.home).chain(&options.others) {
            let name = cluster.name.as_str();
            let region = cluster.region.as_deref();
            let statement = raw_sql!(
                Postgres,
                r#"INSERT INTO public.clusters AS c (name, region) VALUES ({name}, {region})
                   ON CONFLICT (name) DO UPDATE SET region = EXCLUDED.region
                   WHERE EXCLUDED.region IS NOT NULL AND c.region IS DISTINCT FROM EXCLUDED.region"#
            );
            options.control.execute(statement).await?;
        }
        Ok(())
    }

    /// Checks the description of a new tenant, which gets the given id.
    ///
    /// # Errors
    /// [`TenancyError::Invalid`] with every part that is wrong.
    pub fn check(&self, draft: TenantDraft, id: TenantId) -> Result<NewTenant, TenancyError> {
        let options = &self.inner.options;
        draft.check(id, &options.modules, &options.home, &options.others).map_err(TenancyError::Invalid)
    }

    /// Waits until fewer than [`OWNER_CONNECTIONS`] are in use. The turn is held as long as the connection is.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes the semaphore; there is always a turn.
        self.inner.turns.acquire().await.ok()
    }

    /// Takes an idle connection of the owner role, or opens one, for whoever has a [`Tenancy::turn`].
    pub(crate) async fn owner_connection(&self) -> Result<OwnerConnection, TenancyError> {
        loop {
            let parked = self.inner.parked.lock().await.pop();
            match parked {
                // The server may have been restarted since it was parked.
                Some(connection) => {
                    if let Some(connection) = connection.if_alive().await {
                        return Ok(connection);
                    }
                }
                None => break,
            }
        }
        self.migrator()?.open().await.map_err(|failure| TenancyError::Database(failure.failure))
    }

    /// Keeps an idle connection for the next who needs one.
    pub(crate) async fn park(&self, connection: OwnerConnection) {
        let mut parked = self.inner.parked.lock().await;
        if parked.len() < PARKED_CONNECTIONS {
            parked.push(connection);
            return;
        }
        drop(parked);
        connection.close().await;
    }

    /// Closes what it keeps open; the connections that it was given are their owner's to close.
    pub async fn close(&self) {
        let parked = std::mem::take(&mut *self.inner.parked.lock().await);
        for connection in parked {
            connection.close().await;
        }
    }
}

/// Commits what went well and rolls back what did not. A transaction that is merely dropped costs its connection.
pub(crate) async fn settle<T>(
    tx: SystemTransaction,
    result: Result<T, TenancyError>,
) -> Result<T, TenancyError> {
    match result {
        Ok(value) => tx.commit().await.map(|()| value).map_err(TenancyError::from),
        Err(error) => {
            // The reason for the roll-back is what the caller needs; a failed one closes the connection.
            let _rolled_back = tx.rollback().await;
            Err(error)
        }
    }
}
