//! What was done and can be billed, once.

use sea_orm::sea_query::{Index, IntoIden, Table};

use crate::tenant::{
    Down, TenantMigration,
    script::{Script, col},
};

/// Creates `charge_items`.
pub(super) const CREATE_CHARGE_ITEMS: TenantMigration = TenantMigration {
    name: "m0007_create_charge_items",
    up,
    down: Down::Irreversible("money's history is kept by law"),
};

/// Each source has one item, and an item stands on one invoice at most.
fn up(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("charge_items".into_iden())
        .col(col("source_kind").text().not_null())
        .col(col("source_id").uuid().not_null())
        .col(col("patient_id").uuid().not_null())
        .col(col("staff_id").uuid())
        .col(col("code").text().not_null())
        .col(col("description").text().not_null())
        .col(col("quantity").decimal_len(12, 4).not_null())
        .col(col("unit_price").decimal_len(19, 4).not_null())
        .col(col("currency").char_len(3).not_null())
        .col(col("tax_rate").decimal_len(7, 4))
        .col(col("performed_at").timestamp_with_time_zone().not_null())
        .col(col("status").text().not_null().default("open"))
        .col(col("invoice_id").uuid());
    script.create_table(table);
    for (constraint, body) in [
        ("ux_charge_items__source_kind_source_id", "UNIQUE (source_kind, source_id)"),
        (
            "fk_charge_items__patient_id",
            "FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE RESTRICT",
        ),
        ("fk_charge_items__staff_id", "FOREIGN KEY (staff_id) REFERENCES staff (id) ON DELETE RESTRICT"),
        (
            "fk_charge_items__invoice_id",
            "FOREIGN KEY (invoice_id) REFERENCES invoices (id) ON DELETE RESTRICT",
        ),
        (
            "ck_charge_items__status",
            "CHECK (status IN ('open', 'billed', 'withdrawn') AND (invoice_id IS NOT NULL) = (status = 'billed'))",
        ),
        (
            "ck_charge_items__amounts",
            "CHECK (quantity > 0 AND unit_price >= 0 AND tax_rate BETWEEN 0 AND 100)",
        ),
        ("ck_charge_items__currency", "CHECK (currency ~ '^[A-Z]{3}$')"),
    ] {
        script.add_constraint("charge_items", constraint, body);
    }
    script.create_index(
        Index::create().name("ix_charge_items__patient_id").table("charge_items").col("patient_id").col("id"),
    );
    script.create_index(
        Index::create().name("ix_charge_items__staff_id").table("charge_items").col("staff_id"),
    );
    script.create_index(
        Index::create().name("ix_charge_items__invoice_id").table("charge_items").col("invoice_id"),
    );
    script.create_index(
        Index::create().name("ix_charge_items__status").table("charge_items").col("status").col("id"),
    );
}
