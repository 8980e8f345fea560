//! The states of an appointment and the moves between them. Pure: no clock, no database.
//!
//! The words are those of FHIR R4 `AppointmentStatus`.

use schemars::JsonSchema;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// Where an appointment stands.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Suggested; holds no slot.
    #[sea_orm(string_value = "proposed")]
    Proposed,
    /// Waits for a slot; holds none.
    #[sea_orm(string_value = "waitlist")]
    Waitlist,
    /// Holds its slot until the hold expires.
    #[sea_orm(string_value = "pending")]
    Pending,
    /// Holds its slot.
    #[sea_orm(string_value = "booked")]
    Booked,
    /// The patient has come.
    #[sea_orm(string_value = "arrived")]
    Arrived,
    /// The patient was received and is being treated.
    #[sea_orm(string_value = "checked-in")]
    CheckedIn,
    /// It took place.
    #[sea_orm(string_value = "fulfilled")]
    Fulfilled,
    /// It was called off.
    #[sea_orm(string_value = "cancelled")]
    Cancelled,
    /// The patient did not come.
    #[sea_orm(string_value = "noshow")]
    Noshow,
    /// It should never have been there.
    #[sea_orm(string_value = "entered-in-error")]
    EnteredInError,
}

impl Status {
    /// Every state, in the order of this type.
    pub const ALL: [Self; 10] = [
        Self::Proposed,
        Self::Waitlist,
        Self::Pending,
        Self::Booked,
        Self::Arrived,
        Self::CheckedIn,
        Self::Fulfilled,
        Self::Cancelled,
        Self::Noshow,
        Self::EnteredInError,
    ];

    /// Returns the word for it in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Waitlist => "waitlist",
            Self::Pending => "pending",
            Self::Booked => "booked",
            Self::Arrived => "arrived",
            Self::CheckedIn => "checked-in",
            Self::Fulfilled => "fulfilled",
            Self::Cancelled => "cancelled",
            Self::Noshow => "noshow",
            Self::EnteredInError => "entered-in-error",
        }
    }

    /// Returns the states that can follow.
    pub const fn next(self) -> &'static [Self] {
        match self {
            Self::Proposed => {
                &[Self::Pending, Self::Booked, Self::Waitlist, Self::Cancelled, Self::EnteredInError]
            }
            Self::Waitlist => &[Self::Pending, Self::Booked, Self::Cancelled, Self::EnteredInError],
            Self::Pending => &[Self::Booked, Self::Cancelled, Self::EnteredInError],
            Self::Booked => {
                &[Self::Arrived, Self::CheckedIn, Self::Cancelled, Self::Noshow, Self::EnteredInError]
            }
            Self::Arrived => &[Self::CheckedIn, Self::Cancelled, Self::Noshow, Self::EnteredInError],
            Self::CheckedIn => &[Self::Fulfilled, Self::Cancelled, Self::EnteredInError],
            Self::Noshow => &[Self::Booked],
            Self::Fulfilled | Self::Cancelled | Self::EnteredInError => &[],
        }
    }

    /// Tells whether nobody else may have the time: the patient, the staff member and the room are taken.
    ///
    /// What took place keeps its time, so that history never shows somebody in two places at once.
    pub const fn holds_slot(self) -> bool {
        matches!(self, Self::Pending | Self::Booked | Self::Arrived | Self::CheckedIn | Self::Fulfilled)
    }

    /// Tells whether the time, the room and the people can still be changed.
    pub const fn can_be_moved(self) -> bool {
        matches!(self, Self::Proposed | Self::Waitlist | Self::Pending | Self::Booked | Self::Arrived)
    }

    /// Returns the state that an action leads to.
    ///
    /// # Errors
    /// [`RefusedMove`] when it can't follow this one.
    pub fn after(self, action: Action) -> Result<Self, RefusedMove> {
        let target = action.target();
        let starts_right = action != Action::Revive || self == Self::Noshow;
        if starts_right && self.next().contains(&target) {
            return Ok(target);
        }
        Err(RefusedMove { from: self, action })
    }

    /// Returns the words of the states that can follow.
    pub fn allowed(self) -> Vec<&'static str> {
        self.next().iter().map(|status| status.as_str()).collect()
    }
}

/// What somebody wants to do with an appointment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Put it on the waiting list.
    Defer,
    /// Hold its slot for a while.
    Hold,
    /// Book it; after a no-show this is [`Action::Revive`].
    Confirm,
    /// The patient has come.
    Arrive,
    /// The patient is received.
    CheckIn,
    /// It took place.
    Fulfil,
    /// Call it off.
    Cancel,
    /// The patient did not come.
    NoShow,
    /// The patient came after all.
    Revive,
    /// It should never have been there.
    Void,
}

impl Action {
    /// Every action, in the order of this type.
    pub const ALL: [Self; 10] = [
        Self::Defer,
        Self::Hold,
        Self::Confirm,
        Self::Arrive,
        Self::CheckIn,
        Self::Fulfil,
        Self::Cancel,
        Self::NoShow,
        Self::Revive,
        Self::Void,
    ];

    /// Returns the state that it leads to.
    pub const fn target(self) -> Status {
        match self {
            Self::Defer => Status::Waitlist,
            Self::Hold => Status::Pending,
            Self::Confirm | Self::Revive => Status::Booked,
            Self::Arrive => Status::Arrived,
            Self::CheckIn => Status::CheckedIn,
            Self::Fulfil => Status::Fulfilled,
            Self::Cancel => Status::Cancelled,
            Self::NoShow => Status::Noshow,
            Self::Void => Status::EnteredInError,
        }
    }

    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Defer => "defer",
            Self::Hold => "hold",
            Self::Confirm => "confirm",
            Self::Arrive => "arrive",
            Self::CheckIn => "check-in",
            Self::Fulfil => "fulfil",
            Self::Cancel => "cancel",
            Self::NoShow => "no-show",
            Self::Revive => "revive",
            Self::Void => "void",
        }
    }
}

/// The action can't follow the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not possible from {}", .action.as_str(), .from.as_str())]
pub struct RefusedMove {
    /// The state.
    pub from: Status,
    /// What was tried.
    pub action: Action,
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
                S::Proposed,
                &[
                    (A::Hold, S::Pending),
                    (A::Confirm, S::Booked),
                    (A::Defer, S::Waitlist),
                    (A::Cancel, S::Cancelled),
                    (A::Void, S::EnteredInError),
                ],
            ),
            (
                S::Waitlist,
                &[
                    (A::Hold, S::Pending),
                    (A::Confirm, S::Booked),
                    (A::Cancel, S::Cancelled),
                    (A::Void, S::EnteredInError),
                ],
            ),
            (S::Pending, &[(A::Confirm, S::Booked), (A::Cancel, S::Cancelled), (A::Void, S::EnteredInError)]),
            (
                S::Booked,
                &[
                    (A::Arrive, S::Arrived),
                    (A::CheckIn, S::CheckedIn),
                    (A::Cancel, S::Cancelled),
                    (A::NoShow, S::Noshow),
                    (A::Void, S::EnteredInError),
                ],
            ),
            (
                S::Arrived,
                &[
                    (A::CheckIn, S::CheckedIn),
                    (A::Cancel, S::Cancelled),
                    (A::NoShow, S::Noshow),
                    (A::Void, S::EnteredInError),
                ],
            ),
            (
                S::CheckedIn,
                &[(A::Fulfil, S::Fulfilled), (A::Cancel, S::Cancelled), (A::Void, S::EnteredInError)],
            ),
            (S::Noshow, &[(A::Confirm, S::Booked), (A::Revive, S::Booked)]),
            (S::Fulfilled, &[]),
            (S::Cancelled, &[]),
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
            let mut allowed = from.allowed();
            reached.sort_unstable();
            reached.dedup();
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
        }
    }
}
