//! One row that is to be written.

use std::{borrow::Cow, net::IpAddr};

use clinicx_persistence::{Actor, SystemExecutor};
use clinicx_types::id::{BreakGlassGrantId, RequestId, SessionId, TenantId};
use sea_orm::{DbErr, JsonValue, raw_sql};
use serde::Serialize;
use uuid::Uuid;

/// A row of the audit, without what PostgreSQL itself sets: its id, its time, the database role, the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The tenant whose audit shows it; `None` for the platform's.
    pub tenant_id: Option<TenantId>,
    /// Who acted.
    pub actor: Actor,
    /// The log-in from which the request came.
    pub session_id: Option<SessionId>,
    /// The break-glass grant under which an operator acted.
    pub break_glass_id: Option<BreakGlassGrantId>,
    /// What was done, such as `patient.read`.
    pub action: Cow<'static, str>,
    /// The kind of thing.
    pub entity: &'static str,
    /// Which one; `None` for a list.
    pub entity_id: Option<Uuid>,
    /// The patient whom it concerns, when it is one.
    pub patient_id: Option<Uuid>,
    /// The patients whom a list has shown.
    pub patient_ids: Option<Vec<Uuid>>,
    /// The request.
    pub request_id: RequestId,
    /// Where it came from.
    pub source: Option<IpAddr>,
    /// What else is to be known, without values that identify anybody.
    pub after: Option<JsonValue>,
}

/// An entry as PostgreSQL reads it with `jsonb_to_recordset`.
#[derive(Serialize)]
struct Record<'a> {
    tenant_id: Option<Uuid>,
    actor_kind: &'static str,
    actor_id: Option<Uuid>,
    actor_job: Option<&'static str>,
    session_id: Option<Uuid>,
    break_glass_id: Option<Uuid>,
    action: &'a str,
    entity: &'static str,
    entity_id: Option<Uuid>,
    patient_id: Option<Uuid>,
    patient_ids: Option<&'a [Uuid]>,
    request_id: Uuid,
    source_address: Option<IpAddr>,
    after: Option<&'a JsonValue>,
}

impl<'a> From<&'a Entry> for Record<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self {
            tenant_id: entry.tenant_id.map(TenantId::uuid),
            actor_kind: entry.actor.kind(),
            actor_id: entry.actor.user_id().map(|id| id.uuid()),
            actor_job: entry.actor.job(),
            session_id: entry.session_id.map(SessionId::uuid),
            break_glass_id: entry.break_glass_id.map(BreakGlassGrantId::uuid),
            action: &entry.action,
            entity: entry.entity,
            entity_id: entry.entity_id,
            patient_id: entry.patient_id,
            patient_ids: entry.patient_ids.as_deref(),
            request_id: entry.request_id.uuid(),
            source_address: entry.source,
            after: entry.after.as_ref(),
        }
    }
}

/// Writes rows, of whichever tenants, in one statement.
///
/// They go as one JSON value: an array for each column would have no place for arrays of arrays.
///
/// # Errors
/// What the database answers; then none is written.
pub async fn insert<'a>(
    db: &impl SystemExecutor,
    entries: impl IntoIterator<Item = &'a Entry>,
) -> Result<u64, DbErr> {
    let records: Vec<Record<'_>> = entries.into_iter().map(Record::from).collect();
    let records = serde_json::to_value(&records).map_err(|error| DbErr::Json(error.to_string()))?;
    db.execute(raw_sql!(
        Postgres,
        r#"INSERT INTO public.audit_logs
               (tenant_id, actor_kind, actor_id, actor_job, session_id, break_glass_id, action, entity, entity_id,
                patient_id, patient_ids, request_id, source_address, after)
           SELECT r.tenant_id, r.actor_kind, r.actor_id, r.actor_job, r.session_id, r.break_glass_id, r.action,
                  r.entity, r.entity_id, r.patient_id, r.patient_ids, r.request_id, r.source_address, r.after
           FROM jsonb_to_recordset({records}) AS r (
               tenant_id uuid, actor_kind text, actor_id uuid, actor_job text, session_id uuid, break_glass_id uuid,
               action text, entity text, entity_id uuid, patient_id uuid, patient_ids uuid[], request_id uuid,
               source_address inet, after jsonb)"#
    ))
    .await
}
