//! Giving an appointment another time, room or staff member.

use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_types::range::TimeRange;
use sea_orm::{Set, Unchanged};

use super::{
    actors::{self, Actors},
    admission::{self, Candidate, Overbooking},
    book::check_overbooking,
    dto::{Appointment, Reschedule},
    entity::{ActiveModel, Model},
    hold, references,
    status::Status,
    timing::{self, Length, Start},
    trace, transition, words,
};
use crate::{AppointmentId, error::CoreError, local_time, validation};

const ACTION: &str = "reschedule";

/// Moves an appointment to another time, room or staff member; it keeps its status.
///
/// Its own slot never stands against it, and stays its own when the new one is refused. One that was booked over
/// others must ask for that again. A local time is one of the zone in which the appointment was booked, unless
/// another is named. A change that changes nothing leaves no trace, every other one a row of history, an audit row
/// and an event.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Stale`] unless `expected` is `None` or the present version;
/// [`CoreError::RefusedTransition`] when its state can't be moved; [`CoreError::WrongTime`] when its hold has
/// expired; and as [`book`](super::book).
#[tracing::instrument(name = "core.appointment.reschedule", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn reschedule(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    (id, expected): (AppointmentId, Option<i64>),
    input: Reschedule,
) -> Result<Appointment, CoreError> {
    validation::check(&input)?;
    check_overbooking(scope, input.overbook)?;
    let row = actors::locked(tx, id, expected, |row| destination(row, &input)).await?;
    let row = words::open(scope, cipher, row)?;
    if !row.status.can_be_moved() {
        let allowed = row.status.allowed();
        return Err(CoreError::RefusedTransition { from: row.status.as_str(), action: ACTION, allowed });
    }
    if hold::has_expired(&row, scope.now()) {
        return Err(CoreError::WrongTime { action: ACTION, when: "after the hold has expired" });
    }
    let changed = plan(tx, (scope, cipher), &row, &input).await?;
    let Some(changed) = changed else {
        return Ok(row.into());
    };
    let after = words::open(scope, cipher, transition::write(tx, changed, &row).await?)?;
    trace::rescheduled(tx, (scope, cipher), (&row, &after), input.reason.as_deref()).await?;
    Ok(after.into())
}

fn destination(row: &Model, input: &Reschedule) -> Actors {
    Actors {
        patient_id: row.patient_id,
        staff_id: input.staff_id.unwrap_or(row.staff_id),
        room_id: input.room_id.unwrap_or(row.room_id),
    }
}

/// Works out and checks what is to be written; `None` when nothing changes.
async fn plan(
    tx: &TenantTransaction,
    (scope, cipher): (&TenantScope, &FieldCipher),
    row: &Model,
    input: &Reschedule,
) -> Result<Option<ActiveModel>, CoreError> {
    let actors = destination(row, input);
    let service_id = input.service_id.unwrap_or(row.service_id);
    let references = references::check(tx, &actors, service_id).await?;
    let zone = match local_time::optional_zone(input.time_zone.as_deref())? {
        Some(zone) => zone,
        None => row.time_zone.parse().unwrap_or(scope.time_zone),
    };
    let during = during(scope, row, input, zone)?;
    let candidate = Candidate { id: row.id, actors, during, busy: references.busy(&during) };
    let same = Candidate::of(row)?;
    let unmoved =
        same.actors == candidate.actors && same.during == candidate.during && same.busy == candidate.busy;
    if unmoved && service_id == row.service_id && zone.name() == row.time_zone {
        return Ok(None);
    }
    let overbook = if row.status.holds_slot() {
        hold::expire_stale(tx, (scope, cipher), &actors, row.id).await?;
        admission::check(tx, scope, &candidate, Overbooking::of(input.overbook)).await?
    } else {
        input.overbook
    };
    Ok(Some(ActiveModel {
        id: Unchanged(row.id),
        version: Set(row.version + 1),
        updated_at: Set(scope.now()),
        staff_id: Set(actors.staff_id),
        room_id: Set(actors.room_id),
        service_id: Set(service_id),
        starts_at: Set(during.start()),
        ends_at: Set(during.end()),
        busy_starts_at: Set(candidate.busy.start()),
        busy_ends_at: Set(candidate.busy.end()),
        time_zone: Set(zone.name().to_owned()),
        overbook: Set(overbook),
        ..Default::default()
    }))
}

fn during(
    scope: &TenantScope,
    row: &Model,
    input: &Reschedule,
    zone: chrono_tz::Tz,
) -> Result<TimeRange, CoreError> {
    let start = input.start.as_deref().map_or(Start::Kept(row.starts_at), Start::Written);
    let usual = Some(row.ends_at - row.starts_at);
    let length = Length { end: input.end.as_deref(), minutes: input.duration_minutes, usual };
    // A patient who has come is there now: only the room, the staff member and the end can still change.
    let during = timing::during(start, length, Some(zone), scope.now())?;
    if row.status == Status::Arrived && during.start() != row.starts_at {
        let allowed = row.status.allowed();
        return Err(CoreError::RefusedTransition { from: row.status.as_str(), action: ACTION, allowed });
    }
    Ok(during)
}
