//! One PostgreSQL cluster and the pool of tenants' connections to it.

use crate::{options::ClusterOptions, target::TenantTarget, tenant::TenantConnection};

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
#[derive(Clone, Debug)]
pub struct Cluster {}

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
    pub async fn connect(_options: ClusterOptions) -> Result<Self, ConnectError> {
        todo!("persistence")
    }

    /// Returns a connection for one tenant; nothing is sent before its first statement.
    pub fn tenant(&self, _target: TenantTarget) -> TenantConnection {
        todo!("persistence")
    }

    /// Returns what the pool is doing.
    pub fn stats(&self) -> PoolStats {
        todo!("persistence")
    }

    /// Takes no new work, waits for what runs and closes every connection.
    pub async fn close(&self) {
        todo!("persistence")
    }
}
