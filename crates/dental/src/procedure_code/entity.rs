//! The table `procedure_codes`.

use sea_orm::entity::prelude::*;

use super::kind::{Category, Effect, Origin};
use crate::{ProcedureCodeId, area::Area};

/// One procedure of the catalogue.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "procedure_codes")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ProcedureCodeId,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// Its code; unique, never changed.
    pub code: String,
    /// Its name in the clinic's language.
    pub name: String,
    /// Its names by language: an object of BCP 47 tags and texts.
    #[sea_orm(column_type = "JsonBinary")]
    pub names: Json,
    /// What kind of work it is.
    pub category: Category,
    /// Where it is usually done.
    pub area: Area,
    /// What it makes of its teeth.
    pub effect: Option<Effect>,
    /// The usual price, if there is one.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub price: Option<Decimal>,
    /// The currency of the price.
    pub currency: Option<String>,
    /// The rate of tax on it, in percent.
    #[sea_orm(column_type = "Decimal(Some((7, 4)))")]
    pub tax_rate: Decimal,
    /// Whether it is billed once it is done.
    pub billable: bool,
    /// Whether it can be planned.
    pub active: bool,
    /// Where it comes from.
    pub origin: Origin,
}

impl ActiveModelBehavior for ActiveModel {}
