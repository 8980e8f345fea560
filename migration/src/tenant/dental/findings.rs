//! What was found on teeth.

use sea_orm::sea_query::{ColumnType, Index};

use super::{TOOTH, about_a_patient, constrain};
use crate::tenant::{
    Down, TenantMigration,
    script::{Script, col},
};

/// Creates `tooth_findings`.
pub(super) const CREATE_TOOTH_FINDINGS: TenantMigration = TenantMigration {
    name: "m0007_create_tooth_findings",
    up,
    down: Down::Irreversible("clinical records are kept"),
};

fn up(script: &mut Script) {
    const TABLE: &str = "tooth_findings";
    let mut table = about_a_patient(TABLE);
    table
        .col(col("tooth").text().not_null())
        .col(col("code").text().not_null())
        .col(col("surfaces").array(ColumnType::Text).not_null().default("{}"))
        .col(col("severity").text())
        .col(col("status").text().not_null().default("active"))
        .col(col("onset_on").date().not_null())
        .col(col("resolved_on").date());
    script.create_table(table);
    constrain(
        script,
        TABLE,
        &[
            (
                "fk_tooth_findings__patient_id",
                "FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE RESTRICT",
            ),
            (
                "fk_tooth_findings__staff_id",
                "FOREIGN KEY (staff_id) REFERENCES staff (id) ON DELETE RESTRICT",
            ),
            ("ck_tooth_findings__tooth", TOOTH),
            ("ck_tooth_findings__code", "CHECK (code ~ '^[a-z][a-z_]{0,40}$')"),
            ("ck_tooth_findings__surfaces", "CHECK (surfaces <@ ARRAY['M', 'O', 'I', 'D', 'B', 'V', 'L'])"),
            ("ck_tooth_findings__severity", "CHECK (severity IN ('mild', 'moderate', 'severe'))"),
            (
                "ck_tooth_findings__status",
                "CHECK (status IN ('active', 'watch', 'resolved', 'entered-in-error'))",
            ),
            (
                "ck_tooth_findings__resolved_on",
                "CHECK (resolved_on >= onset_on AND (status <> 'resolved' OR resolved_on IS NOT NULL) \
                 AND (status NOT IN ('active', 'watch') OR resolved_on IS NULL))",
            ),
        ],
    );
    script.create_index(
        Index::create()
            .name("ix_tooth_findings__patient_id_onset_on_id")
            .table(TABLE)
            .col("patient_id")
            .col("onset_on")
            .col("id"),
    );
    script.create_index(Index::create().name("ix_tooth_findings__staff_id").table(TABLE).col("staff_id"));
}
