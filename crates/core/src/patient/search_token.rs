//! The table `patient_search_tokens`.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::PatientId;

/// A folded word of a patient'\''s names.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "patient_search_tokens")]
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
    /// The word.
    pub token: String,
    /// The patient.
    #[sea_orm(belongs_to, relation_enum = "Patient", from = "patient_id", to = "id")]
    pub patient: BelongsTo<super::entity::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
