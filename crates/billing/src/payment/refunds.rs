//! The table `refunds`.

use clinicx_core::PatientId;
use sea_orm::entity::prelude::*;

use super::status::PaymentMethod;
use crate::{AccountId, PaymentId, RefundId};

/// Money that was given back.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "refunds")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: RefundId,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// Of which payment.
    pub payment_id: PaymentId,
    /// From which account.
    pub account_id: AccountId,
    /// For whom it had been paid.
    pub patient_id: PatientId,
    /// How much.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub amount: Decimal,
    /// In which currency.
    pub currency: String,
    /// By which means.
    pub method: PaymentMethod,
    /// When the money changed hands.
    pub refunded_at: DateTimeUtc,
    /// Why, sealed.
    pub reason: Vec<u8>,
}

impl ActiveModelBehavior for ActiveModel {}
