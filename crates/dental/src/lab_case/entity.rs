//! The table `lab_cases`.

use clinicx_core::{PatientId, StaffId};
use sea_orm::entity::prelude::*;

use super::status::{LabStatus, LabWork};
use crate::{LabCaseId, TreatmentId};

/// Work that a laboratory does.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "lab_cases")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: LabCaseId,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// For whom it is.
    pub patient_id: PatientId,
    /// Who orders it.
    pub staff_id: Option<StaffId>,
    /// What the laboratory is told, sealed.
    pub note_sealed: Option<Vec<u8>>,
    /// The treatment for which it is.
    pub treatment_id: Option<TreatmentId>,
    /// The laboratory's name.
    pub laboratory: String,
    /// What it makes.
    pub work: LabWork,
    /// Of what.
    pub material: Option<String>,
    /// In which colour.
    pub shade: Option<String>,
    /// Where it stands.
    pub status: LabStatus,
    /// By which day it is wanted.
    pub due_on: Option<Date>,
    /// On which day it was last sent.
    pub sent_on: Option<Date>,
    /// On which day it last came back.
    pub received_on: Option<Date>,
    /// What the laboratory charges.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub cost: Option<Decimal>,
    /// The currency of that.
    pub currency: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
