//! What callers say and hear about periodontal examinations.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use clinicx_core::{PatientId, StaffId, validation::many_lines};
use clinicx_types::calendar;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::{
    entity::Model,
    measurement,
    site::{PerioSite, attachment_loss_mm},
};
use crate::{PerioExamId, notation::Notation, presence::RecordStatus, tooth::Tooth};

/// A periodontal examination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PerioExam {
    /// Which one.
    pub id: PerioExamId,
    /// Raised by every change; the ETag.
    pub version: i64,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Whose teeth they are.
    pub patient_id: PatientId,
    /// On which day.
    pub examined_on: NaiveDate,
    /// Whether it holds.
    pub status: RecordStatus,
    /// Who examined.
    pub staff_id: Option<StaffId>,
    /// What is noted about it.
    pub note: Option<String>,
    /// The teeth that were measured.
    pub teeth: Vec<ToothMeasures>,
}

/// What was measured around one tooth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ToothMeasures {
    /// The tooth (ISO 3950).
    pub tooth: Tooth,
    /// The sites.
    pub sites: BTreeMap<PerioSite, SiteReading>,
}

/// What was measured at one site, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SiteReading {
    /// The depth of the pocket in millimetres.
    pub probing_mm: Option<i16>,
    /// How far the gum has gone back in millimetres; negative where it stands above the edge of the enamel.
    pub recession_mm: Option<i16>,
    /// The loss of attachment in millimetres: depth and recession together.
    pub attachment_loss_mm: Option<i16>,
    /// Whether it bled.
    pub bleeding: Option<bool>,
    /// Whether there was pus.
    pub suppuration: Option<bool>,
    /// Whether there was plaque.
    pub plaque: Option<bool>,
    /// Whether there was calculus.
    pub calculus: Option<bool>,
}

impl From<&measurement::Model> for SiteReading {
    fn from(row: &measurement::Model) -> Self {
        Self {
            probing_mm: row.probing_mm,
            recession_mm: row.recession_mm,
            attachment_loss_mm: attachment_loss_mm(row.probing_mm, row.recession_mm),
            bleeding: row.bleeding,
            suppuration: row.suppuration,
            plaque: row.plaque,
            calculus: row.calculus,
        }
    }
}

impl PerioExam {
    pub(super) fn of(row: Model, measurements: &[measurement::Model], note: Option<String>) -> Self {
        let mut teeth: BTreeMap<Tooth, BTreeMap<PerioSite, SiteReading>> = BTreeMap::new();
        for one in measurements {
            teeth.entry(one.tooth).or_default().insert(one.site, one.into());
        }
        Self {
            id: row.id,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            patient_id: row.patient_id,
            examined_on: row.examined_on,
            status: row.status,
            staff_id: row.staff_id,
            note,
            teeth: teeth.into_iter().map(|(tooth, sites)| ToothMeasures { tooth, sites }).collect(),
        }
    }
}

/// A new periodontal examination.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct RecordPerioExam {
    /// On which day; today unless it is said.
    #[serde(default, deserialize_with = "calendar::optional_day")]
    pub examined_on: Option<NaiveDate>,
    /// Who examined.
    pub staff_id: Option<StaffId>,
    /// What is noted about it.
    #[validate(length(max = 5000), custom(function = many_lines))]
    pub note: Option<String>,
    /// The teeth that were measured.
    #[validate(length(min = 1, max = 52), nested)]
    pub teeth: Vec<TeethOfExam>,
}

/// What was measured around one tooth.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct TeethOfExam {
    /// The tooth, in FDI notation unless `notation` says another.
    pub tooth: String,
    /// How the tooth is written.
    pub notation: Option<Notation>,
    /// The sites; those that are not in it were not measured.
    // What is wrong about one is told at its name, where the validator would say its place in the map.
    #[validate(length(min = 1, max = 6))]
    pub sites: BTreeMap<PerioSite, SiteMeasure>,
}

/// What was measured at one site.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct SiteMeasure {
    /// The depth of the pocket in millimetres: 0 to 20.
    #[validate(range(min = 0, max = 20))]
    pub probing_mm: Option<i16>,
    /// How far the gum has gone back in millimetres: −10 to 20.
    #[validate(range(min = -10, max = 20))]
    pub recession_mm: Option<i16>,
    /// Whether it bled.
    pub bleeding: Option<bool>,
    /// Whether there was pus.
    pub suppuration: Option<bool>,
    /// Whether there was plaque.
    pub plaque: Option<bool>,
    /// Whether there was calculus.
    pub calculus: Option<bool>,
}

/// Which examinations a list holds; an absent field asks for all.
#[derive(Clone, Copy, Debug, Default)]
pub struct PerioFilter {
    /// Those in this state.
    pub status: Option<RecordStatus>,
}
