//! The table `payments`.

use clinicx_core::PatientId;
use sea_orm::entity::prelude::*;

use super::status::{PaymentMethod, PaymentStatus};
use crate::{AccountId, PaymentId};

/// One payment.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payments")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: PaymentId,
    /// Raised by every change, allocations among them.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// For whom it was paid.
    pub patient_id: PatientId,
    /// To which account.
    pub account_id: AccountId,
    /// How much.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub amount: Decimal,
    /// In which currency.
    pub currency: String,
    /// By which means.
    pub method: PaymentMethod,
    /// Where it stands.
    pub status: PaymentStatus,
    /// What of it is on invoices; the sum of its allocations.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub allocated: Decimal,
    /// What of it was given back; the sum of its refunds.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub refunded: Decimal,
    /// When the money changed hands.
    pub received_at: DateTimeUtc,
    /// What it is known by elsewhere, sealed.
    pub reference: Option<Vec<u8>>,
    /// Notes, sealed.
    pub note: Option<Vec<u8>>,
    /// When it was voided.
    pub voided_at: Option<DateTimeUtc>,
    /// Why it was voided, sealed.
    pub void_reason: Option<Vec<u8>>,
}

impl Model {
    /// Returns what is neither on an invoice nor given back.
    pub fn unapplied(&self) -> Decimal {
        match self.status {
            PaymentStatus::Completed => self.amount - self.allocated - self.refunded,
            PaymentStatus::Pending | PaymentStatus::Failed | PaymentStatus::Voided => Decimal::ZERO,
        }
    }
}

impl ActiveModelBehavior for ActiveModel {}
