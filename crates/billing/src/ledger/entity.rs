//! The table `ledger_entries`.

use clinicx_core::PatientId;
use sea_orm::entity::prelude::*;

use super::dto::EntryKind;
use crate::{AccountId, LedgerEntryId};

/// One movement.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ledger_entries")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: LedgerEntryId,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// On which account.
    pub account_id: AccountId,
    /// For whom.
    pub patient_id: PatientId,
    /// What moved.
    pub kind: EntryKind,
    /// The id of what moved.
    pub source_id: Uuid,
    /// How much: above zero is owed to the clinic.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub amount: Decimal,
    /// The account's currency.
    pub currency: String,
    /// When it was booked.
    pub occurred_at: DateTimeUtc,
    /// The number of the invoice or note.
    pub reference: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
