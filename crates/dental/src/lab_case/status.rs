//! The states of laboratory work and the moves between them. Pure: no clock, no database.

use clinicx_core::CoreError;
use schemars::JsonSchema;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// What the laboratory makes.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum LabWork {
    /// A crown.
    #[sea_orm(string_value = "crown")]
    Crown,
    /// A bridge.
    #[sea_orm(string_value = "bridge")]
    Bridge,
    /// A veneer.
    #[sea_orm(string_value = "veneer")]
    Veneer,
    /// An inlay or onlay.
    #[sea_orm(string_value = "inlay")]
    Inlay,
    /// A denture.
    #[sea_orm(string_value = "denture")]
    Denture,
    /// A splint.
    #[sea_orm(string_value = "splint")]
    Splint,
    /// An appliance that moves teeth.
    #[sea_orm(string_value = "appliance")]
    Appliance,
    /// The part between an implant and its crown.
    #[sea_orm(string_value = "abutment")]
    Abutment,
    /// A repair.
    #[sea_orm(string_value = "repair")]
    Repair,
    /// Something else; the note says what.
    #[default]
    #[sea_orm(string_value = "other")]
    Other,
}

/// Where laboratory work stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "kebab-case")]
pub enum LabStatus {
    /// Written down.
    #[sea_orm(string_value = "draft")]
    Draft,
    /// At the laboratory.
    #[sea_orm(string_value = "sent")]
    Sent,
    /// Back from the laboratory.
    #[sea_orm(string_value = "received")]
    Received,
    /// In the patient's mouth.
    #[sea_orm(string_value = "completed")]
    Completed,
    /// Called off.
    #[sea_orm(string_value = "cancelled")]
    Cancelled,
    /// It should never have been there.
    #[sea_orm(string_value = "entered-in-error")]
    EnteredInError,
}

/// What somebody wants to do with laboratory work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LabAction {
    /// Send it, or send it back.
    Send,
    /// It has come back.
    Receive,
    /// It fits.
    Complete,
    /// Call it off.
    Cancel,
    /// It should never have been there.
    Void,
}

impl LabAction {
    /// Every action.
    pub const ALL: [Self; 5] = [Self::Send, Self::Receive, Self::Complete, Self::Cancel, Self::Void];

    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Complete => "complete",
            Self::Cancel => "cancel",
            Self::Void => "void",
        }
    }

    const fn target(self) -> LabStatus {
        match self {
            Self::Send => LabStatus::Sent,
            Self::Receive => LabStatus::Received,
            Self::Complete => LabStatus::Completed,
            Self::Cancel => LabStatus::Cancelled,
            Self::Void => LabStatus::EnteredInError,
        }
    }
}

impl LabStatus {
    /// Returns the word for it in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Sent => "sent",
            Self::Received => "received",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::EnteredInError => "entered-in-error",
        }
    }

    /// Returns the states that can follow; what does not fit is sent back.
    pub const fn next(self) -> &'static [Self] {
        match self {
            Self::Draft => &[Self::Sent, Self::Cancelled, Self::EnteredInError],
            Self::Sent => &[Self::Received, Self::Cancelled, Self::EnteredInError],
            Self::Received => &[Self::Sent, Self::Completed, Self::Cancelled, Self::EnteredInError],
            Self::Completed | Self::Cancelled => &[Self::EnteredInError],
            Self::EnteredInError => &[],
        }
    }

    /// Tells whether something is still to come.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Draft | Self::Sent | Self::Received)
    }

    /// Returns the state that an action leads to.
    ///
    /// # Errors
    /// [`CoreError::RefusedTransition`] when it can't follow this one.
    pub fn after(self, action: LabAction) -> Result<Self, CoreError> {
        let target = action.target();
        if self.next().contains(&target) {
            return Ok(target);
        }
        let allowed = self.next().iter().map(|status| status.as_str()).collect();
        Err(CoreError::RefusedTransition { from: self.as_str(), action: action.as_str(), allowed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_goes_out_and_comes_back() {
        let check = |from: LabStatus, possible: &[LabAction]| {
            let found: Vec<_> =
                LabAction::ALL.into_iter().filter(|action| from.after(*action).is_ok()).collect();
            assert_eq!(found, possible, "{from:?}");
        };
        check(LabStatus::Draft, &[LabAction::Send, LabAction::Cancel, LabAction::Void]);
        check(LabStatus::Sent, &[LabAction::Receive, LabAction::Cancel, LabAction::Void]);
        let back = [LabAction::Send, LabAction::Complete, LabAction::Cancel, LabAction::Void];
        check(LabStatus::Received, &back);
        for ended in [LabStatus::Completed, LabStatus::Cancelled] {
            check(ended, &[LabAction::Void]);
        }
        check(LabStatus::EnteredInError, &[]);
    }
}
