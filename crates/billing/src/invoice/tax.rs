//! The table `invoice_taxes`.

use sea_orm::entity::prelude::*;

use crate::InvoiceId;

/// The tax of one rate.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invoice_taxes")]
pub struct Model {
    /// Which row.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// On which invoice.
    pub invoice_id: InvoiceId,
    /// The rate in percent.
    #[sea_orm(column_type = "Decimal(Some((7, 4)))")]
    pub rate: Decimal,
    /// The sum of the nets at that rate.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub net: Decimal,
    /// The tax on it.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub tax: Decimal,
    /// What was credited of it.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub credited_tax: Decimal,
}

impl ActiveModelBehavior for ActiveModel {}
