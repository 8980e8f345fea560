//! The table `billing_settings`: one row, which comes with the table.

use sea_orm::entity::prelude::*;

/// The row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "billing_settings")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// Always true; unique.
    pub singleton: bool,
    /// Who the clinic is on its invoices.
    #[sea_orm(column_type = "JsonBinary")]
    pub issuer: Json,
    /// The first part of invoices' numbers.
    pub invoice_prefix: String,
    /// The first part of credit notes' numbers.
    pub credit_note_prefix: String,
    /// The month in which a fiscal year begins.
    pub fiscal_year_start_month: i16,
    /// How many days after its issue an invoice is due.
    pub payment_terms_days: i16,
}

impl ActiveModelBehavior for ActiveModel {}
