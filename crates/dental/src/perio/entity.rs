//! The table `perio_exams`.

use clinicx_core::{PatientId, StaffId};
use sea_orm::entity::prelude::*;

use crate::{PerioExamId, presence::RecordStatus};

/// One examination.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "perio_exams")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: PerioExamId,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// Whose teeth they are.
    pub patient_id: PatientId,
    /// Who examined.
    pub staff_id: Option<StaffId>,
    /// What is noted about it, sealed.
    pub note_sealed: Option<Vec<u8>>,
    /// On which day.
    pub examined_on: Date,
    /// Whether it holds.
    pub status: RecordStatus,
}

impl ActiveModelBehavior for ActiveModel {}
