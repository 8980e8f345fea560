//! The table `time_off`.

use sea_orm::entity::prelude::*;

use crate::{StaffId, TimeOffId};

/// One absence of a staff member, half-open.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "time_off")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: TimeOffId,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// Who is away.
    pub staff_id: StaffId,
    /// The first instant of it.
    pub starts_at: DateTimeUtc,
    /// The first instant after it.
    pub ends_at: DateTimeUtc,
    /// Why.
    pub reason: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
