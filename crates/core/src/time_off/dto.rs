//! What callers say and hear about absences.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::entity::Model;
use crate::{
    StaffId, TimeOffId,
    patch_field::{nullable, present},
    validation::many_lines,
};

/// An absence of a member of staff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TimeOff {
    /// Which one.
    pub id: TimeOffId,
    /// Raised by every change; the ETag.
    pub version: i64,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Who is away.
    pub staff_id: StaffId,
    /// The first instant of it.
    pub start: DateTime<Utc>,
    /// The first instant after it.
    pub end: DateTime<Utc>,
    /// Why.
    pub reason: Option<String>,
}

impl From<Model> for TimeOff {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            staff_id: row.staff_id,
            start: row.starts_at,
            end: row.ends_at,
            reason: row.reason,
        }
    }
}

/// A new absence.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct CreateTimeOff {
    /// When it starts: RFC 3339, or a local time beside `time_zone`.
    #[serde(alias = "starts_at")]
    pub start: String,
    /// When it ends: RFC 3339, or a local time beside `time_zone`.
    #[serde(alias = "ends_at")]
    pub end: String,
    /// The IANA time zone of local times.
    pub time_zone: Option<String>,
    /// Why.
    #[validate(length(max = 1000), custom(function = many_lines))]
    pub reason: Option<String>,
}

/// A change of an absence: an absent field stays as it is, `null` clears it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct UpdateTimeOff {
    /// When it starts: RFC 3339, or a local time beside `time_zone`.
    #[serde(default, alias = "starts_at", deserialize_with = "present")]
    #[schemars(with = "String")]
    pub start: Option<String>,
    /// When it ends: RFC 3339, or a local time beside `time_zone`.
    #[serde(default, alias = "ends_at", deserialize_with = "present")]
    #[schemars(with = "String")]
    pub end: Option<String>,
    /// The IANA time zone of local times.
    pub time_zone: Option<String>,
    /// Why.
    #[serde(default, deserialize_with = "nullable")]
    #[validate(length(max = 1000), custom(function = many_lines))]
    pub reason: Option<Option<String>>,
}

/// Which absences a list holds; an absent field asks for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeOffFilter {
    /// Those that end after this.
    pub from: Option<DateTime<Utc>>,
    /// Those that start before this.
    pub to: Option<DateTime<Utc>>,
}
