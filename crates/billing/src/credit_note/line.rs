//! The table `credit_note_lines`.

use sea_orm::entity::prelude::*;

use crate::{CreditNoteId, InvoiceLineId};

/// How much of a line.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credit_note_lines")]
pub struct Model {
    /// Which row.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// On which note.
    pub credit_note_id: CreditNoteId,
    /// Of which line.
    pub invoice_line_id: InvoiceLineId,
    /// How many.
    #[sea_orm(column_type = "Decimal(Some((12, 4)))")]
    pub quantity: Decimal,
    /// What they come to.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub net: Decimal,
    /// The tax in percent.
    #[sea_orm(column_type = "Decimal(Some((7, 4)))")]
    pub tax_rate: Decimal,
}

impl ActiveModelBehavior for ActiveModel {}
