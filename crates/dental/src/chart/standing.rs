//! Where what was planned stood as of a day. Pure: no clock, no database.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use clinicx_core::local_time;

use super::projection::Facts;
use crate::treatment::{self, Flag, Status, entity::Model};

/// A day, and what is known of the treatments that were open at its end.
pub(super) struct Standing<'a> {
    pub(super) facts: &'a Facts,
    pub(super) as_of: NaiveDate,
    pub(super) zone: Tz,
}

impl Standing<'_> {
    /// Tells whether something had happened by the end of the day.
    pub(super) fn by(&self, at: Option<DateTime<Utc>>) -> bool {
        at.is_some_and(|at| local_time::local_date(at, self.zone) <= self.as_of)
    }

    /// The state of an open treatment. Of what moved before moves were kept it is known since when it was begun.
    pub(super) fn status(&self, row: &Model) -> Status {
        if !self.by(row.started_at) {
            return Status::Preparation;
        }
        let is_under_way = |status: &Status| matches!(status, Status::InProgress | Status::OnHold);
        let moves = self.facts.moves.get(&row.id).map(Vec::as_slice).unwrap_or_default();
        let last = moves.iter().rfind(|one| self.by(Some(one.at))).map(|one| one.to_status);
        let next = || moves.iter().find(|one| !self.by(Some(one.at))).and_then(|one| one.from_status);
        let known = last.filter(is_under_way).or_else(|| next().filter(is_under_way));
        known.or_else(|| Some(row.status).filter(is_under_way)).unwrap_or(Status::InProgress)
    }

    /// Whether somebody would have had to look at an open treatment again.
    pub(super) fn flag(&self, row: &Model) -> Option<Flag> {
        let state = |tooth: &_| Some(self.facts.presence.get(tooth)?.last()?.state);
        treatment::is_pointless(row, state).then_some(Flag::ToothGone)
    }
}
