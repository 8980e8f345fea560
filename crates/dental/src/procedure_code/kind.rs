//! The words of the catalogue. Pure: no clock, no database.

use schemars::JsonSchema;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// What kind of work a procedure is.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
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
pub enum Category {
    /// Looking, X-rays, photographs.
    #[sea_orm(string_value = "diagnostic")]
    Diagnostic,
    /// Cleaning, fluoride, sealants.
    #[sea_orm(string_value = "preventive")]
    Preventive,
    /// Fillings and inlays.
    #[sea_orm(string_value = "restorative")]
    Restorative,
    /// Inside the root.
    #[sea_orm(string_value = "endodontic")]
    Endodontic,
    /// Around the root.
    #[sea_orm(string_value = "periodontal")]
    Periodontal,
    /// Crowns, bridges, dentures.
    #[sea_orm(string_value = "prosthetic")]
    Prosthetic,
    /// Implants and what goes with them.
    #[sea_orm(string_value = "implant")]
    Implant,
    /// Extractions and other operations.
    #[sea_orm(string_value = "surgical")]
    Surgical,
    /// Moving teeth.
    #[sea_orm(string_value = "orthodontic")]
    Orthodontic,
    /// Anything else.
    #[default]
    #[sea_orm(string_value = "other")]
    Other,
}

impl Category {
    /// Returns its name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Diagnostic => "diagnostic",
            Self::Preventive => "preventive",
            Self::Restorative => "restorative",
            Self::Endodontic => "endodontic",
            Self::Periodontal => "periodontal",
            Self::Prosthetic => "prosthetic",
            Self::Implant => "implant",
            Self::Surgical => "surgical",
            Self::Orthodontic => "orthodontic",
            Self::Other => "other",
        }
    }
}

/// What a completed procedure makes of its teeth.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// They are extracted.
    #[sea_orm(string_value = "extraction")]
    Extraction,
    /// Each gets an implant; there must be no tooth.
    #[sea_orm(string_value = "implant")]
    Implant,
    /// Those that are gone get a pontic.
    #[sea_orm(string_value = "pontic")]
    Pontic,
    /// Nothing; but it may be where teeth are gone, as a denture is.
    #[sea_orm(string_value = "prosthesis")]
    Prosthesis,
}

impl Effect {
    /// Tells whether the procedure may be done where a tooth is gone.
    pub const fn fills_gaps(self) -> bool {
        matches!(self, Self::Implant | Self::Pontic | Self::Prosthesis)
    }
}

/// Where a line of the catalogue comes from.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It came with the module.
    #[sea_orm(string_value = "shipped")]
    Shipped,
    /// The clinic has added it.
    #[sea_orm(string_value = "own")]
    Own,
    /// The clinic has brought it in a file.
    #[sea_orm(string_value = "imported")]
    Imported,
}
