//! Looking at the audit: a tenant at its own rows, an operator at who did what where.

use chrono::{DateTime, Utc};
use clinicx_persistence::{SystemExecutor, TenantScope, TenantScoped};
use clinicx_types::{
    error::FieldError,
    id::TenantId,
    page::{CursorKey, Page, PageRequest},
};
use schemars::JsonSchema;
use sea_orm::{FromQueryResult, JsonValue, raw_sql};
use serde::Serialize;
use uuid::Uuid;

use crate::error::AuditError;

/// Which rows are wanted; what is absent does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrailFilter {
    /// Those that concern this patient, alone or in a list.
    pub patient_id: Option<Uuid>,
    /// Those of this user.
    pub actor_id: Option<Uuid>,
    /// Those of this action, such as `patient.read`.
    pub action: Option<String>,
    /// Those about this kind of thing.
    pub entity: Option<String>,
    /// Those about this thing.
    pub entity_id: Option<Uuid>,
    /// Those of what an operator did under this break-glass grant. Whoever asks for them says with `from` and `to` when
    /// that was, so that no more is looked through.
    pub break_glass_id: Option<Uuid>,
    /// Those written at this instant or later.
    pub from: Option<DateTime<Utc>>,
    /// Those written before this instant.
    pub to: Option<DateTime<Utc>>,
}

/// A row of the audit, as a tenant sees its own.
#[derive(Clone, Debug, FromQueryResult, Serialize, JsonSchema)]
pub struct AuditLog {
    /// Which one.
    pub id: Uuid,
    /// When it was written.
    pub recorded_at: DateTime<Utc>,
    /// `user`, `operator`, `system` or `anonymous`.
    pub actor_kind: String,
    /// The user who acted.
    pub actor_id: Option<Uuid>,
    /// The job or command that acted.
    pub actor_job: Option<String>,
    /// The log-in from which the request came.
    pub session_id: Option<Uuid>,
    /// The break-glass grant under which an operator acted.
    pub break_glass_id: Option<Uuid>,
    /// What was done, such as `patient.read`.
    pub action: String,
    /// The kind of thing.
    pub entity: String,
    /// Which one.
    pub entity_id: Option<Uuid>,
    /// The patient whom it concerns.
    pub patient_id: Option<Uuid>,
    /// The patients whom a list has shown.
    pub patient_ids: Option<Vec<Uuid>>,
    /// The request.
    pub request_id: Option<Uuid>,
    /// Where it came from.
    pub source_address: Option<String>,
    /// The changed fields as they were.
    pub before: Option<JsonValue>,
    /// The changed fields as they are, or what else is known.
    pub after: Option<JsonValue>,
}

/// A row of the audit, as an operator sees it: what was changed inside a clinic is the clinic's.
#[derive(Clone, Debug, FromQueryResult, Serialize, JsonSchema)]
pub struct PlatformAuditLog {
    /// Which one.
    pub id: Uuid,
    /// The tenant whose audit shows it; `null` for the platform's.
    pub tenant_id: Option<Uuid>,
    /// When it was written.
    pub recorded_at: DateTime<Utc>,
    /// `user`, `operator`, `system` or `anonymous`.
    pub actor_kind: String,
    /// The user who acted.
    pub actor_id: Option<Uuid>,
    /// The job or command that acted.
    pub actor_job: Option<String>,
    /// The log-in from which the request came.
    pub session_id: Option<Uuid>,
    /// The break-glass grant under which an operator acted.
    pub break_glass_id: Option<Uuid>,
    /// What was done.
    pub action: String,
    /// The kind of thing.
    pub entity: String,
    /// Which one.
    pub entity_id: Option<Uuid>,
    /// The request.
    pub request_id: Option<Uuid>,
    /// Where it came from.
    pub source_address: Option<String>,
    /// The changed fields as they were; of the platform's own rows alone.
    pub before: Option<JsonValue>,
    /// The changed fields as they are; of the platform's own rows alone.
    pub after: Option<JsonValue>,
}

#[derive(FromQueryResult)]
struct Count {
    rows: i64,
}

/// Where a page goes on.
#[derive(Clone, Copy, Default)]
struct After {
    at: Option<DateTime<Utc>>,
    id: Option<Uuid>,
}

/// Lists the tenant's own rows, newest first. Which tenant's is decided by the role of the connection.
///
/// # Errors
/// [`AuditError::Invalid`] when the cursor is none of this list's; [`AuditError::Database`].
pub async fn list(
    db: &impl TenantScoped,
    _scope: &TenantScope,
    filter: &TrailFilter,
    page: &PageRequest,
) -> Result<Page<AuditLog>, AuditError> {
    let TrailFilter { patient_id, actor_id, action, entity, entity_id, break_glass_id, from, to } =
        filter.clone();
    let After { at, id } = after(page)?;
    let limit = i32::from(page.limit()).saturating_add(1);
    // The function knows no grant: what it returns is narrowed here, and only then cut.
    let inner_limit = break_glass_id.is_none().then_some(limit);
    let total = if page.count {
        let (action, entity) = (action.clone(), entity.clone());
        let counted = db
            .query_one_raw(raw_sql!(
                Postgres,
                r#"SELECT count(*) AS rows
                   FROM public.tenant_audit_logs({patient_id}, {actor_id}, {action}, {entity}, {entity_id}, {from},
                                                 {to}, NULL, NULL, NULL)
                   WHERE CAST({break_glass_id} AS uuid) IS NULL OR break_glass_id = {break_glass_id}"#
            ))
            .await?;
        counted.map(|row| Count::from_query_result(&row, "")).transpose()?.map(|count| total_of(&count))
    } else {
        None
    };
    let rows = db
        .query_all_raw(raw_sql!(
            Postgres,
            r#"SELECT id, recorded_at, actor_kind, actor_id, actor_job, session_id, break_glass_id, action, entity,
                      entity_id, patient_id, patient_ids, request_id, source_address, before, after
               FROM public.tenant_audit_logs({patient_id}, {actor_id}, {action}, {entity}, {entity_id}, {from}, {to},
                                             {at}, {id}, {inner_limit})
               WHERE CAST({break_glass_id} AS uuid) IS NULL OR break_glass_id = {break_glass_id}
               ORDER BY recorded_at DESC, id DESC
               LIMIT {limit}"#
        ))
        .await?;
    let rows: Result<Vec<AuditLog>, _> =
        rows.iter().map(|row| AuditLog::from_query_result(row, "")).collect();
    Ok(Page::from_rows(rows?, page, total, |row| key(row.recorded_at, row.id)))
}

/// Lists rows of the platform and of its tenants, newest first, for operators; `tenant` narrows it to one.
///
/// # Errors
/// As [`list`].
pub async fn list_for_operators(
    db: &impl SystemExecutor,
    tenant: Option<TenantId>,
    filter: &TrailFilter,
    page: &PageRequest,
) -> Result<Page<PlatformAuditLog>, AuditError> {
    let TrailFilter { patient_id: _, actor_id, action, entity, entity_id, break_glass_id, from, to } =
        filter.clone();
    let After { at, id } = after(page)?;
    let limit = i64::from(page.limit()).saturating_add(1);
    let total = if page.count {
        let (action, entity) = (action.clone(), entity.clone());
        let counted: Option<Count> = db
            .query_one(raw_sql!(
                Postgres,
                r#"SELECT count(*) AS rows
                   FROM public.audit_logs AS a
                   WHERE (CAST({tenant} AS uuid) IS NULL OR a.tenant_id = {tenant})
                       AND (CAST({actor_id} AS uuid) IS NULL OR a.actor_id = {actor_id})
                       AND (CAST({action} AS text) IS NULL OR a.action = {action})
                       AND (CAST({entity} AS text) IS NULL OR a.entity = {entity})
                       AND (CAST({entity_id} AS uuid) IS NULL OR a.entity_id = {entity_id})
                       AND (CAST({break_glass_id} AS uuid) IS NULL OR a.break_glass_id = {break_glass_id})
                       AND (CAST({from} AS timestamptz) IS NULL OR a.recorded_at >= {from})
                       AND (CAST({to} AS timestamptz) IS NULL OR a.recorded_at < {to})"#
            ))
            .await?;
        counted.map(|count| total_of(&count))
    } else {
        None
    };
    let rows: Vec<PlatformAuditLog> = db
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT a.id, a.tenant_id, a.recorded_at, a.actor_kind, a.actor_id, a.actor_job, a.session_id,
                      a.break_glass_id, a.action, a.entity, a.entity_id, a.request_id,
                      host(a.source_address) AS source_address,
                      CASE WHEN a.tenant_id IS NULL OR a.entity = 'tenant' THEN a.before END AS before,
                      CASE WHEN a.tenant_id IS NULL OR a.entity = 'tenant' THEN a.after END AS after
               FROM public.audit_logs AS a
               WHERE (CAST({tenant} AS uuid) IS NULL OR a.tenant_id = {tenant})
                   AND (CAST({actor_id} AS uuid) IS NULL OR a.actor_id = {actor_id})
                   AND (CAST({action} AS text) IS NULL OR a.action = {action})
                   AND (CAST({entity} AS text) IS NULL OR a.entity = {entity})
                   AND (CAST({entity_id} AS uuid) IS NULL OR a.entity_id = {entity_id})
                   AND (CAST({break_glass_id} AS uuid) IS NULL OR a.break_glass_id = {break_glass_id})
                   AND (CAST({from} AS timestamptz) IS NULL OR a.recorded_at >= {from})
                   AND (CAST({to} AS timestamptz) IS NULL OR a.recorded_at < {to})
                   AND (CAST({at} AS timestamptz) IS NULL
                        OR (a.recorded_at, a.id) < (CAST({at} AS timestamptz), CAST({id} AS uuid)))
               ORDER BY a.recorded_at DESC, a.id DESC
               LIMIT {limit}"#
        ))
        .await?;
    Ok(Page::from_rows(rows, page, total, |row| key(row.recorded_at, row.id)))
}

fn total_of(count: &Count) -> u64 {
    u64::try_from(count.rows).unwrap_or_default()
}

/// PostgreSQL keeps microseconds; so does the text.
fn key(recorded_at: DateTime<Utc>, id: Uuid) -> Vec<String> {
    vec![recorded_at.to_rfc3339(), id.to_string()]
}

fn after(page: &PageRequest) -> Result<After, AuditError> {
    let Some(CursorKey(parts)) = &page.after else { return Ok(After::default()) };
    let [at, id] = parts.as_slice() else { return Err(malformed()) };
    let (at, id): (DateTime<Utc>, Uuid) = (read(at)?, read(id)?);
    Ok(After { at: Some(at), id: Some(id) })
}

fn read<T: std::str::FromStr>(text: &str) -> Result<T, AuditError> {
    text.parse().map_err(|_| malformed())
}

fn malformed() -> AuditError {
    let field = FieldError::new("?cursor", "malformed_cursor", "must be a cursor that this list has given");
    AuditError::Invalid(vec![field])
}
