//! Holds: pending appointments that keep their slot for a while.

use chrono::{DateTime, TimeDelta, Utc};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantTransaction};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set,
    Unchanged, sea_query::LockType,
};

use super::{
    actors::Actors,
    entity::{ActiveModel, Column, Entity, Model},
    status::Status,
    trace, words,
};
use crate::{AppointmentId, error::CoreError};

/// How long a hold lasts unless its caller says otherwise.
pub(super) const USUAL: TimeDelta = TimeDelta::minutes(10);
/// How long a hold may last.
pub(super) const LONGEST: TimeDelta = TimeDelta::days(7);
/// The reason of a cancellation that nobody asked for.
const EXPIRED: &str = "hold_expired";

/// Tells whether an appointment's hold is over, so that its slot is anybody's.
pub(super) fn has_expired(row: &Model, now: DateTime<Utc>) -> bool {
    row.hold_expires_at.is_some_and(|expiry| expiry <= now)
}

/// Cancels the expired holds of these actors, whose locks the transaction has; never that of `except`.
pub(super) async fn expire_stale(
    tx: &TenantTransaction,
    (scope, cipher): (&TenantScope, &FieldCipher),
    actors: &Actors,
    except: AppointmentId,
) -> Result<(), CoreError> {
    let theirs = Condition::any()
        .add(Column::PatientId.eq(actors.patient_id))
        .add(Column::StaffId.eq(actors.staff_id))
        .add_option(actors.room_id.map(|room_id| Column::RoomId.eq(room_id)));
    // Two transactions that share no actor can still find the same hold: both lock in the order of the ids.
    let stale = Entity::find()
        .filter(Column::HoldExpiresAt.lte(scope.now()))
        .filter(theirs)
        .filter(Column::Id.ne(except))
        .order_by_asc(Column::Id)
        .lock(LockType::NoKeyUpdate)
        .all(tx)
        .await?;
    for row in stale {
        let before = words::open(scope, cipher, row)?;
        let place = (words::CANCELLATION, before.id.uuid());
        let changed = ActiveModel {
            id: Unchanged(before.id),
            version: Set(before.version + 1),
            updated_at: Set(scope.now()),
            status: Set(Status::Cancelled),
            cancellation_reason: Set(None),
            cancellation_reason_sealed: Set(words::closed(scope, cipher, place, Some(EXPIRED))?),
            hold_expires_at: Set(None),
            ..Default::default()
        };
        let after = words::open(scope, cipher, changed.update(tx).await?)?;
        trace::status_changed(tx, (scope, cipher), (&before, &after), Some(EXPIRED)).await?;
    }
    Ok(())
}
