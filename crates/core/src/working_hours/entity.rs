//! The table `working_hours`.

use sea_orm::entity::prelude::*;

use crate::{StaffId, WorkingHoursId};

/// One line of a staff member's working hours.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "working_hours")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: WorkingHoursId,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// Whose.
    pub staff_id: StaffId,
    /// The day of the week: 1 for Monday to 7 for Sunday (ISO 8601).
    pub weekday: i16,
    /// When the work starts.
    pub starts: Time,
    /// When it ends; 00:00 is the midnight at which the day ends.
    pub ends: Time,
    /// The IANA time zone of both.
    pub time_zone: String,
    /// The first day on which it holds.
    pub valid_from: Option<Date>,
    /// The last day on which it holds.
    pub valid_until: Option<Date>,
}

impl ActiveModelBehavior for ActiveModel {}
