//! The table `treatment_plan_items`.

use sea_orm::entity::prelude::*;

use crate::{TreatmentId, TreatmentPlanId, TreatmentPlanItemId, TreatmentPlanPhaseId};

/// One treatment of a plan.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "treatment_plan_items")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: TreatmentPlanItemId,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// The plan.
    pub plan_id: TreatmentPlanId,
    /// The phase.
    pub phase_id: TreatmentPlanPhaseId,
    /// The treatment.
    pub treatment_id: TreatmentId,
    /// Its place in the phase, from 1.
    pub position: i16,
    /// The net price that the patient has accepted.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub accepted_price: Option<Decimal>,
    /// The rate of tax that the patient has accepted, in percent.
    #[sea_orm(column_type = "Decimal(Some((7, 4)))")]
    pub accepted_tax_rate: Option<Decimal>,
}

impl ActiveModelBehavior for ActiveModel {}
