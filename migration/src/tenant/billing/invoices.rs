//! Invoices: what a patient owes, under a number that has no gaps.

use sea_orm::sea_query::{Index, IntoIden, Table};

use crate::tenant::{
    Down, TenantMigration,
    script::{Script, col},
};

/// Creates `invoices`.
pub(super) const CREATE_INVOICES: TenantMigration = TenantMigration {
    name: "m0001_create_invoices",
    up,
    down: Down::Irreversible("invoices are kept by law"),
};

fn up(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("invoices".into_iden())
        .col(col("patient_id").uuid().not_null())
        .col(col("number").text())
        .col(col("status").text().not_null().default("draft"))
        .col(col("currency").char_len(3).not_null())
        .col(col("net").decimal_len(19, 4).not_null().default(0))
        .col(col("tax").decimal_len(19, 4).not_null().default(0))
        .col(col("gross").decimal_len(19, 4).not_null().default(0))
        .col(col("issued_at").timestamp_with_time_zone())
        .col(col("issued_on").date())
        .col(col("due_on").date())
        .col(col("cancelled_at").timestamp_with_time_zone())
        .col(col("note").text());
    script.create_table(table);
    for (name, body) in [
        ("fk_invoices__patient_id", "FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE RESTRICT"),
        ("ux_invoices__number", "UNIQUE (number)"),
        (
            "ck_invoices__status",
            "CHECK (status IN ('draft', 'issued', 'balanced', 'cancelled', 'entered-in-error'))",
        ),
        // A number is taken when the invoice is issued, and never before.
        (
            "ck_invoices__number",
            "CHECK ((number IS NOT NULL) = (status IN ('issued', 'balanced', 'cancelled')) \
             AND (number IS NULL) = (issued_at IS NULL) AND (number IS NULL) = (issued_on IS NULL))",
        ),
        ("ck_invoices__currency", "CHECK (currency ~ '^[A-Z]{3}$')"),
        ("ck_invoices__amounts", "CHECK (net >= 0 AND tax >= 0 AND gross = net + tax)"),
        ("ck_invoices__due_on", "CHECK (due_on >= issued_on)"),
    ] {
        script.add_constraint("invoices", name, body);
    }
    script.create_index(
        Index::create().name("ix_invoices__patient_id").table("invoices").col("patient_id").col("id"),
    );
    script.create_index(
        Index::create().name("ix_invoices__status").table("invoices").col("status").col("due_on"),
    );
}
