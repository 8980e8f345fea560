//! Booking: what is asked for, what is written down, what is refused.

use clinicx_core::{
    CoreError,
    appointment::{self, Action, Status, UpdateAppointment},
    permission,
};
use clinicx_persistence::TenantScope;
use clinicx_testing::TestTenant;
use clinicx_types::{
    error::{DomainError, ErrorKind},
    page::PageRequest,
};
use serde_json::json;

use crate::practice::{CountedIds, NOW, Practice, code, wrong_field};

#[tokio::test]
async fn a_minimal_appointment_is_booked() {
    let practice = Practice::open().await;
    let (patient, staff) = (practice.patient().await, practice.staff().await);
    let body = json!({
        "patient_id": patient, "staff_id": staff, "start": "2026-06-02T09:00:00+02:00", "duration_minutes": 30
    });
    let made = practice.book(body).await.unwrap();
    assert_eq!((made.status, made.version, made.overbook), (Status::Booked, 1, false));
    assert_eq!(made.start.to_rfc3339(), "2026-06-02T09:00:00+02:00");
    assert_eq!(made.end.to_rfc3339(), "2026-06-02T09:30:00+02:00");
    assert_eq!((made.patient_id, made.staff_id, made.time_zone.as_str()), (patient, staff, "Europe/Berlin"));
    assert_eq!((made.room_id, made.service_id, made.hold_expires_at), (None, None, None));
    assert_eq!(practice.get(&made).await, made);

    let (audit, events) = practice.trail(made.id.uuid()).await;
    assert_eq!(
        (audit.as_slice(), events.as_slice()),
        (&["appointment.created".into()][..], &["appointment.created".into()][..])
    );
    let patients_trail =
        "SELECT count(*) FROM audit_logs WHERE patient_id = $1 AND action = 'appointment.created'";
    assert_eq!(practice.count(patients_trail, patient.uuid()).await, 1);
    let page = PageRequest::default();
    let history = appointment::history(
        &practice.tenant.connection,
        &practice.scope,
        &practice.tenant.cipher,
        made.id,
        &page,
    )
    .await
    .unwrap();
    assert_eq!(history.items.len(), 1);
    assert_eq!((history.items[0].from_status, history.items[0].to_status), (None, Status::Booked));
    assert_eq!(history.items[0].new_start, Some(made.start.to_utc()));
}

#[tokio::test]
async fn service_room_and_zone_say_what_the_body_does_not() {
    let practice = Practice::open().await;
    let (patient, staff) = (practice.patient().await, practice.staff().await);
    let site = json!({ "name": "Damascus", "kind": "site", "time_zone": "Asia/Damascus" });
    let site = practice.room_with(site).await.unwrap().id;
    let room =
        practice.room_with(json!({ "name": "1", "kind": "room", "parent_id": site })).await.unwrap().id;
    let chair =
        practice.room_with(json!({ "name": "1a", "kind": "chair", "parent_id": room })).await.unwrap().id;
    let service = json!({ "code": "EX", "name": "Examination", "duration_minutes": 45, "needs_chair": true });
    let service = practice.service(service).await;
    let mut body = json!({
        "patient_id": patient, "staff_id": staff, "room_id": chair, "service_id": service, "start": "2026-06-02T09:00:00Z"
    });
    let made = practice.book(body.clone()).await.unwrap();
    assert_eq!(made.start.to_rfc3339(), "2026-06-02T12:00:00+03:00");
    assert_eq!((made.end - made.start).num_minutes(), 45);
    assert_eq!(made.time_zone, "Asia/Damascus");
    body["start"] = json!("2026-06-03T09:00");
    body["time_zone"] = json!("Asia/Tokyo");
    let made = practice.book(body.clone()).await.unwrap();
    assert_eq!(
        (made.start.to_rfc3339().as_str(), made.time_zone.as_str()),
        ("2026-06-03T09:00:00+09:00", "Asia/Tokyo")
    );
    body["room_id"] = json!(room);
    assert_eq!(wrong_field(practice.book(body.clone()).await), ("/room_id".into(), "chair_required".into()));
    body["room_id"] = json!(null);
    assert_eq!(wrong_field(practice.book(body).await), ("/room_id".into(), "chair_required".into()));
}

#[tokio::test]
async fn local_times_are_those_of_their_zone() {
    let practice = Practice::open().await;
    let (patient, staff) = (practice.patient().await, practice.staff().await);
    let body = |start: &str, zone: Option<&str>| json!({ "patient_id": patient, "staff_id": staff, "start": start, "time_zone": zone, "duration_minutes": 60 });
    let berlin = Some("Europe/Berlin");
    let check = async |start: &str, zone: Option<&str>, pointer: &str, code: &str| {
        let found = wrong_field(practice.book(body(start, zone)).await);
        assert_eq!(found, (pointer.to_owned(), code.to_owned()), "{start}");
    };
    check("2027-03-28T02:30", berlin, "/start", "local_time_does_not_exist").await;
    check("2026-10-25T02:30", berlin, "/start", "local_time_ambiguous").await;
    check("2026-10-25T02:30", None, "/time_zone", "time_zone_required").await;
    check("2026-10-25T09:30", Some("Mars/Base"), "/time_zone", "unknown_time_zone").await;
    check("tomorrow", berlin, "/start", "malformed_time").await;
    check("2046-10-25T09:30", berlin, "/start", "out_of_range").await;
    let second = practice.book(body("2026-10-25T02:30:00+01:00", berlin)).await.unwrap();
    assert_eq!(second.start.to_rfc3339(), "2026-10-25T02:30:00+01:00");
    let first = practice.book(body("2026-10-25T02:30:00+02:00", berlin)).await.unwrap();
    assert_eq!((first.start.to_rfc3339().as_str(), first.end), ("2026-10-25T02:30:00+02:00", second.start));
    assert_eq!(first.end.to_rfc3339(), "2026-10-25T02:30:00+01:00");
}

#[tokio::test]
async fn what_a_booking_refers_to_must_be_there_and_bookable() {
    let practice = Practice::open().await;
    let (patient, staff) = (practice.patient().await, practice.staff().await);
    let good = json!({
        "patient_id": patient, "staff_id": staff, "start": "2026-06-02T09:00:00Z", "duration_minutes": 30
    });
    let nothing = json!("0197a000-0000-7000-8000-000000000001");
    let site = practice.room_with(json!({ "name": "S", "kind": "site" })).await.unwrap().id;
    let closed = json!({ "name": "R", "kind": "room", "active": false });
    let closed = practice.room_with(closed).await.unwrap().id;
    let gone = json!({ "family_name": "A", "given_name": "B", "roles": ["nurse"], "active": false });
    let gone = practice.staff_with(gone).await.unwrap().id;
    let old = json!({ "code": "OLD", "name": "Old", "duration_minutes": 30, "active": false });
    let old = practice.service(old).await;
    let check = async |field: &str, value: serde_json::Value, code: &str| {
        let mut body = good.clone();
        body[field] = value;
        let found = wrong_field(practice.book(body).await);
        assert_eq!(found, (format!("/{field}"), code.to_owned()));
    };
    for field in ["patient_id", "staff_id", "room_id", "service_id"] {
        check(field, nothing.clone(), "not_found").await;
    }
    check("staff_id", json!(gone), "inactive").await;
    check("room_id", json!(site), "not_bookable").await;
    check("room_id", json!(closed), "inactive").await;
    check("service_id", json!(old), "inactive").await;
    check("duration_minutes", json!(0), "out_of_range").await;
    check("duration_minutes", json!(1441), "out_of_range").await;
    check("hold_expires_at", json!("2026-06-01T09:00:00Z"), "only_when_pending").await;
    check("priority", json!(10), "out_of_range").await;
    let mut both = good.clone();
    both["end"] = json!("2026-06-02T09:30:00Z");
    assert_eq!(
        wrong_field(practice.book(both).await),
        ("/duration_minutes".into(), "end_or_duration".into())
    );
    let mut body = good.clone();
    for (field, value) in [("status", json!("fulfilled")), ("surprise", json!(1)), ("start", json!(12))] {
        let kept = body[field].clone();
        body[field] = value;
        assert!(serde_json::from_value::<appointment::BookAppointment>(body.clone()).is_err(), "{field}");
        if kept.is_null() {
            body.as_object_mut().unwrap().remove(field);
        } else {
            body[field] = kept;
        }
    }
    practice.book(good).await.unwrap();
}

#[tokio::test]
async fn merged_patients_are_gone_and_point_to_their_survivor() {
    let practice = Practice::open().await;
    let (patient, survivor, staff) =
        (practice.patient().await, practice.patient().await, practice.staff().await);
    let merge = format!(
        "UPDATE patients SET status = 'merged', merged_into_id = '{survivor}' WHERE id = $1 RETURNING 1::bigint"
    );
    assert_eq!(practice.count(Box::leak(merge.into_boxed_str()), patient.uuid()).await, 1);
    let body = json!({ "patient_id": patient, "staff_id": staff, "start": NOW, "duration_minutes": 30 });
    let error = practice.book(body).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Gone, "patient_merged"));
    assert_eq!(error.conflicts(), [survivor.uuid()]);
}

#[tokio::test]
async fn what_is_noted_can_be_changed_without_moving() {
    let practice = Practice::open().await;
    let (patient, staff) = (practice.patient().await, practice.staff().await);
    let body = json!({
        "patient_id": patient, "staff_id": staff, "start": NOW, "duration_minutes": 30, "reason": "pain", "priority": 1
    });
    let made = practice.book(body).await.unwrap();
    let patch: UpdateAppointment =
        serde_json::from_value(json!({ "comment": "late", "priority": null })).unwrap();
    let scope = &practice.scope;
    let changed = practice
        .write(async |tx| {
            appointment::update(tx, scope, &practice.tenant.cipher, (made.id, Some(1)), patch).await
        })
        .await
        .unwrap();
    assert_eq!((changed.version, changed.reason.as_deref()), (2, Some("pain")));
    assert_eq!((changed.comment.as_deref(), changed.priority), (Some("late"), None));
    let again = practice
        .write(async |tx| {
            appointment::update(
                tx,
                scope,
                &practice.tenant.cipher,
                (made.id, Some(2)),
                UpdateAppointment::default(),
            )
            .await
        })
        .await;
    assert_eq!(again.unwrap().version, 2);
    let stale = practice
        .write(async |tx| {
            appointment::update(
                tx,
                scope,
                &practice.tenant.cipher,
                (made.id, Some(1)),
                UpdateAppointment::default(),
            )
            .await
        })
        .await;
    assert_eq!(code(stale), "version_mismatch");
    let (audit, events) = practice.trail(made.id.uuid()).await;
    assert_eq!(audit, ["appointment.created", "appointment.updated"]);
    assert_eq!(events, audit);
}

#[tokio::test]
async fn tenants_with_the_same_ids_do_not_meet() {
    let one = Practice::of(TestTenant::with_core_facts(clinicx_core::FACTS).await);
    let two = Practice::of(one.tenant.another().await);
    let mut made = Vec::new();
    for mut practice in [one, two] {
        practice.scope = TenantScope { ids: CountedIds::from(1), ..practice.scope.clone() };
        let (patient, staff, chair) =
            (practice.patient().await, practice.staff().await, practice.chair().await);
        let body = json!({
            "patient_id": patient, "staff_id": staff, "room_id": chair, "start": "2026-06-02T09:00:00Z",
            "duration_minutes": 30
        });
        let appointment = practice.book(body).await.unwrap();
        made.push((practice, appointment));
    }
    let [(one, in_one), (two, in_two)] = made.try_into().ok().unwrap();
    assert_eq!(in_one, in_two);
    let cancelled = one.act(&one.scope, &in_one, Action::Cancel).await.unwrap();
    assert_eq!((cancelled.status, two.get(&in_two).await.status), (Status::Cancelled, Status::Booked));
    assert_eq!(one.trail(in_one.id.uuid()).await.0.len(), 2);
    assert_eq!(two.trail(in_two.id.uuid()).await.0.len(), 1);
    // A row of one tenant is nothing that the other could refer to.
    let stranger = one.patient().await;
    let body = json!({
        "patient_id": stranger, "staff_id": in_two.staff_id, "start": "2026-06-03T09:00:00Z", "duration_minutes": 30
    });
    let by_other = TenantScope { ids: CountedIds::from(1_000_000), ..two.scope.clone() };
    assert_eq!(wrong_field(two.book_as(&by_other, body).await), ("/patient_id".into(), "not_found".into()));
}

#[tokio::test]
async fn overbooking_needs_its_permission() {
    let practice = Practice::open().await;
    let (patient, staff) = (practice.patient().await, practice.staff().await);
    let body = json!({
        "patient_id": patient, "staff_id": staff, "start": NOW, "duration_minutes": 30, "overbook": true
    });
    let clerk = practice.tenant.scope_with(&[permission::APPOINTMENT_WRITE]);
    let error = practice.book_as(&clerk, body).await.unwrap_err();
    assert!(matches!(error, CoreError::Forbidden { permission: "appointment.overbook" }), "{error:?}");
}
