//! What invoices and payments got when they became more than names of columns; no row was older than these.

use crate::tenant::{Down, TenantMigration, script::Script};

/// Gives invoices their account, their discount, what was paid and credited, and who is named on them.
pub(super) const EXTEND_INVOICES: TenantMigration = TenantMigration {
    name: "m0006_extend_invoices",
    up: |script| INVOICES.iter().for_each(|statement| script.sql(statement)),
    down: Down::Irreversible("invoices are kept by law"),
};

/// Gives payments their account, and what was allocated and given back.
pub(super) const EXTEND_PAYMENTS: TenantMigration = TenantMigration {
    name: "m0013_extend_payments",
    up: payments,
    down: Down::Irreversible("payments are kept by law"),
};

const INVOICES: [&str; 5] = [
    "ALTER TABLE invoices ADD COLUMN account_id uuid NOT NULL, \
     ADD COLUMN discount numeric(19, 4) NOT NULL DEFAULT 0, ADD COLUMN discount_percent numeric(7, 4), \
     ADD COLUMN allocated numeric(19, 4) NOT NULL DEFAULT 0, ADD COLUMN credited numeric(19, 4) NOT NULL DEFAULT 0, \
     ADD COLUMN issuer jsonb, ADD COLUMN recipient bytea, \
     ADD COLUMN cancellation_reason bytea, \
     ALTER COLUMN note TYPE bytea USING convert_to(note, 'UTF8')",
    "ALTER TABLE invoices ADD CONSTRAINT fk_invoices__account_id \
     FOREIGN KEY (account_id) REFERENCES accounts (id) ON DELETE RESTRICT",
    // More than what was asked for is neither paid nor credited, whoever races.
    "ALTER TABLE invoices ADD CONSTRAINT ck_invoices__due \
     CHECK (allocated >= 0 AND credited >= 0 AND allocated + credited <= gross)",
    "ALTER TABLE invoices ADD CONSTRAINT ck_invoices__balanced CHECK (CASE status \
     WHEN 'issued' THEN allocated + credited < gross WHEN 'balanced' THEN allocated + credited = gross \
     ELSE allocated = 0 END)",
    "CREATE INDEX ix_invoices__account_id ON invoices (account_id, status)",
];

fn payments(script: &mut Script) {
    for statement in [
        "ALTER TABLE payments ADD COLUMN account_id uuid NOT NULL, \
         ADD COLUMN allocated numeric(19, 4) NOT NULL DEFAULT 0, \
         ADD COLUMN refunded numeric(19, 4) NOT NULL DEFAULT 0, \
         ADD COLUMN voided_at timestamptz, ADD COLUMN void_reason bytea, \
         ALTER COLUMN reference TYPE bytea USING convert_to(reference, 'UTF8'), \
         ALTER COLUMN note TYPE bytea USING convert_to(note, 'UTF8')",
        "ALTER TABLE payments ADD CONSTRAINT fk_payments__account_id \
         FOREIGN KEY (account_id) REFERENCES accounts (id) ON DELETE RESTRICT",
        // Money goes where it goes once, whoever races.
        "ALTER TABLE payments ADD CONSTRAINT ck_payments__left \
         CHECK (allocated >= 0 AND refunded >= 0 AND allocated + refunded <= amount)",
        "ALTER TABLE payments ADD CONSTRAINT ck_payments__completed \
         CHECK (status = 'completed' OR allocated + refunded = 0)",
        "ALTER TABLE payments ADD CONSTRAINT ck_payments__voided_at \
         CHECK ((voided_at IS NOT NULL) = (status = 'voided'))",
        "CREATE INDEX ix_payments__account_id ON payments (account_id, status)",
        "CREATE INDEX ix_payments__voided_at ON payments (voided_at) WHERE voided_at IS NOT NULL",
    ] {
        script.sql(statement);
    }
}
