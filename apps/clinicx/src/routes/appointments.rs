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

/// What can stand against a time: conflicts, hours, absences.
const TIME_REFUSALS: &[&str] = &["slot_taken", "outside_working_hours", "time_off"];

/// The operations on appointments.
pub fn module() -> HttpModule {
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
            .answers::<Appointment>(201)
            .errors(TIME_REFUSALS)
            .handler(book),
        Operation::get("/appointments", "list_appointments")
            .summary("List the appointments of a day, of a range, of a person")
            .access(read)
            .shows_patients("appointment")
            .answers_page::<Appointment>()
            .handler(list),
        Operation::get("/appointments/{id}", "get_appointment")
            .summary("Show an appointment")
            .access(read)
            .shows_patients("appointment")
            .answers::<Appointment>(200)
            .errors(&["not_found"])
            .handler(get),
        Operation::patch("/appointments/{id}", "update_appointment")
            .summary("Change an appointment's reason, comment or priority")
            .access(write)
            .answers::<Appointment>(200)
            .errors(&["not_found"])
            .handler(update),
        Operation::transition("/appointments/{id}/reschedule", "reschedule_appointment")
            .summary("Move an appointment in time, to another room or to another member of staff")
            .access(write)
            .answers::<Appointment>(200)
            .errors(&["not_found"])
            .errors(TIME_REFUSALS)
            .handler(reschedule),
    ];
    HttpModule::new("appointments", "Who comes when, to whom, and where").operations(crud).operations([
        transition(
            "/appointments/{id}/confirm",
            "confirm_appointment",
            Action::Confirm,
            "Book what was proposed, held or waiting; or take a no-show back on its day",
        ),
        transition(
            "/appointments/{id}/arrive",
            "arrive_appointment",
            Action::Arrive,
            "Say that the patient has come",
        ),
        transition(
            "/appointments/{id}/check-in",
            "check_in_appointment",
            Action::CheckIn,
            "Say that the patient is received",
        ),
        transition(
            "/appointments/{id}/fulfil",
            "fulfil_appointment",
            Action::Fulfil,
            "Say that the visit took place",
        ),
        transition(
            "/appointments/{id}/cancel",
            "cancel_appointment",
            Action::Cancel,
            "Call the appointment off",
        ),
        transition(
            "/appointments/{id}/no-show",
            "no_show_appointment",
            Action::NoShow,
            "Say that the patient did not come",
        ),
        transition("/appointments/{id}/hold", "hold_appointment", Action::Hold, "Hold the slot for a while"),
        transition(
            "/appointments/{id}/defer",
            "defer_appointment",
            Action::Defer,
            "Put it on the waiting list",
        ),
        transition(
            "/appointments/{id}/void",
            "void_appointment",
            Action::Void,
            "Say that it should never have been there",
        )
        .access(Access::Tenant(APPOINTMENT_VOID)),
    ])
}

fn transition(path: &'static str, id: &'static str, action: Action, summary: &'static str) -> Operation {
    Operation::transition(path, id)
        .summary(summary)
        .access(Access::Tenant(APPOINTMENT_WRITE))
        .answers::<Appointment>(200)
        .errors(&["not_found", "wrong_time"])
        .errors(TIME_REFUSALS)
        .handler(move |cx: TenantCx, id: Path<AppointmentId>, body: Body<TransitionInput>| {
            act(cx, id, body, action)
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

async fn book(cx: TenantCx, Body(input): Body<BookAppointment>) -> Result<Reply, ApiError> {
    cx.write(move |tx, scope| {
        let input = input.clone();
        Box::pin(async move {
            let made = appointment::book(tx, scope, input).await?;
            Ok(Reply::created(format!("/appointments/{}", made.id), &made).showing([made.patient_id]))
        })
    })
    .await
}

async fn list(cx: TenantCx, list: List<Wanted>) -> Result<Reply, ApiError> {
    let Wanted { from, to, day, staff_id, patient_id, room_id, status: statuses } = list.filter.clone();
    let filter = AppointmentFilter { from, to, day, staff_id, patient_id, room_id, statuses };
    let page =
        cx.read(async |tx, scope| Ok(appointment::list(tx, scope, &filter, &list.page).await?)).await?;
    Ok(Reply::page(&list, &page).showing(page.items.iter().map(|appointment| appointment.patient_id)))
}

async fn get(cx: TenantCx, Path(id): Path<AppointmentId>) -> Result<Reply, ApiError> {
    Ok(shown(&appointment::get(&cx.connection()?, cx.scope(), id).await?))
}

async fn update(
    cx: TenantCx,
    Path(id): Path<AppointmentId>,
    Body(patch): Body<UpdateAppointment>,
) -> Result<Reply, ApiError> {
    let expected = cx.expected_version();
    cx.write(move |tx, scope| {
        let patch = patch.clone();
        Box::pin(async move { Ok(shown(&appointment::update(tx, scope, id, expected, patch).await?)) })
    })
    .await
}

async fn reschedule(
    cx: TenantCx,
    Path(id): Path<AppointmentId>,
    Body(input): Body<Reschedule>,
) -> Result<Reply, ApiError> {
    let expected = cx.expected_version();
    cx.write(move |tx, scope| {
        let input = input.clone();
        Box::pin(async move { Ok(shown(&appointment::reschedule(tx, scope, id, expected, input).await?)) })
    })
    .await
}

async fn act(
    cx: TenantCx,
    Path(id): Path<AppointmentId>,
    Body(input): Body<TransitionInput>,
    action: Action,
) -> Result<Reply, ApiError> {
    let expected = cx.expected_version();
    cx.write(move |tx, scope| {
        let input = input.clone();
        Box::pin(
            async move { Ok(shown(&appointment::transition(tx, scope, id, expected, action, input).await?)) },
        )
    })
    .await
}
