//! The table `credit_note_taxes`.

use sea_orm::entity::prelude::*;

use crate::CreditNoteId;

/// The tax of one rate.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credit_note_taxes")]
pub struct Model {
    /// Which row.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// On which note.
    pub credit_note_id: CreditNoteId,
    /// The rate in percent.
    #[sea_orm(column_type = "Decimal(Some((7, 4)))")]
    pub rate: Decimal,
    /// The sum of the nets at that rate.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub net: Decimal,
    /// The tax on it.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub tax: Decimal,
}

impl ActiveModelBehavior for ActiveModel {}
