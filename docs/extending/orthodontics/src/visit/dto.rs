//! What callers say and hear about visits.

use chrono::{DateTime, NaiveDate, Utc};
use clinicx_core::{PatientId, StaffId, validation::one_line};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::entity::Model;
use crate::VisitId;

/// A visit at which braces were looked after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Visit {
    /// Which one.
    pub id: VisitId,
    /// Always 1: visits are not changed.
    pub version: i64,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
    /// The same: visits are not changed.
    pub updated_at: DateTime<Utc>,
    /// Who came.
    pub patient_id: PatientId,
    /// Who looked after the braces.
    pub staff_id: StaffId,
    /// On which day.
    pub visited_on: NaiveDate,
    /// The wire that was put in, such as `0.016 NiTi`.
    pub archwire: Option<String>,
    /// In how many weeks the next visit is due.
    pub next_in_weeks: Option<i16>,
}

impl From<Model> for Visit {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            version: 1,
            created_at: row.created_at,
            updated_at: row.created_at,
            patient_id: row.patient_id,
            staff_id: row.staff_id,
            visited_on: row.visited_on,
            archwire: row.archwire,
            next_in_weeks: row.next_in_weeks,
        }
    }
}

/// A visit of today.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct RecordVisit {
    /// Who looks after the braces.
    pub staff_id: StaffId,
    /// The wire that is put in, such as `0.016 NiTi`.
    #[validate(length(max = 100), custom(function = one_line))]
    pub archwire: Option<String>,
    /// In how many weeks the next visit is due.
    #[validate(range(min = 1, max = 52))]
    pub next_in_weeks: Option<i16>,
}
