//! The table `patient_telecoms`.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use super::code::{TelecomSystem, TelecomUse};
use crate::PatientId;

/// A telephone number or an e-mail address.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "patient_telecoms")]
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
    /// Telephone or e-mail.
    pub system: TelecomSystem,
    /// What was typed.
    pub value_raw: String,
    /// E.164 where the number could be understood, else what was typed; e-mail in lower case.
    pub value: String,
    /// The digits of a telephone number from the last to the first.
    pub reversed_digits: Option<String>,
    /// What it is used for.
    #[sea_orm(column_name = "use")]
    pub usage: Option<TelecomUse>,
    /// Its place: 1 is tried first.
    pub rank: i16,
    /// Whether the person wants no reminders there.
    pub opt_out: bool,
    /// The patient.
    #[sea_orm(belongs_to, relation_enum = "Patient", from = "patient_id", to = "id")]
    pub patient: BelongsTo<super::entity::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
