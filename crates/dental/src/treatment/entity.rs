//! The table `treatments`.

use clinicx_core::{AppointmentId, PatientId, StaffId};
use sea_orm::entity::prelude::*;

use super::status::{Flag, Status};
use crate::{
    TreatmentId,
    area::{Area, Region},
    procedure_code::{Category, Effect},
    surface::SurfaceSet,
    tooth::Tooth,
};

/// One treatment.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "treatments")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: TreatmentId,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// Who is treated.
    pub patient_id: PatientId,
    /// Who treats.
    pub staff_id: Option<StaffId>,
    /// The visit at which it is done.
    pub appointment_id: Option<AppointmentId>,
    /// The code of the procedure.
    pub procedure_code: String,
    /// The name of the procedure when it was planned.
    pub procedure_name: String,
    /// What kind of work it is.
    pub category: Category,
    /// What it makes of its teeth once it is done.
    pub effect: Option<Effect>,
    /// What kind of part of the mouth it is on.
    pub area: Area,
    /// The part, of an arch, a quadrant or a sextant.
    pub region: Option<Region>,
    /// The codes of the teeth.
    pub teeth: Vec<String>,
    /// The letters of the surfaces.
    pub surfaces: Vec<String>,
    /// Where it stands.
    pub status: Status,
    /// What somebody should look at again.
    pub flag: Option<Flag>,
    /// The net price, if there is one.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub price: Option<Decimal>,
    /// The currency of the price.
    pub currency: Option<String>,
    /// The rate of tax on it, in percent.
    #[sea_orm(column_type = "Decimal(Some((7, 4)))")]
    pub tax_rate: Decimal,
    /// Whether it is billed once it is done.
    pub billable: bool,
    /// For which day it is planned.
    pub planned_on: Option<Date>,
    /// When it was begun.
    pub started_at: Option<DateTimeUtc>,
    /// When it was done.
    pub completed_at: Option<DateTimeUtc>,
    /// Since when nothing is to be done any more.
    pub ended_at: Option<DateTimeUtc>,
    /// What is noted about it, sealed.
    pub note_sealed: Option<Vec<u8>>,
    /// Why it was put on hold, given up or an error, sealed.
    pub reason_sealed: Option<Vec<u8>>,
}

impl Model {
    /// Returns the teeth.
    pub(crate) fn tooth_list(&self) -> Vec<Tooth> {
        self.teeth.iter().filter_map(|code| code.parse().ok()).collect()
    }

    /// Returns the surfaces of the one tooth.
    pub(crate) fn surface_set(&self) -> SurfaceSet {
        SurfaceSet::stored(&self.surfaces)
    }
}

impl ActiveModelBehavior for ActiveModel {}
