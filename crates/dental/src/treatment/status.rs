//! The states of a treatment and the moves between them. Pure: no clock, no database.
//!
//! The words are those of FHIR R4 `EventStatus`.

use clinicx_core::CoreError;
use schemars::JsonSchema;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// Where a treatment stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Planned.
    #[sea_orm(string_value = "preparation")]
    Preparation,
    /// Begun.
    #[sea_orm(string_value = "in-progress")]
    InProgress,
    /// Begun, and waiting for a laboratory or for healing.
    #[sea_orm(string_value = "on-hold")]
    OnHold,
    /// Done.
    #[sea_orm(string_value = "completed")]
    Completed,
    /// Given up before it was begun.
    #[sea_orm(string_value = "not-done")]
    NotDone,
    /// Given up after it was begun.
    #[sea_orm(string_value = "stopped")]
    Stopped,
    /// It should never have been there.
    #[sea_orm(string_value = "entered-in-error")]
    EnteredInError,
}

impl Status {
    /// Every state, in the order of this type.
    pub const ALL: [Self; 7] = [
        Self::Preparation,
        Self::InProgress,
        Self::OnHold,
        Self::Completed,
        Self::NotDone,
        Self::Stopped,
        Self::EnteredInError,
    ];

    /// The states in which something is still to be done.
    pub const OPEN: [Self; 3] = [Self::Preparation, Self::InProgress, Self::OnHold];

    /// Returns the word for it in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preparation => "preparation",
            Self::InProgress => "in-progress",
            Self::OnHold => "on-hold",
            Self::Completed => "completed",
            Self::NotDone => "not-done",
            Self::Stopped => "stopped",
            Self::EnteredInError => "entered-in-error",
        }
    }

    /// Tells whether something is still to be done.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Preparation | Self::InProgress | Self::OnHold)
    }

    /// Returns the states that can follow.
    pub const fn next(self) -> &'static [Self] {
        match self {
            Self::Preparation => &[Self::InProgress, Self::NotDone, Self::EnteredInError],
            Self::InProgress => &[Self::OnHold, Self::Completed, Self::Stopped, Self::EnteredInError],
            Self::OnHold => &[Self::InProgress, Self::Completed, Self::Stopped, Self::EnteredInError],
            Self::Completed | Self::NotDone | Self::Stopped => &[Self::EnteredInError],
            Self::EnteredInError => &[],
        }
    }

    /// Returns the state that an action leads to.
    ///
    /// # Errors
    /// [`CoreError::RefusedTransition`] when it can't follow this one.
    pub fn after(self, action: Action) -> Result<Self, CoreError> {
        let target = match (self, action) {
            (Self::Preparation, Action::Start) | (Self::OnHold, Action::Resume) => Some(Self::InProgress),
            (Self::InProgress, Action::Hold) => Some(Self::OnHold),
            (Self::InProgress | Self::OnHold, Action::Complete) => Some(Self::Completed),
            (Self::Preparation, Action::Stop) => Some(Self::NotDone),
            (Self::InProgress | Self::OnHold, Action::Stop) => Some(Self::Stopped),
            (from, Action::Void) if from != Self::EnteredInError => Some(Self::EnteredInError),
            _ => None,
        };
        target.ok_or_else(|| CoreError::RefusedTransition {
            from: self.as_str(),
            action: action.as_str(),
            allowed: self.next().iter().map(|status| status.as_str()).collect(),
        })
    }
}

/// What somebody wants to do with a treatment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Begin it.
    Start,
    /// Let it wait.
    Hold,
    /// Go on with it.
    Resume,
    /// It is done.
    Complete,
    /// Give it up.
    Stop,
    /// It should never have been there.
    Void,
}

impl Action {
    /// Every action, in the order of this type.
    pub const ALL: [Self; 6] =
        [Self::Start, Self::Hold, Self::Resume, Self::Complete, Self::Stop, Self::Void];

    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Hold => "hold",
            Self::Resume => "resume",
            Self::Complete => "complete",
            Self::Stop => "stop",
            Self::Void => "void",
        }
    }
}

/// What somebody should look at again.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// It was planned on a tooth that is gone by now.
    #[sea_orm(string_value = "tooth_gone")]
    ToothGone,
}

#[cfg(test)]
mod tests {
    use sea_orm::{ActiveEnum, Iterable};

    use super::*;

    /// For each state: the actions that are possible, and where each leads.
    const TABLE: &[(Status, &[(Action, Status)])] = {
        use Action as A;
        use Status as S;
        &[
            (
                S::Preparation,
                &[(A::Start, S::InProgress), (A::Stop, S::NotDone), (A::Void, S::EnteredInError)],
            ),
            (
                S::InProgress,
                &[
                    (A::Hold, S::OnHold),
                    (A::Complete, S::Completed),
                    (A::Stop, S::Stopped),
                    (A::Void, S::EnteredInError),
                ],
            ),
            (
                S::OnHold,
                &[
                    (A::Resume, S::InProgress),
                    (A::Complete, S::Completed),
                    (A::Stop, S::Stopped),
                    (A::Void, S::EnteredInError),
                ],
            ),
            (S::Completed, &[(A::Void, S::EnteredInError)]),
            (S::NotDone, &[(A::Void, S::EnteredInError)]),
            (S::Stopped, &[(A::Void, S::EnteredInError)]),
            (S::EnteredInError, &[]),
        ]
    };

    #[test]
    fn every_state_allows_exactly_the_actions_of_the_table() {
        assert_eq!(TABLE.len(), Status::ALL.len());
        for (from, possible) in TABLE {
            for action in Action::ALL {
                let expected = possible.iter().find(|(other, _)| *other == action).map(|(_, to)| *to);
                assert_eq!(from.after(action).ok(), expected, "{} from {}", action.as_str(), from.as_str());
            }
            let mut reached: Vec<_> = possible.iter().map(|(_, to)| to.as_str()).collect();
            let mut allowed: Vec<_> = from.next().iter().map(|status| status.as_str()).collect();
            reached.sort_unstable();
            allowed.sort_unstable();
            assert_eq!(allowed, reached, "from {}", from.as_str());
        }
    }

    #[test]
    fn a_state_has_one_word_in_json_and_sql() {
        assert_eq!(Status::iter().collect::<Vec<_>>(), Status::ALL);
        for status in Status::ALL {
            assert_eq!(status.to_value(), status.as_str());
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert_eq!(status.is_open(), Status::OPEN.contains(&status));
        }
    }
}
