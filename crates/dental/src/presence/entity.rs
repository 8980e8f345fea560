//! The table `tooth_presence_events`.

use clinicx_core::{PatientId, StaffId};
use sea_orm::entity::prelude::*;

use super::state::{PresenceState, RecordStatus};
use crate::{ToothPresenceEventId, TreatmentId, tooth::Tooth};

/// One thing that became of a tooth.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tooth_presence_events")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ToothPresenceEventId,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// Whose tooth it is.
    pub patient_id: PatientId,
    /// Who saw it or did it.
    pub staff_id: Option<StaffId>,
    /// What is noted about it, sealed.
    pub note_sealed: Option<Vec<u8>>,
    /// The tooth.
    pub tooth: Tooth,
    /// What became of it.
    pub state: PresenceState,
    /// Since which day.
    pub effective_on: Date,
    /// The treatment that did it.
    pub treatment_id: Option<TreatmentId>,
    /// Whether it holds.
    pub status: RecordStatus,
}

impl ActiveModelBehavior for ActiveModel {}
