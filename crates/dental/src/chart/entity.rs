//! The table `dental_charts`.

use clinicx_core::PatientId;
use sea_orm::entity::prelude::*;

use crate::{DentalChartId, notation::Notation};

/// How one patient's chart is shown, and its version.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "dental_charts")]
pub struct Model {
    /// Which one: the patient's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: DentalChartId,
    /// Raised by every change of what the chart shows.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// Whose chart it is.
    pub patient_id: PatientId,
    /// How teeth are written unless a reader wants it otherwise.
    pub notation: Notation,
}

impl ActiveModelBehavior for ActiveModel {}
