//! The table `orthodontic_visits`.

use clinicx_core::{PatientId, StaffId};
use sea_orm::entity::prelude::*;

use crate::VisitId;

/// One visit.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "orthodontic_visits")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: VisitId,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// Who came.
    pub patient_id: PatientId,
    /// Who looked after the braces.
    pub staff_id: StaffId,
    /// On which day.
    pub visited_on: Date,
    /// The wire that was put in.
    pub archwire: Option<String>,
    /// In how many weeks the next visit is due.
    pub next_in_weeks: Option<i16>,
}

impl ActiveModelBehavior for ActiveModel {}
