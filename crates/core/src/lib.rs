//! The clinic itself: patients, staff, rooms, services, working hours, time off, appointments.
//!
//! The crate owns the tables of the module `core` and the rules that they keep. Its operations take a connection
//! with a tenant applied and a [`TenantScope`](clinicx_persistence::TenantScope); they neither begin nor commit.
//! **Invariant:** every write leaves its audit row and its outbox event in the caller's transaction.
//!
//! Entry points: `patient::create`, `appointment::book` and their siblings; [`FACTS`] lists rights and events.

pub mod appointment;
pub mod change;
pub mod charge;
pub mod error;
pub mod event;
pub mod folding;
pub mod intake;
pub mod local_time;
pub mod paging;
pub mod patch_field;
pub mod patient;
pub mod permission;
pub mod phone;
pub mod room;
pub mod sealed;
pub mod service;
pub mod setting;
pub mod staff;
pub mod time_off;
pub mod validation;
pub mod working_hours;

pub use error::CoreError;

use clinicx_types::module::ModuleFacts;

/// The rights, events and switches of the module `core`.
pub const FACTS: ModuleFacts = ModuleFacts {
    permissions: permission::RULES,
    events: event::ALL,
    flags: setting::FLAGS,
    configurations: &[],
};

clinicx_types::typed_id! {
    /// Names a patient.
    PatientId,
    /// Names a member of staff.
    StaffId,
    /// Names a room, a chair or a site.
    RoomId,
    /// Names a service that can be booked.
    ServiceId,
    /// Names one line of a staff member's working hours.
    WorkingHoursId,
    /// Names one absence of a staff member.
    TimeOffId,
    /// Names an appointment.
    AppointmentId,
}
