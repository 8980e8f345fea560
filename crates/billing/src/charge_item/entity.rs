//! The table `charge_items`.

use clinicx_core::{PatientId, StaffId};
use sea_orm::entity::prelude::*;

use super::dto::ChargeItemStatus;
use crate::{ChargeItemId, InvoiceId};

/// One thing that can be billed.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "charge_items")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ChargeItemId,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// The kind of thing that was done, such as `treatment`.
    pub source_kind: String,
    /// Its id there; unique with the kind.
    pub source_id: Uuid,
    /// For whom.
    pub patient_id: PatientId,
    /// By whom.
    pub staff_id: Option<StaffId>,
    /// The code in the catalogue of the module that did it.
    pub code: String,
    /// The catalogue's words for it.
    pub description: String,
    /// How many.
    #[sea_orm(column_type = "Decimal(Some((12, 4)))")]
    pub quantity: Decimal,
    /// The net price of one; none when nobody has named one.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub unit_price: Option<Decimal>,
    /// The currency of the price.
    pub currency: Option<String>,
    /// The tax in percent, when it is known already.
    #[sea_orm(column_type = "Decimal(Some((7, 4)))")]
    pub tax_rate: Option<Decimal>,
    /// When it was done.
    pub performed_at: DateTimeUtc,
    /// Where it stands.
    pub status: ChargeItemStatus,
    /// The invoice on which it stands.
    pub invoice_id: Option<InvoiceId>,
}

impl ActiveModelBehavior for ActiveModel {}
