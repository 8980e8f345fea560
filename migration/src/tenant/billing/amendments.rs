//! What the tables of billing learned after they had been made.

use crate::tenant::{Down, TenantMigration, script::Script};

/// Lets what was done wait for its price until it is billed.
pub(super) const ALLOW_CHARGE_ITEMS_WITHOUT_PRICE: TenantMigration = TenantMigration {
    name: "m0019_allow_charge_items_without_price",
    up: charge_items,
    down: Down::Irreversible("what has no price would be lost"),
};

/// Lets no prefix begin numbers of two kinds, so that no two documents have the same.
pub(super) const TIE_PREFIXES_TO_KINDS: TenantMigration = TenantMigration {
    name: "m0020_tie_prefixes_to_kinds",
    up: number_series,
    down: Down::Irreversible("numbers must not be given twice"),
};

fn number_series(script: &mut Script) {
    script.add_constraint(
        "number_series",
        "ex_number_series__prefix_kind",
        "EXCLUDE USING gist (prefix extensions.gist_text_ops WITH =, kind extensions.gist_text_ops WITH <>)",
    );
}

/// Serves the takings of a range of days.
pub(super) const FIND_LEDGER_ENTRIES_BY_DAY: TenantMigration = TenantMigration {
    name: "m0021_find_ledger_entries_by_day",
    up: |script| {
        script.sql("CREATE INDEX ix_ledger_entries__kind_occurred_at ON ledger_entries (kind, occurred_at)");
    },
    down: Down::Irreversible("takings would be slow to tell"),
};

/// Lets a line say on which day it was done.
pub(super) const DATE_INVOICE_LINES: TenantMigration = TenantMigration {
    name: "m0022_date_invoice_lines",
    up: |script| script.sql("ALTER TABLE invoice_lines ADD COLUMN performed_on date"),
    down: Down::Irreversible("invoices are kept by law"),
};

/// Gives each clinic the row of its settings, so that they are a resource like every other from the beginning.
pub(super) const BEGIN_BILLING_SETTINGS: TenantMigration = TenantMigration {
    name: "m0023_begin_billing_settings",
    up: |script| script.sql(SETTINGS),
    down: Down::Irreversible("invoices are issued in a clinic's own words"),
};

/// What the program had for those who had changed nothing. The id is a UUIDv7 (RFC 9562), made here because no
/// application runs.
const SETTINGS: &str = "INSERT INTO billing_settings \
     (id, issuer, invoice_prefix, credit_note_prefix, fiscal_year_start_month, payment_terms_days) \
     SELECT CAST(lpad(to_hex(CAST(EXTRACT(EPOCH FROM now()) * 1000 AS bigint)), 12, '0') || '7' \
            || substr(replace(CAST(gen_random_uuid() AS text), '-', ''), 14) AS uuid), \
            '{}', 'INV', 'CN', 1, 14 \
     ON CONFLICT (singleton) DO NOTHING";

fn charge_items(script: &mut Script) {
    script.sql(
        "ALTER TABLE charge_items ALTER COLUMN unit_price DROP NOT NULL, ALTER COLUMN currency DROP NOT NULL",
    );
    script.add_constraint(
        "charge_items",
        "ck_charge_items__price",
        "CHECK ((unit_price IS NULL) = (currency IS NULL))",
    );
}
