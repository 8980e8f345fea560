//! What callers say and hear about what became of teeth.

use chrono::{DateTime, NaiveDate, Utc};
use clinicx_core::{PatientId, StaffId, validation::many_lines};
use clinicx_types::calendar;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::{
    entity::Model,
    state::{PresenceState, RecordStatus},
};
use crate::{ToothPresenceEventId, TreatmentId, notation::Notation, tooth::Tooth};

/// One thing that became of a tooth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ToothPresence {
    /// Which one.
    pub id: ToothPresenceEventId,
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
    /// What became of it.
    pub state: PresenceState,
    /// Since which day.
    pub effective_on: NaiveDate,
    /// Whether it holds.
    pub status: RecordStatus,
    /// Who saw it or did it.
    pub staff_id: Option<StaffId>,
    /// The treatment that did it.
    pub treatment_id: Option<TreatmentId>,
    /// What is noted about it.
    pub note: Option<String>,
}

impl ToothPresence {
    pub(super) fn of(row: Model, note: Option<String>) -> Self {
        Self {
            id: row.id,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            patient_id: row.patient_id,
            tooth: row.tooth,
            state: row.state,
            effective_on: row.effective_on,
            status: row.status,
            staff_id: row.staff_id,
            treatment_id: row.treatment_id,
            note,
        }
    }
}

/// What became of a tooth.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct RecordPresence {
    /// The tooth, in FDI notation unless `notation` says another.
    pub tooth: String,
    /// How the tooth is written.
    pub notation: Option<Notation>,
    /// What became of it.
    pub state: PresenceState,
    /// Since which day; today unless it is said.
    #[serde(default, deserialize_with = "calendar::optional_day")]
    pub effective_on: Option<NaiveDate>,
    /// Who saw it.
    pub staff_id: Option<StaffId>,
    /// What is noted about it.
    #[validate(length(max = 5000), custom(function = many_lines))]
    pub note: Option<String>,
}

/// Which events a list holds; an absent field asks for all.
#[derive(Clone, Copy, Debug, Default)]
pub struct PresenceFilter {
    /// Those of this tooth.
    pub tooth: Option<Tooth>,
}
