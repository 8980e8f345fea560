//! Making an appointment: the one way in which a slot is taken.

use chrono::{DateTime, Utc};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantTransaction};
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel, sea_query::OnConflict};

use super::{
    actors::{self, Actors},
    admission::{self, Candidate, Overbooking},
    dto::{Appointment, BookAppointment, BookingStatus},
    entity::{Entity, Model},
    hold, references,
    status::Status,
    timing::{self, Length, Start},
    trace, words,
};
use crate::{AppointmentId, error::CoreError, local_time, permission::APPOINTMENT_OVERBOOK, validation};

/// Books an appointment.
///
/// Local times are resolved in their zone, the actors locked, their expired holds cancelled, working hours and
/// absences checked; then the slot is taken. One that holds no slot (proposed, waiting) is only written down.
/// `overbook` stays set only where the appointment does stand over others. Leaves a row of history, an audit row
/// and an event.
///
/// # Errors
/// [`CoreError::Invalid`]; [`CoreError::Forbidden`] for overbooking without its permission;
/// [`CoreError::PatientGone`]; [`CoreError::OutsideWorkingHours`]; [`CoreError::TimeOff`];
/// [`CoreError::SlotTaken`] with the appointments that stand against it; [`CoreError::Database`], where a failure
/// of the kind `Retry` is worth another try of the whole transaction.
#[tracing::instrument(name = "core.appointment.book", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn book(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    input: BookAppointment,
) -> Result<Appointment, CoreError> {
    validation::check(&input)?;
    check_overbooking(scope, input.overbook)?;
    let now = scope.now();
    let hold_expires_at = hold_expiry(&input, now)?;
    let named_zone = local_time::optional_zone(input.time_zone.as_deref())?;
    let actors = Actors { patient_id: input.patient_id, staff_id: input.staff_id, room_id: input.room_id };

    actors::lock(tx, &[actors]).await?;
    let references = references::check(tx, &actors, input.service_id).await?;
    let length =
        Length { end: input.end.as_deref(), minutes: input.duration_minutes, usual: references.usual };
    let during = timing::during(Start::Written(&input.start), length, named_zone, now)?;
    let zone = named_zone.or(references.time_zone).unwrap_or(scope.time_zone);
    let candidate =
        Candidate { id: AppointmentId::new(scope.next_id()), actors, during, busy: references.busy(&during) };
    let status = Status::from(input.status);
    let overbook = if status.holds_slot() {
        hold::expire_stale(tx, (scope, cipher), &actors, candidate.id).await?;
        admission::check(tx, scope, &candidate, Overbooking::of(input.overbook)).await?
    } else {
        input.overbook
    };
    let row = Model {
        id: candidate.id,
        version: 1,
        created_at: now,
        updated_at: now,
        patient_id: input.patient_id,
        staff_id: input.staff_id,
        room_id: input.room_id,
        service_id: input.service_id,
        series_id: None,
        starts_at: during.start(),
        ends_at: during.end(),
        busy_starts_at: candidate.busy.start(),
        busy_ends_at: candidate.busy.end(),
        time_zone: zone.name().to_owned(),
        status,
        priority: input.priority,
        reason: input.reason,
        comment: input.comment,
        cancellation_reason: None,
        reason_sealed: None,
        comment_sealed: None,
        cancellation_reason_sealed: None,
        overbook,
        hold_expires_at,
    };
    insert(tx, words::close(scope, cipher, row.clone())?, &candidate).await?;
    trace::made(tx, scope, &row).await?;
    Ok(row.into())
}

/// Refuses to overbook without the permission for it.
pub(super) fn check_overbooking(scope: &TenantScope, overbook: bool) -> Result<(), CoreError> {
    if overbook && !scope.may(APPOINTMENT_OVERBOOK) {
        return Err(CoreError::Forbidden { permission: APPOINTMENT_OVERBOOK.0 });
    }
    Ok(())
}

/// Writes the row. Whoever took the slot past the locks still stands against it in the exclusion constraints, and
/// ON CONFLICT makes of that an answer instead of a failed transaction.
async fn insert(tx: &TenantTransaction, row: Model, candidate: &Candidate) -> Result<(), CoreError> {
    let inserted = Entity::insert(row.into_active_model().reset_all())
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(tx)
        .await?;
    if inserted == 0 {
        return Err(CoreError::SlotTaken { conflicts: admission::conflicts(tx, candidate).await? });
    }
    Ok(())
}

fn hold_expiry(input: &BookAppointment, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, CoreError> {
    const POINTER: &str = "/hold_expires_at";
    match (input.status, input.hold_expires_at) {
        (BookingStatus::Pending, None) => Ok(Some(now + hold::USUAL)),
        (BookingStatus::Pending, Some(expiry)) => {
            let expiry = expiry.to_utc();
            if expiry <= now || expiry > now + hold::LONGEST {
                return Err(CoreError::invalid(POINTER, "out_of_range", "must be within the next 7 days"));
            }
            Ok(Some(expiry))
        }
        (_, None) => Ok(None),
        (_, Some(_)) => {
            Err(CoreError::invalid(POINTER, "only_when_pending", "is only for a pending appointment"))
        }
    }
}
