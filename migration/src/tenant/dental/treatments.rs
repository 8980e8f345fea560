//! Treatments: procedures planned or performed on teeth (ISO 3950) and areas of the mouth.

use sea_orm::sea_query::{Index, IntoIden, Table};

use crate::tenant::{
    Down, TenantMigration,
    script::{Script, col},
};

/// Creates `treatments`.
pub(super) const CREATE_TREATMENTS: TenantMigration = TenantMigration {
    name: "m0002_create_treatments",
    up,
    down: Down::Irreversible("clinical records are kept"),
};

/// Adds what a performed procedure takes over from the catalogue, and what becomes of it.
pub(super) const COMPLETE_TREATMENTS: TenantMigration = TenantMigration {
    name: "m0005_complete_treatments",
    up: complete,
    down: Down::Irreversible("clinical records are kept"),
};

fn complete(script: &mut Script) {
    script.sql(
        "ALTER TABLE treatments \
         ADD COLUMN procedure_name text NOT NULL DEFAULT '', \
         ADD COLUMN category text NOT NULL DEFAULT 'other', \
         ADD COLUMN effect text, \
         ADD COLUMN region text, \
         ADD COLUMN tax_rate numeric(7, 4) NOT NULL DEFAULT 0, \
         ADD COLUMN billable boolean NOT NULL DEFAULT true, \
         ADD COLUMN flag text, \
         ADD COLUMN ended_at timestamptz, \
         ADD COLUMN note_sealed bytea, \
         ADD COLUMN reason_sealed bytea",
    );
    for (name, body) in [
        (
            "ck_treatments__category",
            "CHECK (category IN ('diagnostic', 'preventive', 'restorative', 'endodontic', 'periodontal', \
             'prosthetic', 'implant', 'surgical', 'orthodontic', 'other'))",
        ),
        ("ck_treatments__effect", "CHECK (effect IN ('extraction', 'implant', 'pontic', 'prosthesis'))"),
        // The codes of ISO 3950 for parts of the mouth.
        (
            "ck_treatments__region",
            "CHECK (CASE area WHEN 'arch' THEN region IS NOT NULL AND region IN ('01', '02') \
             WHEN 'sextant' THEN region IS NOT NULL AND region IN ('03', '04', '05', '06', '07', '08') \
             WHEN 'quadrant' THEN region IS NOT NULL AND region IN ('10', '20', '30', '40') \
             ELSE region IS NULL END)",
        ),
        ("ck_treatments__tax_rate", "CHECK (tax_rate BETWEEN 0 AND 100)"),
        ("ck_treatments__flag", "CHECK (flag IN ('tooth_gone'))"),
        (
            "ck_treatments__ended_at",
            "CHECK ((status IN ('preparation', 'in-progress', 'on-hold')) = (ended_at IS NULL))",
        ),
    ] {
        script.add_constraint("treatments", name, body);
    }
}

fn up(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("treatments".into_iden())
        .col(col("patient_id").uuid().not_null())
        .col(col("staff_id").uuid())
        .col(col("appointment_id").uuid())
        .col(col("procedure_code").text().not_null())
        .col(col("area").text().not_null())
        .col(col("teeth").array(sea_orm::sea_query::ColumnType::Text).not_null().default("{}"))
        .col(col("surfaces").array(sea_orm::sea_query::ColumnType::Text).not_null().default("{}"))
        .col(col("status").text().not_null().default("preparation"))
        .col(col("price").decimal_len(19, 4))
        .col(col("currency").char_len(3))
        .col(col("planned_on").date())
        .col(col("started_at").timestamp_with_time_zone())
        .col(col("completed_at").timestamp_with_time_zone())
        .col(col("note").text());
    script.create_table(table);
    for (name, body) in [
        ("fk_treatments__patient_id", "FOREIGN KEY (patient_id) REFERENCES patients (id) ON DELETE RESTRICT"),
        ("fk_treatments__staff_id", "FOREIGN KEY (staff_id) REFERENCES staff (id) ON DELETE RESTRICT"),
        (
            "fk_treatments__appointment_id",
            "FOREIGN KEY (appointment_id) REFERENCES appointments (id) ON DELETE RESTRICT",
        ),
        (
            "ck_treatments__area",
            "CHECK (area IN ('mouth', 'arch', 'quadrant', 'sextant', 'tooth', 'surface', 'tooth_range'))",
        ),
        (
            "ck_treatments__teeth",
            "CHECK (array_to_string(teeth, ' ', '') ~ '^(([1-4][1-8]|[5-8][1-5])( ([1-4][1-8]|[5-8][1-5]))*)?$')",
        ),
        (
            "ck_treatments__area_teeth",
            "CHECK (area NOT IN ('tooth', 'surface', 'tooth_range') OR cardinality(teeth) > 0)",
        ),
        (
            "ck_treatments__surfaces",
            "CHECK (surfaces <@ ARRAY['M', 'O', 'I', 'D', 'B', 'V', 'L'] \
             AND (area = 'surface') = (cardinality(surfaces) > 0))",
        ),
        (
            "ck_treatments__status",
            "CHECK (status IN ('preparation', 'in-progress', 'on-hold', 'completed', 'not-done', 'stopped', \
             'entered-in-error'))",
        ),
        ("ck_treatments__price", "CHECK (price >= 0 AND (price IS NULL) = (currency IS NULL))"),
        ("ck_treatments__completed_at", "CHECK (status <> 'completed' OR completed_at IS NOT NULL)"),
    ] {
        script.add_constraint("treatments", name, body);
    }
    for (name, column) in [
        ("ix_treatments__patient_id", "patient_id"),
        ("ix_treatments__staff_id", "staff_id"),
        ("ix_treatments__appointment_id", "appointment_id"),
    ] {
        script.create_index(Index::create().name(name).table("treatments").col(column).col("id"));
    }
}
