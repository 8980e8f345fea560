//! The table `patient_emergency_contacts`.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::PatientId;

/// Somebody to call.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "patient_emergency_contacts")]
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
    /// Who.
    pub name: String,
    /// What the person is to the patient.
    pub relationship: Option<String>,
    /// The telephone number as it was typed.
    pub phone_raw: Option<String>,
    /// The telephone number in E.164 where it could be understood.
    pub phone: Option<String>,
    /// Its place: 1 is tried first.
    pub rank: i16,
    /// The patient.
    #[sea_orm(belongs_to, relation_enum = "Patient", from = "patient_id", to = "id")]
    pub patient: BelongsTo<super::entity::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
