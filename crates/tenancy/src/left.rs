//! What is left of a tenant after its end.

use clinicx_persistence::SystemExecutor;
use sea_orm::{FromQueryResult, raw_sql};
use serde::Serialize;

use crate::{error::TenancyError, service::Tenancy, tenant::Tenant};

/// What there is of a tenant in the database beside its tombstone and the audit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromQueryResult, Serialize)]
pub struct Left {
    /// Its schema: 0 or 1.
    pub schemas: i64,
    /// Its role: 0 or 1.
    pub roles: i64,
    /// Data keys that could be unwrapped.
    pub keys: i64,
    /// Members, sessions and invitations.
    pub people: i64,
}

impl Left {
    /// Tells whether there is nothing.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Tenancy {
    /// Counts what is left of a tenant.
    ///
    /// # Errors
    /// [`TenancyError::Database`].
    pub async fn left_of(&self, tenant: &Tenant) -> Result<Left, TenancyError> {
        let (id, schema) = (tenant.id, tenant.database_schema.as_str());
        let left: Option<Left> = self
            .app()
            .query_one(raw_sql!(
                Postgres,
                r#"SELECT (SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname = {schema}) AS schemas,
                          (SELECT count(*) FROM pg_catalog.pg_roles WHERE rolname = {schema}) AS roles,
                          (SELECT count(*) FROM public.tenant_keys
                           WHERE tenant_id = {id} AND (state <> 'destroyed' OR wrapped_key IS NOT NULL)) AS keys,
                          (SELECT count(*) FROM public.memberships WHERE tenant_id = {id})
                              + (SELECT count(*) FROM public.sessions WHERE tenant_id = {id})
                              + (SELECT count(*) FROM public.invitations WHERE tenant_id = {id}) AS people"#
            ))
            .await?;
        Ok(left.unwrap_or_default())
    }
}
