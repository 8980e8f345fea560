//! One PostgreSQL cluster and the pool of tenants' connections to it.

use std::sync::Arc;

use clinicx_types::name::ClusterName;

use crate::{
    options::{ApplyMode, ClusterKind, ClusterOptions},
    pool::{Connector, Door, OpenError, Pool, Settings},
    subject::Terms,
    target::TenantTarget,
    tenant::TenantConnection,
};

/// Why a cluster or the system schema could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server could not be reached, or refused the login.
    #[error("cannot connect to PostgreSQL")]
    Unreachable(#[source] sqlx::Error),
    /// A pooler stands between, and session mode would mix tenants up there.
    #[error("a connection pooler stands before PostgreSQL: set the cluster's apply_mode to \"transaction\"")]
    PoolerInSessionMode,
    /// Citus serves transaction mode only.
    #[error("a Citus cluster needs apply_mode \"transaction\"")]
    CitusInSessionMode,
}

/// A cluster that is connected to. Cheap to clone.
///
/// Its connections belong to the runtime on which it was made, whichever runtime uses them.
#[derive(Clone, Debug)]
pub struct Cluster {
    name: ClusterName,
    pool: Arc<Pool>,
}

/// What a pool is doing and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Connections that serve somebody now.
    pub in_use: u64,
    /// Connections that are open and idle.
    pub idle: u64,
    /// Connections being closed whose backend may still run.
    pub closing: u64,
    /// Callers that wait now.
    pub waiting: u64,
    /// Times that somebody had to wait.
    pub waits: u64,
    /// Times that the wait ended without a connection.
    pub acquire_timeouts: u64,
    /// Connections opened.
    pub opened: u64,
    /// Connections taken whose tenant was already applied.
    pub tag_hits: u64,
    /// Times that a tenant was applied to a connection that last served another, or none.
    pub switches: u64,
    /// Connections closed because what happened on them was not known to be clean.
    pub discarded: u64,
    /// Connections closed because of their age, idleness or number of tenants.
    pub retired: u64,
}

impl Cluster {
    /// Connects, and refuses a pooler in session mode.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(options: ClusterOptions) -> Result<Self, ConnectError> {
        let ClusterOptions { name, connect, session_authorization, kind, apply_mode, pool, timeouts } =
            options;
        if kind == ClusterKind::Citus && apply_mode == ApplyMode::Session {
            return Err(ConnectError::CitusInSessionMode);
        }
        let role = session_authorization.clone();
        let connector = Connector::find(connect, apply_mode, role, pool.statement_cache_capacity).await?;
        if connector.door() == Door::Pooler && apply_mode == ApplyMode::Session {
            return Err(ConnectError::PoolerInSessionMode);
        }
        let terms = Terms { timeouts, session_authorization };
        let settings = Settings { connector, mode: apply_mode, terms, limits: pool, inspect: false };
        Ok(Self { name, pool: Pool::start(settings).await? })
    }

    /// Returns its name in the registry.
    pub fn name(&self) -> &ClusterName {
        &self.name
    }

    /// Returns how tenants are applied.
    pub fn apply_mode(&self) -> ApplyMode {
        self.pool.settings.mode
    }

    /// Returns a connection for one tenant; nothing is sent before its first statement.
    pub fn tenant(&self, target: TenantTarget) -> TenantConnection {
        self.tenant_with(target, None)
    }

    /// Returns a connection for a tenant that may hold so many of the pool's connections at a time, at least one;
    /// with `None` as many as [`crate::PoolOptions::tenant_share`] gives every tenant.
    pub fn tenant_with(&self, target: TenantTarget, connections: Option<u32>) -> TenantConnection {
        TenantConnection::new(Arc::clone(&self.pool), target, connections)
    }

    /// Returns what the pool is doing.
    pub fn stats(&self) -> PoolStats {
        self.pool.figures()
    }

    /// Takes no new work, waits for what runs and closes every connection. Ends within seconds all the same when
    /// something runs on, or the server does not answer.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl From<OpenError> for ConnectError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Unreachable(error) => Self::Unreachable(error),
            OpenError::Pooler => Self::PoolerInSessionMode,
        }
    }
}
