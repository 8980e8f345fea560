//! Operations on absences.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use clinicx_persistence::{
    TenantScope, TenantScoped, TenantTransaction,
    record::{Change, record},
};
use clinicx_types::{
    error::FieldError,
    module::EventType,
    page::{Page, PageRequest},
    range::TimeRange,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, JsonValue, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, Set, sea_query::LockType,
};
use serde_json::json;

use super::{
    dto::{CreateTimeOff, TimeOff, TimeOffFilter, UpdateTimeOff},
    entity::{ActiveModel, Column, Entity, Model},
};
use crate::{StaffId, TimeOffId, change, error::CoreError, event, local_time, paging, staff, validation};

const THING: &str = "absence";
/// Fields that people fill with words.
const WORDS: &[&str] = &["reason"];

/// Adds an absence of a member of staff. Appointments that are already booked stay as they are.
///
/// # Errors
/// [`CoreError::NotFound`] when there is no such person; [`CoreError::Invalid`]; [`CoreError::Database`].
#[tracing::instrument(name = "core.time_off.create", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn create(
    tx: &TenantTransaction,
    scope: &TenantScope,
    staff_id: StaffId,
    input: CreateTimeOff,
) -> Result<TimeOff, CoreError> {
    validation::check(&input)?;
    staff::get(tx, scope, staff_id).await?;
    let row = row(scope, staff_id, input)?;
    Entity::insert(row.clone().into_active_model().reset_all()).exec_without_returning(tx).await?;
    let absence = TimeOff::from(row);
    trace(tx, scope, event::TIME_OFF_CREATED, &absence, None, Some(change::json(&absence))).await?;
    Ok(absence)
}

/// Looks for an absence of a member of staff.
///
/// # Errors
/// [`CoreError::Database`].
pub async fn find(
    db: &impl TenantScoped,
    _scope: &TenantScope,
    staff_id: StaffId,
    id: TimeOffId,
) -> Result<Option<TimeOff>, CoreError> {
    let found = Entity::find_by_id(id).filter(Column::StaffId.eq(staff_id)).one(db).await?;
    Ok(found.map(TimeOff::from))
}

/// Returns an absence of a member of staff.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Database`].
pub async fn get(
    db: &impl TenantScoped,
    scope: &TenantScope,
    staff_id: StaffId,
    id: TimeOffId,
) -> Result<TimeOff, CoreError> {
    find(db, scope, staff_id, id).await?.ok_or(CoreError::NotFound { thing: THING })
}

/// Lists the absences of a member of staff by their start and id.
///
/// # Errors
/// [`CoreError::NotFound`] when there is no such person; [`CoreError::Invalid`] when the cursor is none of this
/// list's; [`CoreError::Database`].
pub async fn list(
    db: &impl TenantScoped,
    scope: &TenantScope,
    staff_id: StaffId,
    filter: &TimeOffFilter,
    page: &PageRequest,
) -> Result<Page<TimeOff>, CoreError> {
    staff::get(db, scope, staff_id).await?;
    let mut query = Entity::find().filter(Column::StaffId.eq(staff_id));
    if let Some(from) = filter.from {
        query = query.filter(Column::EndsAt.gt(from));
    }
    if let Some(to) = filter.to {
        query = query.filter(Column::StartsAt.lt(to));
    }
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [starts_at, id] = paging::parts(key)?;
        let (starts_at, id): (DateTime<Utc>, TimeOffId) = (paging::part(starts_at)?, paging::part(id)?);
        query = query.filter(paging::after([Column::StartsAt, Column::Id], [starts_at.into(), id.into()]));
    }
    let rows = query
        .order_by_asc(Column::StartsAt)
        .order_by_asc(Column::Id)
        .limit(u64::from(page.limit()) + 1)
        .all(db)
        .await?;
    let key = |row: &Model| vec![row.starts_at.to_rfc3339(), row.id.to_string()];
    Ok(Page::from_rows(rows, page, total, key).map(TimeOff::from))
}

/// Tells whether a member of staff is away at some time of `during`.
///
/// # Errors
/// [`CoreError::Database`].
pub async fn is_away(
    db: &impl TenantScoped,
    _scope: &TenantScope,
    staff_id: StaffId,
    during: &TimeRange,
) -> Result<bool, CoreError> {
    let absence: Option<TimeOffId> = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::StaffId.eq(staff_id))
        .filter(Column::StartsAt.lt(during.end()))
        .filter(Column::EndsAt.gt(during.start()))
        .limit(1)
        .into_tuple()
        .one(db)
        .await?;
    Ok(absence.is_some())
}

/// Changes an absence; a change that changes nothing leaves no trace.
///
/// # Errors
/// [`CoreError::Invalid`]; [`CoreError::NotFound`]; [`CoreError::Stale`] unless `expected` is `None` or the
/// present version; [`CoreError::Database`].
#[tracing::instrument(name = "core.time_off.update", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn update(
    tx: &TenantTransaction,
    scope: &TenantScope,
    (staff_id, id): (StaffId, TimeOffId),
    expected: Option<i64>,
    patch: UpdateTimeOff,
) -> Result<TimeOff, CoreError> {
    validation::check(&patch)?;
    let zone = local_time::optional_zone(patch.time_zone.as_deref())?;
    let before = locked(tx, (staff_id, id), expected).await?;
    let mut after = before.clone();
    if let Some(start) = &patch.start {
        after.starts_at = instant(start, zone, "/start")?;
    }
    if let Some(end) = &patch.end {
        after.ends_at = instant(end, zone, "/end")?;
    }
    after.reason = patch.reason.unwrap_or(after.reason);
    check_order(&after)?;
    if after == before {
        return Ok(after.into());
    }
    let changed = ActiveModel {
        id: sea_orm::Unchanged(id),
        version: Set(after.version + 1),
        updated_at: Set(scope.now()),
        starts_at: Set(after.starts_at),
        ends_at: Set(after.ends_at),
        reason: Set(after.reason),
        ..Default::default()
    };
    let before = TimeOff::from(before);
    let after = TimeOff::from(changed.update(tx).await?);
    let (old, new) = change::difference(&before, &after);
    trace(tx, scope, event::TIME_OFF_UPDATED, &after, Some(old), Some(new)).await?;
    Ok(after)
}

/// Removes an absence.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Stale`]; [`CoreError::Database`].
#[tracing::instrument(name = "core.time_off.delete", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn delete(
    tx: &TenantTransaction,
    scope: &TenantScope,
    (staff_id, id): (StaffId, TimeOffId),
    expected: Option<i64>,
) -> Result<(), CoreError> {
    let before = TimeOff::from(locked(tx, (staff_id, id), expected).await?);
    Entity::delete_by_id(id).exec(tx).await?;
    trace(tx, scope, event::TIME_OFF_DELETED, &before, Some(change::json(&before)), None).await
}

async fn locked(
    tx: &TenantTransaction,
    (staff_id, id): (StaffId, TimeOffId),
    expected: Option<i64>,
) -> Result<Model, CoreError> {
    let query = Entity::find_by_id(id).filter(Column::StaffId.eq(staff_id)).lock(LockType::NoKeyUpdate);
    let row = query.one(tx).await?.ok_or(CoreError::NotFound { thing: THING })?;
    change::expect_version(THING, expected, row.version)?;
    Ok(row)
}

/// Makes a row of an input that was checked.
pub(super) fn row(scope: &TenantScope, staff_id: StaffId, input: CreateTimeOff) -> Result<Model, CoreError> {
    let zone = local_time::optional_zone(input.time_zone.as_deref())?;
    let now = scope.now();
    let row = Model {
        id: TimeOffId::new(scope.next_id()),
        version: 1,
        created_at: now,
        updated_at: now,
        staff_id,
        starts_at: instant(&input.start, zone, "/start")?,
        ends_at: instant(&input.end, zone, "/end")?,
        reason: input.reason,
    };
    check_order(&row)?;
    Ok(row)
}

fn instant(text: &str, zone: Option<Tz>, pointer: &str) -> Result<DateTime<Utc>, CoreError> {
    local_time::parse(text, pointer)
        .and_then(|time| time.instant(zone, pointer))
        .map_err(|error| CoreError::Invalid(vec![error]))
}

fn check_order(row: &Model) -> Result<(), CoreError> {
    if row.starts_at < row.ends_at {
        return Ok(());
    }
    Err(CoreError::Invalid(vec![FieldError::new("/end", "end_before_start", "must be after the start")]))
}

async fn trace(
    tx: &TenantTransaction,
    scope: &TenantScope,
    event: EventType,
    absence: &TimeOff,
    before: Option<JsonValue>,
    after: Option<JsonValue>,
) -> Result<(), CoreError> {
    let change = Change {
        event,
        aggregate: "time_off",
        aggregate_id: absence.id.uuid(),
        patient_id: None,
        before: change::masked(before, WORDS),
        after: change::masked(after, WORDS),
        payload: json!({ "time_off_id": absence.id, "staff_id": absence.staff_id }),
    };
    Ok(record(tx, scope, change).await?)
}
