//! Treatment plans: phases, and in them treatments with the prices that were accepted.

use sea_orm::sea_query::{Index, IntoIden, Table};

use super::{about_a_patient, constrain};
use crate::tenant::{
    Down, TenantMigration,
    script::{Script, col},
};

/// Creates `treatment_plans`.
pub(super) const CREATE_TREATMENT_PLANS: TenantMigration = TenantMigration {
    name: "m0010_create_treatment_plans",
    up: create_plans,
    down: Down::Irreversible("clinical records are kept"),
};

/// Creates `treatment_plan_phases`.
pub(super) const CREATE_TREATMENT_PLAN_PHASES: TenantMigration = TenantMigration {
    name: "m0011_create_treatment_plan_phases",
    up: create_phases,
    down: Down::Irreversible("clinical records are kept"),
};

/// Creates `treatment_plan_items`.
pub(super) const CREATE_TREATMENT_PLAN_ITEMS: TenantMigration = TenantMigration {
    name: "m0012_create_treatment_plan_items",
    up: create_items,
    down: Down::Irreversible("clinical records are kept"),
};

fn create_plans(script: &mut Script) {
    const TABLE: &str = "treatment_plans";
    let mut table = about_a_patient(TABLE);
    table
        .col(col("title_sealed").binary())
        .col(col("reason_sealed").binary())
        .col(col("status").text().not_null().default("draft"))
        .col(col("currency").char_len(3).not_null())
        .col(col("presented_at").timestamp_with_time_zone())
        .col(col("accepted_at").timestamp_with_time_zone())
        .col(col("ended_at").timestamp_with_time_zone());
    script.create_table(table);
    constrain(
        script,
        TABLE,
        &[
            (
                "fk_treatment_plans__patient_id",
                "FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE RESTRICT",
            ),
            (
                "fk_treatment_plans__staff_id",
                "FOREIGN KEY (staff_id) REFERENCES staff (id) ON DELETE RESTRICT",
            ),
            (
                "ck_treatment_plans__status",
                "CHECK (status IN ('draft', 'active', 'completed', 'revoked', 'entered-in-error'))",
            ),
            (
                "ck_treatment_plans__accepted_at",
                "CHECK (status NOT IN ('active', 'completed') OR accepted_at IS NOT NULL)",
            ),
        ],
    );
    script.create_index(
        Index::create().name("ix_treatment_plans__patient_id_id").table(TABLE).col("patient_id").col("id"),
    );
    script.create_index(Index::create().name("ix_treatment_plans__staff_id").table(TABLE).col("staff_id"));
}

fn create_phases(script: &mut Script) {
    const TABLE: &str = "treatment_plan_phases";
    let mut table = Table::create();
    table
        .table(TABLE.into_iden())
        .col(col("plan_id").uuid().not_null())
        .col(col("position").small_integer().not_null())
        .col(col("title_sealed").binary());
    script.create_table(table);
    constrain(
        script,
        TABLE,
        &[
            (
                "fk_treatment_plan_phases__plan_id",
                "FOREIGN KEY (plan_id) REFERENCES treatment_plans (id) ON DELETE RESTRICT",
            ),
            // Serves the foreign key too.
            ("ux_treatment_plan_phases__plan_id_position", "UNIQUE (plan_id, position)"),
            ("ck_treatment_plan_phases__position", "CHECK (position >= 1)"),
        ],
    );
}

fn create_items(script: &mut Script) {
    const TABLE: &str = "treatment_plan_items";
    let mut table = Table::create();
    table
        .table(TABLE.into_iden())
        .col(col("plan_id").uuid().not_null())
        .col(col("phase_id").uuid().not_null())
        .col(col("treatment_id").uuid().not_null())
        .col(col("position").small_integer().not_null())
        .col(col("accepted_price").decimal_len(19, 4))
        .col(col("accepted_tax_rate").decimal_len(7, 4));
    script.create_table(table);
    constrain(
        script,
        TABLE,
        &[
            (
                "fk_treatment_plan_items__plan_id",
                "FOREIGN KEY (plan_id) REFERENCES treatment_plans (id) ON DELETE RESTRICT",
            ),
            (
                "fk_treatment_plan_items__phase_id",
                "FOREIGN KEY (phase_id) REFERENCES treatment_plan_phases (id) ON DELETE RESTRICT",
            ),
            (
                "fk_treatment_plan_items__treatment_id",
                "FOREIGN KEY (treatment_id) REFERENCES treatments (id) ON DELETE RESTRICT",
            ),
            // They serve the foreign keys too.
            ("ux_treatment_plan_items__phase_id_position", "UNIQUE (phase_id, position)"),
            ("ux_treatment_plan_items__treatment_id_plan_id", "UNIQUE (treatment_id, plan_id)"),
            ("ck_treatment_plan_items__accepted_price", "CHECK (accepted_price >= 0)"),
            ("ck_treatment_plan_items__accepted_tax_rate", "CHECK (accepted_tax_rate BETWEEN 0 AND 100)"),
        ],
    );
    script.create_index(Index::create().name("ix_treatment_plan_items__plan_id").table(TABLE).col("plan_id"));
}
