//! Credit notes: what is taken back of an issued invoice.

use sea_orm::sea_query::{Index, IntoIden, Table};

use crate::tenant::{
    Down, TenantMigration,
    script::{Script, col},
};

/// Creates `credit_notes`.
pub(super) const CREATE_CREDIT_NOTES: TenantMigration = TenantMigration {
    name: "m0010_create_credit_notes",
    up: credit_notes,
    down: Down::Irreversible("money's history is kept by law"),
};

/// Creates `credit_note_lines`.
pub(super) const CREATE_CREDIT_NOTE_LINES: TenantMigration = TenantMigration {
    name: "m0011_create_credit_note_lines",
    up: credit_note_lines,
    down: Down::Irreversible("money's history is kept by law"),
};

/// Creates `credit_note_taxes`.
pub(super) const CREATE_CREDIT_NOTE_TAXES: TenantMigration = TenantMigration {
    name: "m0012_create_credit_note_taxes",
    up: credit_note_taxes,
    down: Down::Irreversible("money's history is kept by law"),
};

/// A note never changes.
fn credit_notes(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("credit_notes".into_iden())
        .col(col("invoice_id").uuid().not_null())
        .col(col("account_id").uuid().not_null())
        .col(col("patient_id").uuid().not_null())
        .col(col("number").text().not_null())
        .col(col("currency").char_len(3).not_null())
        .col(col("net").decimal_len(19, 4).not_null())
        .col(col("tax").decimal_len(19, 4).not_null())
        .col(col("gross").decimal_len(19, 4).not_null())
        .col(col("issued_at").timestamp_with_time_zone().not_null())
        .col(col("issued_on").date().not_null())
        .col(col("reason").binary().not_null());
    script.create_append_only_table(table);
    for (constraint, body) in [
        ("ux_credit_notes__number", "UNIQUE (number)"),
        (
            "fk_credit_notes__invoice_id",
            "FOREIGN KEY (invoice_id) REFERENCES invoices (id) ON DELETE RESTRICT",
        ),
        (
            "fk_credit_notes__account_id",
            "FOREIGN KEY (account_id) REFERENCES accounts (id) ON DELETE RESTRICT",
        ),
        (
            "fk_credit_notes__patient_id",
            "FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE RESTRICT",
        ),
        ("ck_credit_notes__currency", "CHECK (currency ~ '^[A-Z]{3}$')"),
        ("ck_credit_notes__amounts", "CHECK (net >= 0 AND tax >= 0 AND gross = net + tax)"),
    ] {
        script.add_constraint("credit_notes", constraint, body);
    }
    script.create_index(
        Index::create().name("ix_credit_notes__invoice_id").table("credit_notes").col("invoice_id").col("id"),
    );
    script.create_index(
        Index::create().name("ix_credit_notes__account_id").table("credit_notes").col("account_id"),
    );
    script.create_index(
        Index::create().name("ix_credit_notes__patient_id").table("credit_notes").col("patient_id"),
    );
    script.create_index(
        Index::create().name("ix_credit_notes__issued_on").table("credit_notes").col("issued_on"),
    );
}

/// How much of a line.
fn credit_note_lines(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("credit_note_lines".into_iden())
        .col(col("credit_note_id").uuid().not_null())
        .col(col("invoice_line_id").uuid().not_null())
        .col(col("quantity").decimal_len(12, 4).not_null())
        .col(col("net").decimal_len(19, 4).not_null())
        .col(col("tax_rate").decimal_len(7, 4).not_null());
    script.create_append_only_table(table);
    for (constraint, body) in [
        ("ux_credit_note_lines__credit_note_id_invoice_line_id", "UNIQUE (credit_note_id, invoice_line_id)"),
        (
            "fk_credit_note_lines__credit_note_id",
            "FOREIGN KEY (credit_note_id) REFERENCES credit_notes (id) ON DELETE RESTRICT",
        ),
        (
            "fk_credit_note_lines__invoice_line_id",
            "FOREIGN KEY (invoice_line_id) REFERENCES invoice_lines (id) ON DELETE RESTRICT",
        ),
        ("ck_credit_note_lines__amounts", "CHECK (quantity > 0 AND net >= 0)"),
    ] {
        script.add_constraint("credit_note_lines", constraint, body);
    }
    script.create_index(
        Index::create()
            .name("ix_credit_note_lines__invoice_line_id")
            .table("credit_note_lines")
            .col("invoice_line_id"),
    );
}

/// One row for each rate.
fn credit_note_taxes(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("credit_note_taxes".into_iden())
        .col(col("credit_note_id").uuid().not_null())
        .col(col("rate").decimal_len(7, 4).not_null())
        .col(col("net").decimal_len(19, 4).not_null())
        .col(col("tax").decimal_len(19, 4).not_null());
    script.create_append_only_table(table);
    for (constraint, body) in [
        ("ux_credit_note_taxes__credit_note_id_rate", "UNIQUE (credit_note_id, rate)"),
        (
            "fk_credit_note_taxes__credit_note_id",
            "FOREIGN KEY (credit_note_id) REFERENCES credit_notes (id) ON DELETE RESTRICT",
        ),
        ("ck_credit_note_taxes__amounts", "CHECK (net >= 0 AND tax >= 0)"),
    ] {
        script.add_constraint("credit_note_taxes", constraint, body);
    }
}
