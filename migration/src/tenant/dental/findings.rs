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

/// Adds what a finding was before it was resolved, and the loss of its tooth that resolved it.
pub(super) const RESOLVE_FINDINGS_WITH_THEIR_TEETH: TenantMigration = TenantMigration {
    name: "m0014_resolve_findings_with_their_teeth",
    up: resolve_with_teeth,
    down: Down::Irreversible("clinical records are kept"),
};

/// Adds the treatment that resolved a finding.
pub(super) const NAME_WHAT_RESOLVES_FINDINGS: TenantMigration = TenantMigration {
    name: "m0015_name_what_resolves_findings",
    up: name_treatments,
    down: Down::Irreversible("clinical records are kept"),
};

fn name_treatments(script: &mut Script) {
    const TABLE: &str = "tooth_findings";
    script.sql("ALTER TABLE tooth_findings ADD COLUMN resolved_by_treatment_id uuid");
    constrain(
        script,
        TABLE,
        &[
            (
                "fk_tooth_findings__resolved_by_treatment_id",
                "FOREIGN KEY (resolved_by_treatment_id) REFERENCES treatments (id) ON DELETE RESTRICT",
            ),
            (
                "ck_tooth_findings__resolved_by_treatment_id",
                "CHECK (resolved_by_treatment_id IS NULL \
                 OR (resolved_on IS NOT NULL AND resolved_by_presence_id IS NULL))",
            ),
        ],
    );
    script.create_index(
        Index::create()
            .name("ix_tooth_findings__resolved_by_treatment_id")
            .table(TABLE)
            .col("resolved_by_treatment_id"),
    );
}

fn resolve_with_teeth(script: &mut Script) {
    const TABLE: &str = "tooth_findings";
    script.sql(
        "ALTER TABLE tooth_findings ADD COLUMN resolved_from text, ADD COLUMN resolved_by_presence_id uuid",
    );
    constrain(
        script,
        TABLE,
        &[
            (
                "fk_tooth_findings__resolved_by_presence_id",
                "FOREIGN KEY (resolved_by_presence_id) REFERENCES tooth_presence_events (id) ON DELETE RESTRICT",
            ),
            (
                "ck_tooth_findings__resolved_from",
                "CHECK (resolved_from IS NULL OR (resolved_from IN ('active', 'watch') AND resolved_on IS NOT NULL))",
            ),
            (
                "ck_tooth_findings__resolved_by_presence_id",
                "CHECK (resolved_by_presence_id IS NULL OR resolved_on IS NOT NULL)",
            ),
        ],
    );
    script.create_index(
        Index::create()
            .name("ix_tooth_findings__resolved_by_presence_id")
            .table(TABLE)
            .col("resolved_by_presence_id"),
    );
}

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
