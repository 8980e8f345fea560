//! Installment plans: when an invoice is paid, part by part.

use sea_orm::sea_query::{ConditionalStatement, Expr, Index, IntoIden, Table};

use crate::tenant::{
    Down, TenantMigration,
    script::{Script, col},
};

/// Creates `installment_plans`.
pub(super) const CREATE_INSTALLMENT_PLANS: TenantMigration = TenantMigration {
    name: "m0017_create_installment_plans",
    up: installment_plans,
    down: Down::Irreversible("money's history is kept by law"),
};

/// Creates `installments`.
pub(super) const CREATE_INSTALLMENTS: TenantMigration = TenantMigration {
    name: "m0018_create_installments",
    up: installments,
    down: Down::Irreversible("money's history is kept by law"),
};

/// At most one active plan for each invoice.
fn installment_plans(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("installment_plans".into_iden())
        .col(col("invoice_id").uuid().not_null())
        .col(col("patient_id").uuid().not_null())
        .col(col("currency").char_len(3).not_null())
        .col(col("total").decimal_len(19, 4).not_null())
        .col(col("allocated_before").decimal_len(19, 4).not_null())
        .col(col("status").text().not_null().default("active"));
    script.create_table(table);
    for (constraint, body) in [
        (
            "fk_installment_plans__invoice_id",
            "FOREIGN KEY (invoice_id) REFERENCES invoices (id) ON DELETE RESTRICT",
        ),
        (
            "fk_installment_plans__patient_id",
            "FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE RESTRICT",
        ),
        ("ck_installment_plans__currency", "CHECK (currency ~ '^[A-Z]{3}$')"),
        ("ck_installment_plans__total", "CHECK (total > 0 AND allocated_before >= 0)"),
        ("ck_installment_plans__status", "CHECK (status IN ('active', 'cancelled'))"),
    ] {
        script.add_constraint("installment_plans", constraint, body);
    }
    script.create_index(
        Index::create()
            .name("ix_installment_plans__invoice_id")
            .table("installment_plans")
            .col("invoice_id")
            .col("id"),
    );
    script.create_index(
        Index::create().name("ix_installment_plans__patient_id").table("installment_plans").col("patient_id"),
    );
    script.create_index(
        Index::create()
            .name("ux_installment_plans__active")
            .table("installment_plans")
            .col("invoice_id")
            .unique()
            .cond_where(Expr::cust("status = 'active'")),
    );
}

/// The parts, which never change.
fn installments(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("installments".into_iden())
        .col(col("plan_id").uuid().not_null())
        .col(col("position").integer().not_null())
        .col(col("due_on").date().not_null())
        .col(col("amount").decimal_len(19, 4).not_null());
    script.create_append_only_table(table);
    for (constraint, body) in [
        ("ux_installments__plan_id_position", "UNIQUE (plan_id, position)"),
        (
            "fk_installments__plan_id",
            "FOREIGN KEY (plan_id) REFERENCES installment_plans (id) ON DELETE RESTRICT",
        ),
        ("ck_installments__amount", "CHECK (amount > 0)"),
    ] {
        script.add_constraint("installments", constraint, body);
    }
}
