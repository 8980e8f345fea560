//! What callers say and hear about rooms.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::entity::{Model, RoomKind};
use crate::{
    RoomId,
    patch_field::{nullable, present},
    validation::one_line,
};

/// A site, a room or a chair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Room {
    /// Which one.
    pub id: RoomId,
    /// Raised by every change; the ETag.
    pub version: i64,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// What people call it.
    pub name: String,
    /// What it is.
    pub kind: RoomKind,
    /// The site of a room, the room or site of a chair.
    pub parent_id: Option<RoomId>,
    /// The IANA time zone of a site; `null` means the clinic's.
    pub time_zone: Option<String>,
    /// Whether it can be booked; a site never can.
    pub active: bool,
}

impl From<Model> for Room {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            name: row.name,
            kind: row.kind,
            parent_id: row.parent_id,
            time_zone: row.time_zone,
            active: row.active,
        }
    }
}

/// A new site, room or chair.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct CreateRoom {
    /// What people call it.
    #[validate(length(max = 200), custom(function = one_line))]
    pub name: String,
    /// What it is; it can't be changed later.
    pub kind: RoomKind,
    /// The site of a room, the room or site of a chair.
    pub parent_id: Option<RoomId>,
    /// The IANA time zone of a site, when it is not the clinic's.
    pub time_zone: Option<String>,
    /// Whether it can be booked; yes unless said otherwise.
    #[serde(default = "yes")]
    pub active: bool,
}

/// A change of a room: an absent field stays as it is, `null` clears it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct UpdateRoom {
    /// What people call it.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String")]
    #[validate(length(max = 200), custom(function = one_line))]
    pub name: Option<String>,
    /// The site of a room, the room or site of a chair.
    #[serde(default, deserialize_with = "nullable")]
    pub parent_id: Option<Option<RoomId>>,
    /// The IANA time zone of a site, when it is not the clinic's.
    #[serde(default, deserialize_with = "nullable")]
    pub time_zone: Option<Option<String>>,
    /// Whether it can be booked.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "bool")]
    pub active: Option<bool>,
}

/// Which rooms a list holds; an absent field asks for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomFilter {
    /// Those that can be booked, or those that can't.
    pub active: Option<bool>,
    /// Those of this kind.
    pub kind: Option<RoomKind>,
    /// Those directly in this site or room.
    pub parent_id: Option<RoomId>,
}

fn yes() -> bool {
    true
}
