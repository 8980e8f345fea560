//! Charts and treatments of teeth: the module `dental`.
//!
//! The crate owns the tables of the tenants that have the module, the rules of teeth, and who may do what with them.
//! [`tooth`], [`notation`], [`surface`], [`area`] and the states are pure types without database or clock; the other
//! modules keep and find what is recorded, each in the transaction of its caller; [`chart`] puts it together as of a
//! date, and [`odontogram`] draws that.
//!
//! **Invariant:** clinical history is only ever added to; a correction is the status `entered-in-error`.
//! **Invariant:** every change of what a chart shows first takes the lock of the patient's chart, so that what is
//! checked about a tooth stays true until the end of the transaction.
//! **Invariant:** words that people write about a patient are sealed in the database.
//!
//! Entry points: `presence::record`, `finding::record`, `treatment::create`, `chart::get` and their siblings;
//! [`FACTS`], which the application's list of modules takes together with
//! [`clinicx_migration::tenant::dental::MIGRATIONS`]. What is performed and can be billed goes to whatever the caller
//! hands in as [`Charges`](clinicx_core::charge::Charges).

pub mod area;
pub mod chart;
pub mod error;
pub mod event;
pub mod finding;
pub mod lab_case;
pub mod notation;
pub mod odontogram;
pub mod perio;
pub mod permission;
pub mod presence;
pub mod procedure_code;
mod reference;
pub mod sealed;
pub mod surface;
pub mod tooth;
mod trace;
pub mod treatment;
pub mod treatment_plan;
mod words;

pub use error::DentalError;

use clinicx_types::module::ModuleFacts;

/// The module's name.
pub const NAME: &str = "dental";

/// The rights and events of the module.
pub const FACTS: ModuleFacts =
    ModuleFacts { permissions: permission::RULES, events: event::ALL, flags: &[], configurations: &[] };

clinicx_types::typed_id! {
    /// Names a patient's dental chart; it is the patient's own id.
    DentalChartId,
    /// Names one thing that became of a tooth.
    ToothPresenceEventId,
    /// Names one finding on a tooth.
    ToothFindingId,
    /// Names a periodontal examination.
    PerioExamId,
    /// Names a treatment, planned or performed.
    TreatmentId,
    /// Names a treatment plan.
    TreatmentPlanId,
    /// Names a phase of a treatment plan.
    TreatmentPlanPhaseId,
    /// Names an item of a treatment plan.
    TreatmentPlanItemId,
    /// Names work that a laboratory does.
    LabCaseId,
    /// Names a line of the clinic's catalogue of procedures.
    ProcedureCodeId,
}
