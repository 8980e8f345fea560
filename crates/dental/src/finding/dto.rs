//! What callers say and hear about findings.

use chrono::{DateTime, NaiveDate, Utc};
use clinicx_core::{PatientId, StaffId, validation::many_lines};
use clinicx_types::calendar;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::{
    code::{FindingCode, FindingStatus, Severity},
    entity::Model,
};
use crate::{
    ToothFindingId, ToothPresenceEventId, TreatmentId, notation::Notation, surface::SurfaceSet, tooth::Tooth,
};

/// One finding on a tooth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ToothFinding {
    /// Which one.
    pub id: ToothFindingId,
    /// Raised by every change; the ETag.
    pub version: i64,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Whose tooth it is.
    pub patient_id: PatientId,
    /// The tooth (ISO 3950).
    pub tooth: Tooth,
    /// What was found.
    pub code: FindingCode,
    /// The surfaces, in the order M O I D B V L; none means the tooth.
    pub surfaces: SurfaceSet,
    /// How bad it is.
    pub severity: Option<Severity>,
    /// Where it stands.
    pub status: FindingStatus,
    /// Since which day it is there.
    pub onset_on: NaiveDate,
    /// Since which day it is there no more.
    pub resolved_on: Option<NaiveDate>,
    /// What became of its tooth, so that it is there no more.
    pub resolved_by_presence_id: Option<ToothPresenceEventId>,
    /// The treatment because of which it is there no more.
    pub resolved_by_treatment_id: Option<TreatmentId>,
    /// Who found it.
    pub staff_id: Option<StaffId>,
    /// What is noted about it.
    pub note: Option<String>,
}

impl ToothFinding {
    pub(super) fn of(row: Model, note: Option<String>) -> Self {
        Self {
            id: row.id,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            patient_id: row.patient_id,
            tooth: row.tooth,
            code: row.code,
            surfaces: SurfaceSet::stored(&row.surfaces),
            severity: row.severity,
            status: row.status,
            onset_on: row.onset_on,
            resolved_on: row.resolved_on,
            resolved_by_presence_id: row.resolved_by_presence_id,
            resolved_by_treatment_id: row.resolved_by_treatment_id,
            staff_id: row.staff_id,
            note,
        }
    }
}

/// A new finding.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct RecordFinding {
    /// The tooth, in FDI notation unless `notation` says another.
    pub tooth: String,
    /// How the tooth is written.
    pub notation: Option<Notation>,
    /// What was found.
    pub code: FindingCode,
    /// The surfaces: M, D, L on every tooth (or P on upper ones), O and B on premolars and molars, I and V on others.
    #[serde(default)]
    #[validate(length(max = 20))]
    pub surfaces: Vec<String>,
    /// How bad it is.
    pub severity: Option<Severity>,
    /// Whether it asks for treatment or is watched only; active unless it is said.
    pub status: Option<NewFindingStatus>,
    /// Since which day it is there; today unless it is said.
    #[serde(default, deserialize_with = "calendar::optional_day")]
    pub onset_on: Option<NaiveDate>,
    /// Who found it.
    pub staff_id: Option<StaffId>,
    /// What is noted about it.
    #[validate(length(max = 5000), custom(function = many_lines))]
    pub note: Option<String>,
}

/// The states in which a finding can begin.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NewFindingStatus {
    /// It asks for treatment.
    Active,
    /// It is watched only.
    Watch,
}

/// Says that a finding is there no more.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct ResolveInput {
    /// Since which day; today unless it is said.
    #[serde(default, deserialize_with = "calendar::optional_day")]
    pub resolved_on: Option<NaiveDate>,
}

/// Which findings a list holds; an absent field asks for all.
#[derive(Clone, Debug, Default)]
pub struct FindingFilter {
    /// Those on this tooth.
    pub tooth: Option<Tooth>,
    /// Those in these states.
    pub statuses: Vec<FindingStatus>,
}
