//! The audit rows of what people do with jobs.

use clinicx_tenancy::PlatformScope;
use clinicx_types::id::TenantId;
use sea_orm::{JsonValue, Statement, raw_sql};

use crate::job::JobId;

/// Writes the statement that records it; it belongs into the transaction of what was done.
pub(crate) fn statement(
    by: &PlatformScope,
    action: &'static str,
    (job, tenant): (JobId, Option<TenantId>),
    after: JsonValue,
) -> Statement {
    let actor_kind = by.actor.kind();
    let actor_id = by.actor.user_id();
    let actor_job = by.actor.job();
    let session_id = by.session_id;
    let request_id = by.request_id;
    let source = by.source.map(|address| address.to_string());
    raw_sql!(
        Postgres,
        r#"INSERT INTO public.audit_logs
               (tenant_id, actor_kind, actor_id, actor_job, session_id, action, entity, entity_id, request_id,
                source_address, after)
           VALUES ({tenant}, {actor_kind}, {actor_id}, {actor_job}, {session_id}, {action}, 'job', {job},
                   {request_id}, CAST({source} AS inet), {after})"#
    )
}
