//! Moving an appointment from one state to another.

use clinicx_keys::FieldCipher;
use clinicx_persistence::{FailureKind, TenantScope, TenantTransaction};
use sea_orm::{ActiveModelTrait, Set, Unchanged};

use super::{
    actors::{self, Actors},
    admission::{self, Candidate, Overbooking},
    dto::{Appointment, TransitionInput},
    entity::{ActiveModel, Model},
    hold,
    status::{Action, RefusedMove, Status},
    trace, words,
};
use crate::{
    AppointmentId, change,
    error::CoreError,
    local_time,
    permission::{APPOINTMENT_REVIVE, APPOINTMENT_VOID},
    validation,
};

impl From<RefusedMove> for CoreError {
    fn from(refused: RefusedMove) -> Self {
        let RefusedMove { from, action } = refused;
        Self::RefusedTransition { from: from.as_str(), action: action.as_str(), allowed: from.allowed() }
    }
}

/// Moves an appointment to another state.
///
/// One that comes to hold a slot goes the way of a booking: locks, expired holds, working hours and absences, free
/// time; a revived no-show only has to find its time free. A no-show is possible once the appointment has
/// started; it can be revived on the same day of the appointment's time zone. Leaves a row of history, an audit
/// row and an event.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Stale`] unless `expected` is `None` or the present version;
/// [`CoreError::RefusedTransition`] with the states that can be reached; [`CoreError::WrongTime`];
/// [`CoreError::Forbidden`] for reviving and voiding without their permissions; [`CoreError::SlotTaken`],
/// [`CoreError::OutsideWorkingHours`], [`CoreError::TimeOff`]; [`CoreError::Invalid`]; [`CoreError::Database`].
#[tracing::instrument(
    name = "core.appointment.transition", skip_all, fields(tenant.id = %scope.tenant_id, action = action.as_str()),
    err(level = "debug")
)]
pub async fn transition(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    (id, expected): (AppointmentId, Option<i64>),
    (action, input): (Action, TransitionInput),
) -> Result<Appointment, CoreError> {
    validation::check(&input)?;
    let row = words::open(scope, cipher, actors::locked(tx, id, expected, Actors::of).await?)?;
    let status = row.status.after(action)?;
    check_rights_and_time(scope, &row, status, action)?;
    let mut overbook = row.overbook;
    if status.holds_slot() && !row.status.holds_slot() {
        hold::expire_stale(tx, (scope, cipher), &Actors::of(&row), id).await?;
        let candidate = Candidate::of(&row)?;
        let overbooking = Overbooking::of(row.overbook);
        overbook = if row.status == Status::Noshow {
            admission::check_free(tx, &candidate, overbooking).await?
        } else {
            admission::check(tx, scope, &candidate, overbooking).await?
        };
    }
    let cancelled = status == Status::Cancelled;
    let mut changed = ActiveModel {
        id: Unchanged(id),
        version: Set(row.version + 1),
        updated_at: Set(scope.now()),
        status: Set(status),
        overbook: Set(overbook),
        hold_expires_at: Set((status == Status::Pending).then(|| scope.now() + hold::USUAL)),
        ..Default::default()
    };
    if cancelled {
        let place = (words::CANCELLATION, id.uuid());
        changed.cancellation_reason = Set(None);
        changed.cancellation_reason_sealed =
            Set(words::closed(scope, cipher, place, input.reason.as_deref())?);
    }
    let after = words::open(scope, cipher, write(tx, changed, &row).await?)?;
    trace::status_changed(tx, (scope, cipher), (&row, &after), input.reason.as_deref()).await?;
    Ok(after.into())
}

fn check_rights_and_time(
    scope: &TenantScope,
    row: &Model,
    status: Status,
    action: Action,
) -> Result<(), CoreError> {
    let now = scope.now();
    let may = |permission: clinicx_types::permission::Permission| {
        if scope.may(permission) { Ok(()) } else { Err(CoreError::Forbidden { permission: permission.0 }) }
    };
    let wrong_time = |when| Err(CoreError::WrongTime { action: action.as_str(), when });
    match (row.status, status) {
        (_, Status::EnteredInError) => may(APPOINTMENT_VOID),
        (_, Status::Noshow) if now < row.starts_at => wrong_time("before it has started"),
        (Status::Pending, Status::Booked) if hold::has_expired(row, now) => {
            wrong_time("after the hold has expired")
        }
        (Status::Noshow, Status::Booked) => {
            may(APPOINTMENT_REVIVE)?;
            let zone = row.time_zone.parse().unwrap_or(scope.time_zone);
            if local_time::local_date(now, zone) == local_time::local_date(row.starts_at, zone) {
                Ok(())
            } else {
                wrong_time("on another day")
            }
        }
        _ => Ok(()),
    }
}

/// Writes a changed row behind a savepoint: whoever took the slot past the locks still stands against it in the
/// exclusion constraints, and who that is can only be asked while the transaction lives.
pub(super) async fn write(
    tx: &TenantTransaction,
    changed: ActiveModel,
    before: &Model,
) -> Result<Model, CoreError> {
    let holds_slot = match &changed.status {
        Set(status) | Unchanged(status) => status.holds_slot(),
        sea_orm::NotSet => before.status.holds_slot(),
    };
    if !holds_slot {
        return Ok(changed.update(tx).await?);
    }
    let savepoint = tx.savepoint().await?;
    match changed.clone().update(&savepoint).await {
        Ok(row) => {
            savepoint.commit().await?;
            Ok(row)
        }
        Err(error) => {
            let error = change::refused(&error, |failure| {
                (failure.kind == FailureKind::Exclusion)
                    .then(|| CoreError::SlotTaken { conflicts: Vec::new() })
            });
            if !matches!(error, CoreError::SlotTaken { .. }) {
                return Err(error);
            }
            savepoint.rollback().await?;
            let candidate = Candidate::of(&with(before, &changed))?;
            Err(CoreError::SlotTaken { conflicts: admission::conflicts(tx, &candidate).await? })
        }
    }
}

/// Returns the row with the time and the actors that a change gives it.
fn with(before: &Model, changed: &ActiveModel) -> Model {
    fn value<T: Clone + Into<sea_orm::Value>>(changed: &sea_orm::ActiveValue<T>, before: &T) -> T {
        changed.try_as_ref().unwrap_or(before).clone()
    }
    Model {
        staff_id: value(&changed.staff_id, &before.staff_id),
        room_id: value(&changed.room_id, &before.room_id),
        starts_at: value(&changed.starts_at, &before.starts_at),
        ends_at: value(&changed.ends_at, &before.ends_at),
        busy_starts_at: value(&changed.busy_starts_at, &before.busy_starts_at),
        busy_ends_at: value(&changed.busy_ends_at, &before.busy_ends_at),
        ..before.clone()
    }
}
