//! Appointments.

use chrono::{DateTime, NaiveDate, Utc};
use clinicx_core::{
    AppointmentId, PatientId, RoomId, StaffId,
    appointment::{
        self, Action, Appointment, AppointmentFilter, BookAppointment, Reschedule, Status, TransitionInput,
        UpdateAppointment,
    },
    permission::{APPOINTMENT_READ, APPOINTMENT_VOID, APPOINTMENT_WRITE},
};
use clinicx_types::calendar;
use clinicx_web::{Access, ApiError, Body, HttpModule, List, Operation, Path, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{sealed, wiring::Slot};

/// What can stand against a time: conflicts, hours, absences.
const TIME_REFUSALS: &[&str] = &["slot_taken", "outside_working_hours", "time_off"];

/// The operations on appointments.
pub fn module(slot: &Slot) -> HttpModule {
    let (booking, listing, getting) = (slot.clone(), slot.clone(), slot.clone());
    let (updating, moving) = (slot.clone(), slot.clone());
    let read = Access::Tenant(APPOINTMENT_READ);
    let write = Access::Tenant(APPOINTMENT_WRITE);
    let crud = [
        Operation::post("/appointments", "book_appointment")
            .summary("Book an appointment")
            .description(
                "`start` is RFC 3339, or a local time beside `time_zone`; the end is given by `end`, by \
                 `duration_minutes` or by the service.",
            )
            .access(write)
            .shows_patients("appointment")
            .answers::<Appointment>(201)
            .errors(TIME_REFUSALS)
            .handler(move |cx: TenantCx, body: Body<BookAppointment>| book(booking.clone(), cx, body)),
        Operation::get("/appointments", "list_appointments")
            .summary("List the appointments of a day, of a range, of a person")
            .access(read)
            .shows_patients("appointment")
            .answers_page::<Appointment>()
            .handler(move |cx: TenantCx, wanted: List<Wanted>| list(listing.clone(), cx, wanted)),
        Operation::get("/appointments/{id}", "get_appointment")
            .summary("Show an appointment")
            .access(read)
            .shows_patients("appointment")
            .answers::<Appointment>(200)
            .errors(&["not_found"])
            .handler(move |cx: TenantCx, id: Path<AppointmentId>| get(getting.clone(), cx, id)),
        Operation::patch("/appointments/{id}", "update_appointment")
            .summary("Change an appointment's reason, comment or priority")
            .access(write)
            .shows_patients("appointment")
            .answers::<Appointment>(200)
            .errors(&["not_found"])
            .handler(move |cx: TenantCx, id: Path<AppointmentId>, body: Body<UpdateAppointment>| {
                update(updating.clone(), cx, id, body)
            }),
        Operation::transition("/appointments/{id}/reschedule", "reschedule_appointment")
            .summary("Move an appointment in time, to another room or to another member of staff")
            .access(write)
            .shows_patients("appointment")
            .answers::<Appointment>(200)
            .errors(&["not_found"])
            .errors(TIME_REFUSALS)
            .handler(move |cx: TenantCx, id: Path<AppointmentId>, body: Body<Reschedule>| {
                reschedule(moving.clone(), cx, id, body)
            }),
    ];
    HttpModule::new("appointments", "Who comes when, to whom, and where").operations(crud).operations([
        transition(
            slot,
            "/appointments/{id}/confirm",
            "confirm_appointment",
            Action::Confirm,
            "Book what was proposed, held or waiting; or take a no-show back on its day",
        ),
        transition(
            slot,
            "/appointments/{id}/arrive",
            "arrive_appointment",
            Action::Arrive,
            "Say that the patient has come",
        ),
        transition(
            slot,
            "/appointments/{id}/check-in",
            "check_in_appointment",
            Action::CheckIn,
            "Say that the patient is received",
        ),
        transition(
            slot,
            "/appointments/{id}/fulfil",
            "fulfil_appointment",
            Action::Fulfil,
            "Say that the visit took place",
        ),
        transition(
            slot,
            "/appointments/{id}/cancel",
            "cancel_appointment",
            Action::Cancel,
            "Call the appointment off",
        ),
        transition(
            slot,
            "/appointments/{id}/no-show",
            "no_show_appointment",
            Action::NoShow,
            "Say that the patient did not come",
        ),
        transition(
            slot,
            "/appointments/{id}/hold",
            "hold_appointment",
            Action::Hold,
            "Hold the slot for a while",
        ),
        transition(
            slot,
            "/appointments/{id}/defer",
            "defer_appointment",
            Action::Defer,
            "Put it on the waiting list",
        ),
        transition(
            slot,
            "/appointments/{id}/void",
            "void_appointment",
            Action::Void,
            "Say that it should never have been there",
        )
        .access(Access::Tenant(APPOINTMENT_VOID)),
    ])
}

fn transition(
    slot: &Slot,
    path: &'static str,
    id: &'static str,
    action: Action,
    summary: &'static str,
) -> Operation {
    let slot = slot.clone();
    Operation::transition(path, id)
        .summary(summary)
        .access(Access::Tenant(APPOINTMENT_WRITE))
        .shows_patients("appointment")
        .answers::<Appointment>(200)
        .errors(&["not_found", "wrong_time"])
        .errors(TIME_REFUSALS)
        .handler(move |cx: TenantCx, id: Path<AppointmentId>, body: Body<TransitionInput>| {
            act(slot.clone(), cx, id, (action, body))
        })
}

/// Which appointments are listed: those of a `day`, or of a range, or both ends open.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Those that start at this instant or later.
    #[serde(default, deserialize_with = "calendar::optional_instant")]
    from: Option<DateTime<Utc>>,
    /// Those that start before this instant.
    #[serde(default, deserialize_with = "calendar::optional_instant")]
    to: Option<DateTime<Utc>>,
    /// Those of this day of the clinic's own time.
    #[serde(default, deserialize_with = "calendar::optional_day")]
    day: Option<NaiveDate>,
    /// Those of this member of staff.
    staff_id: Option<StaffId>,
    /// Those of this patient.
    patient_id: Option<PatientId>,
    /// Those in this room or chair.
    room_id: Option<RoomId>,
    /// Those in these states; may be repeated.
    #[serde(default)]
    status: Vec<Status>,
}

fn shown(appointment: &Appointment) -> Reply {
    Reply::ok(appointment).showing([appointment.patient_id])
}

async fn book(slot: Slot, cx: TenantCx, Body(input): Body<BookAppointment>) -> Result<Reply, ApiError> {
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let input = input.clone();
        Box::pin(async move {
            let made = appointment::book(tx, scope, &cipher, input).await?;
            Ok(Reply::created(format!("/appointments/{}", made.id), &made).showing([made.patient_id]))
        })
    })
    .await
}

async fn list(slot: Slot, cx: TenantCx, list: List<Wanted>) -> Result<Reply, ApiError> {
    let Wanted { from, to, day, staff_id, patient_id, room_id, status: statuses } = list.filter.clone();
    let filter = AppointmentFilter { from, to, day, staff_id, patient_id, room_id, statuses };
    let page = sealed::read(&slot, &cx, async |tx, scope, cipher| {
        Ok(appointment::list(tx, scope, cipher, &filter, &list.page).await?)
    })
    .await?;
    Ok(Reply::page(&list, &page).showing(page.items.iter().map(|appointment| appointment.patient_id)))
}

async fn get(slot: Slot, cx: TenantCx, Path(id): Path<AppointmentId>) -> Result<Reply, ApiError> {
    let found =
        sealed::look(
            &slot,
            &cx,
            async |db, scope, cipher| Ok(appointment::get(db, scope, cipher, id).await?),
        );
    Ok(shown(&found.await?))
}

async fn update(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<AppointmentId>,
    Body(patch): Body<UpdateAppointment>,
) -> Result<Reply, ApiError> {
    let revision = (id, cx.expected_version());
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let patch = patch.clone();
        Box::pin(async move { Ok(shown(&appointment::update(tx, scope, &cipher, revision, patch).await?)) })
    })
    .await
}

async fn reschedule(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<AppointmentId>,
    Body(input): Body<Reschedule>,
) -> Result<Reply, ApiError> {
    let revision = (id, cx.expected_version());
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let input = input.clone();
        Box::pin(
            async move { Ok(shown(&appointment::reschedule(tx, scope, &cipher, revision, input).await?)) },
        )
    })
    .await
}

async fn act(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<AppointmentId>,
    (action, Body(input)): (Action, Body<TransitionInput>),
) -> Result<Reply, ApiError> {
    let revision = (id, cx.expected_version());
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let step = (action, input.clone());
        Box::pin(
            async move { Ok(shown(&appointment::transition(tx, scope, &cipher, revision, step).await?)) },
        )
    })
    .await
}
