//! How clusters, pools and time limits are set.

use std::time::Duration;

use clinicx_types::name::{ClusterName, RoleName};

/// What kind of PostgreSQL a cluster is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterKind {
    /// PostgreSQL itself.
    #[default]
    Postgres,
    /// Citus 12 or newer with schema-based sharding: transaction mode, no role per tenant.
    Citus,
}

/// How a tenant is applied to a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplyMode {
    /// By `SET` when the connection last served another tenant; only direct to PostgreSQL.
    #[default]
    Session,
    /// By `SET LOCAL` at the start of each transaction; behind a transaction pooler, and on Citus.
    Transaction,
}

/// The limits of one pool.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// The most connections, those being opened or closed included. Unless a pooler stands between, one of them
    /// ends the backends of others, so that there are at least 2.
    pub max_connections: u32,
    /// How many are kept open when idle.
    pub min_connections: u32,
    /// How long a caller waits for one.
    pub acquire_timeout: Duration,
    /// After how long unused one is closed, above the minimum.
    pub idle_timeout: Duration,
    /// After how long in all one is closed.
    pub max_lifetime: Duration,
    /// After how many different tenants one is closed: each costs its backend memory that it never returns.
    pub max_tenants_per_connection: u32,
    /// The share of the pool, from 0 to 1, that one tenant may hold at a time; at least one connection.
    pub tenant_share: f64,
    /// How many prepared statements a connection keeps; with 0, and always behind a pooler, none has a name.
    pub statement_cache_capacity: usize,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            max_connections: 50,
            min_connections: 10,
            acquire_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(10 * 60),
            max_lifetime: Duration::from_secs(30 * 60),
            max_tenants_per_connection: 200,
            tenant_share: 0.5,
            statement_cache_capacity: 1000,
        }
    }
}

/// Time limits that PostgreSQL keeps for every statement of a pool; the defaults are those of tenants.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// `statement_timeout`.
    pub statement: Duration,
    /// `lock_timeout`.
    pub lock: Duration,
    /// `idle_in_transaction_session_timeout`.
    pub idle_in_transaction: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            statement: Duration::from_secs(20),
            lock: Duration::from_secs(10),
            idle_in_transaction: Duration::from_secs(30),
        }
    }
}

impl Timeouts {
    /// The limits of the system schema, on which every request depends. A transaction that needs longer says so
    /// by `SET LOCAL`.
    pub const SYSTEM: Self = Self {
        statement: Duration::from_secs(10),
        lock: Duration::from_secs(5),
        idle_in_transaction: Duration::from_secs(30),
    };
}

/// One PostgreSQL cluster that holds tenants.
#[derive(Clone)]
pub struct ClusterOptions {
    /// Its name in the registry.
    pub name: ClusterName,
    /// How to reach it as the application's login.
    pub connect: sqlx::postgres::PgConnectOptions,
    /// The role to become when the login of the URL is a superuser's (`SET SESSION AUTHORIZATION`); only for
    /// development, where one URL serves for everything.
    pub session_authorization: Option<RoleName>,
    /// What it is.
    pub kind: ClusterKind,
    /// How tenants are applied.
    pub apply_mode: ApplyMode,
    /// The pool of the tenants' connections.
    pub pool: PoolOptions,
    /// Time limits of statements.
    pub timeouts: Timeouts,
}

/// A pool of connections to the system schema with one login.
#[derive(Clone)]
pub struct SystemOptions {
    /// How to connect.
    pub connect: sqlx::postgres::PgConnectOptions,
    /// See [`ClusterOptions::session_authorization`].
    pub session_authorization: Option<RoleName>,
    /// The most connections; see [`PoolOptions::max_connections`].
    pub max_connections: u32,
    /// How long a caller waits for one.
    pub acquire_timeout: Duration,
    /// Time limits of statements; [`Timeouts::SYSTEM`] unless there is a reason for others.
    pub timeouts: Timeouts,
}
