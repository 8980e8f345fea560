//! What callers say and hear about laboratory work.

use chrono::{DateTime, NaiveDate, Utc};
use clinicx_core::{
    PatientId, StaffId,
    patch_field::{nullable, present},
    validation::{many_lines, one_line},
};
use clinicx_types::calendar;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::{
    entity::Model,
    status::{LabStatus, LabWork},
};
use crate::{LabCaseId, TreatmentId, reference::shown};

/// Work that a laboratory does for a patient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LabCase {
    /// Which one.
    pub id: LabCaseId,
    /// Raised by every change; the ETag.
    pub version: i64,
    /// When it was written down.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// For whom it is.
    pub patient_id: PatientId,
    /// Who orders it.
    pub staff_id: Option<StaffId>,
    /// The treatment for which it is.
    pub treatment_id: Option<TreatmentId>,
    /// The laboratory's name.
    pub laboratory: String,
    /// What it makes.
    pub work: LabWork,
    /// Of what.
    pub material: Option<String>,
    /// In which colour, such as `A2`.
    pub shade: Option<String>,
    /// Where it stands.
    pub status: LabStatus,
    /// By which day it is wanted.
    pub due_on: Option<NaiveDate>,
    /// On which day it was last sent.
    pub sent_on: Option<NaiveDate>,
    /// On which day it last came back.
    pub received_on: Option<NaiveDate>,
    /// What the laboratory charges, a decimal string.
    pub cost: Option<String>,
    /// The currency of that (ISO 4217).
    pub currency: Option<String>,
    /// What the laboratory is told.
    pub note: Option<String>,
}

impl LabCase {
    pub(super) fn of(row: Model, note: Option<String>) -> Self {
        Self {
            id: row.id,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            patient_id: row.patient_id,
            staff_id: row.staff_id,
            treatment_id: row.treatment_id,
            laboratory: row.laboratory,
            work: row.work,
            material: row.material,
            shade: row.shade,
            status: row.status,
            due_on: row.due_on,
            sent_on: row.sent_on,
            received_on: row.received_on,
            cost: row.cost.zip(row.currency.as_deref()).map(|(cost, currency)| shown(cost, currency)),
            currency: row.currency,
            note,
        }
    }
}

/// New work for a laboratory.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct CreateLabCase {
    /// The laboratory's name.
    #[validate(length(max = 200), custom(function = one_line))]
    pub laboratory: String,
    /// What it makes.
    #[serde(default)]
    pub work: LabWork,
    /// The treatment for which it is; one of the patient's.
    pub treatment_id: Option<TreatmentId>,
    /// Who orders it.
    pub staff_id: Option<StaffId>,
    /// Of what it is made.
    #[validate(length(max = 100), custom(function = one_line))]
    pub material: Option<String>,
    /// In which colour, such as `A2`.
    #[validate(length(max = 20), custom(function = one_line))]
    pub shade: Option<String>,
    /// By which day it is wanted.
    #[serde(default, deserialize_with = "calendar::optional_day")]
    pub due_on: Option<NaiveDate>,
    /// What the laboratory charges, a decimal string.
    pub cost: Option<String>,
    /// The currency of that (ISO 4217); the clinic's unless it is said.
    pub currency: Option<String>,
    /// What the laboratory is told.
    #[validate(length(max = 5000), custom(function = many_lines))]
    pub note: Option<String>,
}

/// A change of work for a laboratory: an absent field stays as it is, `null` clears it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct UpdateLabCase {
    /// The laboratory's name.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String")]
    #[validate(length(max = 200), custom(function = one_line))]
    pub laboratory: Option<String>,
    /// Of what it is made.
    #[serde(default, deserialize_with = "nullable")]
    #[validate(length(max = 100), custom(function = one_line))]
    pub material: Option<Option<String>>,
    /// In which colour, such as `A2`.
    #[serde(default, deserialize_with = "nullable")]
    #[validate(length(max = 20), custom(function = one_line))]
    pub shade: Option<Option<String>>,
    /// By which day it is wanted.
    #[serde(default, deserialize_with = "calendar::nullable_day")]
    pub due_on: Option<Option<NaiveDate>>,
    /// What the laboratory charges, a decimal string.
    #[serde(default, deserialize_with = "nullable")]
    pub cost: Option<Option<String>>,
    /// What the laboratory is told.
    #[serde(default, deserialize_with = "nullable")]
    #[validate(length(max = 5000), custom(function = many_lines))]
    pub note: Option<Option<String>>,
}

/// Which work a list holds; an absent field asks for all.
#[derive(Clone, Debug, Default)]
pub struct LabCaseFilter {
    /// That in these states.
    pub statuses: Vec<LabStatus>,
}
