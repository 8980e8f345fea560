//! The table `tooth_findings`.

use clinicx_core::{PatientId, StaffId};
use sea_orm::entity::prelude::*;

use super::code::{FindingCode, FindingStatus, Severity};
use crate::{ToothFindingId, ToothPresenceEventId, TreatmentId, presence, tooth::Tooth};

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
    /// Where it stood before it was resolved, if that is known.
    pub resolved_from: Option<FindingStatus>,
    /// The loss of the tooth that resolved it.
    pub resolved_by_presence_id: Option<ToothPresenceEventId>,
    /// The treatment that resolved it.
    pub resolved_by_treatment_id: Option<TreatmentId>,
}

impl Model {
    /// Returns what becomes of it when it is there no more since a day.
    pub(super) fn resolved(&self, on: Date) -> Self {
        let from = if self.status.is_open() { Some(self.status) } else { self.resolved_from };
        Self {
            status: FindingStatus::Resolved,
            resolved_on: Some(on),
            resolved_from: from,
            resolved_by_presence_id: None,
            ..self.clone()
        }
    }

    /// Returns what becomes of it when its tooth is lost.
    pub(super) fn lost(&self, event: &presence::entity::Model) -> Self {
        Self { resolved_by_presence_id: Some(event.id), ..self.resolved(event.effective_on) }
    }

    /// Tells whether it can be said to be there no more since a day: it is there, or it went with its tooth later.
    pub(super) fn can_be_resolved(&self, on: Date) -> bool {
        let went = self.resolved_by_presence_id.is_some() && self.resolved_on.is_some_and(|day| on <= day);
        self.status.is_open() || (self.status == FindingStatus::Resolved && went)
    }

    /// Returns what becomes of it when it turns out to be there still.
    pub(super) fn reopened(&self) -> Self {
        Self {
            status: self.resolved_from.unwrap_or(FindingStatus::Active),
            resolved_on: None,
            resolved_from: None,
            resolved_by_presence_id: None,
            resolved_by_treatment_id: None,
            ..self.clone()
        }
    }
}

impl ActiveModelBehavior for ActiveModel {}
