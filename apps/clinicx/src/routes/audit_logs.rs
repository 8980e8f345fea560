//! The audit: a clinic's own, and the platform's for operators.

use chrono::{DateTime, TimeDelta, Utc};
use clinicx_audit::trail::{self, AuditLog, PlatformAuditLog, TrailFilter};
use clinicx_core::permission::AUDIT_READ;
use clinicx_identity::{IdentityError, break_glass};
use clinicx_tenancy::registry;
use clinicx_types::{
    calendar,
    id::{BreakGlassGrantId, TenantId},
    name::TenantSlug,
};
use clinicx_web::{Access, ApiError, CallerCx, HttpModule, List, Operation, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use crate::wiring::Slot;

/// A row's time is the database's, a grant's is this process's: how far the two clocks may be apart.
const CLOCKS_APART: TimeDelta = TimeDelta::minutes(5);

/// The operations on the audit.
pub fn module(slot: &Slot) -> HttpModule {
    let (own, slot) = (slot.clone(), slot.clone());
    HttpModule::new("audit", "Who did what, to whose data, when and from where").operations([
        Operation::get("/audit-logs", "list_audit_logs")
            .summary("List the clinic's audit rows, newest first")
            .description(
                "Every change, every read of a patient's data and every refusal. `patient_id` finds lists that have \
                 shown the patient too.",
            )
            .access(Access::Tenant(AUDIT_READ))
            .leaves_row("audit_log")
            .answers_page::<AuditLog>()
            .handler(move |cx: TenantCx, wanted: List<Wanted>| list(own.clone(), cx, wanted)),
        Operation::get("/platform/audit-logs", "list_platform_audit_logs")
            .summary("List the audit rows of the platform and of its tenants, newest first")
            .description(
                "Who did what, when and from where. What was changed inside a clinic is shown to the clinic alone.",
            )
            .access(Access::Operator)
            .leaves_row("audit_log")
            .answers_page::<PlatformAuditLog>()
            .handler(move |cx: CallerCx, wanted: List<PlatformWanted>| list_all(slot.clone(), cx, wanted)),
    ])
}

/// Which rows of a clinic are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Those that concern this patient, alone or in a list.
    patient_id: Option<Uuid>,
    /// Those of this user.
    actor_id: Option<Uuid>,
    /// Those of this action, such as `patient.read`.
    #[schemars(length(max = 100))]
    action: Option<String>,
    /// Those about this kind of thing, such as `appointment`.
    #[schemars(length(max = 100))]
    entity: Option<String>,
    /// Those about this thing.
    entity_id: Option<Uuid>,
    /// Those of what an operator did under this break-glass grant.
    break_glass_id: Option<BreakGlassGrantId>,
    /// Those written at this instant or later.
    #[serde(default, deserialize_with = "calendar::optional_instant")]
    from: Option<DateTime<Utc>>,
    /// Those written before this instant.
    #[serde(default, deserialize_with = "calendar::optional_instant")]
    to: Option<DateTime<Utc>>,
}

/// Which rows of the platform are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PlatformWanted {
    /// Those of the tenant with this slug.
    #[schemars(length(max = 40))]
    tenant: Option<String>,
    /// Those of this user.
    actor_id: Option<Uuid>,
    /// Those of this action, such as `tenant.suspended`.
    #[schemars(length(max = 100))]
    action: Option<String>,
    /// Those about this kind of thing, such as `tenant`.
    #[schemars(length(max = 100))]
    entity: Option<String>,
    /// Those about this thing.
    entity_id: Option<Uuid>,
    /// Those of what an operator did under this break-glass grant.
    break_glass_id: Option<BreakGlassGrantId>,
    /// Those written at this instant or later.
    #[serde(default, deserialize_with = "calendar::optional_instant")]
    from: Option<DateTime<Utc>>,
    /// Those written before this instant.
    #[serde(default, deserialize_with = "calendar::optional_instant")]
    to: Option<DateTime<Utc>>,
}

async fn list(slot: Slot, cx: TenantCx, list: List<Wanted>) -> Result<Reply, ApiError> {
    let Wanted { patient_id, actor_id, action, entity, entity_id, break_glass_id, from, to } =
        list.filter.clone();
    let filter =
        TrailFilter { patient_id, actor_id, action, entity, entity_id, from, to, break_glass_id: None };
    let filter = under(&slot, Some(cx.tenant().id), break_glass_id, filter).await?;
    let page = cx.read(async |tx, scope| Ok(trail::list(tx, scope, &filter, &list.page).await?)).await?;
    let reply = Reply::page(&list, &page);
    // Whoever looks at a patient's trail has looked at that patient.
    Ok(match patient_id {
        Some(patient_id) => reply.showing([patient_id]),
        None => reply,
    })
}

async fn list_all(slot: Slot, _cx: CallerCx, list: List<PlatformWanted>) -> Result<Reply, ApiError> {
    let PlatformWanted { tenant, actor_id, action, entity, entity_id, break_glass_id, from, to } =
        list.filter.clone();
    let filter =
        TrailFilter { patient_id: None, actor_id, action, entity, entity_id, from, to, break_glass_id: None };
    let tenant = match tenant {
        Some(slug) => {
            let unknown = || ApiError::invalid_field("?tenant", "unknown", "must be the slug of a tenant");
            let slug = TenantSlug::parse(&slug).map_err(|_| unknown())?;
            Some(registry::find_by_slug(&slot.platform()?.app, &slug).await?.ok_or_else(unknown)?.id)
        }
        None => None,
    };
    let filter = under(&slot, tenant, break_glass_id, filter).await?;
    let control = slot.tenancy()?.control();
    let page = trail::list_for_operators(control, tenant, &filter, &list.page).await?;
    let reply = Reply::page(&list, &page);
    Ok(match tenant {
        Some(tenant) => reply.concerning(tenant),
        None => reply,
    })
}

/// Narrows a filter to what was done under a grant, and to the time in which that can have been. A grant that is not
/// known, or another tenant's, has no rows.
async fn under(
    slot: &Slot,
    tenant: Option<TenantId>,
    grant: Option<BreakGlassGrantId>,
    filter: TrailFilter,
) -> Result<TrailFilter, ApiError> {
    let Some(id) = grant else { return Ok(filter) };
    let (began, ended) = match break_glass::get(&slot.platform()?.app, tenant, id).await {
        Ok(grant) => (grant.created_at - CLOCKS_APART, grant.expires_at + CLOCKS_APART),
        Err(IdentityError::NotFound { .. }) => (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH),
        Err(error) => return Err(error.into()),
    };
    let from = filter.from.map_or(began, |from| from.max(began));
    let to = filter.to.map_or(ended, |to| to.min(ended));
    Ok(TrailFilter { break_glass_id: Some(id.uuid()), from: Some(from), to: Some(to), ..filter })
}
