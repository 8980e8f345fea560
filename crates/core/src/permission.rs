//! The rights of the module `core` and the roles that have them.

use clinicx_types::permission::{
    Permission, PermissionRule,
    Role::{self, Accountant, Assistant, Dentist, Doctor, Hygienist, Nurse, Receptionist},
};

/// See patients and search for them.
pub const PATIENT_READ: Permission = Permission("patient.read");
/// Register patients and change their details.
pub const PATIENT_WRITE: Permission = Permission("patient.write");
/// See staff, their working hours and absences.
pub const STAFF_READ: Permission = Permission("staff.read");
/// Change staff, their working hours and absences.
pub const STAFF_WRITE: Permission = Permission("staff.write");
/// See rooms and services.
pub const CATALOGUE_READ: Permission = Permission("catalogue.read");
/// Change rooms and services.
pub const CATALOGUE_WRITE: Permission = Permission("catalogue.write");
/// See appointments.
pub const APPOINTMENT_READ: Permission = Permission("appointment.read");
/// Book, move and cancel appointments, and say who has come.
pub const APPOINTMENT_WRITE: Permission = Permission("appointment.write");
/// Book over what is already booked.
pub const APPOINTMENT_OVERBOOK: Permission = Permission("appointment.overbook");
/// Take a no-show back on the same day.
pub const APPOINTMENT_REVIVE: Permission = Permission("appointment.revive");
/// Declare an appointment entered in error.
pub const APPOINTMENT_VOID: Permission = Permission("appointment.void");
/// See who the users of the tenant are.
pub const USER_READ: Permission = Permission("user.read");
/// Take users in and out, and change their roles.
pub const USER_WRITE: Permission = Permission("user.write");
/// See when operators of the platform were let in, and end it.
pub const BREAK_GLASS_READ: Permission = Permission("break_glass.read");

/// Look at the clinic's audit.
pub const AUDIT_READ: Permission = Permission("audit.read");

const EVERYBODY: &[Role] = &[Dentist, Doctor, Hygienist, Nurse, Assistant, Receptionist, Accountant];
const AT_THE_PATIENT: &[Role] = &[Dentist, Doctor, Hygienist, Nurse, Assistant, Receptionist];

const fn rule(permission: Permission, roles: &'static [Role], description: &'static str) -> PermissionRule {
    PermissionRule { permission, roles, description }
}

/// The module's lines of the permission table.
pub const RULES: &[PermissionRule] = &[
    rule(PATIENT_READ, EVERYBODY, "See patients and search for them"),
    rule(PATIENT_WRITE, AT_THE_PATIENT, "Register patients and change their details"),
    rule(STAFF_READ, EVERYBODY, "See staff, their working hours and absences"),
    rule(STAFF_WRITE, &[], "Change staff, their working hours and absences"),
    rule(CATALOGUE_READ, EVERYBODY, "See rooms and services"),
    rule(CATALOGUE_WRITE, &[], "Change rooms and services"),
    rule(APPOINTMENT_READ, EVERYBODY, "See appointments"),
    rule(APPOINTMENT_WRITE, AT_THE_PATIENT, "Book, move and cancel appointments, and say who has come"),
    rule(APPOINTMENT_OVERBOOK, &[Dentist, Doctor, Receptionist], "Book over what is already booked"),
    rule(APPOINTMENT_REVIVE, &[Dentist, Doctor, Receptionist], "Take a no-show back on the same day"),
    rule(APPOINTMENT_VOID, &[Dentist, Doctor, Receptionist], "Declare an appointment entered in error"),
    rule(AUDIT_READ, &[], "Look at the clinic's audit"),
    rule(USER_READ, &[], "See who the users of the tenant are"),
    rule(USER_WRITE, &[], "Take users in and out, and change their roles"),
    rule(BREAK_GLASS_READ, &[], "See when operators of the platform were let in, and end it"),
];
