//! The table `orthodontic_brackets`.

use clinicx_core::PatientId;
use clinicx_dental::tooth::Tooth;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::BracketId;

/// What a bracket is made of, or where it sits.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    EnumIter,
    DeriveActiveEnum,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum BracketKind {
    /// Of metal.
    #[sea_orm(string_value = "metal")]
    Metal,
    /// Of ceramic.
    #[sea_orm(string_value = "ceramic")]
    Ceramic,
    /// On the side of the tongue.
    #[sea_orm(string_value = "lingual")]
    Lingual,
}

/// A bracket that is or was bonded to a tooth.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "orthodontic_brackets")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: BracketId,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// Whose tooth it is.
    pub patient_id: PatientId,
    /// The tooth.
    pub tooth: Tooth,
    /// Which kind.
    pub kind: BracketKind,
    /// Since which day it is there.
    pub bonded_on: Date,
    /// Since which day it is there no more.
    pub removed_on: Option<Date>,
}

impl ActiveModelBehavior for ActiveModel {}
