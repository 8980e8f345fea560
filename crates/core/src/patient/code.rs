//! The coded values of a patient's record, in the words of FHIR R4.

use schemars::JsonSchema;
use sea_orm::{DeriveActiveEnum, EnumIter};
use serde::{Deserialize, Serialize};

/// Where a patient's record stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
pub enum PatientStatus {
    /// In use.
    Active,
    /// Kept and no longer in use.
    Inactive,
    /// Merged into another record.
    Merged,
    /// What identified the person has been blanked.
    Erased,
    /// Should never have been made.
    EnteredInError,
}

impl PatientStatus {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Merged => "merged",
            Self::Erased => "erased",
            Self::EnteredInError => "entered-in-error",
        }
    }
}

/// Administrative gender (FHIR `administrative-gender`).
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
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Gender {
    /// Male.
    Male,
    /// Female.
    Female,
    /// Other.
    Other,
    /// Not known.
    #[default]
    Unknown,
}

/// Blood group and Rhesus factor.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum BloodType {
    /// A, Rhesus positive.
    #[sea_orm(string_value = "A+")]
    #[serde(rename = "A+")]
    APositive,
    /// A, Rhesus negative.
    #[sea_orm(string_value = "A-")]
    #[serde(rename = "A-")]
    ANegative,
    /// B, Rhesus positive.
    #[sea_orm(string_value = "B+")]
    #[serde(rename = "B+")]
    BPositive,
    /// B, Rhesus negative.
    #[sea_orm(string_value = "B-")]
    #[serde(rename = "B-")]
    BNegative,
    /// AB, Rhesus positive.
    #[sea_orm(string_value = "AB+")]
    #[serde(rename = "AB+")]
    AbPositive,
    /// AB, Rhesus negative.
    #[sea_orm(string_value = "AB-")]
    #[serde(rename = "AB-")]
    AbNegative,
    /// 0, Rhesus positive.
    #[sea_orm(string_value = "O+")]
    #[serde(rename = "O+")]
    OPositive,
    /// 0, Rhesus negative.
    #[sea_orm(string_value = "O-")]
    #[serde(rename = "O-")]
    ONegative,
}

/// The kind of a telecom (FHIR `contact-point-system`).
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
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum TelecomSystem {
    /// A telephone number.
    Phone,
    /// An e-mail address.
    Email,
}

/// What a telecom is used for (FHIR `contact-point-use`).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum TelecomUse {
    /// At home.
    Home,
    /// At work.
    Work,
    /// For a while.
    Temp,
    /// No longer.
    Old,
    /// A mobile phone.
    Mobile,
}

/// What an address is used for (FHIR `address-use`).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum AddressUse {
    /// Where the person lives.
    Home,
    /// Where the person works.
    Work,
    /// For a while.
    Temp,
    /// No longer.
    Old,
    /// Where invoices go.
    Billing,
}
