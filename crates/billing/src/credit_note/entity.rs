//! The table `credit_notes`.

use clinicx_core::PatientId;
use sea_orm::entity::prelude::*;

use crate::{AccountId, CreditNoteId, InvoiceId};

/// One note.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credit_notes")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: CreditNoteId,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// Of which invoice.
    pub invoice_id: InvoiceId,
    /// On which account.
    pub account_id: AccountId,
    /// For whom something had been done.
    pub patient_id: PatientId,
    /// Its number.
    pub number: String,
    /// The invoice's currency.
    pub currency: String,
    /// The sum of the lines.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub net: Decimal,
    /// The sum of the taxes.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub tax: Decimal,
    /// Both.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub gross: Decimal,
    /// When it was issued.
    pub issued_at: DateTimeUtc,
    /// The clinic's local day of it.
    pub issued_on: Date,
    /// Why, sealed.
    pub reason: Vec<u8>,
}

impl ActiveModelBehavior for ActiveModel {}
