//! Operations on periodontal examinations.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use clinicx_core::{CoreError, PatientId, change, paging, validation};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantScoped, TenantTransaction};
use clinicx_types::{
    error::FieldError,
    module::EventType,
    page::{Page, PageRequest},
};
use sea_orm::{
    ActiveEnum, ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, Set, Unchanged, sea_query::LockType,
};
use validator::Validate;

use super::{
    dto::{PerioExam, PerioFilter, RecordPerioExam},
    entity::{ActiveModel, Column, Entity, Model},
    measurement,
};
use crate::{
    PerioExamId, chart,
    error::DentalError,
    event,
    presence::{self, RecordStatus},
    reference,
    sealed::PERIO_NOTE,
    tooth::Tooth,
    trace, words,
};

const THING: &str = "perio exam";
const AGGREGATE: &str = "perio_exam";

/// Records an examination.
///
/// Needs `dental_chart.write`. Leaves an audit row and an event.
///
/// # Errors
/// [`CoreError::NotFound`] and [`CoreError::PatientGone`] for the patient; [`CoreError::Invalid`];
/// [`DentalError::ToothGone`] for measures of teeth that are gone as of the day; [`CoreError::Cipher`];
/// [`CoreError::Database`].
#[tracing::instrument(name = "dental.perio.record", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn record(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    patient_id: PatientId,
    input: RecordPerioExam,
) -> Result<PerioExam, DentalError> {
    validation::check(&input)?;
    chart::lock(tx, scope, patient_id).await?;
    let said = (input.examined_on, "/examined_on");
    let examined_on = reference::day_of_life(tx, scope, patient_id, said).await?;
    let now = scope.now();
    let id = PerioExamId::new(scope.next_id());
    let row = Model {
        id,
        version: 1,
        created_at: now,
        updated_at: now,
        patient_id,
        staff_id: input.staff_id,
        note_sealed: words::seal(scope, cipher, (PERIO_NOTE, id.uuid()), input.note.as_deref())?,
        examined_on,
        status: RecordStatus::Recorded,
    };
    let measurements = measurements(scope, id, &input)?;
    reference::require_staff(tx, scope, input.staff_id).await?;
    let known = presence::as_of(tx, patient_id, examined_on).await?;
    let measured: BTreeSet<Tooth> = measurements.iter().map(|one| one.tooth).collect();
    let gone = |tooth: &Tooth| known.get(tooth).is_some_and(|event| event.state.is_gone());
    let teeth: Vec<Tooth> = measured.into_iter().filter(gone).collect();
    if !teeth.is_empty() {
        return Err(DentalError::ToothGone { teeth });
    }
    Entity::insert(row.clone().into_active_model().reset_all()).exec_without_returning(tx).await?;
    let rows = measurements.iter().map(|one| one.clone().into_active_model().reset_all());
    measurement::Entity::insert_many(rows).exec_without_returning(tx).await?;
    let subject = subject(&row, event::PERIO_EXAM_CREATED);
    trace::made(tx, scope, subject, &PerioExam::of(row.clone(), &measurements, None)).await?;
    Ok(PerioExam::of(row, &measurements, input.note))
}

/// Says that an examination was recorded in error.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Stale`]; [`CoreError::RefusedTransition`] when it is an error already;
/// [`CoreError::Database`].
#[tracing::instrument(name = "dental.perio.void", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn void(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    (patient_id, id): (PatientId, PerioExamId),
    expected: Option<i64>,
) -> Result<PerioExam, DentalError> {
    find_row(tx, patient_id, id).await?;
    chart::lock(tx, scope, patient_id).await?;
    let query = Entity::find_by_id(id).lock(LockType::NoKeyUpdate);
    let row = query.one(tx).await?.ok_or(DentalError::not_found(THING))?;
    change::expect_version(THING, expected, row.version)?;
    if row.status == RecordStatus::EnteredInError {
        let (from, allowed) = (row.status.as_str(), Vec::new());
        return Err(CoreError::RefusedTransition { from, action: "void", allowed }.into());
    }
    let changed = ActiveModel {
        id: Unchanged(id),
        version: Set(row.version + 1),
        updated_at: Set(scope.now()),
        status: Set(RecordStatus::EnteredInError),
        ..Default::default()
    };
    let after = changed.update(tx).await?;
    let (old, new) = (PerioExam::of(row, &[], None), PerioExam::of(after.clone(), &[], None));
    trace::changed(tx, scope, subject(&after, event::PERIO_EXAM_VOIDED), &old, &new).await?;
    opened(tx, scope, cipher, after).await
}

/// Returns an examination of a patient's.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Cipher`]; [`CoreError::Database`].
pub async fn get(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    (patient_id, id): (PatientId, PerioExamId),
) -> Result<PerioExam, DentalError> {
    opened(db, scope, cipher, find_row(db, patient_id, id).await?).await
}

/// Lists a patient's examinations by day and id, errors included.
///
/// # Errors
/// [`CoreError::NotFound`] and [`CoreError::PatientGone`] for the patient; [`CoreError::Invalid`] when the cursor is
/// none of this list's; [`CoreError::Cipher`]; [`CoreError::Database`].
pub async fn list(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    patient_id: PatientId,
    (filter, page): (PerioFilter, &PageRequest),
) -> Result<Page<PerioExam>, DentalError> {
    chart::require_patient(db, patient_id).await?;
    let mut query = Entity::find().filter(Column::PatientId.eq(patient_id));
    if let Some(status) = filter.status {
        query = query.filter(Column::Status.eq(status));
    }
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [on, id] = paging::parts(key)?;
        let (on, id): (NaiveDate, PerioExamId) = (paging::part(on)?, paging::part(id)?);
        query = query.filter(paging::after([Column::ExaminedOn, Column::Id], [on.into(), id.into()]));
    }
    let rows = query
        .order_by_asc(Column::ExaminedOn)
        .order_by_asc(Column::Id)
        .limit(u64::from(page.limit()) + 1)
        .all(db)
        .await?;
    let key = |row: &Model| vec![row.examined_on.to_string(), row.id.to_string()];
    let Page { items, next, total } = Page::from_rows(rows, page, total, key);
    let ids: Vec<PerioExamId> = items.iter().map(|row| row.id).collect();
    let all = measurements_of(db, &ids).await?;
    let items = items.into_iter().map(|row| {
        let own: Vec<_> = all.iter().filter(|one| one.exam_id == row.id).cloned().collect();
        assemble(scope, cipher, row, &own)
    });
    Ok(Page { items: items.collect::<Result<_, _>>()?, next, total })
}

fn measurements(
    scope: &TenantScope,
    exam_id: PerioExamId,
    input: &RecordPerioExam,
) -> Result<Vec<measurement::Model>, DentalError> {
    let (mut rows, mut wrong, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (index, one) in input.teeth.iter().enumerate() {
        for (site, measure) in &one.sites {
            let errors = measure.validate().err();
            let errors = errors.map(|errors| validation::field_errors(&errors)).unwrap_or_default();
            wrong.extend(errors.into_iter().map(|error| {
                let pointer = format!("/teeth/{index}/sites/{}{}", site.to_value(), error.pointer);
                FieldError { pointer, ..error }
            }));
        }
        let pointer = format!("/teeth/{index}/tooth");
        let tooth = match reference::tooth(&one.tooth, one.notation, &pointer) {
            Ok(tooth) if seen.insert(tooth) => tooth,
            Ok(_) => {
                wrong.push(FieldError::new(pointer, "duplicate", "stands in the list already"));
                continue;
            }
            Err(error) => {
                wrong.push(error);
                continue;
            }
        };
        rows.extend(one.sites.iter().map(|(site, measure)| measurement::Model {
            id: scope.next_id(),
            created_at: scope.now(),
            exam_id,
            tooth,
            site: *site,
            probing_mm: measure.probing_mm,
            recession_mm: measure.recession_mm,
            bleeding: measure.bleeding,
            suppuration: measure.suppuration,
            plaque: measure.plaque,
            calculus: measure.calculus,
        }));
    }
    if wrong.is_empty() { Ok(rows) } else { Err(DentalError::fields_of(wrong)) }
}

async fn find_row(
    db: &impl TenantScoped,
    patient_id: PatientId,
    id: PerioExamId,
) -> Result<Model, DentalError> {
    let found = Entity::find_by_id(id).filter(Column::PatientId.eq(patient_id)).one(db).await?;
    found.ok_or(DentalError::not_found(THING))
}

async fn measurements_of(
    db: &impl TenantScoped,
    ids: &[PerioExamId],
) -> Result<Vec<measurement::Model>, DentalError> {
    let query = measurement::Entity::find().filter(measurement::Column::ExamId.is_in(ids.iter().copied()));
    Ok(query.all(db).await?)
}

async fn opened(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    row: Model,
) -> Result<PerioExam, DentalError> {
    let measurements = measurements_of(db, &[row.id]).await?;
    assemble(scope, cipher, row, &measurements)
}

fn assemble(
    scope: &TenantScope,
    cipher: &FieldCipher,
    row: Model,
    measurements: &[measurement::Model],
) -> Result<PerioExam, DentalError> {
    let note = words::open(scope, cipher, (PERIO_NOTE, row.id.uuid()), row.note_sealed.as_deref())?;
    Ok(PerioExam::of(row, measurements, note))
}

fn subject(row: &Model, event: EventType) -> trace::Subject {
    trace::Subject { event, aggregate: AGGREGATE, id: row.id.uuid(), patient_id: Some(row.patient_id) }
}
