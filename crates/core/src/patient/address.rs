//! The table `patient_addresses`.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use super::code::AddressUse;
use crate::PatientId;

/// An address.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "patient_addresses")]
pub struct Model {
    /// Which row.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Whose it is.
    pub patient_id: PatientId,
    /// What it is used for.
    #[sea_orm(column_name = "use")]
    pub usage: Option<AddressUse>,
    /// Street and number.
    pub line1: Option<String>,
    /// What else stands on the envelope.
    pub line2: Option<String>,
    /// City.
    pub city: Option<String>,
    /// State, province or district.
    pub state: Option<String>,
    /// Postal code.
    pub postal_code: Option<String>,
    /// Country, ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// Its place: 1 comes first.
    pub rank: i16,
    /// The patient.
    #[sea_orm(belongs_to, relation_enum = "Patient", from = "patient_id", to = "id")]
    pub patient: BelongsTo<super::entity::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
