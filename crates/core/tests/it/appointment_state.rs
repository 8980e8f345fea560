//! Moving appointments from state to state, and from time to time.

use clinicx_core::{
    CoreError,
    appointment::{self, Action, Appointment, Status, TransitionInput},
    permission::{APPOINTMENT_REVIVE, APPOINTMENT_WRITE},
};
use clinicx_types::{error::DomainError, page::PageRequest};
use serde_json::json;

use crate::practice::{NOW, Practice, code, wrong_field};

/// Books an appointment that begins at [`NOW`].
async fn booked(practice: &Practice) -> Appointment {
    let (patient, staff) = (practice.patient().await, practice.staff().await);
    let body = json!({ "patient_id": patient, "staff_id": staff, "start": NOW, "duration_minutes": 30 });
    practice.book(body).await.unwrap()
}

#[tokio::test]
async fn every_walk_through_the_states_leaves_its_trail() {
    let practice = Practice::open().await;
    let walks: &[(&str, &[Action])] = &[
        ("booked", &[Action::Arrive, Action::CheckIn, Action::Fulfil]),
        ("booked", &[Action::CheckIn, Action::Cancel]),
        ("booked", &[Action::Arrive, Action::NoShow, Action::Revive, Action::Void]),
        ("booked", &[Action::NoShow, Action::Confirm]),
        ("pending", &[Action::Confirm, Action::Cancel]),
        ("pending", &[Action::Void]),
        ("proposed", &[Action::Defer, Action::Hold, Action::Confirm]),
        ("proposed", &[Action::Hold, Action::Cancel]),
        ("waitlist", &[Action::Confirm, Action::Arrive, Action::Cancel]),
        ("waitlist", &[Action::Cancel]),
    ];
    for (start, actions) in walks {
        let (patient, staff) = (practice.patient().await, practice.staff().await);
        let body = json!({
            "patient_id": patient, "staff_id": staff, "start": NOW, "duration_minutes": 30, "status": start
        });
        let mut row = practice.book(body).await.unwrap();
        let mut states = vec![row.status];
        for action in *actions {
            row = practice.act(&practice.scope, &row, *action).await.unwrap();
            assert_eq!(row.status, action.target());
            states.push(row.status);
        }
        assert_eq!(row.version, i64::try_from(states.len()).unwrap());
        assert_eq!(practice.get(&row).await, row);
        let page = PageRequest::default();
        let history = appointment::history(
            &practice.tenant.connection,
            &practice.scope,
            &practice.tenant.cipher,
            row.id,
            &page,
        )
        .await
        .unwrap();
        assert_eq!(history.items.iter().map(|step| step.to_status).collect::<Vec<_>>(), states);
        let (audit, events) = practice.trail(row.id.uuid()).await;
        assert_eq!(audit.len(), states.len());
        assert_eq!(events, audit);
    }
}

#[tokio::test]
async fn a_refused_transition_names_what_is_possible_and_changes_nothing() {
    let practice = Practice::open().await;
    let row = booked(&practice).await;
    let error = practice.act(&practice.scope, &row, Action::Fulfil).await.unwrap_err();
    assert_eq!(error.code(), "transition_refused");
    assert_eq!(error.allowed(), ["arrived", "checked-in", "cancelled", "noshow", "entered-in-error"]);
    let cancelled = practice.act(&practice.scope, &row, Action::Cancel).await.unwrap();
    for action in Action::ALL {
        let error = practice.act(&practice.scope, &cancelled, action).await.unwrap_err();
        assert!(matches!(error, CoreError::RefusedTransition { from: "cancelled", .. }), "{error:?}");
        assert!(error.allowed().is_empty());
    }
    assert_eq!(practice.get(&row).await, cancelled);
    assert_eq!(code(practice.act(&practice.scope, &row, Action::Cancel).await), "version_mismatch");
    let nothing = appointment::transition;
    let id = clinicx_core::AppointmentId::new(practice.scope.next_id());
    let missing = practice
        .write(async |tx| {
            nothing(
                tx,
                &practice.scope,
                &practice.tenant.cipher,
                (id, None),
                (Action::Cancel, TransitionInput::default()),
            )
            .await
        })
        .await;
    assert_eq!(code(missing), "not_found");
}

#[tokio::test]
async fn a_cancellation_keeps_its_reason() {
    let practice = Practice::open().await;
    let (row, scope) = (booked(&practice).await, &practice.scope);
    let input = TransitionInput { reason: Some("ill".to_owned()) };
    let cancelled = practice
        .write(async |tx| {
            appointment::transition(
                tx,
                scope,
                &practice.tenant.cipher,
                (row.id, None),
                (Action::Cancel, input),
            )
            .await
        })
        .await
        .unwrap();
    assert_eq!(cancelled.cancellation_reason.as_deref(), Some("ill"));
    let page = PageRequest::default();
    let history =
        appointment::history(&practice.tenant.connection, scope, &practice.tenant.cipher, row.id, &page)
            .await
            .unwrap();
    assert_eq!(history.items[1].reason.as_deref(), Some("ill"));
}

#[tokio::test]
async fn a_no_show_is_known_after_the_start_and_taken_back_on_the_same_day() {
    let practice = Practice::open().await;
    let row = booked(&practice).await;
    assert_eq!(
        code(practice.act(&practice.at("2026-06-01T06:59:59Z"), &row, Action::NoShow).await),
        "wrong_time"
    );
    let row = practice.act(&practice.at("2026-06-01T07:00:00Z"), &row, Action::NoShow).await.unwrap();
    // In Berlin the day ends at 22:00Z.
    assert_eq!(
        code(practice.act(&practice.at("2026-06-01T22:00:00Z"), &row, Action::Revive).await),
        "wrong_time"
    );
    let clerk = clinicx_persistence::TenantScope {
        permissions: [APPOINTMENT_WRITE].into_iter().collect(),
        ..practice.at("2026-06-01T21:59:59Z")
    };
    let error = practice.act(&clerk, &row, Action::Confirm).await.unwrap_err();
    assert!(
        matches!(error, CoreError::Forbidden { permission } if permission == APPOINTMENT_REVIVE.0),
        "{error:?}"
    );
    assert_eq!(code(practice.act(&clerk, &row, Action::Void).await), "transition_refused");
    let row = practice.act(&practice.at("2026-06-01T21:59:59Z"), &row, Action::Confirm).await.unwrap();
    assert_eq!(row.status, Status::Booked);
    assert_eq!(code(practice.act(&clerk, &row, Action::Void).await), "permission_denied");
}

#[tokio::test]
async fn a_no_show_whose_time_was_given_away_is_not_taken_back() {
    let practice = Practice::open().await;
    let row = booked(&practice).await;
    let row = practice.act(&practice.scope, &row, Action::NoShow).await.unwrap();
    let patient = practice.patient().await;
    let body =
        json!({ "patient_id": patient, "staff_id": row.staff_id, "start": NOW, "duration_minutes": 30 });
    let other = practice.book(body).await.unwrap();
    let error = practice.act(&practice.scope, &row, Action::Revive).await.unwrap_err();
    assert_eq!((error.code(), error.conflicts()), ("slot_taken", vec![other.id.uuid()]));
    assert_eq!(practice.get(&row).await.status, Status::Noshow);
}

#[tokio::test]
async fn an_appointment_is_moved_and_its_own_slot_never_stands_against_it() {
    let practice = Practice::open().await;
    let row = booked(&practice).await;
    let moved = practice
        .reschedule(&row, json!({ "start": "2026-06-01T07:15:00Z", "reason": "late" }))
        .await
        .unwrap();
    assert_eq!(moved.start.to_rfc3339(), "2026-06-01T09:15:00+02:00");
    assert_eq!(
        ((moved.end - moved.start).num_minutes(), moved.version, moved.status),
        (30, 2, Status::Booked)
    );
    let longer = practice.reschedule(&moved, json!({ "duration_minutes": 60 })).await.unwrap();
    assert_eq!((longer.start, (longer.end - longer.start).num_minutes()), (moved.start, 60));
    let local =
        practice.reschedule(&longer, json!({ "start": "2026-12-01T09:00", "end": "2026-12-01T09:20" })).await;
    let local = local.unwrap();
    assert_eq!(local.start.to_rfc3339(), "2026-12-01T09:00:00+01:00");
    let chair = practice.chair().await;
    let seated = practice.reschedule(&local, json!({ "room_id": chair })).await.unwrap();
    assert_eq!((seated.room_id, seated.start), (Some(chair), local.start));
    let stood = practice.reschedule(&seated, json!({ "room_id": null })).await.unwrap();
    assert_eq!(stood.room_id, None);
    let same = practice.reschedule(&stood, json!({})).await.unwrap();
    assert_eq!(same.version, stood.version);

    let page = PageRequest::default();
    let history = appointment::history(
        &practice.tenant.connection,
        &practice.scope,
        &practice.tenant.cipher,
        row.id,
        &page,
    )
    .await
    .unwrap();
    let step = &history.items[1];
    assert_eq!(
        (step.from_status, step.to_status, step.reason.as_deref()),
        (Some(Status::Booked), Status::Booked, Some("late"))
    );
    assert_eq!((step.old_start, step.new_start), (Some(row.start.to_utc()), Some(moved.start.to_utc())));
    let (audit, events) = practice.trail(row.id.uuid()).await;
    assert_eq!(audit.iter().filter(|action| *action == "appointment.rescheduled").count(), 5);
    assert_eq!(events, audit);
}

#[tokio::test]
async fn a_move_that_is_refused_leaves_the_old_slot() {
    let practice = Practice::open().await;
    let row = booked(&practice).await;
    let other = practice.patient().await;
    let at_ten = "2026-06-01T10:00:00Z";
    let body =
        json!({ "patient_id": other, "staff_id": row.staff_id, "start": at_ten, "duration_minutes": 30 });
    let taken = practice.book(body.clone()).await.unwrap();
    let error = practice.reschedule(&row, json!({ "start": at_ten })).await.unwrap_err();
    assert_eq!((error.code(), error.conflicts()), ("slot_taken", vec![taken.id.uuid()]));
    assert_eq!(practice.get(&row).await, row);
    let over = practice.reschedule(&row, json!({ "start": at_ten, "overbook": true })).await.unwrap();
    assert!(over.overbook);
    let site = practice.room_with(json!({ "name": "S", "kind": "site" })).await.unwrap().id;
    let wrong = practice.reschedule(&over, json!({ "room_id": site })).await;
    assert_eq!(wrong_field(wrong), ("/room_id".into(), "not_bookable".into()));
    let stale = practice.reschedule(&row, json!({ "start": "2026-06-04T10:00:00Z" })).await;
    assert_eq!(code(stale), "version_mismatch");
    assert_eq!(
        code(
            practice
                .reschedule(&over, json!({ "start": "2026-06-04T10:00", "end": "2026-06-04T09:00" }))
                .await
        ),
        "invalid"
    );
}

#[tokio::test]
async fn only_what_lies_ahead_is_moved() {
    let practice = Practice::open().await;
    let row = booked(&practice).await;
    let arrived = practice.act(&practice.scope, &row, Action::Arrive).await.unwrap();
    let chair = practice.chair().await;
    let seated =
        practice.reschedule(&arrived, json!({ "room_id": chair, "duration_minutes": 45 })).await.unwrap();
    assert_eq!((seated.status, seated.room_id), (Status::Arrived, Some(chair)));
    let tomorrow = json!({ "start": "2026-06-02T07:00:00Z" });
    assert_eq!(code(practice.reschedule(&seated, tomorrow.clone()).await), "transition_refused");
    let received = practice.act(&practice.scope, &seated, Action::CheckIn).await.unwrap();
    let error = practice.reschedule(&received, tomorrow).await.unwrap_err();
    assert_eq!(error.allowed(), ["fulfilled", "cancelled", "entered-in-error"]);
}
