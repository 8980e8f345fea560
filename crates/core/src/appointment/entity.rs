//! The table `appointments`. Its ranges `during` and `busy` are made by the database from the columns here.

use sea_orm::entity::prelude::*;

use super::status::Status;
use crate::{AppointmentId, PatientId, RoomId, ServiceId, StaffId};

/// One appointment.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "appointments")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AppointmentId,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// Who is treated.
    pub patient_id: PatientId,
    /// Who treats.
    pub staff_id: StaffId,
    /// The room or chair.
    pub room_id: Option<RoomId>,
    /// What is done.
    pub service_id: Option<ServiceId>,
    /// The series of which it is one.
    pub series_id: Option<Uuid>,
    /// The first instant of it.
    pub starts_at: DateTimeUtc,
    /// The first instant after it.
    pub ends_at: DateTimeUtc,
    /// Since when the staff member and the room are busy with it.
    pub busy_starts_at: DateTimeUtc,
    /// Until when they are.
    pub busy_ends_at: DateTimeUtc,
    /// The IANA time zone in which it was booked.
    pub time_zone: String,
    /// Where it stands.
    pub status: Status,
    /// How urgent it is: 0 to 9, where less is more urgent and 0 is not said (RFC 5545).
    pub priority: Option<i16>,
    /// Why the patient comes; in the table only when it is older than the sealed column.
    pub reason: Option<String>,
    /// Why the patient comes, sealed.
    pub reason_sealed: Option<Vec<u8>>,
    /// Notes for the staff; in the table only when they are older than the sealed column.
    pub comment: Option<String>,
    /// Notes for the staff, sealed.
    pub comment_sealed: Option<Vec<u8>>,
    /// Why it was called off; in the table only when it is older than the sealed column.
    pub cancellation_reason: Option<String>,
    /// Why it was called off, sealed.
    pub cancellation_reason_sealed: Option<Vec<u8>>,
    /// Whether it was booked over others.
    pub overbook: bool,
    /// Until when a pending one holds its slot; there exactly when it is pending.
    pub hold_expires_at: Option<DateTimeUtc>,
    /// Who is treated.
    #[sea_orm(belongs_to, relation_enum = "Patient", from = "patient_id", to = "id")]
    pub patient: BelongsTo<crate::patient::entity::Entity>,
    /// Who treats.
    #[sea_orm(belongs_to, relation_enum = "Staff", from = "staff_id", to = "id")]
    pub staff: BelongsTo<crate::staff::entity::Entity>,
    /// The room or chair.
    #[sea_orm(belongs_to, relation_enum = "Room", from = "room_id", to = "id")]
    pub room: BelongsTo<Option<crate::room::entity::Entity>>,
    /// What is done.
    #[sea_orm(belongs_to, relation_enum = "Service", from = "service_id", to = "id")]
    pub service: BelongsTo<Option<crate::service::entity::Entity>>,
}

impl ActiveModelBehavior for ActiveModel {}
