//! The events of the module `dental`.

use clinicx_types::module::EventType;

macro_rules! events {
    ($($(#[$meta:meta])* $name:ident = $text:literal),+ $(,)?) => {
        $($(#[$meta])* pub const $name: EventType = EventType($text);)+
        /// Every event of the module.
        pub const ALL: &[EventType] = &[$($name),+];
    };
}

events! {
    /// How a patient's chart is shown was changed.
    DENTAL_CHART_UPDATED = "dental_chart.updated",
    /// What became of a tooth was recorded.
    TOOTH_PRESENCE_RECORDED = "tooth_presence.recorded",
    /// What had been recorded of a tooth was an error.
    TOOTH_PRESENCE_VOIDED = "tooth_presence.voided",
    /// Something was found on a tooth.
    TOOTH_FINDING_CREATED = "tooth_finding.created",
    /// A finding's status has changed.
    TOOTH_FINDING_STATUS_CHANGED = "tooth_finding.status_changed",
    /// A periodontal examination was recorded.
    PERIO_EXAM_CREATED = "perio_exam.created",
    /// A periodontal examination was an error.
    PERIO_EXAM_VOIDED = "perio_exam.voided",
    /// A treatment was planned.
    TREATMENT_CREATED = "treatment.created",
    /// What is planned about a treatment was changed, or whether its tooth is still there.
    TREATMENT_UPDATED = "treatment.updated",
    /// A treatment's status has changed.
    TREATMENT_STATUS_CHANGED = "treatment.status_changed",
    /// A treatment plan was made.
    TREATMENT_PLAN_CREATED = "treatment_plan.created",
    /// What a treatment plan says has changed, or its draft was shown to the patient.
    TREATMENT_PLAN_UPDATED = "treatment_plan.updated",
    /// A treatment plan's status has changed.
    TREATMENT_PLAN_STATUS_CHANGED = "treatment_plan.status_changed",
    /// Work for a laboratory was written down.
    LAB_CASE_CREATED = "lab_case.created",
    /// What is written down about work for a laboratory was changed.
    LAB_CASE_UPDATED = "lab_case.updated",
    /// The status of work for a laboratory has changed.
    LAB_CASE_STATUS_CHANGED = "lab_case.status_changed",
    /// A procedure was added to the catalogue.
    PROCEDURE_CODE_CREATED = "procedure_code.created",
    /// A procedure of the catalogue was changed.
    PROCEDURE_CODE_UPDATED = "procedure_code.updated",
    /// A clinic's own catalogue was taken over.
    PROCEDURE_CODES_IMPORTED = "procedure_codes.imported",
}
