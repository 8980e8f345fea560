//! Dental charts: one for each patient, with the notation in which it is shown.

use sea_orm::sea_query::{IntoIden, Table};

use crate::tenant::{
    Down, TenantMigration,
    script::{Script, col},
};

/// Creates `dental_charts`.
pub(super) const CREATE_DENTAL_CHARTS: TenantMigration = TenantMigration {
    name: "m0001_create_dental_charts",
    up,
    down: Down::Irreversible("clinical records are kept"),
};

fn up(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("dental_charts".into_iden())
        .col(col("patient_id").uuid().not_null())
        .col(col("notation").text().not_null().default("fdi"))
        .col(col("note").text());
    script.create_table(table);
    for (name, body) in [
        (
            "fk_dental_charts__patient_id",
            "FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE RESTRICT",
        ),
        // Serves the foreign key too.
        ("ux_dental_charts__patient_id", "UNIQUE (patient_id)"),
        ("ck_dental_charts__notation", "CHECK (notation IN ('fdi', 'universal', 'palmer'))"),
    ] {
        script.add_constraint("dental_charts", name, body);
    }
}
