//! Since when a finding asks for treatment or is watched only.

use sea_orm::sea_query::{Index, IntoIden, Table};

use super::constrain;
use crate::tenant::{
    Down, TenantMigration,
    script::{Script, col},
};

/// Creates `tooth_finding_stages`, rows that are never changed.
pub(super) const CREATE_TOOTH_FINDING_STAGES: TenantMigration = TenantMigration {
    name: "m0017_create_tooth_finding_stages",
    up,
    down: Down::Irreversible("clinical records are kept"),
};

/// Gives each finding its first stage. What was said of it in between is not known any more.
pub(super) const BEGIN_TOOTH_FINDING_STAGES: TenantMigration = TenantMigration {
    name: "m0018_begin_tooth_finding_stages",
    up: begin,
    down: Down::Irreversible("clinical records are kept"),
};

fn up(script: &mut Script) {
    const TABLE: &str = "tooth_finding_stages";
    let mut table = Table::create();
    table
        .table(TABLE.into_iden())
        .col(col("finding_id").uuid().not_null())
        .col(col("status").text().not_null())
        .col(col("effective_on").date().not_null());
    script.create_append_only_table(table);
    constrain(
        script,
        TABLE,
        &[
            (
                "fk_tooth_finding_stages__finding_id",
                "FOREIGN KEY (finding_id) REFERENCES tooth_findings (id) ON DELETE RESTRICT",
            ),
            ("ck_tooth_finding_stages__status", "CHECK (status IN ('active', 'watch'))"),
        ],
    );
    // Serves the foreign key too.
    script.create_index(
        Index::create()
            .name("ix_tooth_finding_stages__finding_id_effective_on_id")
            .table(TABLE)
            .col("finding_id")
            .col("effective_on")
            .col("id"),
    );
}

fn begin(script: &mut Script) {
    // Ids are UUIDv7 (RFC 9562), made here because no application runs.
    script.sql(
        "INSERT INTO tooth_finding_stages (id, finding_id, status, effective_on) \
         SELECT CAST(lpad(to_hex(CAST(EXTRACT(EPOCH FROM now()) * 1000 AS bigint)), 12, '0') || '7' \
                || substr(replace(CAST(gen_random_uuid() AS text), '-', ''), 14) AS uuid), \
                id, CASE WHEN status IN ('active', 'watch') THEN status ELSE COALESCE(resolved_from, 'active') END, \
                onset_on \
         FROM tooth_findings",
    );
}
