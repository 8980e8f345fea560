//! Work that a laboratory does for a patient.

use sea_orm::sea_query::Index;

use super::{about_a_patient, constrain};
use crate::tenant::{
    Down, TenantMigration,
    script::{Script, col},
};

/// Creates `lab_cases`.
pub(super) const CREATE_LAB_CASES: TenantMigration = TenantMigration {
    name: "m0013_create_lab_cases",
    up,
    down: Down::Irreversible("clinical records are kept"),
};

fn up(script: &mut Script) {
    const TABLE: &str = "lab_cases";
    let mut table = about_a_patient(TABLE);
    table
        .col(col("treatment_id").uuid())
        .col(col("laboratory").text().not_null())
        .col(col("work").text().not_null())
        .col(col("material").text())
        .col(col("shade").text())
        .col(col("status").text().not_null().default("draft"))
        .col(col("due_on").date())
        .col(col("sent_on").date())
        .col(col("received_on").date())
        .col(col("cost").decimal_len(19, 4))
        .col(col("currency").char_len(3));
    script.create_table(table);
    constrain(
        script,
        TABLE,
        &[
            (
                "fk_lab_cases__patient_id",
                "FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE RESTRICT",
            ),
            ("fk_lab_cases__staff_id", "FOREIGN KEY (staff_id) REFERENCES staff (id) ON DELETE RESTRICT"),
            (
                "fk_lab_cases__treatment_id",
                "FOREIGN KEY (treatment_id) REFERENCES treatments (id) ON DELETE RESTRICT",
            ),
            (
                "ck_lab_cases__status",
                "CHECK (status IN ('draft', 'sent', 'received', 'completed', 'cancelled', 'entered-in-error'))",
            ),
            ("ck_lab_cases__cost", "CHECK (cost >= 0 AND (cost IS NULL) = (currency IS NULL))"),
            ("ck_lab_cases__received_on", "CHECK (received_on >= sent_on)"),
        ],
    );
    script.create_index(
        Index::create().name("ix_lab_cases__patient_id_id").table(TABLE).col("patient_id").col("id"),
    );
    for (name, column) in
        [("ix_lab_cases__staff_id", "staff_id"), ("ix_lab_cases__treatment_id", "treatment_id")]
    {
        script.create_index(Index::create().name(name).table(TABLE).col(column));
    }
}
