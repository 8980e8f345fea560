//! What happened to treatments: each of their moves, and what was noted before it was changed.

use sea_orm::sea_query::{Index, IntoIden, Table};

use super::constrain;
use crate::tenant::{
    Down, TenantMigration,
    script::{Script, col},
};

/// Creates `treatment_events`, rows that are never changed.
pub(super) const CREATE_TREATMENT_EVENTS: TenantMigration = TenantMigration {
    name: "m0019_create_treatment_events",
    up,
    down: Down::Irreversible("clinical records are kept"),
};

fn up(script: &mut Script) {
    const TABLE: &str = "treatment_events";
    let mut table = Table::create();
    table
        .table(TABLE.into_iden())
        .col(col("treatment_id").uuid().not_null())
        .col(col("from_status").text())
        .col(col("to_status").text().not_null())
        .col(col("at").timestamp_with_time_zone().not_null())
        .col(col("actor_kind").text().not_null())
        .col(col("actor_id").uuid())
        .col(col("actor_job").text())
        .col(col("reason_sealed").binary())
        .col(col("note_sealed").binary());
    script.create_append_only_table(table);
    constrain(
        script,
        TABLE,
        &[
            (
                "fk_treatment_events__treatment_id",
                "FOREIGN KEY (treatment_id) REFERENCES treatments (id) ON DELETE RESTRICT",
            ),
            (
                "ck_treatment_events__from_status",
                "CHECK (from_status IN ('preparation', 'in-progress', 'on-hold', 'completed', 'not-done', 'stopped', \
                 'entered-in-error'))",
            ),
            (
                "ck_treatment_events__to_status",
                "CHECK (to_status IN ('preparation', 'in-progress', 'on-hold', 'completed', 'not-done', 'stopped', \
                 'entered-in-error'))",
            ),
        ],
    );
    // Serves the foreign key too.
    script.create_index(
        Index::create()
            .name("ix_treatment_events__treatment_id_id")
            .table(TABLE)
            .col("treatment_id")
            .col("id"),
    );
}
