//! Taking in appointments from elsewhere.

use chrono::TimeDelta;
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_types::{error::FieldError, range::TimeRange};
use sea_orm::{ColumnTrait, EntityTrait, JsonValue, QueryFilter};
use serde::Deserialize;
use uuid::Uuid;
use validator::Validate;

use super::{
    dto::Appointment,
    entity::{Column, Entity, Model},
    status::Status,
    timing::{self, Length},
    words,
};
use crate::{
    AppointmentId, PatientId, RoomId, ServiceId, StaffId,
    error::CoreError,
    intake::{Lane, Origin, Span, input, shown},
    local_time,
    validation::{self, many_lines},
};

/// What is known of an appointment.
#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
struct Known {
    patient_id: PatientId,
    staff_id: StaffId,
    room_id: Option<RoomId>,
    service_id: Option<ServiceId>,
    start: String,
    end: Option<String>,
    #[validate(range(min = 1, max = 1440))]
    duration_minutes: Option<i64>,
    time_zone: Option<String>,
    status: Option<Status>,
    #[validate(range(min = 0, max = 9))]
    priority: Option<i16>,
    #[validate(length(max = 1000), custom(function = many_lines))]
    reason: Option<String>,
    #[validate(length(max = 5000), custom(function = many_lines))]
    comment: Option<String>,
    #[validate(length(max = 1000), custom(function = many_lines))]
    cancellation_reason: Option<String>,
    #[serde(default)]
    overbook: bool,
    #[serde(default)]
    buffer_before_minutes: i64,
    #[serde(default)]
    buffer_after_minutes: i64,
}

/// Makes a row of fields, with its words in clear.
pub(crate) fn row(scope: &TenantScope, origin: Origin, fields: JsonValue) -> Result<Model, CoreError> {
    let known: Known = input(fields)?;
    validation::check(&known)?;
    let zone = local_time::optional_zone(known.time_zone.as_deref())?.unwrap_or(scope.time_zone);
    let length = Length { end: known.end.as_deref(), minutes: known.duration_minutes, usual: None };
    let during = timing::kept(&known.start, length, zone)?;
    let status = known.status.unwrap_or(Status::Booked);
    if status == Status::Pending {
        let detail = "must not be a hold, which has an end";
        return Err(CoreError::Invalid(vec![FieldError::new("/status", "pending", detail)]));
    }
    let busy = during.widened(
        TimeDelta::minutes(known.buffer_before_minutes),
        TimeDelta::minutes(known.buffer_after_minutes),
    );
    let busy = busy.unwrap_or(during);
    Ok(Model {
        id: AppointmentId::new(origin.id),
        version: 1,
        created_at: origin.created_at,
        updated_at: origin.updated_at,
        patient_id: known.patient_id,
        staff_id: known.staff_id,
        room_id: known.room_id,
        service_id: known.service_id,
        series_id: None,
        starts_at: during.start(),
        ends_at: during.end(),
        busy_starts_at: busy.start(),
        busy_ends_at: busy.end(),
        time_zone: zone.name().to_owned(),
        status,
        priority: known.priority,
        reason: known.reason,
        reason_sealed: None,
        comment: known.comment,
        comment_sealed: None,
        cancellation_reason: known.cancellation_reason,
        cancellation_reason_sealed: None,
        overbook: known.overbook,
        hold_expires_at: None,
    })
}

/// Returns what an appointment takes up, which is nothing unless it holds a slot.
pub(crate) fn spans(row: &Model) -> Vec<Span> {
    if !row.status.holds_slot() || row.overbook {
        return Vec::new();
    }
    let (during, busy) =
        (TimeRange::new(row.starts_at, row.ends_at), TimeRange::new(row.busy_starts_at, row.busy_ends_at));
    let span = |lane: Lane, range: Option<TimeRange>| {
        range.map(|range| Span {
            lane,
            from: range.start().timestamp_micros(),
            until: range.end().timestamp_micros(),
            days: None,
        })
    };
    [
        span(Lane::Staff(row.staff_id.uuid()), busy),
        row.room_id.and_then(|room| span(Lane::Room(room.uuid()), busy)),
        span(Lane::Patient(row.patient_id.uuid()), during),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Seals the words of a row.
pub(crate) fn closed(scope: &TenantScope, cipher: &FieldCipher, row: &Model) -> Result<Model, CoreError> {
    words::close(scope, cipher, row.clone())
}

/// Reads appointments as they are shown.
pub(crate) async fn read(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, JsonValue)>, CoreError> {
    let rows = Entity::find().filter(Column::Id.is_in(ids.iter().copied())).all(tx).await?;
    rows.into_iter()
        .map(|row| {
            let row = words::open(scope, cipher, row)?;
            Ok((row.id.uuid(), shown(&Appointment::from(row))))
        })
        .collect()
}
