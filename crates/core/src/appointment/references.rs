//! What a booking refers to: whether it is there and may be booked, and what it says about the appointment.

use chrono::TimeDelta;
use chrono_tz::Tz;
use clinicx_persistence::TenantTransaction;
use clinicx_types::{error::FieldError, range::TimeRange};
use sea_orm::{FromQueryResult, raw_sql};
use uuid::Uuid;

use super::actors::Actors;
use crate::{ServiceId, error::CoreError, patient::code::PatientStatus, room::entity::RoomKind};

/// What patient, staff member, room and service say about an appointment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct References {
    /// How long the service takes.
    pub(super) usual: Option<TimeDelta>,
    /// How long the staff member and the room are busy before.
    before: TimeDelta,
    /// How long they are busy after.
    after: TimeDelta,
    /// The time zone of the room's site, when it has one of its own.
    pub(super) time_zone: Option<Tz>,
}

impl References {
    /// Returns when the staff member and the room are busy.
    pub(super) fn busy(&self, during: &TimeRange) -> TimeRange {
        during.widened(self.before, self.after).unwrap_or(*during)
    }
}

#[derive(FromQueryResult)]
struct Row {
    patient_status: Option<PatientStatus>,
    survivor: Option<Uuid>,
    staff_active: Option<bool>,
    room_kind: Option<RoomKind>,
    room_active: Option<bool>,
    room_time_zone: Option<String>,
    service_active: Option<bool>,
    needs_chair: Option<bool>,
    duration_minutes: Option<i32>,
    buffer_before_minutes: Option<i32>,
    buffer_after_minutes: Option<i32>,
}

/// Checks that everything is there and may be booked.
///
/// # Errors
/// [`CoreError::Invalid`] with an entry for each thing that is missing, inactive or unfit;
/// [`CoreError::PatientGone`]; [`CoreError::Database`].
pub(super) async fn check(
    tx: &TenantTransaction,
    actors: &Actors,
    service_id: Option<ServiceId>,
) -> Result<References, CoreError> {
    let Actors { patient_id, staff_id, room_id } = *actors;
    let statement = raw_sql!(
        Postgres,
        r#"SELECT patients.status AS patient_status,
                  patients.merged_into_id AS survivor,
                  staff.active AS staff_active,
                  rooms.kind AS room_kind,
                  rooms.active AS room_active,
                  COALESCE(rooms.time_zone, parents.time_zone, sites.time_zone) AS room_time_zone,
                  services.active AS service_active,
                  services.needs_chair,
                  services.duration_minutes,
                  services.buffer_before_minutes,
                  services.buffer_after_minutes
           FROM (SELECT 1) AS one
           LEFT JOIN patients ON patients.id = {patient_id}
           LEFT JOIN staff ON staff.id = {staff_id}
           LEFT JOIN rooms ON rooms.id = {room_id}
           LEFT JOIN rooms AS parents ON parents.id = rooms.parent_id
           LEFT JOIN rooms AS sites ON sites.id = parents.parent_id
           LEFT JOIN services ON services.id = {service_id}"#
    );
    let row = Row::find_by_statement(statement).one(tx).await?;
    let row = row.ok_or(CoreError::NotFound { thing: "appointment" })?;
    row.check(room_id.is_some(), service_id.is_some())?;
    let minutes = |minutes: Option<i32>| minutes.map(|minutes| TimeDelta::minutes(minutes.into()));
    Ok(References {
        usual: minutes(row.duration_minutes),
        before: minutes(row.buffer_before_minutes).unwrap_or_default(),
        after: minutes(row.buffer_after_minutes).unwrap_or_default(),
        time_zone: row.room_time_zone.and_then(|zone| zone.parse().ok()),
    })
}

impl Row {
    fn check(&self, wants_room: bool, wants_service: bool) -> Result<(), CoreError> {
        let mut wrong = Vec::new();
        let mut refuse =
            |pointer: &str, code: &str, detail: &str| wrong.push(FieldError::new(pointer, code, detail));
        match self.patient_status {
            Some(PatientStatus::Active | PatientStatus::Inactive) => {}
            Some(status @ (PatientStatus::Merged | PatientStatus::Erased)) => {
                return Err(CoreError::PatientGone { status: status.as_str(), survivor: self.survivor });
            }
            Some(PatientStatus::EnteredInError) => {
                refuse("/patient_id", "entered_in_error", "must not be a record entered in error");
            }
            None => refuse("/patient_id", "not_found", "must be the id of a patient"),
        }
        match self.staff_active {
            Some(true) => {}
            Some(false) => refuse("/staff_id", "inactive", "must be an active member of staff"),
            None => refuse("/staff_id", "not_found", "must be the id of a member of staff"),
        }
        if wants_room {
            match (self.room_kind, self.room_active) {
                (Some(RoomKind::Site), _) => {
                    refuse("/room_id", "not_bookable", "must be a room or chair, not a site")
                }
                (Some(RoomKind::Room | RoomKind::Chair), Some(true)) => {}
                (Some(_), _) => refuse("/room_id", "inactive", "must be an active room or chair"),
                (None, _) => refuse("/room_id", "not_found", "must be the id of a room or chair"),
            }
        }
        if wants_service {
            match self.service_active {
                Some(true) => {}
                Some(false) => refuse("/service_id", "inactive", "must be an active service"),
                None => refuse("/service_id", "not_found", "must be the id of a service"),
            }
        }
        let in_a_chair = self.room_kind == Some(RoomKind::Chair);
        if self.needs_chair == Some(true) && !in_a_chair && wrong.is_empty() {
            wrong.push(FieldError::new(
                "/room_id",
                "chair_required",
                "must be a chair, because the service needs one",
            ));
        }
        if wrong.is_empty() { Ok(()) } else { Err(CoreError::Invalid(wrong)) }
    }
}
