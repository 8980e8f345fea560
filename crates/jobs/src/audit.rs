//! The audit rows of what people do with jobs.

use clinicx_tenancy::{
    PlatformScope,
    audit::{self, Action},
};
use clinicx_types::id::TenantId;
use sea_orm::{JsonValue, Statement};

use crate::job::JobId;

/// Writes the statement that records it; it belongs into the transaction of what was done.
pub(crate) fn statement(
    by: &PlatformScope,
    action: &'static str,
    (job, tenant): (JobId, Option<TenantId>),
    after: JsonValue,
) -> Statement {
    let (entity_id, after) = (Some(job.uuid()), Some(after));
    let action = Action { name: action, entity: "job", entity_id, tenant_id: tenant, before: None, after };
    audit::statement(by, action)
}
