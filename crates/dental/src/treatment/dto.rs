//! What callers say and hear about treatments.

use chrono::{DateTime, NaiveDate, Utc};
use clinicx_core::{
    AppointmentId, PatientId, StaffId,
    patch_field::{nullable, present},
    validation::many_lines,
};
use clinicx_types::calendar;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::{
    entity::Model,
    status::{Flag, Status},
};
use crate::{
    ToothFindingId, TreatmentId,
    area::{Area, Region},
    notation::Notation,
    procedure_code::{Category, Effect},
    reference::shown,
    surface::SurfaceSet,
    tooth::Tooth,
};

/// A treatment, planned or performed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Treatment {
    /// Which one.
    pub id: TreatmentId,
    /// Raised by every change; the ETag.
    pub version: i64,
    /// When it was planned.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Who is treated.
    pub patient_id: PatientId,
    /// Who treats.
    pub staff_id: Option<StaffId>,
    /// The visit at which it is done.
    pub appointment_id: Option<AppointmentId>,
    /// The code of the procedure in the clinic's catalogue.
    pub procedure_code: String,
    /// The name of the procedure when it was planned.
    pub procedure_name: String,
    /// What kind of work it is.
    pub category: Category,
    /// What it makes of its teeth once it is done.
    pub effect: Option<Effect>,
    /// What kind of part of the mouth it is on.
    pub area: Area,
    /// The part, of an arch, a quadrant or a sextant (ISO 3950).
    pub region: Option<Region>,
    /// The tooth (ISO 3950), when it is one.
    pub tooth: Option<Tooth>,
    /// The teeth (ISO 3950).
    pub teeth: Vec<Tooth>,
    /// The surfaces of the one tooth, in the order M O I D B V L.
    pub surfaces: SurfaceSet,
    /// Where it stands.
    pub status: Status,
    /// What somebody should look at again: `tooth_gone` when its tooth is gone by now.
    pub flag: Option<Flag>,
    /// The net price, a decimal string, if there is one.
    pub price: Option<String>,
    /// The currency of the price (ISO 4217).
    pub currency: Option<String>,
    /// The rate of tax on it in percent, a decimal string.
    pub tax_rate: String,
    /// Whether it is billed once it is done.
    pub billable: bool,
    /// For which day it is planned.
    pub planned_on: Option<NaiveDate>,
    /// When it was begun.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was done.
    pub completed_at: Option<DateTime<Utc>>,
    /// Since when nothing is to be done any more.
    pub ended_at: Option<DateTime<Utc>>,
    /// What is noted about it.
    pub note: Option<String>,
    /// The reason that was last given for a move; its events have each of them.
    pub reason: Option<String>,
}

impl Treatment {
    pub(super) fn of(row: Model, (note, reason): (Option<String>, Option<String>)) -> Self {
        let teeth = row.tooth_list();
        let tooth = match teeth.as_slice() {
            [tooth] => Some(*tooth),
            _ => None,
        };
        Self {
            id: row.id,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            patient_id: row.patient_id,
            staff_id: row.staff_id,
            appointment_id: row.appointment_id,
            area: row.area,
            region: row.region,
            tooth,
            surfaces: row.surface_set(),
            teeth,
            status: row.status,
            flag: row.flag,
            price: row.price.zip(row.currency.as_deref()).map(|(price, currency)| shown(price, currency)),
            procedure_code: row.procedure_code,
            procedure_name: row.procedure_name,
            category: row.category,
            effect: row.effect,
            currency: row.currency,
            tax_rate: row.tax_rate.normalize().to_string(),
            billable: row.billable,
            planned_on: row.planned_on,
            started_at: row.started_at,
            completed_at: row.completed_at,
            ended_at: row.ended_at,
            note,
            reason,
        }
    }
}

/// A treatment that is planned.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct CreateTreatment {
    /// The code of the procedure in the clinic's catalogue.
    #[validate(length(min = 1, max = 32))]
    pub procedure_code: String,
    /// The tooth, in FDI notation unless `notation` says another.
    pub tooth: Option<String>,
    /// The teeth, when they are several.
    #[validate(length(max = 52))]
    pub teeth: Option<Vec<String>>,
    /// The surfaces of the one tooth.
    #[serde(default)]
    #[validate(length(max = 20))]
    pub surfaces: Vec<String>,
    /// An arch (`01`, `02`), a sextant (`03` to `08`) or a quadrant (`10`, `20`, `30`, `40`) of ISO 3950.
    pub region: Option<Region>,
    /// How the teeth are written.
    pub notation: Option<Notation>,
    /// Who treats.
    pub staff_id: StaffId,
    /// The visit at which it is done.
    pub appointment_id: Option<AppointmentId>,
    /// The net price, a decimal string; the catalogue's unless it is said.
    pub price: Option<String>,
    /// For which day it is planned.
    #[serde(default, deserialize_with = "calendar::optional_day")]
    pub planned_on: Option<NaiveDate>,
    /// What is noted about it.
    #[validate(length(max = 5000), custom(function = many_lines))]
    pub note: Option<String>,
}

/// A change of what is planned: an absent field stays as it is, `null` clears it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct UpdateTreatment {
    /// Who treats.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "StaffId")]
    pub staff_id: Option<StaffId>,
    /// The visit at which it is done.
    #[serde(default, deserialize_with = "nullable")]
    pub appointment_id: Option<Option<AppointmentId>>,
    /// The net price, a decimal string; not of what stands in an accepted plan.
    #[serde(default, deserialize_with = "nullable")]
    pub price: Option<Option<String>>,
    /// For which day it is planned.
    #[serde(default, deserialize_with = "calendar::nullable_day")]
    pub planned_on: Option<Option<NaiveDate>>,
    /// What is noted about it.
    #[serde(default, deserialize_with = "nullable")]
    #[validate(length(max = 5000), custom(function = many_lines))]
    pub note: Option<Option<String>>,
}

/// What is said with a move to another state.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct TreatmentStep {
    /// Why.
    #[validate(length(max = 1000), custom(function = many_lines))]
    pub reason: Option<String>,
    /// When it was done, on completing; now unless it is said.
    #[serde(default, deserialize_with = "calendar::optional_instant")]
    pub completed_at: Option<DateTime<Utc>>,
    /// Findings that are there no more because of it, on completing.
    #[serde(default)]
    #[validate(length(max = 50))]
    pub resolves: Vec<ToothFindingId>,
}

/// Which treatments a list holds; an absent field asks for all.
#[derive(Clone, Debug, Default)]
pub struct TreatmentFilter {
    /// Those on this tooth.
    pub tooth: Option<Tooth>,
    /// Those in these states.
    pub statuses: Vec<Status>,
    /// Those that somebody should look at again, or those that nobody should.
    pub flagged: Option<bool>,
}
