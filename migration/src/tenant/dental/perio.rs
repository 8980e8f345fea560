//! Periodontal examinations: six sites a tooth. Attachment loss is computed from what stands here, never stored.

use sea_orm::sea_query::{Index, IntoIden, Table};

use super::{TOOTH, about_a_patient, constrain};
use crate::tenant::{
    Down, TenantMigration,
    script::{Script, col},
};

/// Creates `perio_exams`.
pub(super) const CREATE_PERIO_EXAMS: TenantMigration = TenantMigration {
    name: "m0008_create_perio_exams",
    up: create_exams,
    down: Down::Irreversible("clinical records are kept"),
};

/// Creates `perio_measurements`.
pub(super) const CREATE_PERIO_MEASUREMENTS: TenantMigration = TenantMigration {
    name: "m0009_create_perio_measurements",
    up: create_measurements,
    down: Down::Irreversible("clinical records are kept"),
};

fn create_exams(script: &mut Script) {
    const TABLE: &str = "perio_exams";
    let mut table = about_a_patient(TABLE);
    table.col(col("examined_on").date().not_null()).col(col("status").text().not_null().default("recorded"));
    script.create_table(table);
    constrain(
        script,
        TABLE,
        &[
            (
                "fk_perio_exams__patient_id",
                "FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE RESTRICT",
            ),
            ("fk_perio_exams__staff_id", "FOREIGN KEY (staff_id) REFERENCES staff (id) ON DELETE RESTRICT"),
            ("ck_perio_exams__status", "CHECK (status IN ('recorded', 'entered-in-error'))"),
        ],
    );
    script.create_index(
        Index::create()
            .name("ix_perio_exams__patient_id_examined_on_id")
            .table(TABLE)
            .col("patient_id")
            .col("examined_on")
            .col("id"),
    );
    script.create_index(Index::create().name("ix_perio_exams__staff_id").table(TABLE).col("staff_id"));
}

fn create_measurements(script: &mut Script) {
    const TABLE: &str = "perio_measurements";
    let mut table = Table::create();
    table
        .table(TABLE.into_iden())
        .col(col("exam_id").uuid().not_null())
        .col(col("tooth").text().not_null())
        .col(col("site").text().not_null())
        .col(col("probing_mm").small_integer())
        .col(col("recession_mm").small_integer())
        .col(col("bleeding").boolean())
        .col(col("suppuration").boolean())
        .col(col("plaque").boolean())
        .col(col("calculus").boolean());
    script.create_append_only_table(table);
    constrain(
        script,
        TABLE,
        &[
            (
                "fk_perio_measurements__exam_id",
                "FOREIGN KEY (exam_id) REFERENCES perio_exams (id) ON DELETE RESTRICT",
            ),
            // Serves the foreign key too.
            ("ux_perio_measurements__exam_id_tooth_site", "UNIQUE (exam_id, tooth, site)"),
            ("ck_perio_measurements__tooth", TOOTH),
            (
                "ck_perio_measurements__site",
                "CHECK (site IN ('mesio_buccal', 'buccal', 'disto_buccal', 'mesio_lingual', 'lingual', \
                 'disto_lingual'))",
            ),
            ("ck_perio_measurements__probing_mm", "CHECK (probing_mm BETWEEN 0 AND 20)"),
            ("ck_perio_measurements__recession_mm", "CHECK (recession_mm BETWEEN -10 AND 20)"),
        ],
    );
}
