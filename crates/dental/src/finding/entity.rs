//! The table `tooth_findings`.

use clinicx_core::{PatientId, StaffId};
use sea_orm::entity::prelude::*;

use super::code::{FindingCode, FindingStatus, Severity};
use crate::{ToothFindingId, tooth::Tooth};

/// One finding on a tooth.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tooth_findings")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ToothFindingId,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// Whose tooth it is.
    pub patient_id: PatientId,
    /// Who found it.
    pub staff_id: Option<StaffId>,
    /// What is noted about it, sealed.
    pub note_sealed: Option<Vec<u8>>,
    /// The tooth.
    pub tooth: Tooth,
    /// What was found.
    pub code: FindingCode,
    /// The letters of the surfaces; none means the tooth.
    pub surfaces: Vec<String>,
    /// How bad it is.
    pub severity: Option<Severity>,
    /// Where it stands.
    pub status: FindingStatus,
    /// Since which day it is there.
    pub onset_on: Date,
    /// Since which day it is there no more.
    pub resolved_on: Option<Date>,
}

impl ActiveModelBehavior for ActiveModel {}
