//! The table `rooms`.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::RoomId;

/// What a room is.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum RoomKind {
    /// A building or branch with a time zone of its own; it can't be booked.
    #[sea_orm(string_value = "site")]
    Site,
    /// A room; one appointment at a time.
    #[sea_orm(string_value = "room")]
    Room,
    /// A chair; one appointment at a time.
    #[sea_orm(string_value = "chair")]
    Chair,
}

impl RoomKind {
    /// Tells whether such a room can be part of another: a room of a site, a chair of either.
    pub fn fits_into(self, parent: Self) -> bool {
        matches!((self, parent), (Self::Room, Self::Site) | (Self::Chair, Self::Site | Self::Room))
    }
}

/// One site, room or chair.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "rooms")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: RoomId,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// What people call it.
    pub name: String,
    /// What it is; never changed.
    pub kind: RoomKind,
    /// The site of a room, the room or site of a chair.
    pub parent_id: Option<RoomId>,
    /// The IANA time zone of a site; `None` means the clinic's.
    pub time_zone: Option<String>,
    /// Whether it can be booked.
    pub active: bool,
}

impl ActiveModelBehavior for ActiveModel {}
