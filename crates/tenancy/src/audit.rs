//! The audit rows of a platform's actions: on a tenant, on what is set for all.

use clinicx_types::id::TenantId;
use sea_orm::{Statement, raw_sql};
use serde_json::Value;
use uuid::Uuid;

use crate::scope::PlatformScope;

/// What was done.
#[derive(Clone, Debug)]
pub struct Action {
    /// Its name, such as `tenant.created`.
    pub name: &'static str,
    /// The kind of thing.
    pub entity: &'static str,
    /// Which one; a setting has a key and no id, and its key stands among what changed.
    pub entity_id: Option<Uuid>,
    /// The tenant whom alone it concerns, and who sees the row.
    pub tenant_id: Option<TenantId>,
    /// What it was.
    pub before: Option<Value>,
    /// What it is.
    pub after: Option<Value>,
}

impl Action {
    /// Returns what was done to a tenant.
    pub fn on_tenant(
        name: &'static str,
        tenant: TenantId,
        before: Option<Value>,
        after: Option<Value>,
    ) -> Self {
        let (entity_id, tenant_id) = (Some(tenant.uuid()), Some(tenant));
        Self { name, entity: "tenant", entity_id, tenant_id, before, after }
    }
}

/// Writes the statement that records it; it belongs into the transaction of what was done.
pub fn statement(by: &PlatformScope, action: Action) -> Statement {
    let Action { name, entity, entity_id, tenant_id, before, after } = action;
    let actor_kind = by.actor.kind();
    let actor_id = by.actor.user_id().map(|id| id.uuid());
    let actor_job = by.actor.job();
    let session_id = by.session_id.map(|id| id.uuid());
    let request_id = by.request_id.uuid();
    let source = by.source.map(|address| address.to_string());
    raw_sql!(
        Postgres,
        r#"INSERT INTO public.audit_logs
               (tenant_id, actor_kind, actor_id, actor_job, session_id, action, entity, entity_id, request_id,
                source_address, before, after)
           VALUES ({tenant_id}, {actor_kind}, {actor_id}, {actor_job}, {session_id}, {name}, {entity}, {entity_id},
                   {request_id}, CAST({source} AS inet), {before}, {after})"#
    )
}
