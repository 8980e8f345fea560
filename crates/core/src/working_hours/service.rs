//! Operations on working hours.

use chrono::NaiveTime;
use clinicx_persistence::{
    FailureKind, TenantScope, TenantScoped, TenantTransaction,
    record::{Change, record},
};
use clinicx_types::{
    error::FieldError,
    module::EventType,
    page::{Page, PageRequest},
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, JsonValue, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, Set, sea_query::LockType,
};
use serde_json::json;

use super::{
    dto::{CreateWorkingHours, UpdateWorkingHours, WorkingHours},
    entity::{ActiveModel, Column, Entity, Model},
    roster::{Roster, Shift},
};
use crate::{
    StaffId, WorkingHoursId, change, error::CoreError, event, local_time, paging, staff, validation,
};

const THING: &str = "line of working hours";

/// Adds working hours to a member of staff. Appointments that are already booked stay as they are.
///
/// # Errors
/// [`CoreError::NotFound`] when there is no such person; [`CoreError::Invalid`]; [`CoreError::Taken`] when they
/// overlap with others of the person; [`CoreError::Database`].
#[tracing::instrument(name = "core.working_hours.create", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn create(
    tx: &TenantTransaction,
    scope: &TenantScope,
    staff_id: StaffId,
    input: CreateWorkingHours,
) -> Result<WorkingHours, CoreError> {
    validation::check(&input)?;
    staff::get(tx, scope, staff_id).await?;
    let row = row(scope, staff_id, input)?;
    Entity::insert(row.clone().into_active_model().reset_all())
        .exec_without_returning(tx)
        .await
        .map_err(refused)?;
    let hours = WorkingHours::from(row);
    trace(tx, scope, event::WORKING_HOURS_CREATED, &hours, None, Some(change::json(&hours))).await?;
    Ok(hours)
}

/// Looks for a line of a staff member's working hours.
///
/// # Errors
/// [`CoreError::Database`].
pub async fn find(
    db: &impl TenantScoped,
    _scope: &TenantScope,
    staff_id: StaffId,
    id: WorkingHoursId,
) -> Result<Option<WorkingHours>, CoreError> {
    let found = Entity::find_by_id(id).filter(Column::StaffId.eq(staff_id)).one(db).await?;
    Ok(found.map(WorkingHours::from))
}

/// Returns a line of a staff member's working hours.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Database`].
pub async fn get(
    db: &impl TenantScoped,
    scope: &TenantScope,
    staff_id: StaffId,
    id: WorkingHoursId,
) -> Result<WorkingHours, CoreError> {
    find(db, scope, staff_id, id).await?.ok_or(CoreError::NotFound { thing: THING })
}

/// Lists a staff member's working hours by weekday, start and id.
///
/// # Errors
/// [`CoreError::NotFound`] when there is no such person; [`CoreError::Invalid`] when the cursor is none of this
/// list's; [`CoreError::Database`].
pub async fn list(
    db: &impl TenantScoped,
    scope: &TenantScope,
    staff_id: StaffId,
    page: &PageRequest,
) -> Result<Page<WorkingHours>, CoreError> {
    staff::get(db, scope, staff_id).await?;
    let mut query = Entity::find().filter(Column::StaffId.eq(staff_id));
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [weekday, starts, id] = paging::parts(key)?;
        let (weekday, starts): (i16, NaiveTime) = (paging::part(weekday)?, paging::part(starts)?);
        let id: WorkingHoursId = paging::part(id)?;
        query = query.filter(paging::after(
            [Column::Weekday, Column::Starts, Column::Id],
            [weekday.into(), starts.into(), id.into()],
        ));
    }
    let rows = query
        .order_by_asc(Column::Weekday)
        .order_by_asc(Column::Starts)
        .order_by_asc(Column::Id)
        .limit(u64::from(page.limit()) + 1)
        .all(db)
        .await?;
    let key = |row: &Model| vec![row.weekday.to_string(), row.starts.to_string(), row.id.to_string()];
    Ok(Page::from_rows(rows, page, total, key).map(WorkingHours::from))
}

/// Returns all the working hours of a member of staff, as rules.
///
/// # Errors
/// [`CoreError::Database`].
pub async fn roster_of(
    db: &impl TenantScoped,
    _scope: &TenantScope,
    staff_id: StaffId,
) -> Result<Roster, CoreError> {
    let rows = Entity::find().filter(Column::StaffId.eq(staff_id)).all(db).await?;
    let shifts = rows.iter().filter_map(|row| {
        Some(Shift {
            weekday: u32::try_from(row.weekday).ok()?,
            starts: row.starts,
            ends: row.ends,
            time_zone: row.time_zone.parse().ok()?,
            valid_from: row.valid_from,
            valid_until: row.valid_until,
        })
    });
    Ok(Roster(shifts.collect()))
}

/// Changes working hours; a change that changes nothing leaves no trace. Appointments stay as they are.
///
/// # Errors
/// [`CoreError::Invalid`]; [`CoreError::NotFound`]; [`CoreError::Stale`] unless `expected` is `None` or the
/// present version; [`CoreError::Taken`] when they overlap with others of the person; [`CoreError::Database`].
#[tracing::instrument(name = "core.working_hours.update", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn update(
    tx: &TenantTransaction,
    scope: &TenantScope,
    (staff_id, id): (StaffId, WorkingHoursId),
    expected: Option<i64>,
    patch: UpdateWorkingHours,
) -> Result<WorkingHours, CoreError> {
    validation::check(&patch)?;
    let before = locked(tx, (staff_id, id), expected).await?;
    let mut after = before.clone();
    apply(&mut after, patch)?;
    if after == before {
        return Ok(after.into());
    }
    let changed = ActiveModel {
        id: sea_orm::Unchanged(id),
        version: Set(after.version + 1),
        updated_at: Set(scope.now()),
        weekday: Set(after.weekday),
        starts: Set(after.starts),
        ends: Set(after.ends),
        time_zone: Set(after.time_zone),
        valid_from: Set(after.valid_from),
        valid_until: Set(after.valid_until),
        ..Default::default()
    };
    let before = WorkingHours::from(before);
    let after = WorkingHours::from(changed.update(tx).await.map_err(refused)?);
    let (old, new) = change::difference(&before, &after);
    trace(tx, scope, event::WORKING_HOURS_UPDATED, &after, Some(old), Some(new)).await?;
    Ok(after)
}

/// Removes working hours.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Stale`]; [`CoreError::Database`].
#[tracing::instrument(name = "core.working_hours.delete", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn delete(
    tx: &TenantTransaction,
    scope: &TenantScope,
    (staff_id, id): (StaffId, WorkingHoursId),
    expected: Option<i64>,
) -> Result<(), CoreError> {
    let before = WorkingHours::from(locked(tx, (staff_id, id), expected).await?);
    Entity::delete_by_id(id).exec(tx).await?;
    trace(tx, scope, event::WORKING_HOURS_DELETED, &before, Some(change::json(&before)), None).await
}

async fn locked(
    tx: &TenantTransaction,
    (staff_id, id): (StaffId, WorkingHoursId),
    expected: Option<i64>,
) -> Result<Model, CoreError> {
    let query = Entity::find_by_id(id).filter(Column::StaffId.eq(staff_id)).lock(LockType::NoKeyUpdate);
    let row = query.one(tx).await?.ok_or(CoreError::NotFound { thing: THING })?;
    change::expect_version(THING, expected, row.version)?;
    Ok(row)
}

/// Makes a row of an input that was checked.
pub(super) fn row(
    scope: &TenantScope,
    staff_id: StaffId,
    input: CreateWorkingHours,
) -> Result<Model, CoreError> {
    let now = scope.now();
    let mut row = Model {
        id: WorkingHoursId::new(scope.next_id()),
        version: 1,
        created_at: now,
        updated_at: now,
        staff_id,
        weekday: input.weekday,
        starts: NaiveTime::MIN,
        ends: NaiveTime::MIN,
        time_zone: scope.time_zone.name().to_owned(),
        valid_from: None,
        valid_until: None,
    };
    let patch = UpdateWorkingHours {
        weekday: None,
        starts: Some(input.starts),
        ends: Some(input.ends),
        time_zone: input.time_zone,
        valid_from: Some(input.valid_from),
        valid_until: Some(input.valid_until),
    };
    apply(&mut row, patch)?;
    Ok(row)
}

fn apply(row: &mut Model, patch: UpdateWorkingHours) -> Result<(), CoreError> {
    let mut wrong = Vec::new();
    row.weekday = patch.weekday.unwrap_or(row.weekday);
    if let Some(starts) = patch.starts {
        match time(&starts) {
            Some(time) => row.starts = time,
            None => wrong.push(malformed("/starts", "must be a time of day such as \"09:00\"")),
        }
    }
    if let Some(ends) = patch.ends {
        let midnight = matches!(ends.as_str(), "24:00" | "24:00:00");
        match if midnight { Some(NaiveTime::MIN) } else { time(&ends) } {
            Some(time) => row.ends = time,
            None => {
                wrong.push(malformed("/ends", "must be a time of day such as \"17:00\", at most \"24:00\""))
            }
        }
    }
    if let Some(zone) = patch.time_zone {
        match local_time::parse_zone(&zone, "/time_zone") {
            Ok(zone) => row.time_zone = zone.name().to_owned(),
            Err(error) => wrong.push(error),
        }
    }
    row.valid_from = patch.valid_from.unwrap_or(row.valid_from);
    row.valid_until = patch.valid_until.unwrap_or(row.valid_until);
    if wrong.is_empty() && row.ends != NaiveTime::MIN && row.ends <= row.starts {
        wrong.push(FieldError::new("/ends", "end_before_start", "must be after the start"));
    }
    if let (Some(from), Some(until)) = (row.valid_from, row.valid_until)
        && until < from
    {
        wrong.push(FieldError::new("/valid_until", "end_before_start", "must not be before valid_from"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(CoreError::Invalid(wrong)) }
}

/// Reads a time of day in whole minutes.
fn time(text: &str) -> Option<NaiveTime> {
    // chrono would take spaces before an hour, and hours of one digit.
    let clock = |(at, byte): (usize, u8)| if at == 2 { byte == b':' } else { byte.is_ascii_digit() };
    text.get(..5)?.bytes().enumerate().all(clock).then_some(())?;
    ["%H:%M", "%H:%M:00"].into_iter().find_map(|format| NaiveTime::parse_from_str(text, format).ok())
}

fn malformed(pointer: &str, detail: &str) -> FieldError {
    FieldError::new(pointer, "malformed_time", detail)
}

fn refused(error: DbErr) -> CoreError {
    change::refused(&error, |failure| {
        let overlap = CoreError::Taken { what: "time", code: "working_hours_overlap" };
        (failure.kind == FailureKind::Exclusion).then_some(overlap)
    })
}

async fn trace(
    tx: &TenantTransaction,
    scope: &TenantScope,
    event: EventType,
    hours: &WorkingHours,
    before: Option<JsonValue>,
    after: Option<JsonValue>,
) -> Result<(), CoreError> {
    let change = Change {
        event,
        aggregate: "working_hours",
        aggregate_id: hours.id.uuid(),
        patient_id: None,
        before,
        after,
        payload: json!({ "working_hours_id": hours.id, "staff_id": hours.staff_id }),
    };
    Ok(record(tx, scope, change).await?)
}
