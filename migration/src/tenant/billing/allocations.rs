//! Where the money of a payment went.

use sea_orm::sea_query::{Index, IntoIden, Table};

use crate::tenant::{
    Down, TenantMigration,
    script::{Script, col},
};

/// Creates `payment_allocations`.
pub(super) const CREATE_PAYMENT_ALLOCATIONS: TenantMigration = TenantMigration {
    name: "m0014_create_payment_allocations",
    up: payment_allocations,
    down: Down::Irreversible("money's history is kept by law"),
};

/// Creates `refunds`.
pub(super) const CREATE_REFUNDS: TenantMigration = TenantMigration {
    name: "m0015_create_refunds",
    up: refunds,
    down: Down::Irreversible("money's history is kept by law"),
};

/// Signed: what is released again is a row of its own with a negative amount.
fn payment_allocations(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("payment_allocations".into_iden())
        .col(col("payment_id").uuid().not_null())
        .col(col("invoice_id").uuid().not_null())
        .col(col("amount").decimal_len(19, 4).not_null())
        .col(col("reason").text().not_null());
    script.create_append_only_table(table);
    for (constraint, body) in [
        (
            "fk_payment_allocations__payment_id",
            "FOREIGN KEY (payment_id) REFERENCES payments (id) ON DELETE RESTRICT",
        ),
        (
            "fk_payment_allocations__invoice_id",
            "FOREIGN KEY (invoice_id) REFERENCES invoices (id) ON DELETE RESTRICT",
        ),
        (
            "ck_payment_allocations__reason",
            "CHECK ((reason = 'allocation' AND amount > 0) OR (reason IN ('release', 'credit-note', 'refund', 'void') AND amount < 0))",
        ),
    ] {
        script.add_constraint("payment_allocations", constraint, body);
    }
    script.create_index(
        Index::create()
            .name("ix_payment_allocations__payment_id")
            .table("payment_allocations")
            .col("payment_id")
            .col("id"),
    );
    script.create_index(
        Index::create()
            .name("ix_payment_allocations__invoice_id")
            .table("payment_allocations")
            .col("invoice_id")
            .col("id"),
    );
}

/// Money given back.
fn refunds(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("refunds".into_iden())
        .col(col("payment_id").uuid().not_null())
        .col(col("account_id").uuid().not_null())
        .col(col("patient_id").uuid().not_null())
        .col(col("amount").decimal_len(19, 4).not_null())
        .col(col("currency").char_len(3).not_null())
        .col(col("method").text().not_null())
        .col(col("refunded_at").timestamp_with_time_zone().not_null())
        .col(col("reason").binary().not_null());
    script.create_append_only_table(table);
    for (constraint, body) in [
        ("fk_refunds__payment_id", "FOREIGN KEY (payment_id) REFERENCES payments (id) ON DELETE RESTRICT"),
        ("fk_refunds__account_id", "FOREIGN KEY (account_id) REFERENCES accounts (id) ON DELETE RESTRICT"),
        ("fk_refunds__patient_id", "FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE RESTRICT"),
        ("ck_refunds__currency", "CHECK (currency ~ '^[A-Z]{3}$')"),
        ("ck_refunds__amount", "CHECK (amount > 0)"),
        ("ck_refunds__method", "CHECK (method IN ('cash', 'card', 'transfer', 'cheque', 'insurance'))"),
    ] {
        script.add_constraint("refunds", constraint, body);
    }
    script.create_index(
        Index::create().name("ix_refunds__payment_id").table("refunds").col("payment_id").col("id"),
    );
    script.create_index(Index::create().name("ix_refunds__account_id").table("refunds").col("account_id"));
    script.create_index(Index::create().name("ix_refunds__patient_id").table("refunds").col("patient_id"));
    script.create_index(
        Index::create().name("ix_refunds__refunded_at").table("refunds").col("refunded_at").col("method"),
    );
}
