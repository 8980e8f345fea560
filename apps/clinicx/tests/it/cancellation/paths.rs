//! Every operation inside a tenant: what it is done to, what it is told, and its way through the database.

use std::sync::LazyLock;

use clinicx_audit::trail::{self, TrailFilter};
use clinicx_core::{
    AppointmentId, CoreError, PatientId, RoomId, ServiceId, StaffId, TimeOffId, WorkingHoursId,
    appointment::{self, Action, AppointmentFilter},
    patient::{self, PatientFilter, PatientSort, Revision},
    room::{self, RoomFilter},
    service::{self, ServiceFilter},
    staff::{self, NoAccounts, StaffFilter},
    time_off::{self, TimeOffFilter},
    working_hours,
};
use clinicx_persistence::{TenantConnection, TenantTransaction};
use clinicx_types::page::PageRequest;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::{Value, json};

use super::{billing, clinic::Call, dental};

/// What an operation answers, as JSON.
pub(crate) type Answer = Result<Value, CoreError>;

pub(super) type InTransaction = for<'a> fn(&'a TenantTransaction, &'a Call) -> BoxFuture<'a, Answer>;
pub(super) type Alone = for<'a> fn(&'a TenantConnection, &'a Call) -> BoxFuture<'a, Answer>;

/// How an operation uses the database.
pub(crate) enum Work {
    /// In a transaction for writing.
    Write(InTransaction),
    /// As [`Work::Write`]: moves an appointment to another state.
    Act(Action),
    /// In a transaction in which reads agree.
    Read(InTransaction),
    /// In a single statement.
    Single(Alone),
}

/// To what it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    Nothing,
    Patient,
    Staff,
    Room,
    Service,
    WorkingHours,
    TimeOff,
    Appointment(Stage),
    Dental(dental::Thing),
    Billing(billing::Thing),
}

/// Where an appointment stands before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    Proposed,
    Booked,
    /// Booked, and it has started.
    Started,
    CheckedIn,
}

/// One operation.
pub(crate) struct Path {
    /// Its id in the API.
    pub(crate) id: &'static str,
    pub(crate) subject: Subject,
    pub(crate) body: fn(&Call) -> Value,
    pub(crate) query: fn(&Call) -> String,
    pub(crate) work: Work,
}

impl Path {
    pub(super) const fn write(
        id: &'static str,
        subject: Subject,
        body: fn(&Call) -> Value,
        work: InTransaction,
    ) -> Self {
        Self { id, subject, body, query: |_| String::new(), work: Work::Write(work) }
    }

    const fn act(id: &'static str, stage: Stage, action: Action) -> Self {
        let body: fn(&Call) -> Value = |call| json!({ "reason": call.text() });
        let subject = Subject::Appointment(stage);
        Self { id, subject, body, query: |_| String::new(), work: Work::Act(action) }
    }

    pub(super) const fn list(id: &'static str, query: fn(&Call) -> String, work: InTransaction) -> Self {
        Self { id, subject: Subject::Nothing, body: |_| Value::Null, query, work: Work::Read(work) }
    }

    pub(super) const fn get(id: &'static str, subject: Subject, work: Work) -> Self {
        Self { id, subject, body: |_| Value::Null, query: |_| String::new(), work }
    }

    pub(crate) fn writes(&self) -> bool {
        matches!(self.work, Work::Write(_) | Work::Act(_))
    }
}

fn shown<T: Serialize>(result: Result<T, CoreError>) -> Answer {
    result.map(|value| serde_json::to_value(value).unwrap())
}

pub(super) fn page() -> PageRequest {
    PageRequest::first(20).unwrap()
}

pub(super) fn no_query(_: &Call) -> String {
    String::new()
}

const BOOKED: Subject = Subject::Appointment(Stage::Booked);

/// All of them.
pub(crate) static PATHS: LazyLock<Vec<&'static Path>> =
    LazyLock::new(|| CORE.iter().chain(billing::PATHS).chain(dental::PATHS).collect());

static CORE: &[Path] = &[
    Path::write(
        "create_patient",
        Subject::Nothing,
        |call| {
            json!({
                "family_name": call.canary, "given_name": call.text(), "birth_date": "1980-05-17",
                "phones": [format!("+49301{:07}", call.number)], "emails": ["one@example.org"],
                "addresses": [{"line1": "1 Main Street", "city": "Berlin", "country": "DE"}],
                "identifiers": [{"system": "passport", "value": format!("P{}", call.number)}],
                "emergency_contacts": [{"name": "Somebody", "phone": "+49301234567"}], "notes": "Nothing",
            })
        },
        |tx, call| {
            Box::pin(async move { shown(patient::create(tx, &call.scope, &call.cipher, call.input()).await) })
        },
    ),
    Path::list(
        "list_patients",
        |call| format!("q={}&limit=20", call.canary),
        |tx, call| {
            Box::pin(async move {
                let filter = PatientFilter { q: Some(call.canary.to_string()), ..PatientFilter::default() };
                let order = (&page(), PatientSort::Name);
                let found = patient::list(tx, &call.scope, &call.cipher, &filter, order).await?;
                let all =
                    patient::list(tx, &call.scope, &call.cipher, &PatientFilter::default(), order).await?;
                shown(Ok([found.items, all.items]))
            })
        },
    ),
    Path::get(
        "get_patient",
        Subject::Patient,
        Work::Read(|tx, call| {
            Box::pin(async move {
                let id = PatientId::new(call.subject.id);
                shown(patient::get(tx, &call.scope, &call.cipher, id).await)
            })
        }),
    ),
    Path::write(
        "update_patient",
        Subject::Patient,
        |call| json!({"given_name": call.text(), "phones": ["+4930777"], "emails": ["two@example.org"]}),
        |tx, call| {
            Box::pin(async move {
                let revision =
                    Revision { id: PatientId::new(call.subject.id), expected: Some(call.subject.version) };
                shown(patient::update(tx, &call.scope, &call.cipher, revision, call.input()).await)
            })
        },
    ),
    Path::write(
        "create_staff_member",
        Subject::Nothing,
        |call| json!({"family_name": call.canary, "given_name": call.text(), "roles": ["dentist"]}),
        |tx, call| {
            Box::pin(async move { shown(staff::create(tx, &call.scope, &NoAccounts, call.input()).await) })
        },
    ),
    Path::list("list_staff", no_query, |tx, call| {
        Box::pin(async move {
            let found = staff::list(tx, &call.scope, &StaffFilter::default(), &page()).await;
            shown(found.map(|page| page.items))
        })
    }),
    Path::get(
        "get_staff_member",
        Subject::Staff,
        Work::Single(|db, call| {
            Box::pin(async move { shown(staff::get(db, &call.scope, StaffId::new(call.subject.id)).await) })
        }),
    ),
    Path::write(
        "update_staff_member",
        Subject::Staff,
        |call| json!({"given_name": call.text()}),
        |tx, call| {
            Box::pin(async move {
                let revision = staff::Revision {
                    id: StaffId::new(call.subject.id),
                    expected: Some(call.subject.version),
                };
                shown(staff::update(tx, &call.scope, &NoAccounts, revision, call.input()).await)
            })
        },
    ),
    Path::write(
        "delete_staff_member",
        Subject::Staff,
        |_| Value::Null,
        |tx, call| {
            Box::pin(async move {
                let (id, version) = (StaffId::new(call.subject.id), Some(call.subject.version));
                shown(staff::delete(tx, &call.scope, id, version).await)
            })
        },
    ),
    Path::write(
        "create_working_hours",
        Subject::Nothing,
        |call| {
            let day = call.day();
            json!({"weekday": 1, "starts": "09:00", "ends": "16:00", "valid_from": day, "valid_until": day})
        },
        |tx, call| {
            Box::pin(async move {
                shown(working_hours::create(tx, &call.scope, call.colleague, call.input()).await)
            })
        },
    ),
    Path::list("list_working_hours", no_query, |tx, call| {
        Box::pin(async move {
            let found = working_hours::list(tx, &call.scope, call.colleague, &page()).await;
            shown(found.map(|page| page.items))
        })
    }),
    Path::get(
        "get_working_hours",
        Subject::WorkingHours,
        Work::Read(|tx, call| {
            Box::pin(async move {
                let id = WorkingHoursId::new(call.subject.id);
                shown(working_hours::get(tx, &call.scope, call.colleague, id).await)
            })
        }),
    ),
    Path::write(
        "update_working_hours",
        Subject::WorkingHours,
        |_| json!({"ends": "17:00"}),
        |tx, call| {
            Box::pin(async move {
                let id = (call.colleague, WorkingHoursId::new(call.subject.id));
                let version = Some(call.subject.version);
                shown(working_hours::update(tx, &call.scope, id, version, call.input()).await)
            })
        },
    ),
    Path::write(
        "delete_working_hours",
        Subject::WorkingHours,
        |_| Value::Null,
        |tx, call| {
            Box::pin(async move {
                let id = (call.colleague, WorkingHoursId::new(call.subject.id));
                shown(working_hours::delete(tx, &call.scope, id, Some(call.subject.version)).await)
            })
        },
    ),
    Path::write(
        "create_time_off",
        Subject::Nothing,
        |call| {
            let (start, end) = call.slot();
            json!({"start": start, "end": end, "reason": call.text()})
        },
        |tx, call| {
            Box::pin(
                async move { shown(time_off::create(tx, &call.scope, call.colleague, call.input()).await) },
            )
        },
    ),
    Path::list("list_time_off", no_query, |tx, call| {
        Box::pin(async move {
            let filter = TimeOffFilter::default();
            let found = time_off::list(tx, &call.scope, call.colleague, &filter, &page()).await;
            shown(found.map(|page| page.items))
        })
    }),
    Path::get(
        "get_time_off",
        Subject::TimeOff,
        Work::Read(|tx, call| {
            Box::pin(async move {
                let id = TimeOffId::new(call.subject.id);
                shown(time_off::get(tx, &call.scope, call.colleague, id).await)
            })
        }),
    ),
    Path::write(
        "update_time_off",
        Subject::TimeOff,
        |call| json!({"reason": call.text()}),
        |tx, call| {
            Box::pin(async move {
                let id = (call.colleague, TimeOffId::new(call.subject.id));
                let version = Some(call.subject.version);
                shown(time_off::update(tx, &call.scope, id, version, call.input()).await)
            })
        },
    ),
    Path::write(
        "delete_time_off",
        Subject::TimeOff,
        |_| Value::Null,
        |tx, call| {
            Box::pin(async move {
                let id = (call.colleague, TimeOffId::new(call.subject.id));
                shown(time_off::delete(tx, &call.scope, id, Some(call.subject.version)).await)
            })
        },
    ),
    Path::write(
        "create_room",
        Subject::Nothing,
        |call| json!({"name": call.text(), "kind": "room"}),
        |tx, call| Box::pin(async move { shown(room::create(tx, &call.scope, call.input()).await) }),
    ),
    Path::list("list_rooms", no_query, |tx, call| {
        Box::pin(async move {
            let found = room::list(tx, &call.scope, &RoomFilter::default(), &page()).await;
            shown(found.map(|page| page.items))
        })
    }),
    Path::get(
        "get_room",
        Subject::Room,
        Work::Single(|db, call| {
            Box::pin(async move { shown(room::get(db, &call.scope, RoomId::new(call.subject.id)).await) })
        }),
    ),
    Path::write(
        "update_room",
        Subject::Room,
        |call| json!({"name": call.text()}),
        |tx, call| {
            Box::pin(async move {
                let (id, version) = (RoomId::new(call.subject.id), Some(call.subject.version));
                shown(room::update(tx, &call.scope, id, version, call.input()).await)
            })
        },
    ),
    Path::write(
        "delete_room",
        Subject::Room,
        |_| Value::Null,
        |tx, call| {
            Box::pin(async move {
                let (id, version) = (RoomId::new(call.subject.id), Some(call.subject.version));
                shown(room::delete(tx, &call.scope, id, version).await)
            })
        },
    ),
    Path::write(
        "create_service",
        Subject::Nothing,
        |call| json!({"code": format!("S{}", call.number), "name": call.text(), "duration_minutes": 20}),
        |tx, call| Box::pin(async move { shown(service::create(tx, &call.scope, call.input()).await) }),
    ),
    Path::list("list_services", no_query, |tx, call| {
        Box::pin(async move {
            let found = service::list(tx, &call.scope, &ServiceFilter::default(), &page()).await;
            shown(found.map(|page| page.items))
        })
    }),
    Path::get(
        "get_service",
        Subject::Service,
        Work::Single(|db, call| {
            Box::pin(
                async move { shown(service::get(db, &call.scope, ServiceId::new(call.subject.id)).await) },
            )
        }),
    ),
    Path::write(
        "update_service",
        Subject::Service,
        |call| json!({"name": call.text()}),
        |tx, call| {
            Box::pin(async move {
                let (id, version) = (ServiceId::new(call.subject.id), Some(call.subject.version));
                shown(service::update(tx, &call.scope, id, version, call.input()).await)
            })
        },
    ),
    Path::write(
        "delete_service",
        Subject::Service,
        |_| Value::Null,
        |tx, call| {
            Box::pin(async move {
                let (id, version) = (ServiceId::new(call.subject.id), Some(call.subject.version));
                shown(service::delete(tx, &call.scope, id, version).await)
            })
        },
    ),
    Path::write(
        "book_appointment",
        Subject::Nothing,
        |call| {
            let (start, end) = call.slot();
            json!({
                "patient_id": call.patient, "staff_id": call.staff, "room_id": call.room,
                "service_id": call.service, "start": start, "end": end, "comment": call.text(),
            })
        },
        |tx, call| {
            Box::pin(
                async move { shown(appointment::book(tx, &call.scope, &call.cipher, call.input()).await) },
            )
        },
    ),
    Path::list(
        "list_appointments",
        |call| format!("staff_id={}&limit=20", call.staff),
        |tx, call| {
            Box::pin(async move {
                let filter = AppointmentFilter { staff_id: Some(call.staff), ..AppointmentFilter::default() };
                let found = appointment::list(tx, &call.scope, &call.cipher, &filter, &page()).await;
                shown(found.map(|page| page.items))
            })
        },
    ),
    Path::get(
        "get_appointment",
        BOOKED,
        Work::Single(|db, call| {
            Box::pin(async move {
                shown(
                    appointment::get(db, &call.scope, &call.cipher, AppointmentId::new(call.subject.id))
                        .await,
                )
            })
        }),
    ),
    Path::write(
        "update_appointment",
        BOOKED,
        |call| json!({"comment": call.text()}),
        |tx, call| {
            Box::pin(async move {
                let (id, version) = (AppointmentId::new(call.subject.id), Some(call.subject.version));
                shown(appointment::update(tx, &call.scope, &call.cipher, (id, version), call.input()).await)
            })
        },
    ),
    Path::write(
        "reschedule_appointment",
        BOOKED,
        |call| {
            let (start, end) = call.slot();
            json!({"start": start, "end": end, "reason": call.text()})
        },
        |tx, call| {
            Box::pin(async move {
                let (id, version) = (AppointmentId::new(call.subject.id), Some(call.subject.version));
                shown(
                    appointment::reschedule(tx, &call.scope, &call.cipher, (id, version), call.input()).await,
                )
            })
        },
    ),
    Path::act("confirm_appointment", Stage::Proposed, Action::Confirm),
    Path::act("arrive_appointment", Stage::Booked, Action::Arrive),
    Path::act("check_in_appointment", Stage::Booked, Action::CheckIn),
    Path::act("fulfil_appointment", Stage::CheckedIn, Action::Fulfil),
    Path::act("cancel_appointment", Stage::Booked, Action::Cancel),
    Path::act("no_show_appointment", Stage::Started, Action::NoShow),
    Path::act("hold_appointment", Stage::Proposed, Action::Hold),
    Path::act("defer_appointment", Stage::Proposed, Action::Defer),
    Path::act("void_appointment", Stage::Booked, Action::Void),
    Path::list("list_audit_logs", no_query, |tx, call| {
        Box::pin(async move {
            let found = trail::list(tx, &call.scope, &TrailFilter::default(), &page()).await;
            shown(Ok(found.unwrap().items))
        })
    }),
];

/// Returns the one with this id.
pub(crate) fn path(id: &str) -> &'static Path {
    PATHS.iter().find(|path| path.id == id).unwrap()
}
