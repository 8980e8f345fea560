//! What callers say and hear about appointments.

use chrono::{DateTime, FixedOffset, NaiveDate, Utc};
use chrono_tz::Tz;
use clinicx_types::calendar;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use validator::Validate;

use super::{entity::Model, status::Status};
use crate::{
    AppointmentId, PatientId, RoomId, ServiceId, StaffId, local_time,
    patch_field::{nullable, present},
    validation::many_lines,
};

/// An appointment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Appointment {
    /// Which one.
    pub id: AppointmentId,
    /// Raised by every change; the ETag.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Where it stands.
    pub status: Status,
    /// The first instant of it, with the offset of its time zone.
    pub start: DateTime<FixedOffset>,
    /// The first instant after it, with the offset of its time zone.
    pub end: DateTime<FixedOffset>,
    /// The IANA time zone in which it was booked.
    pub time_zone: String,
    /// Who is treated.
    pub patient_id: PatientId,
    /// Who treats.
    pub staff_id: StaffId,
    /// The room or chair.
    pub room_id: Option<RoomId>,
    /// What is done.
    pub service_id: Option<ServiceId>,
    /// The series of which it is one.
    pub series_id: Option<Uuid>,
    /// How urgent it is: 0 to 9, where less is more urgent and 0 is not said (RFC 5545).
    pub priority: Option<i16>,
    /// Why the patient comes.
    pub reason: Option<String>,
    /// Notes for the staff.
    pub comment: Option<String>,
    /// Why it was called off.
    pub cancellation_reason: Option<String>,
    /// Whether it was booked over others.
    pub overbook: bool,
    /// Until when a pending one holds its slot.
    pub hold_expires_at: Option<DateTime<Utc>>,
}

impl From<Model> for Appointment {
    fn from(row: Model) -> Self {
        // Only names of known zones are ever written.
        let zone = row.time_zone.parse().unwrap_or(Tz::UTC);
        Self {
            id: row.id,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            status: row.status,
            start: local_time::with_offset(row.starts_at, zone),
            end: local_time::with_offset(row.ends_at, zone),
            time_zone: row.time_zone,
            patient_id: row.patient_id,
            staff_id: row.staff_id,
            room_id: row.room_id,
            service_id: row.service_id,
            series_id: row.series_id,
            priority: row.priority,
            reason: row.reason,
            comment: row.comment,
            cancellation_reason: row.cancellation_reason,
            overbook: row.overbook,
            hold_expires_at: row.hold_expires_at,
        }
    }
}

/// How an appointment can begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BookingStatus {
    /// Suggested; holds no slot.
    Proposed,
    /// Waits for a slot; holds none.
    Waitlist,
    /// Holds its slot for a while.
    Pending,
    /// Holds its slot.
    #[default]
    Booked,
}

impl From<BookingStatus> for Status {
    fn from(status: BookingStatus) -> Self {
        match status {
            BookingStatus::Proposed => Self::Proposed,
            BookingStatus::Waitlist => Self::Waitlist,
            BookingStatus::Pending => Self::Pending,
            BookingStatus::Booked => Self::Booked,
        }
    }
}

/// A new appointment.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct BookAppointment {
    /// Who is treated.
    pub patient_id: PatientId,
    /// Who treats.
    pub staff_id: StaffId,
    /// The room or chair; never a site.
    pub room_id: Option<RoomId>,
    /// What is done.
    pub service_id: Option<ServiceId>,
    /// When it starts: RFC 3339, or a local time beside `time_zone`.
    pub start: String,
    /// When it ends, like `start`; instead of `duration_minutes`.
    pub end: Option<String>,
    /// How long it takes: 1 to 1440; without it and `end`, as long as the service.
    #[validate(range(min = 1, max = 1440))]
    pub duration_minutes: Option<i64>,
    /// The IANA time zone in which it is booked; that of the room's site, or the clinic's, unless said otherwise.
    pub time_zone: Option<String>,
    /// How it begins: `booked` unless said otherwise.
    #[serde(default)]
    pub status: BookingStatus,
    /// Until when a pending one holds its slot; 10 minutes unless said otherwise, at most 7 days.
    #[serde(default, deserialize_with = "calendar::optional_instant_with_offset")]
    pub hold_expires_at: Option<DateTime<FixedOffset>>,
    /// Whether it may be booked over others; needs the permission `appointment.overbook`.
    #[serde(default)]
    pub overbook: bool,
    /// How urgent it is: 0 to 9, where less is more urgent and 0 is not said (RFC 5545).
    #[validate(range(min = 0, max = 9))]
    pub priority: Option<i16>,
    /// Why the patient comes.
    #[validate(length(max = 1000), custom(function = many_lines))]
    pub reason: Option<String>,
    /// Notes for the staff.
    #[validate(length(max = 5000), custom(function = many_lines))]
    pub comment: Option<String>,
}

impl BookAppointment {
    /// Asks for a booked appointment; every other field is for the caller to add.
    pub fn new(patient_id: PatientId, staff_id: StaffId, start: impl Into<String>) -> Self {
        Self {
            patient_id,
            staff_id,
            room_id: None,
            service_id: None,
            start: start.into(),
            end: None,
            duration_minutes: None,
            time_zone: None,
            status: BookingStatus::Booked,
            hold_expires_at: None,
            overbook: false,
            priority: None,
            reason: None,
            comment: None,
        }
    }
}

/// A new time, room or staff member for an appointment: an absent field stays as it is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct Reschedule {
    /// When it starts: RFC 3339, or a local time in `time_zone` or else the zone in which it was booked.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String")]
    pub start: Option<String>,
    /// When it ends, like `start`; without it and `duration_minutes` it stays as long as it was.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String")]
    pub end: Option<String>,
    /// How long it takes: 1 to 1440.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "i64")]
    #[validate(range(min = 1, max = 1440))]
    pub duration_minutes: Option<i64>,
    /// The IANA time zone in which it is booked.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String")]
    pub time_zone: Option<String>,
    /// Who treats.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "StaffId")]
    pub staff_id: Option<StaffId>,
    /// The room or chair; `null` for none.
    #[serde(default, deserialize_with = "nullable")]
    pub room_id: Option<Option<RoomId>>,
    /// What is done; `null` for nothing in particular.
    #[serde(default, deserialize_with = "nullable")]
    pub service_id: Option<Option<ServiceId>>,
    /// Whether it may be moved over others; needs the permission `appointment.overbook`.
    #[serde(default)]
    pub overbook: bool,
    /// Why it is moved, for its history.
    #[validate(length(max = 1000), custom(function = many_lines))]
    pub reason: Option<String>,
}

/// What can be said about a transition.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct TransitionInput {
    /// Why, for its history; of a cancellation it is the cancellation's reason.
    #[validate(length(max = 1000), custom(function = many_lines))]
    pub reason: Option<String>,
}

/// A change of what is noted about an appointment: an absent field stays as it is, `null` clears it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct UpdateAppointment {
    /// How urgent it is: 0 to 9, where less is more urgent and 0 is not said (RFC 5545).
    #[serde(default, deserialize_with = "nullable")]
    #[validate(range(min = 0, max = 9))]
    pub priority: Option<Option<i16>>,
    /// Why the patient comes.
    #[serde(default, deserialize_with = "nullable")]
    #[validate(length(max = 1000), custom(function = many_lines))]
    pub reason: Option<Option<String>>,
    /// Notes for the staff.
    #[serde(default, deserialize_with = "nullable")]
    #[validate(length(max = 5000), custom(function = many_lines))]
    pub comment: Option<Option<String>>,
}

/// Which appointments a list holds; an absent field asks for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppointmentFilter {
    /// Those that start at this instant or later.
    pub from: Option<DateTime<Utc>>,
    /// Those that start before this instant.
    pub to: Option<DateTime<Utc>>,
    /// Those that start on this day of the clinic's calendar; instead of `from` and `to`.
    pub day: Option<NaiveDate>,
    /// Those of this staff member.
    pub staff_id: Option<StaffId>,
    /// Those of this patient.
    pub patient_id: Option<PatientId>,
    /// Those in this room or chair.
    pub room_id: Option<RoomId>,
    /// Those in one of these states; none asks for all.
    pub statuses: Vec<Status>,
}
