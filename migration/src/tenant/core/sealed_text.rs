//! Columns for sealed medical free text.

use crate::tenant::{Down, TenantMigration, script::Script};

/// Adds sealed columns beside the words of appointments. Those in clear stay for what is older, and for programs that
/// are; `clinicx keys rotate` moves them.
pub(super) const ADD_SEALED_WORDS: TenantMigration = TenantMigration {
    name: "m0040_add_sealed_words_of_appointments",
    up: |script| {
        add(script, ALTER_APPOINTMENTS);
        add(script, ALTER_APPOINTMENT_EVENTS);
    },
    down: Down::Irreversible("what is sealed would be lost"),
};

/// Makes the words of allergies, conditions, medications and documents sealed ones; nothing has written them yet.
pub(super) const SEAL_RECORDS: TenantMigration = TenantMigration {
    name: "m0041_seal_words_of_patient_records",
    up: |script| ALTER_RECORDS.iter().for_each(|statement| add(script, statement)),
    down: Down::Irreversible("what is sealed would be lost"),
};

const ALTER_APPOINTMENTS: &str = "\
ALTER TABLE appointments ADD COLUMN reason_sealed bytea, ADD COLUMN comment_sealed bytea, \
ADD COLUMN cancellation_reason_sealed bytea";

const ALTER_APPOINTMENT_EVENTS: &str = "ALTER TABLE appointment_events ADD COLUMN reason_sealed bytea";

const ALTER_RECORDS: [&str; 4] = [
    "ALTER TABLE patient_allergies ALTER COLUMN substance TYPE bytea USING convert_to(substance, 'UTF8'), \
     ALTER COLUMN reaction TYPE bytea USING convert_to(reaction, 'UTF8')",
    "ALTER TABLE patient_conditions ALTER COLUMN name TYPE bytea USING convert_to(name, 'UTF8')",
    "ALTER TABLE patient_medications ALTER COLUMN name TYPE bytea USING convert_to(name, 'UTF8'), \
     ALTER COLUMN dosage TYPE bytea USING convert_to(dosage, 'UTF8')",
    "ALTER TABLE patient_documents ALTER COLUMN title TYPE bytea USING convert_to(title, 'UTF8')",
];

fn add(script: &mut Script, statement: &'static str) {
    script.sql(statement);
}
