//! Operations on what became of teeth.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use clinicx_core::{CoreError, PatientId, StaffId, change, paging, validation};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantScoped, TenantTransaction};
use clinicx_types::page::{Page, PageRequest};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Set, Unchanged, sea_query::LockType,
};

use super::{
    dto::{PresenceFilter, RecordPresence, ToothPresence},
    entity::{ActiveModel, Column, Entity, Model},
    state::{PresenceState, RecordStatus},
};
use crate::{
    ToothPresenceEventId, TreatmentId, chart, error::DentalError, event, finding, reference,
    sealed::PRESENCE_NOTE, tooth::Tooth, trace, treatment, words,
};

const THING: &str = "tooth presence";
const AGGREGATE: &str = "tooth_presence";

/// Records what became of a tooth. Resolves what was found on a tooth that is gone or replaced by now, and flags what is
/// planned on one that is gone.
///
/// Needs `dental_chart.write`. Leaves an audit row and an event, and one more of each for every finding that is resolved
/// and every treatment that is flagged.
///
/// # Errors
/// [`CoreError::NotFound`] and [`CoreError::PatientGone`] for the patient; [`CoreError::Invalid`];
/// [`DentalError::ToothHistory`] beside what can't come before or after it; [`CoreError::Cipher`];
/// [`CoreError::Database`].
#[tracing::instrument(name = "dental.presence.record", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn record(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    patient_id: PatientId,
    input: RecordPresence,
) -> Result<ToothPresence, DentalError> {
    validation::check(&input)?;
    let tooth = reference::tooth(&input.tooth, input.notation, "/tooth").map_err(reference::refused)?;
    if !input.state.is_possible_for(tooth) {
        return Err(DentalError::invalid(
            "/state",
            "not_of_tooth",
            "can't become of a tooth of this dentition",
        ));
    }
    chart::lock(tx, scope, patient_id).await?;
    let said = (input.effective_on, "/effective_on");
    let effective_on = reference::day_of_life(tx, scope, patient_id, said).await?;
    reference::require_staff(tx, scope, input.staff_id).await?;
    let cause = Cause { staff_id: input.staff_id, treatment_id: None };
    let mut row = new_row(scope, (patient_id, tooth), input.state, effective_on, cause);
    row.note_sealed = words::seal(scope, cipher, (PRESENCE_NOTE, row.id.uuid()), input.note.as_deref())?;
    insert(tx, scope, row.clone()).await?;
    finding::follow_teeth(tx, scope, patient_id).await?;
    treatment::refresh_flags(tx, scope, patient_id).await?;
    opened(scope, cipher, row)
}

/// Says that something was recorded in error. What a treatment has done goes with the treatment alone.
///
/// Needs `dental_chart.write`. Leaves an audit row and an event, and one more of each for every finding that is there
/// again and every treatment whose flag changes.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Stale`]; [`CoreError::RefusedTransition`] when it is an error already or
/// comes from a treatment; [`DentalError::ToothHistory`] with what came later and can't have come without it;
/// [`CoreError::Database`].
#[tracing::instrument(name = "dental.presence.void", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn void(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    (patient_id, id): (PatientId, ToothPresenceEventId),
    expected: Option<i64>,
) -> Result<ToothPresence, DentalError> {
    find_row(tx, patient_id, id).await?;
    chart::lock(tx, scope, patient_id).await?;
    let query = Entity::find_by_id(id).lock(LockType::NoKeyUpdate);
    let row = query.one(tx).await?.ok_or(DentalError::not_found(THING))?;
    change::expect_version(THING, expected, row.version)?;
    if row.status == RecordStatus::EnteredInError || row.treatment_id.is_some() {
        let (from, allowed) = (row.status.as_str(), Vec::new());
        return Err(CoreError::RefusedTransition { from, action: "void", allowed }.into());
    }
    require_possible_without(tx, &row).await?;
    let row = write_void(tx, scope, row).await?;
    finding::follow_teeth(tx, scope, patient_id).await?;
    treatment::refresh_flags(tx, scope, patient_id).await?;
    opened(scope, cipher, row)
}

/// Returns an event of a patient's.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Cipher`]; [`CoreError::Database`].
pub async fn get(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    (patient_id, id): (PatientId, ToothPresenceEventId),
) -> Result<ToothPresence, DentalError> {
    opened(scope, cipher, find_row(db, patient_id, id).await?)
}

/// Lists what became of a patient's teeth by effective date and id, errors included.
///
/// # Errors
/// [`CoreError::NotFound`] and [`CoreError::PatientGone`] for the patient; [`CoreError::Invalid`] when the cursor is
/// none of this list's; [`CoreError::Cipher`]; [`CoreError::Database`].
pub async fn list(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    patient_id: PatientId,
    (filter, page): (PresenceFilter, &PageRequest),
) -> Result<Page<ToothPresence>, DentalError> {
    chart::require_patient(db, patient_id).await?;
    let mut query = Entity::find().filter(Column::PatientId.eq(patient_id));
    if let Some(tooth) = filter.tooth {
        query = query.filter(Column::Tooth.eq(tooth));
    }
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [on, id] = paging::parts(key)?;
        let (on, id): (NaiveDate, ToothPresenceEventId) = (paging::part(on)?, paging::part(id)?);
        query = query.filter(paging::after([Column::EffectiveOn, Column::Id], [on.into(), id.into()]));
    }
    let rows = query
        .order_by_asc(Column::EffectiveOn)
        .order_by_asc(Column::Id)
        .limit(u64::from(page.limit()) + 1)
        .all(db)
        .await?;
    let key = |row: &Model| vec![row.effective_on.to_string(), row.id.to_string()];
    let Page { items, next, total } = Page::from_rows(rows, page, total, key);
    let items = items.into_iter().map(|row| opened(scope, cipher, row)).collect::<Result<_, _>>()?;
    Ok(Page { items, next, total })
}

/// Who or what brought something about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cause {
    pub(crate) staff_id: Option<StaffId>,
    pub(crate) treatment_id: Option<TreatmentId>,
}

/// All that became of each tooth until the end of a day, oldest first.
pub(crate) async fn history(
    db: &impl TenantScoped,
    patient_id: PatientId,
    day: NaiveDate,
) -> Result<BTreeMap<Tooth, Vec<Model>>, DentalError> {
    let rows = Entity::find()
        .filter(Column::PatientId.eq(patient_id))
        .filter(Column::Status.eq(RecordStatus::Recorded))
        .filter(Column::EffectiveOn.lte(day))
        .order_by_asc(Column::EffectiveOn)
        .order_by_asc(Column::Id)
        .all(db)
        .await?;
    let mut history = BTreeMap::<Tooth, Vec<Model>>::new();
    for row in rows {
        history.entry(row.tooth).or_default().push(row);
    }
    Ok(history)
}

/// What became of each tooth as of a day; of teeth that are not in it nothing is known.
pub(crate) async fn as_of(
    db: &impl TenantScoped,
    patient_id: PatientId,
    day: NaiveDate,
) -> Result<BTreeMap<Tooth, Model>, DentalError> {
    let history = history(db, patient_id, day).await?;
    Ok(history.into_iter().filter_map(|(tooth, mut events)| Some((tooth, events.pop()?))).collect())
}

/// Records what a treatment has made of a tooth. The caller holds the chart's lock.
///
/// # Errors
/// [`DentalError::ToothHistory`]; [`CoreError::Database`].
pub(crate) async fn record_effect(
    tx: &TenantTransaction,
    scope: &TenantScope,
    of: (PatientId, Tooth),
    (state, effective_on): (PresenceState, NaiveDate),
    cause: Cause,
) -> Result<(), DentalError> {
    insert(tx, scope, new_row(scope, of, state, effective_on, cause)).await
}

/// Takes back what a treatment has made of teeth. The caller holds the chart's lock.
///
/// # Errors
/// [`DentalError::ToothHistory`] with what came later and can't have come without it; [`CoreError::Database`].
pub(crate) async fn void_of_treatment(
    tx: &TenantTransaction,
    scope: &TenantScope,
    treatment_id: TreatmentId,
) -> Result<(), DentalError> {
    let rows = Entity::find()
        .filter(Column::TreatmentId.eq(treatment_id))
        .filter(Column::Status.eq(RecordStatus::Recorded))
        .order_by_asc(Column::Id)
        .all(tx)
        .await?;
    for row in rows {
        require_possible_without(tx, &row).await?;
        write_void(tx, scope, row).await?;
    }
    Ok(())
}

async fn find_row(
    db: &impl TenantScoped,
    patient_id: PatientId,
    id: ToothPresenceEventId,
) -> Result<Model, DentalError> {
    let found = Entity::find_by_id(id).filter(Column::PatientId.eq(patient_id)).one(db).await?;
    found.ok_or(DentalError::not_found(THING))
}

fn new_row(
    scope: &TenantScope,
    (patient_id, tooth): (PatientId, Tooth),
    state: PresenceState,
    effective_on: NaiveDate,
    Cause { staff_id, treatment_id }: Cause,
) -> Model {
    let now = scope.now();
    Model {
        id: ToothPresenceEventId::new(scope.next_id()),
        version: 1,
        created_at: now,
        updated_at: now,
        patient_id,
        staff_id,
        note_sealed: None,
        tooth,
        state,
        effective_on,
        treatment_id,
        status: RecordStatus::Recorded,
    }
}

/// Refuses what can't have become of a tooth between what is recorded before and after it.
async fn require_possible(tx: &TenantTransaction, row: &Model) -> Result<(), DentalError> {
    let events = events_of(tx, row).await?;
    let (until, later): (Vec<_>, Vec<_>) =
        events.into_iter().partition(|event| event.effective_on <= row.effective_on);
    let before = until.last().filter(|event| !row.state.can_follow(event.state));
    let after = later.first().filter(|event| !event.state.can_follow(row.state));
    match before.or(after) {
        Some(event) => Err(DentalError::ToothHistory { event: event.id.uuid() }),
        None => Ok(()),
    }
}

/// Refuses to take out what stands between two events that can't follow each other: what came later is an error first.
async fn require_possible_without(tx: &TenantTransaction, row: &Model) -> Result<(), DentalError> {
    let events = events_of(tx, row).await?;
    let at = |event: &Model| (event.effective_on, event.id);
    let before = events.iter().rfind(|event| at(event) < at(row));
    let after = events.iter().find(|event| at(event) > at(row));
    let Some((before, after)) = before.zip(after) else { return Ok(()) };
    // What a treatment puts into a gap needs one.
    let into_tooth =
        after.treatment_id.is_some() && after.state.is_replacement() && before.state.is_own_tooth();
    if into_tooth || !after.state.can_follow(before.state) {
        return Err(DentalError::ToothHistory { event: after.id.uuid() });
    }
    Ok(())
}

/// What is recorded of the tooth of an event, oldest first.
async fn events_of(tx: &TenantTransaction, row: &Model) -> Result<Vec<Model>, DentalError> {
    Ok(Entity::find()
        .filter(Column::PatientId.eq(row.patient_id))
        .filter(Column::Tooth.eq(row.tooth))
        .filter(Column::Status.eq(RecordStatus::Recorded))
        .order_by_asc(Column::EffectiveOn)
        .order_by_asc(Column::Id)
        .all(tx)
        .await?)
}

async fn insert(tx: &TenantTransaction, scope: &TenantScope, row: Model) -> Result<(), DentalError> {
    require_possible(tx, &row).await?;
    Entity::insert(row.clone().into_active_model().reset_all()).exec_without_returning(tx).await?;
    let subject = subject(&row, event::TOOTH_PRESENCE_RECORDED);
    trace::made(tx, scope, subject, &ToothPresence::of(row, None)).await
}

async fn write_void(tx: &TenantTransaction, scope: &TenantScope, row: Model) -> Result<Model, DentalError> {
    let changed = ActiveModel {
        id: Unchanged(row.id),
        version: Set(row.version + 1),
        updated_at: Set(scope.now()),
        status: Set(RecordStatus::EnteredInError),
        ..Default::default()
    };
    let after = changed.update(tx).await?;
    let (old, new) = (ToothPresence::of(row, None), ToothPresence::of(after.clone(), None));
    trace::changed(tx, scope, subject(&after, event::TOOTH_PRESENCE_VOIDED), &old, &new).await?;
    Ok(after)
}

fn subject(row: &Model, event: clinicx_types::module::EventType) -> trace::Subject {
    trace::Subject { event, aggregate: AGGREGATE, id: row.id.uuid(), patient_id: Some(row.patient_id) }
}

fn opened(scope: &TenantScope, cipher: &FieldCipher, row: Model) -> Result<ToothPresence, DentalError> {
    let note = words::open(scope, cipher, (PRESENCE_NOTE, row.id.uuid()), row.note_sealed.as_deref())?;
    Ok(ToothPresence::of(row, note))
}
