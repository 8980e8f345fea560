//! Which tenant a connection is for, and where that tenant lives.

use clinicx_types::{
    id::TenantId,
    name::{ClusterName, DatabaseName, SchemaName, TenantRole},
    version::SchemaVersion,
};

/// Everything that has to be applied to a connection before it may serve one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TenantTarget {
    /// The tenant; a constant in its schema's policies and checks.
    pub tenant_id: TenantId,
    /// The cluster that holds it.
    pub cluster: ClusterName,
    /// The database that holds it; `None` means the cluster's own.
    pub database: Option<DatabaseName>,
    /// Its schema.
    pub schema: SchemaName,
    /// Its role; `None` on a cluster that has no role per tenant (Citus).
    pub role: Option<TenantRole>,
    /// How far its schema has been migrated.
    pub schema_version: SchemaVersion,
}
