//! Finding plans, and moving them from one state to another.

use chrono::{DateTime, Utc};
use clinicx_core::{CoreError, PatientId, change, paging, validation};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantScoped, TenantTransaction};
use clinicx_types::{
    module::EventType,
    page::{Page, PageRequest},
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Set,
    Unchanged, sea_query::LockType,
};
use serde::Serialize;

use super::{
    AGGREGATE, THING,
    assembly::{Parts, assemble, can_be_accepted},
    dto::{PlanFilter, PlanStep, TreatmentPlan},
    entity::{ActiveModel, Column, Entity, Model},
    item,
    status::{PlanAction, PlanStatus},
};
use crate::{
    TreatmentId, TreatmentPlanId, chart, error::DentalError, event, permission::TREATMENT_VOID,
    sealed::PLAN_REASON, trace, treatment::Status, words,
};

/// Returns a plan.
///
/// # Errors
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound); [`CoreError::Cipher`](clinicx_core::CoreError::Cipher); [`CoreError::Database`](clinicx_core::CoreError::Database).
pub async fn get(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    id: TreatmentPlanId,
) -> Result<TreatmentPlan, DentalError> {
    let row = Entity::find_by_id(id).one(db).await?.ok_or(DentalError::not_found(THING))?;
    opened(db, scope, cipher, row).await
}

/// Lists a patient's plans in the order in which they were made.
///
/// # Errors
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound) and [`CoreError::PatientGone`](clinicx_core::CoreError::PatientGone) for the patient; [`CoreError::Invalid`](clinicx_core::CoreError::Invalid) when the cursor is
/// none of this list's; [`CoreError::Cipher`](clinicx_core::CoreError::Cipher); [`CoreError::Database`](clinicx_core::CoreError::Database).
pub async fn list(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    patient_id: PatientId,
    (filter, page): (&PlanFilter, &PageRequest),
) -> Result<Page<TreatmentPlan>, DentalError> {
    chart::require_patient(db, patient_id).await?;
    let mut query = Entity::find().filter(Column::PatientId.eq(patient_id));
    if !filter.statuses.is_empty() {
        query = query.filter(Column::Status.is_in(filter.statuses.iter().copied()));
    }
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [id] = paging::parts(key)?;
        query = query.filter(Column::Id.gt(paging::part::<TreatmentPlanId>(id)?));
    }
    let rows = query.order_by_asc(Column::Id).limit(u64::from(page.limit()) + 1).all(db).await?;
    let Page { items, next, total } = Page::from_rows(rows, page, total, |row| vec![row.id.to_string()]);
    let ids: Vec<TreatmentPlanId> = items.iter().map(|row| row.id).collect();
    let parts = Parts::load(db, &ids).await?;
    let items = items.iter().map(|row| assemble(scope, cipher, row, &parts)).collect::<Result<_, _>>()?;
    Ok(Page { items, next, total })
}

/// Moves a plan to another state: shown to the patient, accepted, revoked.
///
/// Accepting keeps the prices and rates of tax of that moment: what is done later is billed with them, whatever the
/// catalogue says by then. What was given up before is not accepted, and a plan of which nothing is left to be done is
/// completed at once. Treatments of a plan that is revoked or an error
/// stay planned.
///
/// Needs `treatment.write`, and `treatment.void` for errors. Leaves an audit row and an event, and one more of each when accepting completes the plan.
///
/// # Errors
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound); [`CoreError::Stale`](clinicx_core::CoreError::Stale) unless `expected` is `None` or the present version;
/// [`CoreError::RefusedTransition`](clinicx_core::CoreError::RefusedTransition); [`CoreError::Invalid`](clinicx_core::CoreError::Invalid) for accepting a plan without treatments, or of which all are given up;
/// [`CoreError::Cipher`](clinicx_core::CoreError::Cipher); [`CoreError::Database`](clinicx_core::CoreError::Database).
#[tracing::instrument(
    name = "dental.treatment_plan.transition", skip_all,
    fields(tenant.id = %scope.tenant_id, action = action.as_str()), err(level = "debug")
)]
pub async fn transition(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    (id, expected): (TreatmentPlanId, Option<i64>),
    (action, input): (PlanAction, PlanStep),
) -> Result<TreatmentPlan, DentalError> {
    validation::check(&input)?;
    if action == PlanAction::Void && !scope.may(TREATMENT_VOID) {
        return Err(CoreError::Forbidden { permission: TREATMENT_VOID.0 }.into());
    }
    let row = locked(tx, scope, id).await?;
    change::expect_version(THING, expected, row.version)?;
    let status = row.status.after(action)?;
    let before = opened(tx, scope, cipher, row.clone()).await?;
    let now = scope.now();
    let reason = words::seal(scope, cipher, (PLAN_REASON, id.uuid()), input.reason.as_deref())?;
    let mut changed = moved(&row, status, now);
    if reason.is_some() {
        changed.reason_sealed = Set(reason);
    }
    match action {
        PlanAction::Present => changed.presented_at = Set(Some(now)),
        PlanAction::Accept => {
            freeze(tx, scope, id).await?;
            changed.accepted_at = Set(Some(now));
        }
        PlanAction::Revoke => changed.ended_at = Set(Some(now)),
        PlanAction::Void => changed.ended_at = Set(Some(row.ended_at.unwrap_or(now))),
    }
    let after = changed.update(tx).await?;
    let event = match action {
        PlanAction::Present => event::TREATMENT_PLAN_UPDATED,
        PlanAction::Accept | PlanAction::Revoke | PlanAction::Void => event::TREATMENT_PLAN_STATUS_CHANGED,
    };
    let subject = subject(&after, event);
    let after = opened(tx, scope, cipher, after).await?;
    trace::changed(tx, scope, subject, &Traced::from(&before), &Traced::from(&after)).await?;
    if action == PlanAction::Accept && complete(tx, scope, id).await? {
        return get(tx, scope, cipher, id).await;
    }
    Ok(after)
}

/// Keeps the prices and rates of tax of this moment.
async fn freeze(tx: &TenantTransaction, scope: &TenantScope, id: TreatmentPlanId) -> Result<(), DentalError> {
    let parts = Parts::load(tx, &[id]).await?;
    let treatment_of = |row: &item::Model| parts.treatments.get(&row.treatment_id);
    let accepted: Vec<_> = parts
        .items
        .iter()
        .filter_map(|row| Some((row, treatment_of(row)?)))
        .filter(|(_, treatment)| can_be_accepted(treatment))
        .collect();
    if accepted.is_empty() {
        return Err(DentalError::invalid("", "empty_plan", "must have a treatment that is not given up"));
    }
    for (row, treatment) in accepted {
        let changed = item::ActiveModel {
            id: Unchanged(row.id),
            version: Set(row.version + 1),
            updated_at: Set(scope.now()),
            accepted_price: Set(treatment.price),
            accepted_tax_rate: Set(Some(treatment.tax_rate)),
            ..Default::default()
        };
        changed.update(tx).await?;
    }
    Ok(())
}

/// Completes an accepted plan when nothing of it is left to be done, and tells whether it did.
pub(super) async fn complete(
    tx: &TenantTransaction,
    scope: &TenantScope,
    id: TreatmentPlanId,
) -> Result<bool, DentalError> {
    let parts = Parts::load(tx, &[id]).await?;
    let open = |item: &item::Model| parts.treatments.get(&item.treatment_id).map(|row| row.status);
    if parts.items.iter().filter_map(open).any(Status::is_open) {
        return Ok(false);
    }
    let query = Entity::find_by_id(id).lock(LockType::NoKeyUpdate);
    let Some(row) = query.one(tx).await? else { return Ok(false) };
    let mut changed = moved(&row, PlanStatus::Completed, scope.now());
    changed.ended_at = Set(Some(scope.now()));
    let (old, after) = (row.status, changed.update(tx).await?);
    let subject = subject(&after, event::TREATMENT_PLAN_STATUS_CHANGED);
    let (old, new) = (StatusOnly { status: old }, StatusOnly { status: after.status });
    trace::changed(tx, scope, subject, &old, &new).await?;
    Ok(true)
}

/// Finds the accepted plan of a treatment.
pub(crate) async fn accepted_plan_of(
    db: &impl TenantScoped,
    id: TreatmentId,
) -> Result<Option<TreatmentPlanId>, DentalError> {
    plan_of(db, id, &[PlanStatus::Active]).await
}

/// Finds the plan of a treatment that is drafted or accepted.
pub(super) async fn open_plan_of(
    db: &impl TenantScoped,
    id: TreatmentId,
) -> Result<Option<TreatmentPlanId>, DentalError> {
    plan_of(db, id, &[PlanStatus::Draft, PlanStatus::Active]).await
}

async fn plan_of(
    db: &impl TenantScoped,
    id: TreatmentId,
    statuses: &[PlanStatus],
) -> Result<Option<TreatmentPlanId>, DentalError> {
    let plans = item::Entity::find().filter(item::Column::TreatmentId.eq(id)).all(db).await?;
    if plans.is_empty() {
        return Ok(None);
    }
    let found = Entity::find()
        .filter(Column::Id.is_in(plans.iter().map(|item| item.plan_id)))
        .filter(Column::Status.is_in(statuses.iter().copied()))
        .one(db)
        .await?;
    Ok(found.map(|plan| plan.id))
}

/// Locks the chart of a plan's patient, then the plan.
pub(super) async fn locked(
    tx: &TenantTransaction,
    scope: &TenantScope,
    id: TreatmentPlanId,
) -> Result<Model, DentalError> {
    let missing = || DentalError::not_found(THING);
    // Whose it is never changes.
    let found = Entity::find_by_id(id).one(tx).await?.ok_or_else(missing)?;
    chart::lock(tx, scope, found.patient_id).await?;
    Entity::find_by_id(id).lock(LockType::NoKeyUpdate).one(tx).await?.ok_or_else(missing)
}

fn moved(row: &Model, status: PlanStatus, now: DateTime<Utc>) -> ActiveModel {
    ActiveModel {
        id: Unchanged(row.id),
        version: Set(row.version + 1),
        updated_at: Set(now),
        status: Set(status),
        ..Default::default()
    }
}

pub(super) async fn opened(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    row: Model,
) -> Result<TreatmentPlan, DentalError> {
    let parts = Parts::load(db, &[row.id]).await?;
    assemble(scope, cipher, &row, &parts)
}

pub(super) fn subject(row: &Model, event: EventType) -> trace::Subject {
    trace::Subject { event, aggregate: AGGREGATE, id: row.id.uuid(), patient_id: Some(row.patient_id) }
}

/// What the audit keeps of a plan: no words, and of each treatment its id and its price.
#[derive(Serialize)]
pub(super) struct Traced {
    status: PlanStatus,
    patient_id: PatientId,
    title: Option<String>,
    note: Option<String>,
    reason: Option<String>,
    presented_at: Option<DateTime<Utc>>,
    accepted_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    items: Vec<(TreatmentId, Option<String>, String)>,
}

#[derive(Serialize)]
struct StatusOnly {
    status: PlanStatus,
}

impl From<&TreatmentPlan> for Traced {
    fn from(plan: &TreatmentPlan) -> Self {
        let items = plan.phases.iter().flat_map(|phase| &phase.items);
        Self {
            status: plan.status,
            patient_id: plan.patient_id,
            title: plan.title.clone(),
            note: plan.note.clone(),
            reason: plan.reason.clone(),
            presented_at: plan.presented_at,
            accepted_at: plan.accepted_at,
            ended_at: plan.ended_at,
            items: items.map(|item| (item.treatment_id, item.price.clone(), item.tax_rate.clone())).collect(),
        }
    }
}
