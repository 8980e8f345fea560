//! What became of each tooth, and when: the newest event by its effective date counts.

use sea_orm::sea_query::Index;

use super::{TOOTH, about_a_patient, constrain};
use crate::tenant::{
    Down, TenantMigration,
    script::{Script, col},
};

/// Creates `tooth_presence_events`.
pub(super) const CREATE_TOOTH_PRESENCE_EVENTS: TenantMigration = TenantMigration {
    name: "m0006_create_tooth_presence_events",
    up,
    down: Down::Irreversible("clinical records are kept"),
};

fn up(script: &mut Script) {
    const TABLE: &str = "tooth_presence_events";
    let mut table = about_a_patient(TABLE);
    table
        .col(col("tooth").text().not_null())
        .col(col("state").text().not_null())
        .col(col("effective_on").date().not_null())
        .col(col("treatment_id").uuid())
        .col(col("status").text().not_null().default("recorded"));
    script.create_table(table);
    constrain(
        script,
        TABLE,
        &[
            (
                "fk_tooth_presence_events__patient_id",
                "FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE RESTRICT",
            ),
            (
                "fk_tooth_presence_events__staff_id",
                "FOREIGN KEY (staff_id) REFERENCES staff (id) ON DELETE RESTRICT",
            ),
            (
                "fk_tooth_presence_events__treatment_id",
                "FOREIGN KEY (treatment_id) REFERENCES treatments (id) ON DELETE RESTRICT",
            ),
            ("ck_tooth_presence_events__tooth", TOOTH),
            (
                "ck_tooth_presence_events__state",
                "CHECK (state IN ('present', 'unerupted', 'erupting', 'impacted', 'missing', 'extracted', \
                 'exfoliated', 'implant', 'pontic'))",
            ),
            ("ck_tooth_presence_events__status", "CHECK (status IN ('recorded', 'entered-in-error'))"),
        ],
    );
    script.create_index(
        Index::create()
            .name("ix_tooth_presence_events__patient_id_effective_on_id")
            .table(TABLE)
            .col("patient_id")
            .col("effective_on")
            .col("id"),
    );
    for (name, column) in [
        ("ix_tooth_presence_events__staff_id", "staff_id"),
        ("ix_tooth_presence_events__treatment_id", "treatment_id"),
    ] {
        script.create_index(Index::create().name(name).table(TABLE).col(column));
    }
}
