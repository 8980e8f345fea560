//! The words of findings and their states. Pure: no clock, no database.

use schemars::JsonSchema;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// What was found on a tooth; words of our own.
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
#[serde(rename_all = "snake_case")]
pub enum FindingCode {
    /// Decay.
    #[sea_orm(string_value = "caries")]
    Caries,
    /// Decay beside a filling or under a crown.
    #[sea_orm(string_value = "secondary_caries")]
    SecondaryCaries,
    /// Something has broken off, or a crack.
    #[sea_orm(string_value = "fracture")]
    Fracture,
    /// Worn by grinding or brushing.
    #[sea_orm(string_value = "wear")]
    Wear,
    /// Dissolved by acid.
    #[sea_orm(string_value = "erosion")]
    Erosion,
    /// Enamel that did not form well.
    #[sea_orm(string_value = "hypomineralisation")]
    Hypomineralisation,
    /// Another colour than its neighbours.
    #[sea_orm(string_value = "discolouration")]
    Discolouration,
    /// An inflamed pulp.
    #[sea_orm(string_value = "pulpitis")]
    Pulpitis,
    /// A dead pulp.
    #[sea_orm(string_value = "necrosis")]
    Necrosis,
    /// Something at the tip of the root.
    #[sea_orm(string_value = "periapical_lesion")]
    PeriapicalLesion,
    /// Loose.
    #[sea_orm(string_value = "mobility")]
    Mobility,
    /// The fork of the roots lies open.
    #[sea_orm(string_value = "furcation")]
    Furcation,
    /// Not in its place, or turned.
    #[sea_orm(string_value = "malposition")]
    Malposition,
    /// Hurts with cold, heat or touch.
    #[sea_orm(string_value = "sensitivity")]
    Sensitivity,
    /// A filling or crown that must be replaced.
    #[sea_orm(string_value = "defective_restoration")]
    DefectiveRestoration,
    /// A filling that was there already.
    #[sea_orm(string_value = "restoration")]
    Restoration,
    /// A crown that was there already.
    #[sea_orm(string_value = "crown")]
    Crown,
    /// A veneer that was there already.
    #[sea_orm(string_value = "veneer")]
    Veneer,
    /// A filled root that was there already.
    #[sea_orm(string_value = "root_filling")]
    RootFilling,
    /// A sealed fissure that was there already.
    #[sea_orm(string_value = "sealant")]
    Sealant,
    /// Something else; the note says what.
    #[sea_orm(string_value = "other")]
    Other,
}

impl FindingCode {
    /// Tells whether it is work that was done before, and nothing that asks for treatment.
    pub const fn is_existing_work(self) -> bool {
        matches!(self, Self::Restoration | Self::Crown | Self::Veneer | Self::RootFilling | Self::Sealant)
    }

    /// Tells whether it can be on what stands in the place of a tooth: a crown can break, but an implant and a pontic have
    /// neither enamel nor pulp nor a root that could be filled.
    pub const fn is_possible_on_replacements(self) -> bool {
        !matches!(
            self,
            Self::Caries
                | Self::SecondaryCaries
                | Self::Erosion
                | Self::Hypomineralisation
                | Self::Pulpitis
                | Self::Necrosis
                | Self::PeriapicalLesion
                | Self::Furcation
                | Self::RootFilling
                | Self::Sealant
        )
    }

    /// Returns its name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Caries => "caries",
            Self::SecondaryCaries => "secondary caries",
            Self::Fracture => "fracture",
            Self::Wear => "wear",
            Self::Erosion => "erosion",
            Self::Hypomineralisation => "hypomineralisation",
            Self::Discolouration => "discolouration",
            Self::Pulpitis => "pulpitis",
            Self::Necrosis => "necrosis",
            Self::PeriapicalLesion => "periapical lesion",
            Self::Mobility => "mobility",
            Self::Furcation => "furcation",
            Self::Malposition => "malposition",
            Self::Sensitivity => "sensitivity",
            Self::DefectiveRestoration => "defective restoration",
            Self::Restoration => "restoration",
            Self::Crown => "crown",
            Self::Veneer => "veneer",
            Self::RootFilling => "root filling",
            Self::Sealant => "sealant",
            Self::Other => "other finding",
        }
    }
}

/// How bad it is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Hardly.
    #[sea_orm(string_value = "mild")]
    Mild,
    /// Clearly.
    #[sea_orm(string_value = "moderate")]
    Moderate,
    /// Very.
    #[sea_orm(string_value = "severe")]
    Severe,
}

/// Where a finding stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "kebab-case")]
pub enum FindingStatus {
    /// It is there.
    #[sea_orm(string_value = "active")]
    Active,
    /// It is there and is watched only.
    #[sea_orm(string_value = "watch")]
    Watch,
    /// It is there no more.
    #[sea_orm(string_value = "resolved")]
    Resolved,
    /// It should never have been recorded.
    #[sea_orm(string_value = "entered-in-error")]
    EnteredInError,
}

impl FindingStatus {
    /// Every state, in the order of this type.
    pub const ALL: [Self; 4] = [Self::Active, Self::Watch, Self::Resolved, Self::EnteredInError];

    /// The states in which it is there.
    pub const OPEN: [Self; 2] = [Self::Active, Self::Watch];

    /// Tells whether it is there.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Active | Self::Watch)
    }

    /// Returns the word for it in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Watch => "watch",
            Self::Resolved => "resolved",
            Self::EnteredInError => "entered-in-error",
        }
    }

    /// Returns the states that can follow. What has come back after it was resolved is a new finding.
    pub const fn next(self) -> &'static [Self] {
        match self {
            Self::Active => &[Self::Watch, Self::Resolved, Self::EnteredInError],
            Self::Watch => &[Self::Active, Self::Resolved, Self::EnteredInError],
            Self::Resolved => &[Self::EnteredInError],
            Self::EnteredInError => &[],
        }
    }

    /// Returns the words of the states that can follow.
    pub fn allowed(self) -> Vec<&'static str> {
        self.next().iter().map(|status| status.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::{ActiveEnum, Iterable};

    use super::*;

    #[test]
    fn words_are_the_same_in_json_and_sql() {
        for status in FindingStatus::ALL {
            assert_eq!(status.is_open(), FindingStatus::OPEN.contains(&status));
            assert_eq!(status.to_value(), status.as_str());
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        for code in FindingCode::iter() {
            assert_eq!(serde_json::to_value(code).unwrap(), code.to_value());
        }
    }
}
