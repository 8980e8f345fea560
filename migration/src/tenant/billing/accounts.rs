//! Accounts: who pays, in which currency; and how a clinic bills.

use sea_orm::sea_query::{IntoIden, Table};

use crate::tenant::{
    Down, TenantMigration,
    script::{Script, col},
};

/// Creates `accounts`.
pub(super) const CREATE_ACCOUNTS: TenantMigration = TenantMigration {
    name: "m0003_create_accounts",
    up: accounts,
    down: Down::Irreversible("money's history is kept by law"),
};

/// Creates `billing_settings`.
pub(super) const CREATE_BILLING_SETTINGS: TenantMigration = TenantMigration {
    name: "m0004_create_billing_settings",
    up: billing_settings,
    down: Down::Irreversible("invoices are issued in a clinic's own words"),
};

/// Creates `number_series`.
pub(super) const CREATE_NUMBER_SERIES: TenantMigration = TenantMigration {
    name: "m0005_create_number_series",
    up: number_series,
    down: Down::Irreversible("numbers must not be given twice"),
};

/// One account for each guarantor and currency.
fn accounts(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("accounts".into_iden())
        .col(col("patient_id").uuid().not_null())
        .col(col("currency").char_len(3).not_null());
    script.create_table(table);
    for (constraint, body) in [
        ("fk_accounts__patient_id", "FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE RESTRICT"),
        ("ux_accounts__patient_id_currency", "UNIQUE (patient_id, currency)"),
        ("ck_accounts__currency", "CHECK (currency ~ '^[A-Z]{3}$')"),
    ] {
        script.add_constraint("accounts", constraint, body);
    }
}

/// At most one row; the first comes with a later migration.
fn billing_settings(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("billing_settings".into_iden())
        .col(col("singleton").boolean().not_null().default(true))
        .col(col("issuer").json_binary().not_null())
        .col(col("invoice_prefix").text().not_null())
        .col(col("credit_note_prefix").text().not_null())
        .col(col("fiscal_year_start_month").small_integer().not_null())
        .col(col("payment_terms_days").small_integer().not_null());
    script.create_table(table);
    for (constraint, body) in [
        ("ux_billing_settings__singleton", "UNIQUE (singleton)"),
        ("ck_billing_settings__singleton", "CHECK (singleton)"),
        (
            "ck_billing_settings__prefixes",
            "CHECK (invoice_prefix ~ '^[A-Z0-9]{1,12}$' AND credit_note_prefix ~ '^[A-Z0-9]{1,12}$' AND invoice_prefix <> credit_note_prefix)",
        ),
        ("ck_billing_settings__fiscal_year_start_month", "CHECK (fiscal_year_start_month BETWEEN 1 AND 12)"),
        ("ck_billing_settings__payment_terms_days", "CHECK (payment_terms_days BETWEEN 0 AND 365)"),
    ] {
        script.add_constraint("billing_settings", constraint, body);
    }
}

/// The last number of each series. Whoever takes the next one holds the row until the end of the transaction.
fn number_series(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("number_series".into_iden())
        .col(col("kind").text().not_null())
        .col(col("prefix").text().not_null())
        .col(col("fiscal_year").integer().not_null())
        .col(col("last_number").big_integer().not_null());
    script.create_table(table);
    for (constraint, body) in [
        ("ux_number_series__kind_prefix_fiscal_year", "UNIQUE (kind, prefix, fiscal_year)"),
        ("ck_number_series__kind", "CHECK (kind IN ('invoice', 'credit-note'))"),
        ("ck_number_series__last_number", "CHECK (last_number > 0)"),
    ] {
        script.add_constraint("number_series", constraint, body);
    }
}
