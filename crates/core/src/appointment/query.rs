//! Finding appointments.

use chrono::{DateTime, Utc};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantScoped};
use clinicx_types::page::{Page, PageRequest};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{
    THING,
    dto::{Appointment, AppointmentFilter},
    entity::{Column, Entity, Model},
    words,
};
use crate::{AppointmentId, error::CoreError, local_time, paging};

/// Looks for an appointment.
///
/// # Errors
/// [`CoreError::Cipher`]; [`CoreError::Database`].
pub async fn find(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    id: AppointmentId,
) -> Result<Option<Appointment>, CoreError> {
    let row = Entity::find_by_id(id).one(db).await?;
    Ok(row.map(|row| words::open(scope, cipher, row)).transpose()?.map(Appointment::from))
}

/// Returns an appointment.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Database`].
pub async fn get(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    id: AppointmentId,
) -> Result<Appointment, CoreError> {
    find(db, scope, cipher, id).await?.ok_or(CoreError::NotFound { thing: THING })
}

/// Lists appointments by start and id. An appointment belongs to the day on which it starts.
///
/// # Errors
/// [`CoreError::Invalid`] when a day stands beside other bounds, or the cursor is none of this list's;
/// [`CoreError::Database`].
pub async fn list(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    filter: &AppointmentFilter,
    page: &PageRequest,
) -> Result<Page<Appointment>, CoreError> {
    let (from, to) = bounds(scope, filter)?;
    let mut query = Entity::find();
    if let Some(from) = from {
        query = query.filter(Column::StartsAt.gte(from));
    }
    if let Some(to) = to {
        query = query.filter(Column::StartsAt.lt(to));
    }
    if let Some(staff_id) = filter.staff_id {
        query = query.filter(Column::StaffId.eq(staff_id));
    }
    if let Some(patient_id) = filter.patient_id {
        query = query.filter(Column::PatientId.eq(patient_id));
    }
    if let Some(room_id) = filter.room_id {
        query = query.filter(Column::RoomId.eq(room_id));
    }
    if !filter.statuses.is_empty() {
        query = query.filter(Column::Status.is_in(filter.statuses.iter().copied()));
    }
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [starts_at, id] = paging::parts(key)?;
        let (starts_at, id): (DateTime<Utc>, AppointmentId) = (paging::part(starts_at)?, paging::part(id)?);
        query = query.filter(paging::after([Column::StartsAt, Column::Id], [starts_at.into(), id.into()]));
    }
    let rows = query
        .order_by_asc(Column::StartsAt)
        .order_by_asc(Column::Id)
        .limit(u64::from(page.limit()) + 1)
        .all(db)
        .await?;
    let rows = rows.into_iter().map(|row| words::open(scope, cipher, row)).collect::<Result<_, _>>()?;
    let key = |row: &Model| vec![row.starts_at.to_rfc3339(), row.id.to_string()];
    Ok(Page::from_rows(rows, page, total, key).map(Appointment::from))
}

type Bounds = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

fn bounds(scope: &TenantScope, filter: &AppointmentFilter) -> Result<Bounds, CoreError> {
    let Some(day) = filter.day else {
        if filter.from.zip(filter.to).is_some_and(|(from, to)| from > to) {
            return Err(CoreError::invalid("?to", "before_from", "must not lie before from"));
        }
        return Ok((filter.from, filter.to));
    };
    if filter.from.is_some() || filter.to.is_some() {
        return Err(CoreError::invalid("?day", "day_or_range", "must not stand beside from or to"));
    }
    let (from, to) = local_time::day_bounds(day, scope.time_zone)
        .ok_or_else(|| CoreError::invalid("?day", "out_of_range", "must be a day of the calendar"))?;
    Ok((Some(from), Some(to)))
}
