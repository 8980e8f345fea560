//! The table `invoices`.

use clinicx_core::PatientId;
use sea_orm::entity::prelude::*;

use super::status::InvoiceStatus;
use crate::{AccountId, InvoiceId};

/// One invoice.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invoices")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: InvoiceId,
    /// Raised by every change, payments among them.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// For whom something was done.
    pub patient_id: PatientId,
    /// From which account it is paid.
    pub account_id: AccountId,
    /// Its number; none before it is issued.
    pub number: Option<String>,
    /// Where it stands.
    pub status: InvoiceStatus,
    /// The currency of all its amounts.
    pub currency: String,
    /// What a discount on the whole takes off.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub discount: Decimal,
    /// The discount on the whole in percent, when it was given so.
    #[sea_orm(column_type = "Decimal(Some((7, 4)))")]
    pub discount_percent: Option<Decimal>,
    /// The sum of the lines.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub net: Decimal,
    /// The sum of the taxes.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub tax: Decimal,
    /// Both.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub gross: Decimal,
    /// What payments cover; the sum of its allocations.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub allocated: Decimal,
    /// What credit notes take back.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub credited: Decimal,
    /// When it was issued.
    pub issued_at: Option<DateTimeUtc>,
    /// The clinic's local day of it.
    pub issued_on: Option<Date>,
    /// The last day on which it is not overdue.
    pub due_on: Option<Date>,
    /// When it was cancelled.
    pub cancelled_at: Option<DateTimeUtc>,
    /// Who the clinic was when it was issued.
    #[sea_orm(column_type = "JsonBinary")]
    pub issuer: Option<Json>,
    /// Who was to pay when it was issued, sealed.
    pub recipient: Option<Vec<u8>>,
    /// What is written below it, sealed.
    pub note: Option<Vec<u8>>,
    /// Why it was cancelled, sealed.
    pub cancellation_reason: Option<Vec<u8>>,
}

impl Model {
    /// Returns what is left to be paid or credited.
    pub fn due(&self) -> Decimal {
        match self.status {
            InvoiceStatus::Cancelled | InvoiceStatus::EnteredInError => Decimal::ZERO,
            InvoiceStatus::Draft | InvoiceStatus::Issued | InvoiceStatus::Balanced => {
                self.gross - self.allocated - self.credited
            }
        }
    }
}

impl ActiveModelBehavior for ActiveModel {}
