//! What can become of a tooth. Pure: no clock, no database.

use schemars::JsonSchema;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::tooth::{Dentition, Tooth};

/// Whether a tooth is there.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum PresenceState {
    /// It stands in the mouth.
    #[sea_orm(string_value = "present")]
    Present,
    /// It is in the jaw and not yet to be seen.
    #[sea_orm(string_value = "unerupted")]
    Unerupted,
    /// It is breaking through.
    #[sea_orm(string_value = "erupting")]
    Erupting,
    /// It is in the jaw and can't break through.
    #[sea_orm(string_value = "impacted")]
    Impacted,
    /// It is not there; it never was, or nobody knows why.
    #[sea_orm(string_value = "missing")]
    Missing,
    /// It was taken out.
    #[sea_orm(string_value = "extracted")]
    Extracted,
    /// A deciduous tooth that has fallen out.
    #[sea_orm(string_value = "exfoliated")]
    Exfoliated,
    /// An implant is in its place.
    #[sea_orm(string_value = "implant")]
    Implant,
    /// A part of a bridge is in its place.
    #[sea_orm(string_value = "pontic")]
    Pontic,
}

impl PresenceState {
    /// Every state, in the order of this type.
    pub const ALL: [Self; 9] = [
        Self::Present,
        Self::Unerupted,
        Self::Erupting,
        Self::Impacted,
        Self::Missing,
        Self::Extracted,
        Self::Exfoliated,
        Self::Implant,
        Self::Pontic,
    ];

    /// Returns the word for it in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Unerupted => "unerupted",
            Self::Erupting => "erupting",
            Self::Impacted => "impacted",
            Self::Missing => "missing",
            Self::Extracted => "extracted",
            Self::Exfoliated => "exfoliated",
            Self::Implant => "implant",
            Self::Pontic => "pontic",
        }
    }

    /// Tells whether there is nothing on which one could work: no tooth, and nothing in its place.
    pub const fn is_gone(self) -> bool {
        matches!(self, Self::Missing | Self::Extracted | Self::Exfoliated)
    }

    /// Tells whether something stands in the place of the tooth: it has neither root nor pulp, and can't decay.
    pub const fn is_replacement(self) -> bool {
        matches!(self, Self::Implant | Self::Pontic)
    }

    /// Tells whether a tooth of the patient's own is there, in the mouth or in the jaw.
    pub const fn is_own_tooth(self) -> bool {
        matches!(self, Self::Present | Self::Unerupted | Self::Erupting | Self::Impacted)
    }

    /// Tells whether this can become of a tooth of which that was known before. What was wrong before is voided first.
    pub const fn can_follow(self, before: Self) -> bool {
        match before {
            Self::Extracted => !self.is_own_tooth() && !matches!(self, Self::Exfoliated),
            Self::Exfoliated => !self.is_own_tooth() && !matches!(self, Self::Extracted),
            Self::Implant | Self::Pontic => !self.is_own_tooth(),
            // What has come through does not go back under the gum.
            Self::Present => !matches!(self, Self::Unerupted | Self::Erupting | Self::Impacted),
            Self::Erupting => !matches!(self, Self::Unerupted),
            // What never came through did not fall out.
            Self::Unerupted => !matches!(self, Self::Exfoliated),
            // Nobody knows why it was not seen.
            Self::Missing | Self::Impacted => true,
        }
    }

    /// Tells whether this can become of a tooth: only deciduous ones fall out to be followed, and implants and bridges
    /// are for permanent ones.
    pub const fn is_possible_for(self, tooth: Tooth) -> bool {
        match self {
            Self::Exfoliated => matches!(tooth.dentition(), Dentition::Deciduous),
            Self::Implant | Self::Pontic => matches!(tooth.dentition(), Dentition::Permanent),
            _ => true,
        }
    }
}

/// Whether something that was recorded holds.
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
#[serde(rename_all = "kebab-case")]
pub enum RecordStatus {
    /// It holds.
    #[default]
    #[sea_orm(string_value = "recorded")]
    Recorded,
    /// It should never have been there.
    #[sea_orm(string_value = "entered-in-error")]
    EnteredInError,
}

impl RecordStatus {
    /// Returns the word for it in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::EnteredInError => "entered-in-error",
        }
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::{ActiveEnum, Iterable};

    use super::*;

    #[test]
    fn a_state_has_one_word_in_json_and_sql() {
        assert_eq!(PresenceState::iter().collect::<Vec<_>>(), PresenceState::ALL);
        for state in PresenceState::ALL {
            assert_eq!(state.to_value(), state.as_str());
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }

    #[test]
    fn what_is_gone_does_not_come_back() {
        use PresenceState as S;
        let check = |before: PresenceState, impossible: &[PresenceState]| {
            for state in PresenceState::ALL {
                assert_eq!(
                    state.can_follow(before),
                    !impossible.contains(&state),
                    "{state:?} after {before:?}"
                );
            }
        };
        let own = [S::Present, S::Unerupted, S::Erupting, S::Impacted];
        check(S::Extracted, &[&own[..], &[S::Exfoliated]].concat());
        check(S::Exfoliated, &[&own[..], &[S::Extracted]].concat());
        check(S::Implant, &own);
        check(S::Pontic, &own);
        check(S::Present, &[S::Unerupted, S::Erupting, S::Impacted]);
        check(S::Erupting, &[S::Unerupted]);
        check(S::Unerupted, &[S::Exfoliated]);
        for before in [S::Missing, S::Impacted] {
            check(before, &[]);
        }
    }

    #[test]
    fn a_tooth_is_gone_there_or_replaced() {
        for state in PresenceState::ALL {
            let is = [state.is_gone(), state.is_own_tooth(), state.is_replacement()];
            assert_eq!(is.into_iter().filter(|is| *is).count(), 1, "{state:?}");
        }
    }
}
