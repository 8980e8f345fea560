//! Operations on brackets.

use chrono::NaiveDate;
use clinicx_core::{CoreError, PatientId, change, local_time, paging, patient, validation};
use clinicx_dental::{
    DentalError,
    chart::{self, ChartView},
    tooth::Tooth,
};
use clinicx_persistence::{FailureKind, TenantScope, TenantScoped, TenantTransaction};
use clinicx_types::page::{Page, PageRequest};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Set, Unchanged, sea_query::LockType,
};

use super::{
    dto::{BondBracket, Bracket, RemoveBracket},
    entity::{ActiveModel, Column, Entity, Model},
};
use crate::{BracketId, event, trace};

const THING: &str = "bracket";
const AGGREGATE: &str = "orthodontic_bracket";

/// Records that a bracket was bonded to a tooth. Needs `orthodontics.write`; leaves an audit row and an event.
///
/// # Errors
/// [`CoreError::NotFound`] and [`CoreError::PatientGone`] for the patient; [`CoreError::Invalid`];
/// [`DentalError::ToothGone`]; [`CoreError::Taken`] when the tooth has a bracket; [`CoreError::Database`].
#[tracing::instrument(name = "orthodontics.bracket.bond", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn bond(
    tx: &TenantTransaction,
    scope: &TenantScope,
    patient_id: PatientId,
    input: BondBracket,
) -> Result<Bracket, DentalError> {
    validation::check(&input)?;
    let bonded_on = past_day(scope, input.bonded_on, "/bonded_on")?;
    patient::require(tx, scope, patient_id).await?;
    require_tooth(tx, scope, patient_id, (input.tooth, bonded_on)).await?;
    let now = scope.now();
    let row = Model {
        id: BracketId::new(scope.next_id()),
        version: 1,
        created_at: now,
        updated_at: now,
        patient_id,
        tooth: input.tooth,
        kind: input.kind,
        bonded_on,
        removed_on: None,
    };
    let insert = Entity::insert(row.clone().into_active_model().reset_all());
    insert.exec_without_returning(tx).await.map_err(|error| {
        change::refused(&error, |failure| {
            let taken = CoreError::Taken { what: "tooth", code: "conflict" };
            (failure.kind == FailureKind::Unique).then_some(taken)
        })
    })?;
    let made = Bracket::from(row);
    let after = change::json(&made);
    trace::leave(tx, scope, event::BRACKET_BONDED, patient_id, (AGGREGATE, None, after)).await?;
    Ok(made)
}

/// Records that a bracket was taken off. Needs `orthodontics.write`; leaves an audit row and an event.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Stale`]; [`CoreError::RefusedTransition`] when it is off already;
/// [`CoreError::Invalid`]; [`CoreError::Database`].
#[tracing::instrument(name = "orthodontics.bracket.remove", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn remove(
    tx: &TenantTransaction,
    scope: &TenantScope,
    (patient_id, id, expected): (PatientId, BracketId, Option<i64>),
    input: RemoveBracket,
) -> Result<Bracket, CoreError> {
    validation::check(&input)?;
    let found = Entity::find_by_id(id).filter(Column::PatientId.eq(patient_id)).lock(LockType::NoKeyUpdate);
    let row = found.one(tx).await?.ok_or(CoreError::NotFound { thing: THING })?;
    change::expect_version(THING, expected, row.version)?;
    if row.removed_on.is_some() {
        return Err(CoreError::RefusedTransition { from: "removed", action: "remove", allowed: Vec::new() });
    }
    let removed_on = past_day(scope, input.removed_on, "/removed_on")?;
    if removed_on < row.bonded_on {
        return Err(CoreError::invalid("/removed_on", "too_early", "must not be before it was bonded"));
    }
    let changed = ActiveModel {
        id: Unchanged(id),
        version: Set(row.version + 1),
        updated_at: Set(scope.now()),
        removed_on: Set(Some(removed_on)),
        ..Default::default()
    };
    let after = Bracket::from(changed.update(tx).await?);
    let trail = (AGGREGATE, Some(change::json(&Bracket::from(row))), change::json(&after));
    trace::leave(tx, scope, event::BRACKET_REMOVED, patient_id, trail).await?;
    Ok(after)
}

/// Returns a bracket of a patient's. Needs `orthodontics.read`.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Database`].
pub async fn get(
    db: &impl TenantScoped,
    (patient_id, id): (PatientId, BracketId),
) -> Result<Bracket, CoreError> {
    let found = Entity::find_by_id(id).filter(Column::PatientId.eq(patient_id)).one(db).await?;
    found.map(Bracket::from).ok_or(CoreError::NotFound { thing: THING })
}

/// Lists a patient's brackets, oldest first. Needs `orthodontics.read`.
///
/// # Errors
/// [`CoreError::NotFound`] and [`CoreError::PatientGone`] for the patient; [`CoreError::Invalid`] when the cursor is none
/// of this list's; [`CoreError::Database`].
pub async fn list(
    db: &impl TenantScoped,
    scope: &TenantScope,
    patient_id: PatientId,
    page: &PageRequest,
) -> Result<Page<Bracket>, CoreError> {
    patient::require(db, scope, patient_id).await?;
    let mut query = Entity::find().filter(Column::PatientId.eq(patient_id));
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [id] = paging::parts(key)?;
        query = query.filter(Column::Id.gt(paging::part::<BracketId>(id)?));
    }
    let rows = query.order_by_asc(Column::Id).limit(u64::from(page.limit()) + 1).all(db).await?;
    Ok(Page::from_rows(rows, page, total, |row| vec![row.id.to_string()]).map(Bracket::from))
}

/// Refuses a tooth that was gone on the day, as its chart says.
async fn require_tooth(
    tx: &TenantTransaction,
    scope: &TenantScope,
    patient_id: PatientId,
    (tooth, day): (Tooth, NaiveDate),
) -> Result<(), DentalError> {
    let view = ChartView { as_of: Some(day), notation: None };
    let chart = chart::get(tx, scope, patient_id, view).await?;
    let presence = chart.teeth.iter().find(|one| one.fdi == tooth).and_then(|one| one.presence);
    if presence.is_some_and(|state| state.is_gone()) {
        return Err(DentalError::ToothGone { teeth: vec![tooth] });
    }
    Ok(())
}

fn past_day(scope: &TenantScope, day: Option<NaiveDate>, pointer: &str) -> Result<NaiveDate, CoreError> {
    let today = local_time::local_date(scope.now(), scope.time_zone);
    match day {
        Some(day) if day > today => {
            Err(CoreError::invalid(pointer, "in_future", "must not lie in the future"))
        }
        day => Ok(day.unwrap_or(today)),
    }
}
