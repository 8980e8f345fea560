//! Which tenant a connection is for, and where that tenant lives.

use clinicx_types::{
    id::TenantId,
    name::{ClusterName, DatabaseName, SchemaName, TenantRole},
    version::SchemaVersion,
};

/// Everything that has to be applied to a connection before it may serve one tenant.
///
/// Its names have been parsed; no other text becomes an identifier:
///
/// ```
/// # use clinicx_persistence::TenantTarget;
/// use clinicx_types::name::SchemaName;
/// fn moved(target: &mut TenantTarget) {
///     target.schema = SchemaName::parse("tenant_clinic1").expect("a name of a schema");
/// }
/// ```
///
/// ```compile_fail,E0308
/// # use clinicx_persistence::TenantTarget;
/// fn moved(target: &mut TenantTarget) {
///     target.schema = "tenant_clinic1; DROP SCHEMA public";
/// }
/// ```
///
/// ```compile_fail,E0423
/// # use clinicx_persistence::TenantTarget;
/// use clinicx_types::name::SchemaName;
/// fn moved(target: &mut TenantTarget) {
///     target.schema = SchemaName("tenant_clinic1; DROP SCHEMA public".into());
/// }
/// ```
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
