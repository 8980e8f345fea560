//! Operations on findings.

use chrono::NaiveDate;
use clinicx_core::{CoreError, PatientId, change, paging, validation};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantScoped, TenantTransaction};
use clinicx_types::{
    module::EventType,
    page::{Page, PageRequest},
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, Set, Unchanged, sea_query::LockType,
};

use super::{
    code::FindingStatus,
    dto::{FindingFilter, NewFindingStatus, RecordFinding, ResolveInput, ToothFinding},
    entity::{ActiveModel, Column, Entity, Model},
    follow, stage,
};
use crate::{
    ToothFindingId, TreatmentId, area, chart, error::DentalError, event, presence, reference,
    sealed::FINDING_NOTE, trace, words,
};

const THING: &str = "finding";
const AGGREGATE: &str = "tooth_finding";

/// Records a finding on a tooth that is there as of the day of its onset. When the tooth is gone or replaced by now, it
/// is resolved as of the day of that.
///
/// Needs `dental_chart.write`. Leaves an audit row and an event.
///
/// # Errors
/// [`CoreError::NotFound`] and [`CoreError::PatientGone`] for the patient; [`CoreError::Invalid`];
/// [`DentalError::ToothGone`]; [`CoreError::Cipher`]; [`CoreError::Database`].
#[tracing::instrument(name = "dental.finding.record", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn record(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    patient_id: PatientId,
    input: RecordFinding,
) -> Result<ToothFinding, DentalError> {
    validation::check(&input)?;
    let tooth = reference::tooth(&input.tooth, input.notation, "/tooth").map_err(reference::refused)?;
    let surfaces = area::read_surfaces(&input.surfaces, tooth).map_err(DentalError::fields_of)?;
    chart::lock(tx, scope, patient_id).await?;
    let onset_on = reference::day_of_life(tx, scope, patient_id, (input.onset_on, "/onset_on")).await?;
    reference::require_staff(tx, scope, input.staff_id).await?;
    let history = presence::history(tx, patient_id, reference::today(scope)).await?;
    let events = history.get(&tooth).map(Vec::as_slice).unwrap_or_default();
    let known = events.iter().rfind(|event| event.effective_on <= onset_on);
    if known.is_some_and(|event| event.state.is_gone()) {
        return Err(DentalError::ToothGone { teeth: vec![tooth] });
    }
    let is_replaced = known.is_some_and(|event| event.state.is_replacement());
    if is_replaced && !input.code.is_possible_on_replacements() {
        let detail = "must be something that an implant or a pontic can have";
        return Err(DentalError::invalid("/code", "not_of_tooth", detail));
    }
    let now = scope.now();
    let id = ToothFindingId::new(scope.next_id());
    let row = Model {
        id,
        version: 1,
        created_at: now,
        updated_at: now,
        patient_id,
        staff_id: input.staff_id,
        note_sealed: words::seal(scope, cipher, (FINDING_NOTE, id.uuid()), input.note.as_deref())?,
        tooth,
        code: input.code,
        surfaces: surfaces.letters(),
        severity: input.severity,
        status: match input.status {
            Some(NewFindingStatus::Watch) => FindingStatus::Watch,
            Some(NewFindingStatus::Active) | None => FindingStatus::Active,
        },
        onset_on,
        resolved_on: None,
        resolved_from: None,
        resolved_by_presence_id: None,
        resolved_by_treatment_id: None,
    };
    let row = follow::loss_of(&row, &history).map_or_else(|| row.clone(), |event| row.lost(event));
    Entity::insert(row.clone().into_active_model().reset_all()).exec_without_returning(tx).await?;
    stage::begin(tx, scope, (id, row.resolved_from.unwrap_or(row.status)), onset_on).await?;
    let subject = subject(&row, event::TOOTH_FINDING_CREATED);
    trace::made(tx, scope, subject, &ToothFinding::of(row.clone(), None)).await?;
    opened(scope, cipher, row)
}

/// Says that a finding is there no more. Of one that went with its tooth it can be said that it was gone before.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Stale`]; [`CoreError::RefusedTransition`]; [`CoreError::Invalid`] for a day
/// before the onset or to come; [`CoreError::Database`].
#[tracing::instrument(name = "dental.finding.resolve", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn resolve(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    revision: (PatientId, ToothFindingId, Option<i64>),
    input: ResolveInput,
) -> Result<ToothFinding, DentalError> {
    let day = reference::past_day(scope, input.resolved_on, "/resolved_on").map_err(reference::refused)?;
    let row = locked(tx, scope, revision).await?;
    opened(scope, cipher, move_to(tx, scope, row, (FindingStatus::Resolved, "resolve"), Some(day)).await?)
}

/// Says that a finding is watched only from today on.
///
/// # Errors
/// As [`resolve`].
#[tracing::instrument(name = "dental.finding.watch", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn watch(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    revision: (PatientId, ToothFindingId, Option<i64>),
) -> Result<ToothFinding, DentalError> {
    let row = locked(tx, scope, revision).await?;
    let row = move_to(tx, scope, row, (FindingStatus::Watch, "watch"), None).await?;
    stage::begin(tx, scope, (row.id, row.status), reference::today(scope)).await?;
    opened(scope, cipher, row)
}

/// Says that a finding that was watched asks for treatment from today on.
///
/// # Errors
/// As [`resolve`].
#[tracing::instrument(name = "dental.finding.activate", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn activate(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    revision: (PatientId, ToothFindingId, Option<i64>),
) -> Result<ToothFinding, DentalError> {
    let row = locked(tx, scope, revision).await?;
    let row = move_to(tx, scope, row, (FindingStatus::Active, "activate"), None).await?;
    stage::begin(tx, scope, (row.id, row.status), reference::today(scope)).await?;
    opened(scope, cipher, row)
}

/// Says that a finding should never have been recorded.
///
/// # Errors
/// As [`resolve`].
#[tracing::instrument(name = "dental.finding.void", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn void(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    revision: (PatientId, ToothFindingId, Option<i64>),
) -> Result<ToothFinding, DentalError> {
    let row = locked(tx, scope, revision).await?;
    let step = (FindingStatus::EnteredInError, "void");
    opened(scope, cipher, move_to(tx, scope, row, step, None).await?)
}

/// Returns a finding of a patient's.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Cipher`]; [`CoreError::Database`].
pub async fn get(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    (patient_id, id): (PatientId, ToothFindingId),
) -> Result<ToothFinding, DentalError> {
    opened(scope, cipher, find_row(db, patient_id, id).await?)
}

/// Lists a patient's findings by onset and id, errors included.
///
/// # Errors
/// [`CoreError::NotFound`] and [`CoreError::PatientGone`] for the patient; [`CoreError::Invalid`] when the cursor is
/// none of this list's; [`CoreError::Cipher`]; [`CoreError::Database`].
pub async fn list(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    patient_id: PatientId,
    (filter, page): (&FindingFilter, &PageRequest),
) -> Result<Page<ToothFinding>, DentalError> {
    chart::require_patient(db, patient_id).await?;
    let mut query = Entity::find().filter(Column::PatientId.eq(patient_id));
    if let Some(tooth) = filter.tooth {
        query = query.filter(Column::Tooth.eq(tooth));
    }
    if !filter.statuses.is_empty() {
        query = query.filter(Column::Status.is_in(filter.statuses.iter().copied()));
    }
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [on, id] = paging::parts(key)?;
        let (on, id): (NaiveDate, ToothFindingId) = (paging::part(on)?, paging::part(id)?);
        query = query.filter(paging::after([Column::OnsetOn, Column::Id], [on.into(), id.into()]));
    }
    let rows = query
        .order_by_asc(Column::OnsetOn)
        .order_by_asc(Column::Id)
        .limit(u64::from(page.limit()) + 1)
        .all(db)
        .await?;
    let key = |row: &Model| vec![row.onset_on.to_string(), row.id.to_string()];
    let Page { items, next, total } = Page::from_rows(rows, page, total, key);
    let items = items.into_iter().map(|row| opened(scope, cipher, row)).collect::<Result<_, _>>()?;
    Ok(Page { items, next, total })
}

/// The findings that were there as of a day, each with the status that it had then.
pub(crate) async fn as_of(
    db: &impl TenantScoped,
    patient_id: PatientId,
    day: NaiveDate,
) -> Result<Vec<Model>, DentalError> {
    let rows = Entity::find()
        .filter(Column::PatientId.eq(patient_id))
        .filter(Column::Status.ne(FindingStatus::EnteredInError))
        .filter(Column::OnsetOn.lte(day))
        .filter(Condition::any().add(Column::ResolvedOn.is_null()).add(Column::ResolvedOn.gt(day)))
        .order_by_asc(Column::OnsetOn)
        .order_by_asc(Column::Id)
        .all(db)
        .await?;
    let stages = stage::as_of(db, rows.iter().map(|row| row.id), day).await?;
    let then = |row: Model| {
        let status = stages.get(&row.id).copied().or(row.resolved_from).unwrap_or(row.status);
        Model { status, ..row }
    };
    Ok(rows.into_iter().map(then).collect())
}

/// Resolves findings with a treatment. The caller holds the chart's lock.
///
/// # Errors
/// [`CoreError::Invalid`] for one that is not the patient's or can't be resolved; [`CoreError::Database`].
pub(crate) async fn resolve_several(
    tx: &TenantTransaction,
    scope: &TenantScope,
    (patient_id, treatment_id): (PatientId, TreatmentId),
    ids: &[ToothFindingId],
    day: NaiveDate,
) -> Result<(), DentalError> {
    for (index, id) in ids.iter().enumerate() {
        let refused =
            |code: &str, detail: &str| DentalError::invalid(&format!("/resolves/{index}"), code, detail);
        let query = Entity::find_by_id(*id).filter(Column::PatientId.eq(patient_id));
        let row = query.lock(LockType::NoKeyUpdate).one(tx).await?;
        let row = row.ok_or_else(|| refused("not_found", "must be a finding of the patient's"))?;
        if !row.can_be_resolved(day) || row.onset_on > day {
            return Err(refused("not_open", "must be a finding that is there"));
        }
        let after = Model { resolved_by_treatment_id: Some(treatment_id), ..row.resolved(day) };
        write(tx, scope, row, after).await?;
    }
    Ok(())
}

async fn find_row(
    db: &impl TenantScoped,
    patient_id: PatientId,
    id: ToothFindingId,
) -> Result<Model, DentalError> {
    let found = Entity::find_by_id(id).filter(Column::PatientId.eq(patient_id)).one(db).await?;
    found.ok_or(DentalError::not_found(THING))
}

async fn locked(
    tx: &TenantTransaction,
    scope: &TenantScope,
    (patient_id, id, expected): (PatientId, ToothFindingId, Option<i64>),
) -> Result<Model, DentalError> {
    find_row(tx, patient_id, id).await?;
    chart::lock(tx, scope, patient_id).await?;
    let query = Entity::find_by_id(id).lock(LockType::NoKeyUpdate);
    let row = query.one(tx).await?.ok_or(DentalError::not_found(THING))?;
    change::expect_version(THING, expected, row.version)?;
    Ok(row)
}

async fn move_to(
    tx: &TenantTransaction,
    scope: &TenantScope,
    row: Model,
    (status, action): (FindingStatus, &'static str),
    resolved_on: Option<NaiveDate>,
) -> Result<Model, DentalError> {
    let earlier = resolved_on.is_some_and(|day| row.can_be_resolved(day));
    if !row.status.next().contains(&status) && !earlier {
        let (from, allowed) = (row.status.as_str(), row.status.allowed());
        return Err(CoreError::RefusedTransition { from, action, allowed }.into());
    }
    if resolved_on.is_some_and(|day| day < row.onset_on) {
        return Err(DentalError::invalid("/resolved_on", "before_onset", "must not be before the onset"));
    }
    let after = match resolved_on {
        Some(day) if status == FindingStatus::Resolved => row.resolved(day),
        _ => Model { status, ..row.clone() },
    };
    write(tx, scope, row, after).await
}

/// Writes where a finding stands, and the trace of that.
pub(super) async fn write(
    tx: &TenantTransaction,
    scope: &TenantScope,
    before: Model,
    after: Model,
) -> Result<Model, DentalError> {
    let changed = ActiveModel {
        id: Unchanged(before.id),
        version: Set(before.version + 1),
        updated_at: Set(scope.now()),
        status: Set(after.status),
        resolved_on: Set(after.resolved_on),
        resolved_from: Set(after.resolved_from),
        resolved_by_presence_id: Set(after.resolved_by_presence_id),
        resolved_by_treatment_id: Set(after.resolved_by_treatment_id),
        ..Default::default()
    };
    let after = changed.update(tx).await?;
    let (old, new) = (ToothFinding::of(before, None), ToothFinding::of(after.clone(), None));
    trace::changed(tx, scope, subject(&after, event::TOOTH_FINDING_STATUS_CHANGED), &old, &new).await?;
    Ok(after)
}

fn subject(row: &Model, event: EventType) -> trace::Subject {
    trace::Subject { event, aggregate: AGGREGATE, id: row.id.uuid(), patient_id: Some(row.patient_id) }
}

fn opened(scope: &TenantScope, cipher: &FieldCipher, row: Model) -> Result<ToothFinding, DentalError> {
    let note = words::open(scope, cipher, (FINDING_NOTE, row.id.uuid()), row.note_sealed.as_deref())?;
    Ok(ToothFinding::of(row, note))
}
