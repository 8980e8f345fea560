//! Taking in working hours from elsewhere.

use chrono::{NaiveDate, Timelike};
use clinicx_persistence::TenantScope;
use sea_orm::JsonValue;

use super::{dto::CreateWorkingHours, entity::Model, service};
use crate::{
    StaffId, WorkingHoursId,
    error::CoreError,
    intake::{Lane, Origin, Span, input, taken},
    validation,
};

/// The minute at which a day ends.
const MIDNIGHT: i64 = 24 * 60;

/// Makes a row of fields.
pub(crate) fn row(scope: &TenantScope, origin: Origin, mut fields: JsonValue) -> Result<Model, CoreError> {
    let staff_id = taken(&mut fields, "staff_id").and_then(|id| id.parse().ok()).map(StaffId::new);
    let staff_id = staff_id.ok_or_else(|| CoreError::invalid("/staff_id", "missing", "is needed"))?;
    let input: CreateWorkingHours = input(fields)?;
    validation::check(&input)?;
    let row = service::row(scope, staff_id, input)?;
    Ok(Model {
        id: WorkingHoursId::new(origin.id),
        created_at: origin.created_at,
        updated_at: origin.updated_at,
        ..row
    })
}

/// Returns what a line takes up of its weekday.
pub(crate) fn span(row: &Model) -> Span {
    let minute = |time: chrono::NaiveTime| i64::from(time.num_seconds_from_midnight() / 60);
    let until = if row.ends == chrono::NaiveTime::MIN { MIDNIGHT } else { minute(row.ends) };
    let day = |date: NaiveDate| date.signed_duration_since(NaiveDate::default()).num_days();
    let days = (row.valid_from.map_or(i64::MIN, day), row.valid_until.map_or(i64::MAX, day));
    Span {
        lane: Lane::Weekday(row.staff_id.uuid(), row.weekday),
        from: minute(row.starts),
        until,
        days: Some(days),
    }
}
