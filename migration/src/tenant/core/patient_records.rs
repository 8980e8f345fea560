//! What is recorded about patients: allergies, conditions, medications, consents, documents.

use sea_orm::sea_query::ColumnDef;

use super::people::{index, of_patient, patient_key};
use crate::tenant::{Down, TenantMigration, script::Script};

/// Creates `patient_allergies`.
pub(super) const CREATE_ALLERGIES: TenantMigration = TenantMigration {
    name: "m0017_create_patient_allergies",
    up: create_allergies,
    down: Down::Script(|script| script.sql("DROP TABLE patient_allergies")),
};

/// Creates `patient_conditions`.
pub(super) const CREATE_CONDITIONS: TenantMigration = TenantMigration {
    name: "m0018_create_patient_conditions",
    up: create_conditions,
    down: Down::Script(|script| script.sql("DROP TABLE patient_conditions")),
};

/// Creates `patient_medications`.
pub(super) const CREATE_MEDICATIONS: TenantMigration = TenantMigration {
    name: "m0019_create_patient_medications",
    up: create_medications,
    down: Down::Script(|script| script.sql("DROP TABLE patient_medications")),
};

/// Creates `patient_consents`.
pub(super) const CREATE_CONSENTS: TenantMigration = TenantMigration {
    name: "m0020_create_patient_consents",
    up: create_consents,
    down: Down::Irreversible("the history of consents would be lost"),
};

/// Creates `patient_documents`.
pub(super) const CREATE_DOCUMENTS: TenantMigration = TenantMigration {
    name: "m0021_create_patient_documents",
    up: create_documents,
    down: Down::Script(|script| script.sql("DROP TABLE patient_documents")),
};

fn create_allergies(script: &mut Script) {
    script.create_table(
        of_patient("patient_allergies")
            .col(ColumnDef::new("clinical_status").text())
            .col(ColumnDef::new("verification_status").text().not_null())
            .col(ColumnDef::new("category").text())
            .col(ColumnDef::new("criticality").text())
            .col(ColumnDef::new("code_system").text())
            .col(ColumnDef::new("code").text())
            .col(ColumnDef::new("substance").text().not_null())
            .col(ColumnDef::new("reaction").text())
            .col(ColumnDef::new("onset_on").date())
            .col(ColumnDef::new("recorded_by").uuid())
            .col(ColumnDef::new("notes").binary())
            .take(),
    );
    script.add_constraint(
        "patient_allergies",
        "ck_patient_allergies__status",
        "CHECK (clinical_status IN ('active', 'inactive', 'resolved') \
         AND verification_status IN ('unconfirmed', 'confirmed', 'refuted', 'entered-in-error') \
         AND (verification_status = 'entered-in-error' OR clinical_status IS NOT NULL))",
    );
    script.add_constraint(
        "patient_allergies",
        "ck_patient_allergies__category",
        "CHECK (category IN ('food', 'medication', 'environment', 'biologic'))",
    );
    script.add_constraint(
        "patient_allergies",
        "ck_patient_allergies__criticality",
        "CHECK (criticality IN ('low', 'high', 'unable-to-assess'))",
    );
    patient_key(script, "patient_allergies", "fk_patient_allergies__patient_id");
    script.create_index(&index("ix_patient_allergies__patient_id", "patient_allergies", &["patient_id"]));
}

fn create_conditions(script: &mut Script) {
    script.create_table(
        of_patient("patient_conditions")
            .col(ColumnDef::new("clinical_status").text())
            .col(ColumnDef::new("verification_status").text().not_null())
            .col(ColumnDef::new("code_system").text())
            .col(ColumnDef::new("code").text())
            .col(ColumnDef::new("name").text().not_null())
            .col(ColumnDef::new("onset_on").date())
            .col(ColumnDef::new("resolved_on").date())
            .col(ColumnDef::new("recorded_by").uuid())
            .col(ColumnDef::new("notes").binary())
            .take(),
    );
    script.add_constraint(
        "patient_conditions",
        "ck_patient_conditions__status",
        "CHECK (clinical_status IN ('active', 'recurrence', 'relapse', 'inactive', 'remission', 'resolved') \
         AND verification_status IN ('unconfirmed', 'provisional', 'differential', 'confirmed', 'refuted', \
         'entered-in-error') \
         AND (verification_status = 'entered-in-error' OR clinical_status IS NOT NULL))",
    );
    script.add_constraint(
        "patient_conditions",
        "ck_patient_conditions__resolved_on",
        "CHECK (resolved_on >= onset_on)",
    );
    patient_key(script, "patient_conditions", "fk_patient_conditions__patient_id");
    script.create_index(&index("ix_patient_conditions__patient_id", "patient_conditions", &["patient_id"]));
}

fn create_medications(script: &mut Script) {
    script.create_table(
        of_patient("patient_medications")
            .col(ColumnDef::new("clinical_status").text().not_null())
            .col(ColumnDef::new("verification_status").text().not_null())
            .col(ColumnDef::new("code_system").text())
            .col(ColumnDef::new("code").text())
            .col(ColumnDef::new("name").text().not_null())
            .col(ColumnDef::new("dosage").text())
            .col(ColumnDef::new("started_on").date())
            .col(ColumnDef::new("ended_on").date())
            .col(ColumnDef::new("recorded_by").uuid())
            .col(ColumnDef::new("notes").binary())
            .take(),
    );
    // The codes of FHIR's MedicationStatement; an entry in error stands in the verification status.
    script.add_constraint(
        "patient_medications",
        "ck_patient_medications__status",
        "CHECK (clinical_status IN ('active', 'completed', 'intended', 'stopped', 'on-hold', 'unknown', 'not-taken') \
         AND verification_status IN ('unconfirmed', 'confirmed', 'refuted', 'entered-in-error'))",
    );
    script.add_constraint(
        "patient_medications",
        "ck_patient_medications__ended_on",
        "CHECK (ended_on >= started_on)",
    );
    patient_key(script, "patient_medications", "fk_patient_medications__patient_id");
    script.create_index(&index("ix_patient_medications__patient_id", "patient_medications", &["patient_id"]));
}

fn create_consents(script: &mut Script) {
    script.create_append_only_table(
        of_patient("patient_consents")
            .col(ColumnDef::new("purpose").text().not_null())
            .col(ColumnDef::new("decision").text().not_null())
            .col(ColumnDef::new("wording_hash").binary().not_null())
            .col(ColumnDef::new("given_at").timestamp_with_time_zone().not_null())
            .col(ColumnDef::new("expires_on").date())
            .col(ColumnDef::new("recorded_by").uuid())
            .take(),
    );
    script.add_constraint(
        "patient_consents",
        "ck_patient_consents__decision",
        "CHECK (decision IN ('permit', 'deny'))",
    );
    script.add_constraint(
        "patient_consents",
        "ck_patient_consents__wording_hash",
        "CHECK (octet_length(wording_hash) = 32)",
    );
    patient_key(script, "patient_consents", "fk_patient_consents__patient_id");
    script.create_index(&index(
        "ix_patient_consents__patient_id_purpose",
        "patient_consents",
        &["patient_id", "purpose", "given_at"],
    ));
}

fn create_documents(script: &mut Script) {
    script.create_table(
        of_patient("patient_documents")
            .col(ColumnDef::new("status").text().not_null())
            .col(ColumnDef::new("title").text().not_null())
            .col(ColumnDef::new("category").text())
            .col(ColumnDef::new("media_type").text().not_null())
            .col(ColumnDef::new("size_bytes").big_integer().not_null())
            .col(ColumnDef::new("sha256").binary().not_null())
            .col(ColumnDef::new("storage_key").text().not_null())
            .col(ColumnDef::new("recorded_by").uuid())
            .take(),
    );
    // The codes of FHIR's DocumentReference, and `pending` while its bytes are on their way to the store.
    script.add_constraint(
        "patient_documents",
        "ck_patient_documents__status",
        "CHECK (status IN ('pending', 'current', 'superseded', 'entered-in-error'))",
    );
    script.add_constraint("patient_documents", "ck_patient_documents__size_bytes", "CHECK (size_bytes >= 0)");
    script.add_constraint(
        "patient_documents",
        "ck_patient_documents__sha256",
        "CHECK (octet_length(sha256) = 32)",
    );
    patient_key(script, "patient_documents", "fk_patient_documents__patient_id");
    script.create_index(&index(
        "ix_patient_documents__patient_id_created_at",
        "patient_documents",
        &["patient_id", "created_at"],
    ));
    script.create_index(
        index("ux_patient_documents__storage_key", "patient_documents", &["storage_key"]).unique(),
    );
}
