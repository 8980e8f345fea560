//! Whether a time is free: working hours, absences, other appointments.

use chrono::TimeDelta;
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_types::range::TimeRange;
use sea_orm::{FromQueryResult, raw_sql};
use uuid::Uuid;

use super::{actors::Actors, entity::Model};
use crate::{AppointmentId, error::CoreError, time_off, working_hours};

/// The most that an appointment's start can lie before what it is busy with: its length and a buffer.
const LONGEST_BUSY: TimeDelta = TimeDelta::hours(32);

/// A time that an appointment asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// The appointment; it never stands against itself.
    pub(super) id: AppointmentId,
    /// Whose time it takes.
    pub(super) actors: Actors,
    /// When the patient is there.
    pub(super) during: TimeRange,
    /// When the staff member and the room are busy.
    pub(super) busy: TimeRange,
}

impl Candidate {
    /// Returns the time that an appointment has, for itself.
    pub(super) fn of(row: &Model) -> Result<Self, CoreError> {
        let ranges = TimeRange::new(row.starts_at, row.ends_at)
            .zip(TimeRange::new(row.busy_starts_at, row.busy_ends_at));
        // The table's checks admit no empty range.
        let (during, busy) = ranges.ok_or(CoreError::NotFound { thing: super::THING })?;
        Ok(Self { id: row.id, actors: Actors::of(row), during, busy })
    }
}

/// Whether a time that others have may be taken all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overbooking {
    /// It may.
    Allowed,
    /// It may not.
    Refused,
}

impl Overbooking {
    /// Reads the flag of an input or of a row.
    pub(super) fn of(overbook: bool) -> Self {
        if overbook { Self::Allowed } else { Self::Refused }
    }
}

/// Checks working hours and absences, then [`check_free`].
///
/// # Errors
/// [`CoreError::OutsideWorkingHours`]; [`CoreError::TimeOff`]; as [`check_free`].
pub(super) async fn check(
    tx: &TenantTransaction,
    scope: &TenantScope,
    candidate: &Candidate,
    overbooking: Overbooking,
) -> Result<bool, CoreError> {
    let staff_id = candidate.actors.staff_id;
    if !working_hours::roster_of(tx, scope, staff_id).await?.covers(&candidate.during) {
        return Err(CoreError::OutsideWorkingHours);
    }
    if time_off::is_away(tx, scope, staff_id, &candidate.during).await? {
        return Err(CoreError::TimeOff);
    }
    check_free(tx, candidate, overbooking).await
}

/// Tells whether the time is taken by others and may be taken all the same.
///
/// Only true until the end of the transaction when the actors are locked.
///
/// # Errors
/// [`CoreError::SlotTaken`] when others have it and overbooking is refused; [`CoreError::Database`].
pub(super) async fn check_free(
    tx: &TenantTransaction,
    candidate: &Candidate,
    overbooking: Overbooking,
) -> Result<bool, CoreError> {
    let conflicts = conflicts(tx, candidate).await?;
    match overbooking {
        Overbooking::Refused if !conflicts.is_empty() => Err(CoreError::SlotTaken { conflicts }),
        _ => Ok(!conflicts.is_empty()),
    }
}

/// Returns the appointments that hold a time of the same staff member, room or patient, in their order.
///
/// Those that were booked over others count like the rest: who is there is there.
pub(super) async fn conflicts(tx: &TenantTransaction, candidate: &Candidate) -> Result<Vec<Uuid>, CoreError> {
    let Candidate { id, actors, during, busy } = *candidate;
    let Actors { patient_id, staff_id, room_id } = actors;
    let (starts_at, ends_at) = (during.start(), during.end());
    let (busy_starts_at, busy_ends_at) = (busy.start(), busy.end());
    // The range operators are not leakproof, so that row-level security keeps them from using an index;
    // comparisons are. Bounds on `starts_at` let them use the indexes of the lists.
    let earliest = busy_starts_at - LONGEST_BUSY;
    let latest = busy_ends_at + LONGEST_BUSY;
    let statement = raw_sql!(
        Postgres,
        r#"SELECT id, starts_at
           FROM appointments
           WHERE staff_id = {staff_id}
             AND starts_at > {earliest}
             AND starts_at < {latest}
             AND busy_starts_at < {busy_ends_at}
             AND busy_ends_at > {busy_starts_at}
             AND status IN ('pending', 'booked', 'arrived', 'checked-in', 'fulfilled')
             AND id <> {id}
           UNION
           SELECT id, starts_at
           FROM appointments
           WHERE room_id = {room_id}
             AND starts_at > {earliest}
             AND starts_at < {latest}
             AND busy_starts_at < {busy_ends_at}
             AND busy_ends_at > {busy_starts_at}
             AND status IN ('pending', 'booked', 'arrived', 'checked-in', 'fulfilled')
             AND id <> {id}
           UNION
           SELECT id, starts_at
           FROM appointments
           WHERE patient_id = {patient_id}
             AND starts_at > {earliest}
             AND starts_at < {ends_at}
             AND ends_at > {starts_at}
             AND status IN ('pending', 'booked', 'arrived', 'checked-in', 'fulfilled')
             AND id <> {id}
           ORDER BY starts_at, id"#
    );
    let rows = Conflict::find_by_statement(statement).all(tx).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

#[derive(FromQueryResult)]
struct Conflict {
    id: Uuid,
}
