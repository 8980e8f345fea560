//! Patients, how they are reached and how they are found.

use sea_orm::sea_query::{
    ColumnDef, ConditionalStatement, Expr, ExprTrait, ForeignKey, ForeignKeyAction,
    ForeignKeyCreateStatement, Index, IndexCreateStatement, Table, TableCreateStatement,
};

use crate::tenant::{Down, TenantMigration, script::Script};

/// Creates `patients`.
pub(super) const CREATE_PATIENTS: TenantMigration = TenantMigration {
    name: "m0011_create_patients",
    up: create_patients,
    down: Down::Script(|script| script.sql("DROP TABLE patients")),
};

/// Creates `patient_telecoms`.
pub(super) const CREATE_TELECOMS: TenantMigration = TenantMigration {
    name: "m0012_create_patient_telecoms",
    up: create_telecoms,
    down: Down::Script(|script| script.sql("DROP TABLE patient_telecoms")),
};

/// Creates `patient_addresses`.
pub(super) const CREATE_ADDRESSES: TenantMigration = TenantMigration {
    name: "m0013_create_patient_addresses",
    up: create_addresses,
    down: Down::Script(|script| script.sql("DROP TABLE patient_addresses")),
};

/// Creates `patient_identifiers`.
pub(super) const CREATE_IDENTIFIERS: TenantMigration = TenantMigration {
    name: "m0014_create_patient_identifiers",
    up: create_identifiers,
    down: Down::Script(|script| script.sql("DROP TABLE patient_identifiers")),
};

/// Creates `patient_emergency_contacts`.
pub(super) const CREATE_EMERGENCY_CONTACTS: TenantMigration = TenantMigration {
    name: "m0015_create_patient_emergency_contacts",
    up: create_emergency_contacts,
    down: Down::Script(|script| script.sql("DROP TABLE patient_emergency_contacts")),
};

/// Creates `patient_search_tokens`.
pub(super) const CREATE_SEARCH_TOKENS: TenantMigration = TenantMigration {
    name: "m0016_create_patient_search_tokens",
    up: create_search_tokens,
    down: Down::Script(|script| script.sql("DROP TABLE patient_search_tokens")),
};

fn create_patients(script: &mut Script) {
    script.create_table(
        Table::create()
            .table("patients")
            .col(ColumnDef::new("mrn").text().not_null())
            .col(ColumnDef::new("status").text().not_null().default("active"))
            .col(ColumnDef::new("merged_into_id").uuid())
            .col(ColumnDef::new("family_name").text().not_null())
            .col(ColumnDef::new("given_name").text().not_null())
            .col(ColumnDef::new("middle_name").text())
            .col(ColumnDef::new("usual_name").text())
            .col(ColumnDef::new("original_script_name").text())
            .col(ColumnDef::new("gender").text().not_null().default("unknown"))
            .col(ColumnDef::new("birth_date").date())
            .col(ColumnDef::new("birth_date_precision").text())
            .col(ColumnDef::new("deceased").boolean().not_null().default(false))
            .col(ColumnDef::new("deceased_on").date())
            .col(ColumnDef::new("preferred_language").text())
            .col(ColumnDef::new("guarantor_id").uuid())
            .col(ColumnDef::new("blood_type").text())
            .col(ColumnDef::new("no_known_allergies_at").timestamp_with_time_zone())
            .col(ColumnDef::new("notes").binary())
            .col(ColumnDef::new("sort_name").text().not_null().extra("COLLATE \"C\""))
            .col(ColumnDef::new("search_text").text().not_null())
            .take(),
    );
    script.add_constraint(
        "patients",
        "ck_patients__status",
        "CHECK (status IN ('active', 'inactive', 'merged', 'erased', 'entered-in-error'))",
    );
    script.add_constraint(
        "patients",
        "ck_patients__merged_into_id",
        "CHECK ((status = 'merged') = (merged_into_id IS NOT NULL) AND merged_into_id <> id)",
    );
    script.add_constraint("patients", "ck_patients__guarantor_id", "CHECK (guarantor_id <> id)");
    script.add_constraint(
        "patients",
        "ck_patients__names",
        "CHECK (status = 'erased' OR (btrim(family_name) <> '' AND btrim(given_name) <> ''))",
    );
    script.add_constraint(
        "patients",
        "ck_patients__gender",
        "CHECK (gender IN ('male', 'female', 'other', 'unknown'))",
    );
    script.add_constraint(
        "patients",
        "ck_patients__birth_date",
        "CHECK ((birth_date IS NULL) = (birth_date_precision IS NULL) \
         AND birth_date_precision IN ('day', 'month', 'year') \
         AND (birth_date_precision = 'day' OR extract(day FROM birth_date) = 1) \
         AND (birth_date_precision <> 'year' OR extract(month FROM birth_date) = 1))",
    );
    script.add_constraint(
        "patients",
        "ck_patients__deceased_on",
        "CHECK (deceased_on IS NULL OR (deceased AND (birth_date IS NULL OR deceased_on >= birth_date)))",
    );
    script.add_constraint(
        "patients",
        "ck_patients__blood_type",
        "CHECK (blood_type IN ('A+', 'A-', 'B+', 'B-', 'AB+', 'AB-', 'O+', 'O-'))",
    );
    script.create_foreign_key(&foreign_key(
        "fk_patients__merged_into_id",
        ("patients", "merged_into_id"),
        "patients",
    ));
    script.create_foreign_key(&foreign_key(
        "fk_patients__guarantor_id",
        ("patients", "guarantor_id"),
        "patients",
    ));
    script.create_index(index("ux_patients__mrn", "patients", &["mrn"]).unique());
    script.create_index(&index("ix_patients__sort_name_id", "patients", &["sort_name", "id"]));
    script.create_index(&index("ix_patients__created_at_id", "patients", &["created_at", "id"]));
    script.create_index(&index("ix_patients__birth_date_id", "patients", &["birth_date", "id"]));
    script.create_index(&index("ix_patients__merged_into_id", "patients", &["merged_into_id"]));
    script.create_index(&index("ix_patients__guarantor_id", "patients", &["guarantor_id"]));
}

fn create_telecoms(script: &mut Script) {
    script.create_table(
        of_patient("patient_telecoms")
            .col(ColumnDef::new("system").text().not_null())
            .col(ColumnDef::new("value_raw").text().not_null())
            .col(ColumnDef::new("value").text().not_null())
            .col(ColumnDef::new("reversed_digits").text().extra("COLLATE \"C\""))
            .col(ColumnDef::new("use").text())
            .col(ColumnDef::new("rank").small_integer().not_null())
            .col(ColumnDef::new("opt_out").boolean().not_null().default(false))
            .take(),
    );
    script.add_constraint(
        "patient_telecoms",
        "ck_patient_telecoms__system",
        "CHECK (system IN ('phone', 'email') AND (system = 'phone') = (reversed_digits IS NOT NULL))",
    );
    script.add_constraint(
        "patient_telecoms",
        "ck_patient_telecoms__use",
        "CHECK (\"use\" IN ('home', 'work', 'temp', 'old', 'mobile'))",
    );
    script.add_constraint("patient_telecoms", "ck_patient_telecoms__rank", "CHECK (rank > 0)");
    patient_key(script, "patient_telecoms", "fk_patient_telecoms__patient_id");
    script.create_index(&index(
        "ix_patient_telecoms__patient_id_rank",
        "patient_telecoms",
        &["patient_id", "rank"],
    ));
    script.create_index(&index(
        "ix_patient_telecoms__reversed_digits",
        "patient_telecoms",
        &["reversed_digits", "patient_id"],
    ));
}

fn create_addresses(script: &mut Script) {
    script.create_table(
        of_patient("patient_addresses")
            .col(ColumnDef::new("use").text())
            .col(ColumnDef::new("line1").text())
            .col(ColumnDef::new("line2").text())
            .col(ColumnDef::new("city").text())
            .col(ColumnDef::new("state").text())
            .col(ColumnDef::new("postal_code").text())
            .col(ColumnDef::new("country").char_len(2))
            .col(ColumnDef::new("rank").small_integer().not_null())
            .take(),
    );
    script.add_constraint(
        "patient_addresses",
        "ck_patient_addresses__use",
        "CHECK (\"use\" IN ('home', 'work', 'temp', 'old', 'billing'))",
    );
    script.add_constraint(
        "patient_addresses",
        "ck_patient_addresses__country",
        "CHECK (country ~ '^[A-Z]{2}$')",
    );
    patient_key(script, "patient_addresses", "fk_patient_addresses__patient_id");
    script.create_index(&index(
        "ix_patient_addresses__patient_id_rank",
        "patient_addresses",
        &["patient_id", "rank"],
    ));
}

fn create_identifiers(script: &mut Script) {
    script.create_table(
        of_patient("patient_identifiers")
            .col(ColumnDef::new("system").text().not_null())
            .col(ColumnDef::new("value").binary().not_null())
            .col(ColumnDef::new("blind_index").binary().not_null())
            .col(ColumnDef::new("voided_at").timestamp_with_time_zone())
            .take(),
    );
    script.add_constraint(
        "patient_identifiers",
        "ck_patient_identifiers__blind_index",
        "CHECK (octet_length(blind_index) = 32)",
    );
    patient_key(script, "patient_identifiers", "fk_patient_identifiers__patient_id");
    script.create_index(&index("ix_patient_identifiers__patient_id", "patient_identifiers", &["patient_id"]));
    // The blind index stands first: a search that names no system uses it too.
    script.create_index(
        index(
            "ux_patient_identifiers__blind_index_system",
            "patient_identifiers",
            &["blind_index", "system"],
        )
        .unique()
        .and_where(Expr::col("voided_at").is_null()),
    );
}

fn create_emergency_contacts(script: &mut Script) {
    script.create_table(
        of_patient("patient_emergency_contacts")
            .col(ColumnDef::new("name").text().not_null())
            .col(ColumnDef::new("relationship").text())
            .col(ColumnDef::new("phone_raw").text())
            .col(ColumnDef::new("phone").text())
            .col(ColumnDef::new("rank").small_integer().not_null())
            .take(),
    );
    script.add_constraint(
        "patient_emergency_contacts",
        "ck_patient_emergency_contacts__phone",
        "CHECK ((phone_raw IS NULL) = (phone IS NULL))",
    );
    patient_key(script, "patient_emergency_contacts", "fk_patient_emergency_contacts__patient_id");
    script.create_index(&index(
        "ix_patient_emergency_contacts__patient_id_rank",
        "patient_emergency_contacts",
        &["patient_id", "rank"],
    ));
}

/// The folded words of names. Under row-level security an index serves only leakproof operators, and `LIKE` and
/// trigrams are none; ranges of text in the order of code points are.
fn create_search_tokens(script: &mut Script) {
    script.create_table(
        of_patient("patient_search_tokens")
            .col(ColumnDef::new("token").text().not_null().extra("COLLATE \"C\""))
            .take(),
    );
    patient_key(script, "patient_search_tokens", "fk_patient_search_tokens__patient_id");
    script.create_index(
        index(
            "ux_patient_search_tokens__token_patient_id",
            "patient_search_tokens",
            &["token", "patient_id"],
        )
        .unique(),
    );
    script.create_index(&index(
        "ix_patient_search_tokens__patient_id",
        "patient_search_tokens",
        &["patient_id"],
    ));
}

/// Begins a table whose rows belong to a patient.
pub(super) fn of_patient(table: &'static str) -> TableCreateStatement {
    Table::create().table(table).col(ColumnDef::new("patient_id").uuid().not_null()).take()
}

pub(super) fn patient_key(script: &mut Script, table: &'static str, name: &'static str) {
    script.create_foreign_key(&foreign_key(name, (table, "patient_id"), "patients"));
}

fn foreign_key(
    name: &'static str,
    (table, column): (&'static str, &'static str),
    target: &'static str,
) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .name(name)
        .from(table, column)
        .to(target, "id")
        .on_delete(ForeignKeyAction::Restrict)
        .take()
}

pub(super) fn index(
    name: &'static str,
    table: &'static str,
    columns: &[&'static str],
) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(name).table(table);
    for column in columns {
        index.col(*column);
    }
    index
}
