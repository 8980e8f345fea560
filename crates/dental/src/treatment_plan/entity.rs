//! The table `treatment_plans`.

use clinicx_core::{PatientId, StaffId};
use sea_orm::entity::prelude::*;

use super::status::PlanStatus;
use crate::TreatmentPlanId;

/// One treatment plan.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "treatment_plans")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: TreatmentPlanId,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// Who is to be treated.
    pub patient_id: PatientId,
    /// Who has made it.
    pub staff_id: Option<StaffId>,
    /// What is noted about it, sealed.
    pub note_sealed: Option<Vec<u8>>,
    /// Its name, sealed.
    pub title_sealed: Option<Vec<u8>>,
    /// Why it was given up, sealed.
    pub reason_sealed: Option<Vec<u8>>,
    /// Where it stands.
    pub status: PlanStatus,
    /// The currency of all its prices.
    pub currency: String,
    /// When it was last shown to the patient.
    pub presented_at: Option<DateTimeUtc>,
    /// When the patient accepted it.
    pub accepted_at: Option<DateTimeUtc>,
    /// Since when nothing of it is to be done any more.
    pub ended_at: Option<DateTimeUtc>,
}

impl ActiveModelBehavior for ActiveModel {}
