//! The ledger: what an account owes, movement by movement.

use sea_orm::sea_query::{Index, IntoIden, Table};

use crate::tenant::{
    Down, TenantMigration,
    script::{Script, col},
};

/// Creates `ledger_entries`.
pub(super) const CREATE_LEDGER_ENTRIES: TenantMigration = TenantMigration {
    name: "m0016_create_ledger_entries",
    up,
    down: Down::Irreversible("money's history is kept by law"),
};

/// Signed: above zero is owed to the clinic. The tenant's role can neither change nor remove a row.
fn up(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("ledger_entries".into_iden())
        .col(col("account_id").uuid().not_null())
        .col(col("patient_id").uuid().not_null())
        .col(col("kind").text().not_null())
        .col(col("source_id").uuid().not_null())
        .col(col("amount").decimal_len(19, 4).not_null())
        .col(col("currency").char_len(3).not_null())
        .col(col("occurred_at").timestamp_with_time_zone().not_null())
        .col(col("reference").text());
    script.create_append_only_table(table);
    for (constraint, body) in [
        ("ux_ledger_entries__kind_source_id", "UNIQUE (kind, source_id)"),
        (
            "fk_ledger_entries__account_id",
            "FOREIGN KEY (account_id) REFERENCES accounts (id) ON DELETE RESTRICT",
        ),
        (
            "fk_ledger_entries__patient_id",
            "FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE RESTRICT",
        ),
        ("ck_ledger_entries__currency", "CHECK (currency ~ '^[A-Z]{3}$')"),
        (
            "ck_ledger_entries__amount",
            "CHECK ((kind IN ('invoice', 'refund', 'void') AND amount > 0) OR (kind IN ('payment', 'credit-note', 'cancellation') AND amount < 0))",
        ),
    ] {
        script.add_constraint("ledger_entries", constraint, body);
    }
    script.create_index(
        Index::create()
            .name("ix_ledger_entries__account_id")
            .table("ledger_entries")
            .col("account_id")
            .col("occurred_at")
            .col("id"),
    );
    script.create_index(
        Index::create().name("ix_ledger_entries__patient_id").table("ledger_entries").col("patient_id"),
    );
}
