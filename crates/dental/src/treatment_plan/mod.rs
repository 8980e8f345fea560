//! Treatment plans: phases, in them treatments, and what all of it will cost.
//!
//! A draft follows its treatments' prices; accepting it freezes them. What a plan says of its treatments is part of its
//! version, so that nobody accepts another price than the one that was seen.

mod assembly;
mod draft;
pub mod dto;
pub mod entity;
mod estimate;
mod follow;
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
pub(crate) use follow::follow;
pub(crate) use service::accepted_plan_of;
pub use service::{get, list, transition};
pub use status::{PlanAction, PlanStatus};

/// What this is called in errors and traces.
const THING: &str = "treatment plan";
const AGGREGATE: &str = "treatment_plan";
