//! The table `payment_allocations`: signed, and only ever added to.

use sea_orm::entity::prelude::*;

use super::dto::AllocationReason;
use crate::{InvoiceId, PaymentId};

/// Money that came to an invoice, or left it again.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment_allocations")]
pub struct Model {
    /// Which row.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// Of which payment.
    pub payment_id: PaymentId,
    /// To which invoice.
    pub invoice_id: InvoiceId,
    /// How much; below zero when it left.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub amount: Decimal,
    /// Why.
    pub reason: AllocationReason,
}

impl ActiveModelBehavior for ActiveModel {}
