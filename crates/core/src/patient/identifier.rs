//! The table `patient_identifiers`.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::PatientId;

/// An identifier that somebody else gave to the patient, such as a national or insurance number.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "patient_identifiers")]
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
    /// Who gave it: a URI or a short name.
    pub system: String,
    /// The identifier, sealed.
    pub value: Vec<u8>,
    /// The blind index of the folded identifier.
    pub blind_index: Vec<u8>,
    /// When it was taken back.
    pub voided_at: Option<DateTime<Utc>>,
    /// The patient.
    #[sea_orm(belongs_to, relation_enum = "Patient", from = "patient_id", to = "id")]
    pub patient: BelongsTo<super::entity::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
