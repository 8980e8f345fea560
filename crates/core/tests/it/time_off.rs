//! Absences: kept, and kept to by bookings.

use clinicx_core::time_off::{self, TimeOffFilter, UpdateTimeOff};
use clinicx_types::page::PageRequest;
use serde_json::json;

use crate::practice::{Practice, code, wrong_field};

#[tokio::test]
async fn absences_are_made_changed_listed_and_removed() {
    let practice = Practice::open().await;
    let (who, scope, db) = (practice.staff().await, &practice.scope, &practice.tenant.connection);
    let body =
        json!({ "start": "2026-08-03T00:00", "end": "2026-08-10T00:00", "time_zone": "Europe/Berlin" });
    let leave = practice.away(who, body).await.unwrap();
    assert_eq!(leave.start.to_rfc3339(), "2026-08-02T22:00:00+00:00");
    let body = json!({ "starts_at": "2026-07-01T08:00:00+02:00", "ends_at": "2026-07-01T12:00:00Z", "reason": "course" });
    let course = practice.away(who, body).await.unwrap();
    let mut page = PageRequest::first(1).unwrap();
    let first = time_off::list(db, scope, who, &TimeOffFilter::default(), &page).await.unwrap();
    assert_eq!(first.items, std::slice::from_ref(&course));
    page.after = first.next;
    let second = time_off::list(db, scope, who, &TimeOffFilter::default(), &page).await.unwrap();
    assert_eq!((second.items, second.next), (vec![leave.clone()], None));
    let august = TimeOffFilter { from: "2026-08-01T00:00:00Z".parse().ok(), to: None };
    let found = time_off::list(db, scope, who, &august, &PageRequest::default()).await.unwrap();
    assert_eq!(found.items, std::slice::from_ref(&leave));

    let key = (who, course.id);
    let change: UpdateTimeOff =
        serde_json::from_value(json!({ "end": "2026-07-01T13:00:00Z", "reason": null })).unwrap();
    let changed =
        practice.write(async |tx| time_off::update(tx, scope, key, Some(1), change).await).await.unwrap();
    assert_eq!((changed.version, changed.reason, changed.start), (2, None, course.start));
    practice.write(async |tx| time_off::delete(tx, scope, key, None).await).await.unwrap();
    let (audit, events) = practice.trail(course.id.uuid()).await;
    assert_eq!(audit, ["time_off.created", "time_off.updated", "time_off.deleted"]);
    assert_eq!(events, audit);
    let body = json!({ "start": "2026-07-01T12:00:00Z", "end": "2026-07-01T12:00:00Z" });
    assert_eq!(wrong_field(practice.away(who, body).await), ("/end".into(), "end_before_start".into()));
}

#[tokio::test]
async fn nobody_is_booked_while_away() {
    let practice = Practice::open().await;
    let (patient, who) = (practice.patient().await, practice.staff().await);
    practice
        .away(who, json!({ "start": "2026-06-02T10:00:00Z", "end": "2026-06-02T12:00:00Z" }))
        .await
        .unwrap();
    let at = |start: &str| json!({ "patient_id": patient, "staff_id": who, "start": start, "duration_minutes": 30 });
    assert_eq!(code(practice.book(at("2026-06-02T09:31:00Z")).await), "time_off");
    assert_eq!(code(practice.book(at("2026-06-02T11:59:00Z")).await), "time_off");
    practice.book(at("2026-06-02T09:30:00Z")).await.unwrap();
    let later = practice.book(at("2026-06-02T12:00:00Z")).await.unwrap();
    assert_eq!(
        code(practice.reschedule(&later, json!({ "start": "2026-06-02T11:00:00Z" })).await),
        "time_off"
    );
}
