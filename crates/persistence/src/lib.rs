//! The SeaORM connection that applies a tenant.
//!
//! **Invariant:** no statement on a tenant's tables runs on a connection to which that tenant was not applied
//! and acknowledged by the server. Only [`TenantConnection`] and [`TenantTransaction`] reach those tables;
//! [`SystemConnection`] does not implement SeaORM's connection traits, so that a query of a tenant's entity
//! on it does not compile.
//!
//! Entry points: [`Cluster::connect`] gives a cluster, [`Cluster::tenant`] a connection for one tenant.
//! This crate knows no table of the domain; what every schema has (audit, outbox) is in [`record`].

pub mod cluster;
pub mod failure;
pub mod options;
mod pool;
pub mod record;
pub mod scope;
mod session;
mod statement;
mod subject;
pub mod system;
pub mod target;
pub mod tenant;
mod transaction;
mod trouble;
pub mod unaudited;

pub use cluster::{Cluster, ConnectError, PoolStats};
pub use failure::{Failure, FailureKind};
pub use options::{ApplyMode, ClusterKind, ClusterOptions, PoolOptions, SystemOptions, Timeouts};
pub use scope::{Actor, TenantScope};
pub use system::{SystemConnection, SystemExecutor, SystemTransaction};
pub use target::TenantTarget;
pub use tenant::{TenantConnection, TenantScoped, TenantTransaction};
