//! The audit rows of a platform's actions: on a tenant, on what is set for all.

use clinicx_types::id::TenantId;
use sea_orm::{Statement, raw_sql};
use serde_json::Value;

use crate::scope::PlatformScope;

/// What was done to a tenant.
#[derive(Clone, Debug)]
pub(crate) struct Action {
    pub(crate) name: &'static str,
    pub(crate) tenant_id: TenantId,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

/// Writes the statement that records it; it belongs into the transaction of what was done.
pub(crate) fn statement(by: &PlatformScope, action: Action) -> Statement {
    let Action { name, tenant_id, before, after } = action;
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
           VALUES ({tenant_id}, {actor_kind}, {actor_id}, {actor_job}, {session_id}, {name}, 'tenant', {tenant_id},
                   {request_id}, CAST({source} AS inet), {before}, {after})"#
    )
}

/// What was set, for all or for one tenant.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) action: &'static str,
    pub(crate) entity: &'static str,
    /// The tenant whom alone it concerns, and who sees the row.
    pub(crate) tenant_id: Option<TenantId>,
    pub(crate) before: Value,
    pub(crate) after: Value,
}

/// Writes the statement that records it; it belongs into the transaction of what was done. A setting has a key and no
/// id, so that the key stands among what changed.
pub(crate) fn setting_statement(by: &PlatformScope, setting: Setting) -> Statement {
    let Setting { action, entity, tenant_id, before, after } = setting;
    let actor_kind = by.actor.kind();
    let actor_id = by.actor.user_id().map(|id| id.uuid());
    let actor_job = by.actor.job();
    let session_id = by.session_id.map(|id| id.uuid());
    let request_id = by.request_id.uuid();
    let source = by.source.map(|address| address.to_string());
    raw_sql!(
        Postgres,
        r#"INSERT INTO public.audit_logs
               (tenant_id, actor_kind, actor_id, actor_job, session_id, action, entity, request_id, source_address,
                before, after)
           VALUES ({tenant_id}, {actor_kind}, {actor_id}, {actor_job}, {session_id}, {action}, {entity}, {request_id},
                   CAST({source} AS inet), {before}, {after})"#
    )
}
