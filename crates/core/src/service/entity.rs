//! The table `services`.

use sea_orm::entity::prelude::*;

use crate::ServiceId;

/// One service that can be booked.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "services")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ServiceId,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// The clinic's own short code; unique.
    pub code: String,
    /// The name in the clinic's language.
    pub name: String,
    /// The names by language: an object of BCP 47 tags and texts.
    #[sea_orm(column_type = "JsonBinary")]
    pub names: Json,
    /// How long it takes.
    pub duration_minutes: i32,
    /// How long the staff member and the room are busy before it.
    pub buffer_before_minutes: i32,
    /// How long the staff member and the room are busy after it.
    pub buffer_after_minutes: i32,
    /// Whether it can only happen in a chair.
    pub needs_chair: bool,
    /// Whether patients may book it themselves.
    pub bookable_online: bool,
    /// The usual price, if there is one.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub price: Option<Decimal>,
    /// The currency of the price.
    pub currency: String,
    /// The rate of tax on it, in percent.
    #[sea_orm(column_type = "Decimal(Some((7, 4)))")]
    pub tax_rate: Decimal,
    /// Whether it can be booked.
    pub active: bool,
}

impl ActiveModelBehavior for ActiveModel {}
