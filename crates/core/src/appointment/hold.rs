//! Holds: pending appointments that keep their slot for a while.

use chrono::{DateTime, TimeDelta, Utc};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantScoped, TenantTransaction};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set,
    Unchanged,
    sea_query::{LockBehavior, LockType},
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
        expire(tx, (scope, cipher), row).await?;
    }
    Ok(())
}

/// Tells whether there are holds that have expired; cheaper than to try to cancel them.
///
/// # Errors
/// [`CoreError::Database`].
pub async fn any_hold_expired(db: &impl TenantScoped, scope: &TenantScope) -> Result<bool, CoreError> {
    let stale = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::HoldExpiresAt.lte(scope.now()))
        .limit(1)
        .into_tuple::<uuid::Uuid>()
        .one(db)
        .await?;
    Ok(stale.is_some())
}

/// Cancels holds that have expired, whoever's they are, up to `limit` of them, and returns how many there were; for a
/// job that runs now and then. Those on which somebody else is working are left for the next time.
///
/// Leaves for each a row of history, an audit row and an event.
///
/// # Errors
/// [`CoreError::Database`]; [`CoreError::Cipher`] when an appointment's words can't be opened or sealed.
#[tracing::instrument(
    name = "core.appointment.expire_holds", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug")
)]
pub async fn expire_holds(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    limit: u64,
) -> Result<u64, CoreError> {
    let stale = Entity::find()
        .filter(Column::HoldExpiresAt.lte(scope.now()))
        .order_by_asc(Column::HoldExpiresAt)
        .limit(limit)
        .lock_with_behavior(LockType::NoKeyUpdate, LockBehavior::SkipLocked)
        .all(tx)
        .await?;
    let mut expired = 0_u64;
    for row in stale {
        expire(tx, (scope, cipher), row).await?;
        expired += 1;
    }
    Ok(expired)
}

async fn expire(
    tx: &TenantTransaction,
    (scope, cipher): (&TenantScope, &FieldCipher),
    row: Model,
) -> Result<(), CoreError> {
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
    trace::status_changed(tx, (scope, cipher), (&before, &after), Some(EXPIRED)).await
}
