//! The table `treatment_plan_phases`.

use sea_orm::entity::prelude::*;

use crate::{TreatmentPlanId, TreatmentPlanPhaseId};

/// One phase of a treatment plan.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "treatment_plan_phases")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: TreatmentPlanPhaseId,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// The plan.
    pub plan_id: TreatmentPlanId,
    /// Its place in the plan, from 1.
    pub position: i16,
    /// Its name, sealed.
    pub title_sealed: Option<Vec<u8>>,
}

impl ActiveModelBehavior for ActiveModel {}
