//! What callers say and hear about working hours.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clinicx_types::calendar;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::entity::Model;
use crate::{StaffId, WorkingHoursId, patch_field::present};

/// One line of a staff member's working hours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WorkingHours {
    /// Which one.
    pub id: WorkingHoursId,
    /// Raised by every change; the ETag.
    pub version: i64,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Whose.
    pub staff_id: StaffId,
    /// The day of the week: 1 for Monday to 7 for Sunday (ISO 8601).
    pub weekday: i16,
    /// When the work starts, as `09:00`.
    pub starts: String,
    /// When it ends, as `17:00`; `24:00` is the midnight at which the day ends.
    pub ends: String,
    /// The IANA time zone of both.
    pub time_zone: String,
    /// The first day on which it holds; `null` means from ever.
    pub valid_from: Option<NaiveDate>,
    /// The last day on which it holds; `null` means for ever.
    pub valid_until: Option<NaiveDate>,
}

impl From<Model> for WorkingHours {
    fn from(row: Model) -> Self {
        let ends = if row.ends == NaiveTime::MIN { "24:00".to_owned() } else { shown(row.ends) };
        Self {
            id: row.id,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            staff_id: row.staff_id,
            weekday: row.weekday,
            starts: shown(row.starts),
            ends,
            time_zone: row.time_zone,
            valid_from: row.valid_from,
            valid_until: row.valid_until,
        }
    }
}

fn shown(time: NaiveTime) -> String {
    time.format("%H:%M").to_string()
}

/// New working hours.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct CreateWorkingHours {
    /// The day of the week: 1 for Monday to 7 for Sunday (ISO 8601).
    #[validate(range(min = 1, max = 7))]
    pub weekday: i16,
    /// When the work starts, as `09:00`.
    pub starts: String,
    /// When it ends, as `17:00`; `24:00` is the midnight at which the day ends.
    pub ends: String,
    /// The IANA time zone of both; the clinic's unless said otherwise.
    pub time_zone: Option<String>,
    /// The first day on which it holds.
    #[serde(default, deserialize_with = "calendar::optional_day")]
    pub valid_from: Option<NaiveDate>,
    /// The last day on which it holds.
    #[serde(default, deserialize_with = "calendar::optional_day")]
    pub valid_until: Option<NaiveDate>,
}

/// A change of working hours: an absent field stays as it is, `null` clears it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct UpdateWorkingHours {
    /// The day of the week: 1 for Monday to 7 for Sunday (ISO 8601).
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "i16")]
    #[validate(range(min = 1, max = 7))]
    pub weekday: Option<i16>,
    /// When the work starts, as `09:00`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String")]
    pub starts: Option<String>,
    /// When it ends, as `17:00`; `24:00` is the midnight at which the day ends.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String")]
    pub ends: Option<String>,
    /// The IANA time zone of both.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String")]
    pub time_zone: Option<String>,
    /// The first day on which it holds.
    #[serde(default, deserialize_with = "calendar::nullable_day")]
    pub valid_from: Option<Option<NaiveDate>>,
    /// The last day on which it holds.
    #[serde(default, deserialize_with = "calendar::nullable_day")]
    pub valid_until: Option<Option<NaiveDate>>,
}
