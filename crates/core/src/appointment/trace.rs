//! What every change of an appointment leaves: a row of its history where it moved, an audit row, an event.

use clinicx_keys::FieldCipher;
use clinicx_persistence::{
    TenantScope, TenantTransaction,
    record::{Change, record},
};
use clinicx_types::module::EventType;
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel, JsonValue};
use serde_json::json;

use super::{THING, dto::Appointment, entity::Model, history::entity as history, status::Status, words};
use crate::{change, error::CoreError, event};

/// Fields that people fill with words.
const WORDS: &[&str] = &["reason", "comment", "cancellation_reason"];

/// Records that an appointment was made.
pub(super) async fn made(tx: &TenantTransaction, scope: &TenantScope, row: &Model) -> Result<(), CoreError> {
    let step = history::Model {
        from_status: None,
        new_starts_at: Some(row.starts_at),
        new_ends_at: Some(row.ends_at),
        ..step(scope, row)
    };
    append(tx, step).await?;
    let after = change::json(&Appointment::from(row.clone()));
    leave(tx, scope, event::APPOINTMENT_CREATED, row, (None, Some(after))).await
}

/// Records that an appointment has another status.
pub(super) async fn status_changed(
    tx: &TenantTransaction,
    (scope, cipher): (&TenantScope, &FieldCipher),
    (before, after): (&Model, &Model),
    reason: Option<&str>,
) -> Result<(), CoreError> {
    append(
        tx,
        history::Model { from_status: Some(before.status), ..reasoned(scope, cipher, after, reason)? },
    )
    .await?;
    leave(tx, scope, event::APPOINTMENT_STATUS_CHANGED, after, difference(before, after)).await
}

/// Records that an appointment has another time, room or staff member.
pub(super) async fn rescheduled(
    tx: &TenantTransaction,
    (scope, cipher): (&TenantScope, &FieldCipher),
    (before, after): (&Model, &Model),
    reason: Option<&str>,
) -> Result<(), CoreError> {
    let step = history::Model {
        from_status: Some(before.status),
        old_starts_at: Some(before.starts_at),
        old_ends_at: Some(before.ends_at),
        new_starts_at: Some(after.starts_at),
        new_ends_at: Some(after.ends_at),
        ..reasoned(scope, cipher, after, reason)?
    };
    append(tx, step).await?;
    leave(tx, scope, event::APPOINTMENT_RESCHEDULED, after, difference(before, after)).await
}

/// Records that what is noted about an appointment has changed.
pub(super) async fn updated(
    tx: &TenantTransaction,
    scope: &TenantScope,
    (before, after): (&Model, &Model),
) -> Result<(), CoreError> {
    leave(tx, scope, event::APPOINTMENT_UPDATED, after, difference(before, after)).await
}

fn difference(before: &Model, after: &Model) -> (Option<JsonValue>, Option<JsonValue>) {
    let (old, new) =
        change::difference(&Appointment::from(before.clone()), &Appointment::from(after.clone()));
    (Some(old), Some(new))
}

/// A step with its reason, sealed.
fn reasoned(
    scope: &TenantScope,
    cipher: &FieldCipher,
    row: &Model,
    reason: Option<&str>,
) -> Result<history::Model, CoreError> {
    let step = step(scope, row);
    let reason_sealed = words::closed(scope, cipher, (words::STEP, step.id), reason)?;
    Ok(history::Model { reason_sealed, ..step })
}

fn step(scope: &TenantScope, row: &Model) -> history::Model {
    let to_status: Status = row.status;
    history::Model {
        id: scope.next_id(),
        appointment_id: row.id,
        from_status: None,
        to_status,
        at: scope.now(),
        actor_kind: scope.actor.kind().to_owned(),
        actor_id: scope.actor.user_id().map(|user| user.uuid()),
        actor_job: scope.actor.job().map(str::to_owned),
        reason: None,
        reason_sealed: None,
        old_starts_at: None,
        old_ends_at: None,
        new_starts_at: None,
        new_ends_at: None,
    }
}

async fn append(tx: &TenantTransaction, step: history::Model) -> Result<(), CoreError> {
    history::Entity::insert(step.into_active_model().reset_all()).exec_without_returning(tx).await?;
    Ok(())
}

async fn leave(
    tx: &TenantTransaction,
    scope: &TenantScope,
    event: EventType,
    row: &Model,
    (before, after): (Option<JsonValue>, Option<JsonValue>),
) -> Result<(), CoreError> {
    let payload = json!({
        "appointment_id": row.id,
        "status": row.status,
        "start": row.starts_at,
        "end": row.ends_at,
        "patient_id": row.patient_id,
        "staff_id": row.staff_id,
        "room_id": row.room_id,
        "service_id": row.service_id,
    });
    let change = Change {
        event,
        aggregate: THING,
        aggregate_id: row.id.uuid(),
        patient_id: Some(row.patient_id.uuid()),
        before: change::masked(before, WORDS),
        after: change::masked(after, WORDS),
        payload,
    };
    Ok(record(tx, scope, change).await?)
}
