//! The tables of the module `core`.

mod cross_cutting;
mod patient_records;
mod people;
mod scheduling;
mod sealed_text;

use super::{ModuleMigrations, TenantMigration};

/// The migrations of the module `core`.
pub const MIGRATIONS: ModuleMigrations =
    ModuleMigrations { module: "core", requires: &[], migrations: LIST, serves_from: None };

const LIST: &[TenantMigration] = &[
    cross_cutting::M0001,
    people::CREATE_PATIENTS,
    people::CREATE_TELECOMS,
    people::CREATE_ADDRESSES,
    people::CREATE_IDENTIFIERS,
    people::CREATE_EMERGENCY_CONTACTS,
    people::CREATE_SEARCH_TOKENS,
    patient_records::CREATE_ALLERGIES,
    patient_records::CREATE_CONDITIONS,
    patient_records::CREATE_MEDICATIONS,
    patient_records::CREATE_CONSENTS,
    patient_records::CREATE_DOCUMENTS,
    scheduling::CREATE_STAFF,
    scheduling::CREATE_ROOMS,
    scheduling::CREATE_SERVICES,
    scheduling::CREATE_WORKING_HOURS,
    scheduling::CREATE_TIME_OFF,
    scheduling::CREATE_APPOINTMENTS,
    scheduling::CREATE_APPOINTMENT_EVENTS,
    sealed_text::ADD_SEALED_WORDS,
    sealed_text::SEAL_RECORDS,
    cross_cutting::SCOPE_IDEMPOTENCY_KEYS,
];
