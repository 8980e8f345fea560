//! The states of a treatment plan and the moves between them. Pure: no clock, no database.
//!
//! The words are those of FHIR R4 `RequestStatus`.

use clinicx_core::CoreError;
use schemars::JsonSchema;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// Where a treatment plan stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "kebab-case")]
pub enum PlanStatus {
    /// Being made, or shown to the patient.
    #[sea_orm(string_value = "draft")]
    Draft,
    /// The patient has accepted it.
    #[sea_orm(string_value = "active")]
    Active,
    /// Nothing of it is left to be done.
    #[sea_orm(string_value = "completed")]
    Completed,
    /// Given up.
    #[sea_orm(string_value = "revoked")]
    Revoked,
    /// It should never have been there.
    #[sea_orm(string_value = "entered-in-error")]
    EnteredInError,
}

/// What somebody wants to do with a treatment plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlanAction {
    /// Show the draft to the patient.
    Present,
    /// The patient accepts it.
    Accept,
    /// Give it up.
    Revoke,
    /// It should never have been there.
    Void,
}

impl PlanAction {
    /// Every action.
    pub const ALL: [Self; 4] = [Self::Present, Self::Accept, Self::Revoke, Self::Void];

    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Accept => "accept",
            Self::Revoke => "revoke",
            Self::Void => "void",
        }
    }
}

impl PlanStatus {
    /// Every state, in the order of this type.
    pub const ALL: [Self; 5] =
        [Self::Draft, Self::Active, Self::Completed, Self::Revoked, Self::EnteredInError];

    /// Returns the word for it in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Revoked => "revoked",
            Self::EnteredInError => "entered-in-error",
        }
    }

    /// Returns the states that can follow; an accepted plan is completed by its last treatment.
    pub const fn next(self) -> &'static [Self] {
        match self {
            Self::Draft => &[Self::Active, Self::Revoked, Self::EnteredInError],
            Self::Active => &[Self::Completed, Self::Revoked, Self::EnteredInError],
            Self::Completed | Self::Revoked => &[Self::EnteredInError],
            Self::EnteredInError => &[],
        }
    }

    /// Returns the state that an action leads to; a draft that is shown stays one.
    ///
    /// # Errors
    /// [`CoreError::RefusedTransition`] when it can't follow this one.
    pub fn after(self, action: PlanAction) -> Result<Self, CoreError> {
        match (self, action) {
            (Self::Draft, PlanAction::Present) => Ok(Self::Draft),
            (Self::Draft, PlanAction::Accept) => Ok(Self::Active),
            (Self::Draft | Self::Active, PlanAction::Revoke) => Ok(Self::Revoked),
            (from, PlanAction::Void) if from != Self::EnteredInError => Ok(Self::EnteredInError),
            _ => Err(self.refused(action.as_str())),
        }
    }

    /// Returns the refusal of something that this state does not allow.
    pub(super) fn refused(self, action: &'static str) -> CoreError {
        let allowed = self.next().iter().map(|status| status.as_str()).collect();
        CoreError::RefusedTransition { from: self.as_str(), action, allowed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_drafted_accepted_and_ended() {
        let void = (PlanAction::Void, PlanStatus::EnteredInError);
        let check = |from: PlanStatus, possible: &[(PlanAction, PlanStatus)]| {
            for action in PlanAction::ALL {
                let expected = possible.iter().find(|(other, _)| *other == action).map(|(_, to)| *to);
                assert_eq!(from.after(action).ok(), expected, "{} from {}", action.as_str(), from.as_str());
            }
        };
        check(
            PlanStatus::Draft,
            &[
                (PlanAction::Present, PlanStatus::Draft),
                (PlanAction::Accept, PlanStatus::Active),
                (PlanAction::Revoke, PlanStatus::Revoked),
                void,
            ],
        );
        check(PlanStatus::Active, &[(PlanAction::Revoke, PlanStatus::Revoked), void]);
        for ended in [PlanStatus::Completed, PlanStatus::Revoked] {
            check(ended, &[void]);
        }
        check(PlanStatus::EnteredInError, &[]);
    }
}
