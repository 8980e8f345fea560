//! The table `accounts`.

use clinicx_core::PatientId;
use sea_orm::entity::prelude::*;

use crate::AccountId;

/// One account.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "accounts")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AccountId,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// The guarantor.
    pub patient_id: PatientId,
    /// The currency of everything on it.
    pub currency: String,
}

impl ActiveModelBehavior for ActiveModel {}
