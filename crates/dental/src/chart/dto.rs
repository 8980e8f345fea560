//! What callers say and hear about charts.

use chrono::{DateTime, NaiveDate, Utc};
use clinicx_core::{PatientId, StaffId};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};
use validator::Validate;

use crate::{
    DentalChartId, ToothFindingId, TreatmentId,
    area::{Area, Region},
    finding::{FindingCode, FindingStatus, Severity},
    notation::Notation,
    presence::PresenceState,
    procedure_code::{Category, Effect},
    surface::SurfaceSet,
    tooth::{Dentition, Tooth},
    treatment,
};

/// What is known of a patient's teeth as of a date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Chart {
    /// The chart's id, which is the patient's.
    pub id: DentalChartId,
    /// Raised by every change of what the chart shows; the ETag. Zero before the first.
    pub version: i64,
    /// When the first thing was charted, or when the patient was registered.
    pub created_at: DateTime<Utc>,
    /// When something was last charted, or when the patient was registered.
    pub updated_at: DateTime<Utc>,
    /// Whose teeth they are.
    pub patient_id: PatientId,
    /// As of the end of which day, in the clinic's calendar.
    pub as_of: NaiveDate,
    /// How teeth are written here.
    pub notation: Notation,
    /// Whether anything is known of any tooth. Where nothing is known, nothing is known to be healthy.
    pub charted: bool,
    /// All 52 teeth, in the order of their codes.
    pub teeth: Vec<ChartTooth>,
    /// What was done to the mouth as a whole or to parts of it that are no teeth.
    pub treatments: Vec<ChartTreatment>,
    /// What was planned for the mouth as a whole or for parts of it that are no teeth.
    pub planned: Vec<ChartTreatment>,
}

/// What is known of one tooth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChartTooth {
    /// The tooth, as `notation` writes it.
    pub tooth: String,
    /// How the tooth is written.
    pub notation: Notation,
    /// The tooth in FDI notation (ISO 3950).
    pub fdi: Tooth,
    /// The set of teeth to which it belongs.
    pub dentition: Dentition,
    /// What became of it; `unknown` where nothing was recorded.
    #[serde(serialize_with = "presence_word")]
    #[schemars(schema_with = "presence_schema")]
    pub presence: Option<PresenceState>,
    /// Since which day.
    pub presence_since: Option<NaiveDate>,
    /// What was found on it and is still there.
    pub findings: Vec<ChartFinding>,
    /// What was done to it.
    pub treatments: Vec<ChartTreatment>,
    /// What was planned for it.
    pub planned: Vec<ChartTreatment>,
}

/// A finding on a chart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChartFinding {
    /// Which one.
    pub id: ToothFindingId,
    /// What was found.
    pub code: FindingCode,
    /// The surfaces; none means the tooth.
    pub surfaces: SurfaceSet,
    /// How bad it is.
    pub severity: Option<Severity>,
    /// Where it stood: `active` or `watch`.
    pub status: FindingStatus,
    /// Since which day it is there.
    pub onset_on: NaiveDate,
}

/// A treatment on a chart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChartTreatment {
    /// Which one.
    pub id: TreatmentId,
    /// The code of the procedure.
    pub procedure_code: String,
    /// The name of the procedure.
    pub procedure_name: String,
    /// What kind of work it is.
    pub category: Category,
    /// What it makes of its teeth.
    pub effect: Option<Effect>,
    /// Where it stood.
    pub status: treatment::Status,
    /// What somebody should have looked at again.
    pub flag: Option<treatment::Flag>,
    /// What kind of part of the mouth it is on.
    pub area: Area,
    /// The part, of an arch, a quadrant or a sextant.
    pub region: Option<Region>,
    /// The surfaces of the tooth.
    pub surfaces: SurfaceSet,
    /// Who treats.
    pub staff_id: Option<StaffId>,
    /// When it was done.
    pub completed_at: Option<DateTime<Utc>>,
}

/// How a chart is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChartView {
    /// As of the end of which day; today unless it is said.
    pub as_of: Option<NaiveDate>,
    /// How teeth are written; as the chart prefers unless it is said.
    pub notation: Option<Notation>,
}

/// A change of how a chart is shown.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct UpdateChart {
    /// How teeth are written unless a reader wants it otherwise.
    pub notation: Notation,
}

const UNKNOWN: &str = "unknown";

fn presence_word<S: Serializer>(state: &Option<PresenceState>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.map_or(UNKNOWN, PresenceState::as_str))
}

fn presence_schema(_: &mut SchemaGenerator) -> Schema {
    let mut words = vec![UNKNOWN];
    words.extend(PresenceState::ALL.map(PresenceState::as_str));
    json_schema!({ "type": "string", "enum": words })
}
