//! Finding treatments.

use chrono::{DateTime, Utc};
use clinicx_core::{PatientId, paging};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantScoped};
use clinicx_types::page::{Page, PageRequest};
use sea_orm::{
    ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, extension::postgres::PgExpr},
};

use super::{
    THING,
    dto::{Treatment, TreatmentFilter},
    entity::{Column, Entity, Model},
    status::Status,
};
use crate::{
    TreatmentId, chart,
    error::DentalError,
    sealed::{TREATMENT_NOTE, TREATMENT_REASON},
    words,
};

/// Returns a treatment.
///
/// # Errors
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound); [`CoreError::Cipher`](clinicx_core::CoreError::Cipher);
/// [`CoreError::Database`](clinicx_core::CoreError::Database).
pub async fn get(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    id: TreatmentId,
) -> Result<Treatment, DentalError> {
    assemble(scope, cipher, find(db, id).await?)
}

/// Returns the row of a treatment.
pub(super) async fn find(db: &impl TenantScoped, id: TreatmentId) -> Result<Model, DentalError> {
    Entity::find_by_id(id).one(db).await?.ok_or(DentalError::not_found(THING))
}

/// Lists a patient's treatments in the order in which they were planned, errors included.
///
/// # Errors
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound) and
/// [`CoreError::PatientGone`](clinicx_core::CoreError::PatientGone) for the patient;
/// [`CoreError::Invalid`](clinicx_core::CoreError::Invalid) when the cursor is none of this list's;
/// [`CoreError::Cipher`](clinicx_core::CoreError::Cipher); [`CoreError::Database`](clinicx_core::CoreError::Database).
pub async fn list(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    patient_id: PatientId,
    (filter, page): (&TreatmentFilter, &PageRequest),
) -> Result<Page<Treatment>, DentalError> {
    chart::require_patient(db, patient_id).await?;
    let mut query = Entity::find().filter(Column::PatientId.eq(patient_id));
    if let Some(tooth) = filter.tooth {
        query = query.filter(Expr::col(Column::Teeth).contains(Expr::val(vec![tooth.to_string()])));
    }
    if !filter.statuses.is_empty() {
        query = query.filter(Column::Status.is_in(filter.statuses.iter().copied()));
    }
    match filter.flagged {
        Some(true) => query = query.filter(Column::Flag.is_not_null()),
        Some(false) => query = query.filter(Column::Flag.is_null()),
        None => {}
    }
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [id] = paging::parts(key)?;
        query = query.filter(Column::Id.gt(paging::part::<TreatmentId>(id)?));
    }
    let rows = query.order_by_asc(Column::Id).limit(u64::from(page.limit()) + 1).all(db).await?;
    let Page { items, next, total } = Page::from_rows(rows, page, total, |row| vec![row.id.to_string()]);
    let items = items.into_iter().map(|row| assemble(scope, cipher, row)).collect::<Result<_, _>>()?;
    Ok(Page { items, next, total })
}

/// What was planned before an instant and is no error, by the time of planning.
pub(crate) async fn found_until(
    db: &impl TenantScoped,
    patient_id: PatientId,
    until: DateTime<Utc>,
) -> Result<Vec<Model>, DentalError> {
    let rows = Entity::find()
        .filter(Column::PatientId.eq(patient_id))
        .filter(Column::Status.ne(Status::EnteredInError))
        .filter(sea_orm::Condition::any().add(Column::CompletedAt.lt(until)).add(Column::CreatedAt.lt(until)))
        .order_by_asc(Column::Id)
        .all(db)
        .await?;
    Ok(rows)
}

/// Puts a treatment together with its words.
pub(crate) fn assemble(
    scope: &TenantScope,
    cipher: &FieldCipher,
    row: Model,
) -> Result<Treatment, DentalError> {
    let id = row.id.uuid();
    let note = words::open(scope, cipher, (TREATMENT_NOTE, id), row.note_sealed.as_deref())?;
    let reason = words::open(scope, cipher, (TREATMENT_REASON, id), row.reason_sealed.as_deref())?;
    Ok(Treatment::of(row, (note, reason)))
}
