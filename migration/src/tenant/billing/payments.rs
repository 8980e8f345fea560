//! Payments: what a patient has paid, by which means.

use sea_orm::sea_query::{Index, IntoIden, Table};

use crate::tenant::{
    Down, TenantMigration,
    script::{Script, col},
};

/// Creates `payments`.
pub(super) const CREATE_PAYMENTS: TenantMigration = TenantMigration {
    name: "m0002_create_payments",
    up,
    down: Down::Irreversible("payments are kept by law"),
};

fn up(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("payments".into_iden())
        .col(col("patient_id").uuid().not_null())
        .col(col("amount").decimal_len(19, 4).not_null())
        .col(col("currency").char_len(3).not_null())
        .col(col("method").text().not_null())
        .col(col("status").text().not_null().default("pending"))
        .col(col("received_at").timestamp_with_time_zone().not_null())
        .col(col("received_by_id").uuid())
        .col(col("reference").text())
        .col(col("note").text());
    script.create_table(table);
    for (name, body) in [
        ("fk_payments__patient_id", "FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE RESTRICT"),
        (
            "fk_payments__received_by_id",
            "FOREIGN KEY (received_by_id) REFERENCES staff (id) ON DELETE RESTRICT",
        ),
        ("ck_payments__amount", "CHECK (amount > 0)"),
        ("ck_payments__currency", "CHECK (currency ~ '^[A-Z]{3}$')"),
        ("ck_payments__method", "CHECK (method IN ('cash', 'card', 'transfer', 'cheque', 'insurance'))"),
        ("ck_payments__status", "CHECK (status IN ('pending', 'completed', 'failed', 'voided'))"),
    ] {
        script.add_constraint("payments", name, body);
    }
    script.create_index(
        Index::create()
            .name("ix_payments__patient_id")
            .table("payments")
            .col("patient_id")
            .col("received_at"),
    );
    script.create_index(
        Index::create().name("ix_payments__received_by_id").table("payments").col("received_by_id"),
    );
    script.create_index(
        Index::create().name("ix_payments__received_at").table("payments").col("received_at").col("method"),
    );
}
