//! What stands on an invoice, and the tax on it.

use sea_orm::sea_query::{Index, IntoIden, Table};

use crate::tenant::{
    Down, TenantMigration,
    script::{Script, col},
};

/// Creates `invoice_lines`.
pub(super) const CREATE_INVOICE_LINES: TenantMigration = TenantMigration {
    name: "m0008_create_invoice_lines",
    up: invoice_lines,
    down: Down::Irreversible("money's history is kept by law"),
};

/// Creates `invoice_taxes`.
pub(super) const CREATE_INVOICE_TAXES: TenantMigration = TenantMigration {
    name: "m0009_create_invoice_taxes",
    up: invoice_taxes,
    down: Down::Irreversible("money's history is kept by law"),
};

/// Lines; what was credited of each stands beside it.
fn invoice_lines(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("invoice_lines".into_iden())
        .col(col("invoice_id").uuid().not_null())
        .col(col("position").integer().not_null())
        .col(col("description").binary().not_null())
        .col(col("quantity").decimal_len(12, 4).not_null())
        .col(col("unit_price").decimal_len(19, 4).not_null())
        .col(col("discount").decimal_len(19, 4).not_null().default(0))
        .col(col("discount_percent").decimal_len(7, 4))
        .col(col("header_discount").decimal_len(19, 4).not_null().default(0))
        .col(col("net").decimal_len(19, 4).not_null())
        .col(col("tax_rate").decimal_len(7, 4).not_null())
        .col(col("charge_item_id").uuid())
        .col(col("staff_id").uuid())
        .col(col("service_id").uuid())
        .col(col("code").text())
        .col(col("credited_quantity").decimal_len(12, 4).not_null().default(0))
        .col(col("credited_net").decimal_len(19, 4).not_null().default(0));
    script.create_table(table);
    for (constraint, body) in [
        ("ux_invoice_lines__invoice_id_position", "UNIQUE (invoice_id, position)"),
        (
            "fk_invoice_lines__invoice_id",
            "FOREIGN KEY (invoice_id) REFERENCES invoices (id) ON DELETE RESTRICT",
        ),
        (
            "fk_invoice_lines__charge_item_id",
            "FOREIGN KEY (charge_item_id) REFERENCES charge_items (id) ON DELETE RESTRICT",
        ),
        ("fk_invoice_lines__staff_id", "FOREIGN KEY (staff_id) REFERENCES staff (id) ON DELETE RESTRICT"),
        (
            "fk_invoice_lines__service_id",
            "FOREIGN KEY (service_id) REFERENCES services (id) ON DELETE RESTRICT",
        ),
        (
            "ck_invoice_lines__amounts",
            "CHECK (quantity > 0 AND unit_price >= 0 AND discount >= 0 AND header_discount >= 0 AND net >= 0 AND tax_rate BETWEEN 0 AND 100 AND discount_percent BETWEEN 0 AND 100)",
        ),
        (
            "ck_invoice_lines__credited",
            "CHECK (credited_quantity BETWEEN 0 AND quantity AND credited_net BETWEEN 0 AND net)",
        ),
    ] {
        script.add_constraint("invoice_lines", constraint, body);
    }
    script.create_index(
        Index::create().name("ix_invoice_lines__charge_item_id").table("invoice_lines").col("charge_item_id"),
    );
    script.create_index(
        Index::create().name("ix_invoice_lines__staff_id").table("invoice_lines").col("staff_id"),
    );
    script.create_index(
        Index::create().name("ix_invoice_lines__service_id").table("invoice_lines").col("service_id"),
    );
}

/// One row for each rate.
fn invoice_taxes(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("invoice_taxes".into_iden())
        .col(col("invoice_id").uuid().not_null())
        .col(col("rate").decimal_len(7, 4).not_null())
        .col(col("net").decimal_len(19, 4).not_null())
        .col(col("tax").decimal_len(19, 4).not_null())
        .col(col("credited_tax").decimal_len(19, 4).not_null().default(0));
    script.create_table(table);
    for (constraint, body) in [
        ("ux_invoice_taxes__invoice_id_rate", "UNIQUE (invoice_id, rate)"),
        (
            "fk_invoice_taxes__invoice_id",
            "FOREIGN KEY (invoice_id) REFERENCES invoices (id) ON DELETE RESTRICT",
        ),
        (
            "ck_invoice_taxes__amounts",
            "CHECK (rate BETWEEN 0 AND 100 AND net >= 0 AND tax >= 0 AND credited_tax BETWEEN 0 AND tax)",
        ),
    ] {
        script.add_constraint("invoice_taxes", constraint, body);
    }
}
