//! What callers say and hear about treatment plans.

use chrono::{DateTime, Utc};
use clinicx_core::{
    PatientId, StaffId,
    patch_field::{nullable, present},
    validation::{many_lines, one_line},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::status::PlanStatus;
use crate::{
    TreatmentId, TreatmentPlanId, TreatmentPlanItemId, TreatmentPlanPhaseId,
    area::{Area, Region},
    surface::SurfaceSet,
    tooth::Tooth,
    treatment::{self, CreateTreatment},
};

/// A treatment plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TreatmentPlan {
    /// Which one.
    pub id: TreatmentPlanId,
    /// Raised by every change; the ETag.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Who is to be treated.
    pub patient_id: PatientId,
    /// Who has made it.
    pub staff_id: Option<StaffId>,
    /// Its name.
    pub title: Option<String>,
    /// What is noted about it.
    pub note: Option<String>,
    /// The reason that was last given for giving it up or calling it an error.
    pub reason: Option<String>,
    /// Where it stands.
    pub status: PlanStatus,
    /// The currency of all its prices (ISO 4217).
    pub currency: String,
    /// When it was last shown to the patient.
    pub presented_at: Option<DateTime<Utc>>,
    /// When the patient accepted it.
    pub accepted_at: Option<DateTime<Utc>>,
    /// Since when nothing of it is to be done any more.
    pub ended_at: Option<DateTime<Utc>>,
    /// Its phases, in their order.
    pub phases: Vec<PlanPhase>,
    /// What all of it will cost; of an accepted plan what was accepted.
    pub estimate: Estimate,
}

/// A phase of a treatment plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PlanPhase {
    /// Which one.
    pub id: TreatmentPlanPhaseId,
    /// Its place in the plan, from 1.
    pub position: i16,
    /// Its name.
    pub title: Option<String>,
    /// Its treatments, in their order.
    pub items: Vec<PlanItem>,
    /// What it will cost.
    pub estimate: Estimate,
}

/// A treatment of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PlanItem {
    /// Which one.
    pub id: TreatmentPlanItemId,
    /// Its place in the phase, from 1.
    pub position: i16,
    /// The treatment.
    pub treatment_id: TreatmentId,
    /// The code of the procedure.
    pub procedure_code: String,
    /// The name of the procedure.
    pub procedure_name: String,
    /// What kind of part of the mouth it is on.
    pub area: Area,
    /// The part, of an arch, a quadrant or a sextant.
    pub region: Option<Region>,
    /// The teeth (ISO 3950).
    pub teeth: Vec<Tooth>,
    /// The surfaces of the one tooth.
    pub surfaces: SurfaceSet,
    /// Where the treatment stands.
    pub status: treatment::Status,
    /// What somebody should look at again.
    pub flag: Option<treatment::Flag>,
    /// The net price, a decimal string, if there is one; of an accepted plan what was accepted.
    pub price: Option<String>,
    /// The rate of tax on it in percent, a decimal string.
    pub tax_rate: String,
    /// Whether it is billed once it is done; otherwise it is no part of the estimate.
    pub billable: bool,
}

/// What something will cost, in decimal strings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Estimate {
    /// Without tax.
    pub net: String,
    /// The tax.
    pub tax: String,
    /// With tax.
    pub gross: String,
    /// How many treatments that are billed have no price and are not in it.
    pub unpriced: u32,
}

/// A new treatment plan.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct CreateTreatmentPlan {
    /// Its name.
    #[validate(length(max = 200), custom(function = one_line))]
    pub title: Option<String>,
    /// What is noted about it.
    #[validate(length(max = 5000), custom(function = many_lines))]
    pub note: Option<String>,
    /// Who has made it.
    pub staff_id: Option<StaffId>,
    /// Its phases.
    #[serde(default)]
    #[validate(length(max = 30), nested)]
    pub phases: Vec<PhaseInput>,
    /// Treatments of a plan with one phase, in place of `phases`.
    #[serde(default)]
    #[validate(length(max = 100), nested)]
    pub items: Vec<ItemInput>,
}

/// A phase of a plan.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct PhaseInput {
    /// Its name.
    #[validate(length(max = 200), custom(function = one_line))]
    pub title: Option<String>,
    /// Its treatments.
    #[serde(default)]
    #[validate(length(max = 100), nested)]
    pub items: Vec<ItemInput>,
}

/// A treatment of a plan: one that is planned already, or a new one.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct ItemInput {
    /// One of the patient's treatments that are not ended and in no other plan.
    pub treatment_id: Option<TreatmentId>,
    /// A new treatment.
    #[validate(nested)]
    pub treatment: Option<CreateTreatment>,
}

/// A change of a draft: an absent field stays as it is, `null` clears it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct UpdateTreatmentPlan {
    /// Its name.
    #[serde(default, deserialize_with = "nullable")]
    #[validate(length(max = 200), custom(function = one_line))]
    pub title: Option<Option<String>>,
    /// What is noted about it.
    #[serde(default, deserialize_with = "nullable")]
    #[validate(length(max = 5000), custom(function = many_lines))]
    pub note: Option<Option<String>>,
    /// All its phases, in place of those before.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Vec<PhaseInput>")]
    #[validate(length(max = 30), nested)]
    pub phases: Option<Vec<PhaseInput>>,
}

/// What is said with a move to another state.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct PlanStep {
    /// Why.
    #[validate(length(max = 1000), custom(function = many_lines))]
    pub reason: Option<String>,
}

/// Which plans a list holds; an absent field asks for all.
#[derive(Clone, Debug, Default)]
pub struct PlanFilter {
    /// Those in these states.
    pub statuses: Vec<PlanStatus>,
}
