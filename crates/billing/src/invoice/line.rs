//! The table `invoice_lines`.

use clinicx_core::{ServiceId, StaffId};
use sea_orm::entity::prelude::*;

use crate::{ChargeItemId, InvoiceId, InvoiceLineId};

/// One line.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invoice_lines")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: InvoiceLineId,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// On which invoice.
    pub invoice_id: InvoiceId,
    /// Its place, from 1.
    pub position: i32,
    /// What it says, sealed.
    pub description: Vec<u8>,
    /// How many.
    #[sea_orm(column_type = "Decimal(Some((12, 4)))")]
    pub quantity: Decimal,
    /// The net price of one.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub unit_price: Decimal,
    /// What its own discount takes off.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub discount: Decimal,
    /// Its own discount in percent, when it was given so.
    #[sea_orm(column_type = "Decimal(Some((7, 4)))")]
    pub discount_percent: Option<Decimal>,
    /// Its part of the discount on the whole.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub header_discount: Decimal,
    /// What it comes to.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub net: Decimal,
    /// The tax in percent.
    #[sea_orm(column_type = "Decimal(Some((7, 4)))")]
    pub tax_rate: Decimal,
    /// What was done, when a module handed it over.
    pub charge_item_id: Option<ChargeItemId>,
    /// The clinic's local day on which it was done, when a module handed it over.
    pub performed_on: Option<Date>,
    /// By whom.
    pub staff_id: Option<StaffId>,
    /// The service that it was.
    pub service_id: Option<ServiceId>,
    /// The code in a module's own catalogue.
    pub code: Option<String>,
    /// How many were credited.
    #[sea_orm(column_type = "Decimal(Some((12, 4)))")]
    pub credited_quantity: Decimal,
    /// What was credited of the net.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub credited_net: Decimal,
}

impl ActiveModelBehavior for ActiveModel {}
