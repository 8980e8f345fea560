//! Working hours: kept without overlaps, and kept to by bookings across changes of the clock.

use clinicx_core::working_hours::{self, UpdateWorkingHours};
use clinicx_types::page::PageRequest;
use serde_json::json;

use crate::practice::{Practice, code, wrong_field};

#[tokio::test]
async fn working_hours_are_made_changed_listed_and_removed() {
    let practice = Practice::open().await;
    let (who, scope) = (practice.staff().await, &practice.scope);
    let late =
        practice.hours(who, json!({ "weekday": 1, "starts": "13:00", "ends": "24:00" })).await.unwrap();
    assert_eq!((late.starts.as_str(), late.ends.as_str()), ("13:00", "24:00"));
    assert_eq!((late.time_zone.as_str(), late.version), ("Europe/Berlin", 1));
    let early =
        practice.hours(who, json!({ "weekday": 1, "starts": "09:00", "ends": "13:00" })).await.unwrap();
    let mut page = PageRequest::first(1).unwrap();
    let first = working_hours::list(&practice.tenant.connection, scope, who, &page).await.unwrap();
    assert_eq!(first.items, std::slice::from_ref(&early));
    page.after = first.next;
    let second = working_hours::list(&practice.tenant.connection, scope, who, &page).await.unwrap();
    assert_eq!((second.items, second.next), (vec![late.clone()], None));

    let change: UpdateWorkingHours = serde_json::from_value(json!({ "ends": "18:30:00" })).unwrap();
    let key = (who, late.id);
    let changed =
        practice.write(async |tx| working_hours::update(tx, scope, key, Some(1), change).await).await;
    assert_eq!(changed.unwrap().ends, "18:30");
    practice.write(async |tx| working_hours::delete(tx, scope, key, Some(2)).await).await.unwrap();
    assert_eq!(code(working_hours::get(&practice.tenant.connection, scope, who, late.id).await), "not_found");
    let somebody = practice.staff().await;
    assert_eq!(
        code(working_hours::get(&practice.tenant.connection, scope, somebody, early.id).await),
        "not_found"
    );
    let (audit, events) = practice.trail(late.id.uuid()).await;
    assert_eq!(audit, ["working_hours.created", "working_hours.updated", "working_hours.deleted"]);
    assert_eq!(events, audit);
}

#[tokio::test]
async fn overlapping_working_hours_are_refused() {
    let practice = Practice::open().await;
    let who = practice.staff().await;
    let base = json!({ "weekday": 2, "starts": "09:00", "ends": "12:00", "valid_until": "2026-12-31" });
    practice.hours(who, base).await.unwrap();
    let check = async |body: serde_json::Value, expected: Option<&str>| {
        let found = practice
            .hours(who, body.clone())
            .await
            .map_err(|error| clinicx_types::error::DomainError::code(&error));
        assert_eq!(found.err(), expected, "{body}");
    };
    check(json!({ "weekday": 2, "starts": "11:59", "ends": "13:00" }), Some("working_hours_overlap")).await;
    check(json!({ "weekday": 2, "starts": "00:00", "ends": "24:00" }), Some("working_hours_overlap")).await;
    check(json!({ "weekday": 2, "starts": "12:00", "ends": "13:00" }), None).await;
    check(json!({ "weekday": 3, "starts": "09:00", "ends": "12:00" }), None).await;
    check(json!({ "weekday": 2, "starts": "09:00", "ends": "12:00", "valid_from": "2027-01-01" }), None)
        .await;
    let on_the_last_day =
        json!({ "weekday": 2, "starts": "09:00", "ends": "10:00", "valid_from": "2026-12-31" });
    check(on_the_last_day, Some("working_hours_overlap")).await;
    let other = practice.staff().await;
    practice.hours(other, json!({ "weekday": 2, "starts": "09:00", "ends": "12:00" })).await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_about_working_hours_is_refused() {
    let practice = Practice::open().await;
    let who = practice.staff().await;
    let check = async |body: serde_json::Value, pointer: &str, code: &str| {
        let found = wrong_field(practice.hours(who, body).await);
        assert_eq!(found, (pointer.to_owned(), code.to_owned()));
    };
    check(json!({ "weekday": 0, "starts": "09:00", "ends": "12:00" }), "/weekday", "out_of_range").await;
    check(json!({ "weekday": 8, "starts": "09:00", "ends": "12:00" }), "/weekday", "out_of_range").await;
    check(json!({ "weekday": 1, "starts": "25:00", "ends": "12:00" }), "/starts", "malformed_time").await;
    check(json!({ "weekday": 1, "starts": "24:00", "ends": "24:00" }), "/starts", "malformed_time").await;
    for starts in [" 9:00", "9:00", "09: 0", "+9:00", "09:00 "] {
        check(json!({ "weekday": 1, "starts": starts, "ends": "12:00" }), "/starts", "malformed_time").await;
    }
    check(json!({ "weekday": 1, "starts": "12:00", "ends": "12:00" }), "/ends", "end_before_start").await;
    check(
        json!({ "weekday": 1, "starts": "09:00", "ends": "12:00", "time_zone": "Nowhere" }),
        "/time_zone",
        "unknown_time_zone",
    )
    .await;
    check(
        json!({
            "weekday": 1, "starts": "09:00", "ends": "12:00", "valid_from": "2026-02-01", "valid_until": "2026-01-01"
        }),
        "/valid_until",
        "end_before_start",
    )
    .await;
    let nobody = clinicx_core::StaffId::new(practice.scope.next_id());
    let refused = practice.hours(nobody, json!({ "weekday": 1, "starts": "09:00", "ends": "12:00" })).await;
    assert_eq!(code(refused), "not_found");
}

#[tokio::test]
async fn bookings_keep_to_working_hours_before_and_after_a_change_of_the_clock() {
    let practice = Practice::open().await;
    let (patient, who) = (practice.patient().await, practice.staff().await);
    for weekday in 1..=7 {
        practice.hours(who, json!({ "weekday": weekday, "starts": "09:00", "ends": "17:00" })).await.unwrap();
    }
    let check = async |start: &str, minutes: i64, expected: Option<&str>| {
        let body =
            json!({ "patient_id": patient, "staff_id": who, "start": start, "duration_minutes": minutes });
        let found =
            practice.book(body).await.map_err(|error| clinicx_types::error::DomainError::code(&error));
        assert_eq!(found.err(), expected, "{start} {minutes}");
    };
    // Clocks in Berlin go back on Sunday 2026-10-25: 08:00Z is 10:00 the day before, and 09:00 from then on.
    check("2026-10-24T07:00:00Z", 30, None).await;
    check("2026-10-25T07:00:00Z", 30, Some("outside_working_hours")).await;
    check("2026-10-25T08:00:00Z", 30, None).await;
    check("2026-10-24T15:30:00Z", 30, Some("outside_working_hours")).await;
    check("2026-10-25T15:30:00Z", 30, None).await;
    check("2026-10-26T15:30:00Z", 31, Some("outside_working_hours")).await;
    check("2026-10-26T07:59:00Z", 30, Some("outside_working_hours")).await;
    // Clocks go forward on Sunday 2027-03-28.
    check("2027-03-27T08:00:00Z", 30, None).await;
    check("2027-03-28T07:00:00Z", 30, None).await;
    check("2027-03-29T06:30:00Z", 60, Some("outside_working_hours")).await;
    // What holds no slot is only written down.
    let body = json!({
        "patient_id": patient, "staff_id": who, "start": "2026-10-24T02:00:00Z", "duration_minutes": 30,
        "status": "waitlist"
    });
    practice.book(body).await.unwrap();
}
