//! Operations on visits.

use clinicx_core::{CoreError, PatientId, change, local_time, paging, patient, staff, validation};
use clinicx_persistence::{TenantScope, TenantScoped, TenantTransaction};
use clinicx_types::page::{Page, PageRequest};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::{
    dto::{RecordVisit, Visit},
    entity::{Column, Entity, Model},
};
use crate::{VisitId, event, trace};

const THING: &str = "visit";
const AGGREGATE: &str = "orthodontic_visit";

/// Records a visit of today, by the clinic's calendar. Needs `orthodontics.write`; leaves an audit row and an event.
///
/// # Errors
/// [`CoreError::NotFound`] and [`CoreError::PatientGone`] for the patient; [`CoreError::Invalid`], also when there is no
/// such member of staff; [`CoreError::Database`].
#[tracing::instrument(name = "orthodontics.visit.record", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn record(
    tx: &TenantTransaction,
    scope: &TenantScope,
    patient_id: PatientId,
    input: RecordVisit,
) -> Result<Visit, CoreError> {
    validation::check(&input)?;
    patient::require(tx, scope, patient_id).await?;
    if staff::find(tx, scope, input.staff_id).await?.is_none() {
        return Err(CoreError::invalid("/staff_id", "not_found", "must be the id of a member of staff"));
    }
    let row = Model {
        id: VisitId::new(scope.next_id()),
        created_at: scope.now(),
        patient_id,
        staff_id: input.staff_id,
        visited_on: local_time::local_date(scope.now(), scope.time_zone),
        archwire: input.archwire.map(|text| text.trim().to_owned()),
        next_in_weeks: input.next_in_weeks,
    };
    Entity::insert(row.clone().into_active_model().reset_all()).exec_without_returning(tx).await?;
    let made = Visit::from(row);
    let after = change::json(&made);
    trace::leave(tx, scope, event::VISIT_RECORDED, patient_id, (AGGREGATE, None, after)).await?;
    Ok(made)
}

/// Returns a visit of a patient's. Needs `orthodontics.read`.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Database`].
pub async fn get(db: &impl TenantScoped, (patient_id, id): (PatientId, VisitId)) -> Result<Visit, CoreError> {
    let found = Entity::find_by_id(id).filter(Column::PatientId.eq(patient_id)).one(db).await?;
    found.map(Visit::from).ok_or(CoreError::NotFound { thing: THING })
}

/// Lists a patient's visits, oldest first. Needs `orthodontics.read`.
///
/// # Errors
/// [`CoreError::NotFound`] and [`CoreError::PatientGone`] for the patient; [`CoreError::Invalid`] when the cursor is none
/// of this list's; [`CoreError::Database`].
pub async fn list(
    db: &impl TenantScoped,
    scope: &TenantScope,
    patient_id: PatientId,
    page: &PageRequest,
) -> Result<Page<Visit>, CoreError> {
    patient::require(db, scope, patient_id).await?;
    let mut query = Entity::find().filter(Column::PatientId.eq(patient_id));
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [id] = paging::parts(key)?;
        query = query.filter(Column::Id.gt(paging::part::<VisitId>(id)?));
    }
    let rows = query.order_by_asc(Column::Id).limit(u64::from(page.limit()) + 1).all(db).await?;
    Ok(Page::from_rows(rows, page, total, |row| vec![row.id.to_string()]).map(Visit::from))
}
