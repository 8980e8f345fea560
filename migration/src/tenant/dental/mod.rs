//! The tables of the module `dental`.

mod anatomy;
mod charts;
mod events;
mod findings;
mod lab_cases;
mod perio;
mod plans;
mod presence;
mod procedure_codes;
mod stages;
mod treatments;

use super::{
    ModuleMigrations, TenantMigration,
    script::{Script, col},
};
use sea_orm::sea_query::{IntoIden, Table, TableCreateStatement};

/// The migrations of the module `dental`.
pub const MIGRATIONS: ModuleMigrations =
    ModuleMigrations { module: "dental", requires: &["core"], migrations: LIST, serves_from: None };

const LIST: &[TenantMigration] = &[
    charts::CREATE_DENTAL_CHARTS,
    treatments::CREATE_TREATMENTS,
    procedure_codes::CREATE_PROCEDURE_CODES,
    procedure_codes::SHIP_PROCEDURE_CODES,
    treatments::COMPLETE_TREATMENTS,
    presence::CREATE_TOOTH_PRESENCE_EVENTS,
    findings::CREATE_TOOTH_FINDINGS,
    perio::CREATE_PERIO_EXAMS,
    perio::CREATE_PERIO_MEASUREMENTS,
    plans::CREATE_TREATMENT_PLANS,
    plans::CREATE_TREATMENT_PLAN_PHASES,
    plans::CREATE_TREATMENT_PLAN_ITEMS,
    lab_cases::CREATE_LAB_CASES,
    findings::RESOLVE_FINDINGS_WITH_THEIR_TEETH,
    findings::NAME_WHAT_RESOLVES_FINDINGS,
    anatomy::FIT_TEETH,
    stages::CREATE_TOOTH_FINDING_STAGES,
    stages::BEGIN_TOOTH_FINDING_STAGES,
    events::CREATE_TREATMENT_EVENTS,
    anatomy::KEEP_PONTICS_FROM_DECIDUOUS_TEETH,
];

/// What a tooth's code must look like (ISO 3950).
const TOOTH: &str = "CHECK (tooth ~ '^([1-4][1-8]|[5-8][1-5])$')";

/// Begins a table of things about a patient, who made them, and words that are sealed.
fn about_a_patient(name: &'static str) -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(name.into_iden())
        .col(col("patient_id").uuid().not_null())
        .col(col("staff_id").uuid())
        .col(col("note_sealed").binary());
    table
}

/// Adds constraints, each a name and its body.
fn constrain(script: &mut Script, table: &'static str, constraints: &[(&'static str, &'static str)]) {
    for (name, body) in constraints {
        script.add_constraint(table, name, body);
    }
}
