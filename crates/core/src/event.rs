//! The events that the module `core` writes to the outbox.

use clinicx_types::module::EventType;

macro_rules! events {
    ($($(#[$meta:meta])* $name:ident = $text:literal),+ $(,)?) => {
        $($(#[$meta])* pub const $name: EventType = EventType($text);)+
        /// Every event of the module.
        pub const ALL: &[EventType] = &[$($name),+];
    };
}

events! {
    /// A patient was registered.
    PATIENT_CREATED = "patient.created",
    /// A patient's details were changed.
    PATIENT_UPDATED = "patient.updated",
    /// A member of staff was added.
    STAFF_CREATED = "staff.created",
    /// A member of staff was changed.
    STAFF_UPDATED = "staff.updated",
    /// A member of staff to whom nothing referred was removed.
    STAFF_DELETED = "staff.deleted",
    /// A room was added.
    ROOM_CREATED = "room.created",
    /// A room was changed.
    ROOM_UPDATED = "room.updated",
    /// A room to which nothing referred was removed.
    ROOM_DELETED = "room.deleted",
    /// A service was added.
    SERVICE_CREATED = "service.created",
    /// A service was changed.
    SERVICE_UPDATED = "service.updated",
    /// A service to which nothing referred was removed.
    SERVICE_DELETED = "service.deleted",
    /// Working hours were added.
    WORKING_HOURS_CREATED = "working_hours.created",
    /// Working hours were changed.
    WORKING_HOURS_UPDATED = "working_hours.updated",
    /// Working hours were removed.
    WORKING_HOURS_DELETED = "working_hours.deleted",
    /// An absence was added.
    TIME_OFF_CREATED = "time_off.created",
    /// An absence was changed.
    TIME_OFF_UPDATED = "time_off.updated",
    /// An absence was removed.
    TIME_OFF_DELETED = "time_off.deleted",
    /// An appointment was made.
    APPOINTMENT_CREATED = "appointment.created",
    /// What is noted about an appointment was changed.
    APPOINTMENT_UPDATED = "appointment.updated",
    /// An appointment's status has changed.
    APPOINTMENT_STATUS_CHANGED = "appointment.status_changed",
    /// An appointment was moved in time, to another room or to another member of staff.
    APPOINTMENT_RESCHEDULED = "appointment.rescheduled",
}
