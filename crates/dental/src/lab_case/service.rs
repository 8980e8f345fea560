//! Operations on laboratory work.

use clinicx_core::{CoreError, PatientId, change, paging, patient, validation};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantScoped, TenantTransaction};
use clinicx_types::{
    module::EventType,
    page::{Page, PageRequest},
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Set, Unchanged, sea_query::LockType,
};

use super::{
    dto::{CreateLabCase, LabCase, LabCaseFilter, UpdateLabCase},
    entity::{ActiveModel, Column, Entity, Model},
    status::{LabAction, LabStatus},
};
use crate::{
    LabCaseId, TreatmentId, chart, error::DentalError, event, reference, sealed::LAB_NOTE, trace, treatment,
    words,
};

const THING: &str = "lab case";
const AGGREGATE: &str = "lab_case";

/// Writes down work for a laboratory.
///
/// Needs `lab_case.write`. Leaves an audit row and an event.
///
/// # Errors
/// [`CoreError::NotFound`] and [`CoreError::PatientGone`] for the patient; [`CoreError::Invalid`];
/// [`CoreError::Cipher`]; [`CoreError::Database`].
#[tracing::instrument(name = "dental.lab_case.create", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn create(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    patient_id: PatientId,
    input: CreateLabCase,
) -> Result<LabCase, DentalError> {
    validation::check(&input)?;
    reference::require_plannable(input.due_on, "/due_on")?;
    patient::require(tx, scope, patient_id).await?;
    reference::require_staff(tx, scope, input.staff_id).await?;
    require_treatment(tx, patient_id, input.treatment_id).await?;
    let currency = reference::currency(scope, input.currency.as_deref()).map_err(reference::refused)?;
    let cost = input.cost.as_deref().map(|text| reference::amount(text, currency, "/cost"));
    let cost = cost.transpose().map_err(reference::refused)?;
    let now = scope.now();
    let id = LabCaseId::new(scope.next_id());
    let row = Model {
        id,
        version: 1,
        created_at: now,
        updated_at: now,
        patient_id,
        staff_id: input.staff_id,
        note_sealed: words::seal(scope, cipher, (LAB_NOTE, id.uuid()), input.note.as_deref())?,
        treatment_id: input.treatment_id,
        laboratory: input.laboratory.trim().to_owned(),
        work: input.work,
        material: input.material.map(|text| text.trim().to_owned()),
        shade: input.shade.map(|text| text.trim().to_owned()),
        status: LabStatus::Draft,
        due_on: input.due_on,
        sent_on: None,
        received_on: None,
        cost,
        currency: cost.map(|_| currency.code().to_owned()),
    };
    Entity::insert(row.clone().into_active_model().reset_all()).exec_without_returning(tx).await?;
    let made = opened(scope, cipher, row.clone())?;
    trace::made(tx, scope, subject(&row, event::LAB_CASE_CREATED), &made).await?;
    Ok(made)
}

/// Changes what is written down about work that is not ended; a change that changes nothing leaves no trace.
///
/// Needs `lab_case.write`. Leaves an audit row and an event.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Stale`]; [`CoreError::RefusedTransition`] when it has ended;
/// [`CoreError::Invalid`]; [`CoreError::Cipher`]; [`CoreError::Database`].
#[tracing::instrument(name = "dental.lab_case.update", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn update(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    revision: (LabCaseId, Option<i64>),
    patch: UpdateLabCase,
) -> Result<LabCase, DentalError> {
    validation::check(&patch)?;
    reference::require_plannable(patch.due_on.flatten(), "/due_on")?;
    let before = locked(tx, revision).await?;
    if !before.status.is_open() {
        let (from, allowed) = (before.status.as_str(), Vec::new());
        return Err(CoreError::RefusedTransition { from, action: "change", allowed }.into());
    }
    let old = opened(scope, cipher, before.clone())?;
    let mut after = before.clone();
    if let Some(laboratory) = patch.laboratory {
        after.laboratory = laboratory.trim().to_owned();
    }
    let trimmed = |text: Option<String>| text.map(|text| text.trim().to_owned());
    after.material = patch.material.map_or(after.material, trimmed);
    after.shade = patch.shade.map_or(after.shade, trimmed);
    after.due_on = patch.due_on.unwrap_or(after.due_on);
    if let Some(cost) = patch.cost {
        let currency = reference::currency(scope, before.currency.as_deref()).map_err(reference::refused)?;
        let cost = cost.as_deref().map(|text| reference::amount(text, currency, "/cost"));
        after.cost = cost.transpose().map_err(reference::refused)?;
        after.currency = after.cost.map(|_| currency.code().to_owned());
    }
    if let Some(note) = &patch.note
        && note.as_deref().map(str::trim) != old.note.as_deref()
    {
        after.note_sealed = words::seal(scope, cipher, (LAB_NOTE, before.id.uuid()), note.as_deref())?;
    }
    if after == before {
        return Ok(old);
    }
    let changed = ActiveModel {
        id: Unchanged(after.id),
        version: Set(before.version + 1),
        updated_at: Set(scope.now()),
        laboratory: Set(after.laboratory),
        material: Set(after.material),
        shade: Set(after.shade),
        due_on: Set(after.due_on),
        cost: Set(after.cost),
        currency: Set(after.currency),
        note_sealed: Set(after.note_sealed),
        ..Default::default()
    };
    let after = changed.update(tx).await?;
    let new = opened(scope, cipher, after.clone())?;
    trace::changed(tx, scope, subject(&after, event::LAB_CASE_UPDATED), &old, &new).await?;
    Ok(new)
}

/// Moves work to another state: sent, received, sent back, completed, cancelled, an error.
///
/// Needs `lab_case.write`. Leaves an audit row and an event.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Stale`]; [`CoreError::RefusedTransition`]; [`CoreError::Cipher`];
/// [`CoreError::Database`].
#[tracing::instrument(
    name = "dental.lab_case.transition", skip_all, fields(tenant.id = %scope.tenant_id, action = action.as_str()),
    err(level = "debug")
)]
pub async fn transition(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    revision: (LabCaseId, Option<i64>),
    action: LabAction,
) -> Result<LabCase, DentalError> {
    let before = locked(tx, revision).await?;
    let status = before.status.after(action)?;
    let today = reference::today(scope);
    let mut changed = ActiveModel {
        id: Unchanged(before.id),
        version: Set(before.version + 1),
        updated_at: Set(scope.now()),
        status: Set(status),
        ..Default::default()
    };
    match action {
        LabAction::Send => {
            changed.sent_on = Set(Some(today));
            changed.received_on = Set(None);
        }
        LabAction::Receive => changed.received_on = Set(Some(today)),
        LabAction::Complete | LabAction::Cancel | LabAction::Void => {}
    }
    let old = opened(scope, cipher, before)?;
    let after = changed.update(tx).await?;
    let new = opened(scope, cipher, after.clone())?;
    trace::changed(tx, scope, subject(&after, event::LAB_CASE_STATUS_CHANGED), &old, &new).await?;
    Ok(new)
}

/// Returns work for a laboratory.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Cipher`]; [`CoreError::Database`].
pub async fn get(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    id: LabCaseId,
) -> Result<LabCase, DentalError> {
    let row = Entity::find_by_id(id).one(db).await?.ok_or(DentalError::not_found(THING))?;
    opened(scope, cipher, row)
}

/// Lists work for a patient in the order in which it was written down.
///
/// # Errors
/// [`CoreError::NotFound`] and [`CoreError::PatientGone`] for the patient; [`CoreError::Invalid`] when the cursor is
/// none of this list's; [`CoreError::Cipher`]; [`CoreError::Database`].
pub async fn list(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    patient_id: PatientId,
    (filter, page): (&LabCaseFilter, &PageRequest),
) -> Result<Page<LabCase>, DentalError> {
    chart::require_patient(db, patient_id).await?;
    let mut query = Entity::find().filter(Column::PatientId.eq(patient_id));
    if !filter.statuses.is_empty() {
        query = query.filter(Column::Status.is_in(filter.statuses.iter().copied()));
    }
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [id] = paging::parts(key)?;
        query = query.filter(Column::Id.gt(paging::part::<LabCaseId>(id)?));
    }
    let rows = query.order_by_asc(Column::Id).limit(u64::from(page.limit()) + 1).all(db).await?;
    let Page { items, next, total } = Page::from_rows(rows, page, total, |row| vec![row.id.to_string()]);
    let items = items.into_iter().map(|row| opened(scope, cipher, row)).collect::<Result<_, _>>()?;
    Ok(Page { items, next, total })
}

async fn locked(
    tx: &TenantTransaction,
    (id, expected): (LabCaseId, Option<i64>),
) -> Result<Model, DentalError> {
    let found = Entity::find_by_id(id).lock(LockType::NoKeyUpdate).one(tx).await?;
    let row = found.ok_or(DentalError::not_found(THING))?;
    change::expect_version(THING, expected, row.version)?;
    Ok(row)
}

async fn require_treatment(
    db: &impl TenantScoped,
    patient_id: PatientId,
    id: Option<TreatmentId>,
) -> Result<(), DentalError> {
    let Some(id) = id else { return Ok(()) };
    let query =
        treatment::entity::Entity::find_by_id(id).filter(treatment::entity::Column::PatientId.eq(patient_id));
    match query.one(db).await? {
        Some(_) => Ok(()),
        None => {
            Err(DentalError::invalid("/treatment_id", "not_found", "must be a treatment of the patient's"))
        }
    }
}

fn opened(scope: &TenantScope, cipher: &FieldCipher, row: Model) -> Result<LabCase, DentalError> {
    let note = words::open(scope, cipher, (LAB_NOTE, row.id.uuid()), row.note_sealed.as_deref())?;
    Ok(LabCase::of(row, note))
}

fn subject(row: &Model, event: EventType) -> trace::Subject {
    trace::Subject { event, aggregate: AGGREGATE, id: row.id.uuid(), patient_id: Some(row.patient_id) }
}
