//! The clinic's catalogue of procedures. What is shipped has codes and words of its own, from no licensed work.

use sea_orm::sea_query::{Expr, IntoIden, Table};

use super::constrain;
use crate::tenant::{
    Down, TenantMigration,
    script::{Script, col},
};

/// Creates `procedure_codes`.
pub(super) const CREATE_PROCEDURE_CODES: TenantMigration = TenantMigration {
    name: "m0003_create_procedure_codes",
    up,
    down: Down::Irreversible("a clinic's own catalogue would be lost"),
};

/// Puts the shipped procedures into the catalogue, without prices.
pub(super) const SHIP_PROCEDURE_CODES: TenantMigration = TenantMigration {
    name: "m0004_ship_procedure_codes",
    up: |script| script.sql(include_str!("procedure_codes.sql")),
    down: Down::Irreversible("a clinic may have given them prices"),
};

fn up(script: &mut Script) {
    const TABLE: &str = "procedure_codes";
    let mut table = Table::create();
    table
        .table(TABLE.into_iden())
        .col(col("code").text().not_null())
        .col(col("name").text().not_null())
        .col(col("names").json_binary().not_null().default(Expr::cust("'{}'::jsonb")))
        .col(col("category").text().not_null())
        .col(col("area").text().not_null())
        .col(col("effect").text())
        .col(col("price").decimal_len(19, 4))
        .col(col("currency").char_len(3))
        .col(col("tax_rate").decimal_len(7, 4).not_null().default(0))
        .col(col("billable").boolean().not_null().default(true))
        .col(col("active").boolean().not_null().default(true))
        .col(col("origin").text().not_null().default("own"));
    script.create_table(table);
    constrain(
        script,
        TABLE,
        &[
            // Serves the order of lists too.
            ("ux_procedure_codes__code", "UNIQUE (code)"),
            ("ck_procedure_codes__code", "CHECK (code ~ '^[A-Z0-9][A-Z0-9._-]{0,31}$')"),
            ("ck_procedure_codes__names", "CHECK (jsonb_typeof(names) = 'object')"),
            (
                "ck_procedure_codes__category",
                "CHECK (category IN ('diagnostic', 'preventive', 'restorative', 'endodontic', 'periodontal', \
                 'prosthetic', 'implant', 'surgical', 'orthodontic', 'other'))",
            ),
            (
                "ck_procedure_codes__area",
                "CHECK (area IN ('mouth', 'arch', 'quadrant', 'sextant', 'tooth', 'surface', 'tooth_range'))",
            ),
            (
                "ck_procedure_codes__effect",
                "CHECK (effect IN ('extraction', 'implant', 'pontic', 'prosthesis'))",
            ),
            ("ck_procedure_codes__price", "CHECK (price >= 0 AND (price IS NULL) = (currency IS NULL))"),
            ("ck_procedure_codes__tax_rate", "CHECK (tax_rate BETWEEN 0 AND 100)"),
            ("ck_procedure_codes__origin", "CHECK (origin IN ('shipped', 'own', 'imported'))"),
        ],
    );
}
