//! Treatment plans: phases, in them treatments, and what all of it will cost.
//!
//! A draft follows its treatments' prices; accepting it freezes them.

mod assembly;
mod draft;
pub mod dto;
pub mod entity;
mod estimate;
pub mod item;
mod outline;
pub mod phase;
mod service;
mod status;

pub use draft::{create, update};
pub use dto::{
    CreateTreatmentPlan, Estimate, ItemInput, PhaseInput, PlanFilter, PlanItem, PlanPhase, PlanStep,
    TreatmentPlan, UpdateTreatmentPlan,
};
pub(crate) use service::{accepted_plan_of, complete_if_done};
pub use service::{get, list, transition};
pub use status::{PlanAction, PlanStatus};

/// What this is called in errors and traces.
const THING: &str = "treatment plan";
const AGGREGATE: &str = "treatment_plan";
