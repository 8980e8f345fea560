//! The columns of this module whose values are sealed.

use clinicx_keys::{Field, sealed::SealedColumn};

pub(crate) const PRESENCE_NOTE: Field = note("tooth_presence_events");
pub(crate) const FINDING_NOTE: Field = note("tooth_findings");
pub(crate) const PERIO_NOTE: Field = note("perio_exams");
pub(crate) const TREATMENT_NOTE: Field = note("treatments");
pub(crate) const TREATMENT_REASON: Field = Field { table: "treatments", column: "reason_sealed" };
pub(crate) const TREATMENT_EVENT_REASON: Field = Field { table: "treatment_events", column: "reason_sealed" };
pub(crate) const TREATMENT_EVENT_NOTE: Field = note("treatment_events");
pub(crate) const PLAN_NOTE: Field = note("treatment_plans");
pub(crate) const PLAN_TITLE: Field = Field { table: "treatment_plans", column: "title_sealed" };
pub(crate) const PLAN_REASON: Field = Field { table: "treatment_plans", column: "reason_sealed" };
pub(crate) const PHASE_TITLE: Field = Field { table: "treatment_plan_phases", column: "title_sealed" };
pub(crate) const LAB_NOTE: Field = note("lab_cases");

/// Every sealed column, for whoever seals all values anew.
pub const COLUMNS: &[SealedColumn] = &[
    SealedColumn::new(PRESENCE_NOTE),
    SealedColumn::new(FINDING_NOTE),
    SealedColumn::new(PERIO_NOTE),
    SealedColumn::new(TREATMENT_NOTE),
    SealedColumn::new(TREATMENT_REASON),
    SealedColumn::new(TREATMENT_EVENT_REASON),
    SealedColumn::new(TREATMENT_EVENT_NOTE),
    SealedColumn::new(PLAN_NOTE),
    SealedColumn::new(PLAN_TITLE),
    SealedColumn::new(PLAN_REASON),
    SealedColumn::new(PHASE_TITLE),
    SealedColumn::new(LAB_NOTE),
];

const fn note(table: &'static str) -> Field {
    Field { table, column: "note_sealed" }
}
