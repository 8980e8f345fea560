//! The tables of the module `orthodontics`.

use clinicx_migration::tenant::{
    Down, ModuleMigrations, TenantMigration,
    script::{Script, col},
};
use sea_orm::sea_query::{ConditionalStatement, Expr, Index, IntoIden, Table};

/// The module's migrations; it stands on the charts of `dental`.
pub const MIGRATIONS: ModuleMigrations = ModuleMigrations {
    module: crate::NAME,
    requires: &["core", "dental"],
    migrations: LIST,
    serves_from: None,
};

const LIST: &[TenantMigration] = &[
    TenantMigration {
        name: "m0001_create_orthodontic_brackets",
        up: create_brackets,
        down: Down::Irreversible("clinical records are kept"),
    },
    TenantMigration {
        name: "m0002_create_orthodontic_visits",
        up: create_visits,
        down: Down::Irreversible("clinical records are kept"),
    },
];

fn create_brackets(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("orthodontic_brackets".into_iden())
        .col(col("patient_id").uuid().not_null())
        .col(col("tooth").text().not_null())
        .col(col("kind").text().not_null())
        .col(col("bonded_on").date().not_null())
        .col(col("removed_on").date());
    script.create_table(table);
    for (name, body) in [
        (
            "fk_orthodontic_brackets__patient_id",
            "FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE RESTRICT",
        ),
        // Permanent and deciduous teeth (ISO 3950).
        ("ck_orthodontic_brackets__tooth", "CHECK (tooth ~ '^([1-4][1-8]|[5-8][1-5])$')"),
        ("ck_orthodontic_brackets__kind", "CHECK (kind IN ('metal', 'ceramic', 'lingual'))"),
        ("ck_orthodontic_brackets__removed_on", "CHECK (removed_on >= bonded_on)"),
    ] {
        script.add_constraint("orthodontic_brackets", name, body);
    }
    script.create_index(
        Index::create()
            .name("ux_orthodontic_brackets__patient_id_tooth")
            .table("orthodontic_brackets")
            .col("patient_id")
            .col("tooth")
            .unique()
            .cond_where(Expr::cust("removed_on IS NULL")),
    );
    script.create_index(
        Index::create()
            .name("ix_orthodontic_brackets__patient_id_id")
            .table("orthodontic_brackets")
            .col("patient_id")
            .col("id"),
    );
}

fn create_visits(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("orthodontic_visits".into_iden())
        .col(col("patient_id").uuid().not_null())
        .col(col("staff_id").uuid().not_null())
        .col(col("visited_on").date().not_null())
        .col(col("archwire").text())
        .col(col("next_in_weeks").small_integer());
    // What was done at a visit is history: the tenant's role can add rows and nothing else.
    script.create_append_only_table(table);
    for (name, body) in [
        (
            "fk_orthodontic_visits__patient_id",
            "FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE RESTRICT",
        ),
        (
            "fk_orthodontic_visits__staff_id",
            "FOREIGN KEY (staff_id) REFERENCES staff (id) ON DELETE RESTRICT",
        ),
        ("ck_orthodontic_visits__next_in_weeks", "CHECK (next_in_weeks BETWEEN 1 AND 52)"),
    ] {
        script.add_constraint("orthodontic_visits", name, body);
    }
    for (name, column) in [
        ("ix_orthodontic_visits__patient_id_id", "patient_id"),
        ("ix_orthodontic_visits__staff_id_id", "staff_id"),
    ] {
        script.create_index(Index::create().name(name).table("orthodontic_visits").col(column).col("id"));
    }
}
