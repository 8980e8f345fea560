//! No double booking: of staff, of rooms, of patients, whoever comes first and however many come at once.

use std::{collections::BTreeSet, sync::Arc};

use clinicx_core::{
    CoreError,
    appointment::{self, Action, BookAppointment, Status},
    permission::APPOINTMENT_WRITE,
};
use clinicx_persistence::{Cluster, ClusterOptions, PoolOptions};
use clinicx_types::error::DomainError;
use sea_orm::{ConnectionTrait, raw_sql};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::practice::{NOW, Practice, code};

fn conflicts(result: Result<appointment::Appointment, CoreError>) -> Vec<Uuid> {
    let error = result.unwrap_err();
    assert_eq!(error.code(), "slot_taken", "{error:?}");
    error.conflicts()
}

/// A second pool with as many connections as a busy program has.
async fn busy_cluster(practice: &Practice) -> Cluster {
    let mut options: ClusterOptions = practice.tenant.database.cluster_options();
    options.pool = PoolOptions { max_connections: 25, ..options.pool };
    Cluster::connect(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_parallel_bookings_of_one_slot_exactly_one_succeeds() {
    let practice = Practice::open().await;
    let (staff, chair) = (practice.staff().await, practice.chair().await);
    let mut patients = Vec::new();
    for _ in 0..10 {
        patients.push(practice.patient().await);
    }
    let connection = busy_cluster(&practice).await.tenant(practice.tenant.tenant.target());
    for round in 1..=5 {
        let start = format!("2026-06-{round:02}T12:00:00Z");
        let attempts = (0..50).map(|index| {
            let (connection, scope) = (connection.clone(), practice.scope.clone());
            let cipher = practice.tenant.cipher.clone();
            let mut input = BookAppointment::new(patients[index % patients.len()], staff, start.as_str());
            (input.room_id, input.duration_minutes) = (Some(chair), Some(30));
            tokio::spawn(async move {
                let tx = connection.begin().await?;
                let made = appointment::book(&tx, &scope, &cipher, input).await?;
                tx.commit().await?;
                Ok::<_, CoreError>(made)
            })
        });
        let attempts: Vec<_> = attempts.collect();
        let (mut winners, mut losers) = (Vec::new(), Vec::new());
        for attempt in attempts {
            match attempt.await.unwrap() {
                Ok(made) => winners.push(made.id.uuid()),
                Err(CoreError::SlotTaken { conflicts }) => losers.push(conflicts),
                Err(error) => panic!("round {round}: {error:?}"),
            }
        }
        assert_eq!((winners.len(), losers.len()), (1, 49), "round {round}");
        assert!(losers.iter().all(|conflicts| *conflicts == winners), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_bookings_and_moves_across_many_actors_never_deadlock() {
    let practice = Practice::open().await;
    let mut patients = Vec::new();
    let mut staff = Vec::new();
    let mut chairs = Vec::new();
    for _ in 0..4 {
        patients.push(practice.patient().await);
        staff.push(practice.staff().await);
        chairs.push(practice.chair().await);
    }
    let connection = busy_cluster(&practice).await.tenant(practice.tenant.tenant.target());
    let (patients, staff, chairs) = (Arc::new(patients), Arc::new(staff), Arc::new(chairs));
    let workers = (0..16_usize).map(|worker| {
        let (connection, scope) = (connection.clone(), practice.scope.clone());
        let cipher = practice.tenant.cipher.clone();
        let (patients, staff, chairs) = (Arc::clone(&patients), Arc::clone(&staff), Arc::clone(&chairs));
        tokio::spawn(async move {
            let mut outcomes = BTreeSet::new();
            for step in 0..12_usize {
                let pick = worker * 7 + step * 5;
                let hour = 8 + pick % 3;
                let mut input = BookAppointment::new(
                    patients[pick % 4],
                    staff[(pick / 2) % 4],
                    format!("2026-06-02T{hour:02}:00:00Z"),
                );
                (input.room_id, input.duration_minutes) = (Some(chairs[(pick / 3) % 4]), Some(60));
                let tx = connection.begin().await.unwrap();
                let made = match appointment::book(&tx, &scope, &cipher, input).await {
                    Ok(made) => made,
                    Err(refused) => {
                        outcomes.insert(refused.code());
                        continue;
                    }
                };
                tx.commit().await.unwrap();
                let tx = connection.begin().await.unwrap();
                let to = json!({ "staff_id": staff[(pick + 1) % 4], "room_id": chairs[(pick + 2) % 4] });
                let to = serde_json::from_value(to).unwrap();
                match appointment::reschedule(&tx, &scope, &cipher, (made.id, None), to).await {
                    Ok(_) => tx.commit().await.unwrap(),
                    Err(refused) => {
                        outcomes.insert(refused.code());
                    }
                }
            }
            outcomes
        })
    });
    let workers: Vec<_> = workers.collect();
    let mut outcomes = BTreeSet::new();
    for worker in workers {
        outcomes.extend(worker.await.unwrap());
    }
    assert!(outcomes.iter().all(|code| *code == "slot_taken"), "{outcomes:?}");
}

#[tokio::test]
async fn staff_room_and_patient_are_each_in_one_place() {
    let practice = Practice::open().await;
    let (patient, staff, chair) = (practice.patient().await, practice.staff().await, practice.chair().await);
    let (patient2, staff2, chair2) =
        (practice.patient().await, practice.staff().await, practice.chair().await);
    let body = |patient: Value, staff: Value, chair: Value, start: &str| json!({ "patient_id": patient, "staff_id": staff, "room_id": chair, "start": start, "duration_minutes": 30 });
    let ten = "2026-06-02T10:00:00Z";
    let first = practice.book(body(json!(patient), json!(staff), json!(chair), ten)).await.unwrap();
    let check = async |patient, staff, chair, start: &str, taken: bool| {
        let result = practice.book(body(patient, staff, chair, start)).await;
        assert_eq!(result.is_err(), taken, "{start} {result:?}");
        if taken {
            assert_eq!(conflicts(result), [first.id.uuid()]);
        }
    };
    check(json!(patient2), json!(staff), json!(chair2), ten, true).await;
    check(json!(patient2), json!(staff2), json!(chair), ten, true).await;
    check(json!(patient), json!(staff2), json!(chair2), ten, true).await;
    check(json!(patient2), json!(staff), json!(null), "2026-06-02T10:29:00Z", true).await;
    check(json!(patient2), json!(staff), json!(null), "2026-06-02T09:31:00Z", true).await;
    check(json!(patient2), json!(staff2), json!(null), ten, false).await;
    check(json!(patient2), json!(staff), json!(chair), "2026-06-02T10:30:00Z", false).await;
    check(json!(patient), json!(staff), json!(chair), "2026-06-02T09:30:00Z", false).await;
    // Two things without a room are not in the same room.
    let both = practice.book(body(json!(patient2), json!(staff), json!(chair), ten)).await;
    assert_eq!(conflicts(both).len(), 2);
}

#[tokio::test]
async fn buffers_keep_staff_and_rooms_busy_but_not_patients() {
    let practice = Practice::open().await;
    let (patient, staff, chair) = (practice.patient().await, practice.staff().await, practice.chair().await);
    let (patient2, staff2) = (practice.patient().await, practice.staff().await);
    let service = json!({
        "code": "SUR", "name": "Surgery", "duration_minutes": 60, "buffer_before_minutes": 10, "buffer_after_minutes": 20
    });
    let service = practice.service(service).await;
    let surgery = json!({
        "patient_id": patient, "staff_id": staff, "room_id": chair, "service_id": service, "start": "2026-06-02T10:00:00Z"
    });
    let surgery = practice.book(surgery).await.unwrap();
    let check = async |body: Value, taken: bool| {
        let result = practice.book(body.clone()).await;
        assert_eq!(result.is_err(), taken, "{body}");
        if taken {
            assert_eq!(conflicts(result), [surgery.id.uuid()]);
        }
    };
    let with = |patient, staff, chair: Option<_>, start: &str| json!({ "patient_id": patient, "staff_id": staff, "room_id": chair, "start": start, "duration_minutes": 15 });
    check(with(patient2, staff, None, "2026-06-02T11:19:00Z"), true).await;
    check(with(patient2, staff2, Some(chair), "2026-06-02T11:05:00Z"), true).await;
    check(with(patient2, staff, None, "2026-06-02T09:36:00Z"), true).await;
    check(with(patient2, staff, None, "2026-06-02T09:35:00Z"), false).await;
    check(with(patient2, staff, Some(chair), "2026-06-02T11:20:00Z"), false).await;
    check(with(patient, staff2, None, "2026-06-02T11:00:00Z"), false).await;
}

#[tokio::test]
async fn overbooking_is_flagged_and_still_takes_the_time() {
    let practice = Practice::open().await;
    let staff = practice.staff().await;
    let mut bodies = Vec::new();
    for _ in 0..3 {
        let patient = practice.patient().await;
        bodies
            .push(json!({ "patient_id": patient, "staff_id": staff, "start": NOW, "duration_minutes": 30 }));
    }
    let [mut free, mut over, plain] = <[Value; 3]>::try_from(bodies).unwrap();
    free["overbook"] = json!(true);
    let first = practice.book(free).await.unwrap();
    assert!(!first.overbook, "nothing stood against it");
    over["overbook"] = json!(true);
    let second = practice.book(over).await.unwrap();
    assert!(second.overbook);
    assert_eq!(conflicts(practice.book(plain.clone()).await), [first.id.uuid(), second.id.uuid()]);
    // Who was booked over others stays when the others go.
    practice.act(&practice.scope, &first, Action::Cancel).await.unwrap();
    assert_eq!(conflicts(practice.book(plain).await), [second.id.uuid()]);
    let moved = practice.reschedule(&second, json!({ "start": "2026-06-03T07:00:00Z" })).await.unwrap();
    assert!(!moved.overbook, "it stands over nobody now");
}

#[tokio::test]
async fn only_states_that_hold_a_slot_take_it() {
    let practice = Practice::open().await;
    let (patient, staff) = (practice.patient().await, practice.staff().await);
    let with = |status: &str| json!({ "patient_id": patient, "staff_id": staff, "start": NOW, "duration_minutes": 30, "status": status });
    let proposed = practice.book(with("proposed")).await.unwrap();
    let waiting = practice.book(with("waitlist")).await.unwrap();
    let booked = practice.book(with("booked")).await.unwrap();
    assert_eq!((proposed.status, waiting.status), (Status::Proposed, Status::Waitlist));
    for other in [&proposed, &waiting] {
        let confirmed = practice.act(&practice.scope, other, Action::Confirm).await;
        assert_eq!(conflicts(confirmed), [booked.id.uuid()]);
    }
    practice.act(&practice.scope, &booked, Action::Cancel).await.unwrap();
    let confirmed = practice.act(&practice.scope, &waiting, Action::Confirm).await.unwrap();
    assert_eq!((confirmed.status, confirmed.version), (Status::Booked, 2));
}

#[tokio::test]
async fn holds_keep_their_slot_until_they_expire() {
    let practice = Practice::open().await;
    let (patient, other, staff) =
        (practice.patient().await, practice.patient().await, practice.staff().await);
    let start = "2026-06-02T09:00:00Z";
    let hold = json!({
        "patient_id": patient, "staff_id": staff, "start": start, "duration_minutes": 30, "status": "pending"
    });
    let held = practice.book(hold.clone()).await.unwrap();
    assert_eq!(held.hold_expires_at.unwrap().to_rfc3339(), "2026-06-01T07:10:00+00:00");
    let body = json!({ "patient_id": other, "staff_id": staff, "start": start, "duration_minutes": 30 });
    assert_eq!(
        conflicts(practice.book_as(&practice.at("2026-06-01T07:09:59Z"), body.clone()).await),
        [held.id.uuid()]
    );
    let late = practice.at("2026-06-01T07:10:00Z");
    assert_eq!(code(practice.act(&late, &held, Action::Confirm).await), "wrong_time");
    let clerk = clinicx_persistence::TenantScope {
        permissions: [APPOINTMENT_WRITE].into_iter().collect(),
        ..late.clone()
    };
    let booked = practice.book_as(&clerk, body.clone()).await.unwrap();
    let expired = practice.get(&held).await;
    assert_eq!((expired.status, expired.version, expired.hold_expires_at), (Status::Cancelled, 2, None));
    assert_eq!(expired.cancellation_reason.as_deref(), Some("hold_expired"));
    let (audit, events) = practice.trail(held.id.uuid()).await;
    assert_eq!(audit, ["appointment.created", "appointment.status_changed"]);
    assert_eq!(events, audit);

    practice.act(&practice.scope, &booked, Action::Cancel).await.unwrap();
    let held = practice.book(hold).await.unwrap();
    let confirmed = practice.act(&practice.at("2026-06-01T07:09:59Z"), &held, Action::Confirm).await.unwrap();
    assert_eq!((confirmed.status, confirmed.hold_expires_at), (Status::Booked, None));
    assert_eq!(conflicts(practice.book_as(&late, body).await), [confirmed.id.uuid()]);
}

#[tokio::test]
async fn expired_holds_are_cancelled_a_batch_at_a_time() {
    let practice = Practice::open().await;
    let (patient, staff) = (practice.patient().await, practice.staff().await);
    let hold = |hour: u32, expires: &str| {
        json!({
            "patient_id": patient, "staff_id": staff, "start": format!("2026-06-02T{hour:02}:00:00Z"),
            "duration_minutes": 30, "status": "pending", "hold_expires_at": expires
        })
    };
    let mut held = Vec::new();
    for hour in 8..11 {
        held.push(practice.book(hold(hour, "2026-06-01T08:00:00Z")).await.unwrap());
    }
    let lasting = practice.book(hold(12, "2026-06-01T09:00:00Z")).await.unwrap();
    let expire = async |now: &str, limit: u64| {
        let job = clinicx_persistence::TenantScope {
            permissions: clinicx_types::permission::PermissionSet::default(),
            ..practice.at(now)
        };
        practice
            .write(async |tx| appointment::expire_holds(tx, &job, &practice.tenant.cipher, limit).await)
            .await
            .unwrap()
    };
    assert_eq!(expire("2026-06-01T07:59:59Z", 10).await, 0);
    assert_eq!(expire("2026-06-01T08:00:00Z", 2).await, 2);
    assert_eq!(expire("2026-06-01T08:00:00Z", 2).await, 1);
    assert_eq!(expire("2026-06-01T08:00:00Z", 2).await, 0);
    for held in held {
        let expired = practice.get(&held).await;
        assert_eq!((expired.status, expired.version, expired.hold_expires_at), (Status::Cancelled, 2, None));
        let (audit, events) = practice.trail(held.id.uuid()).await;
        assert_eq!(audit, ["appointment.created", "appointment.status_changed"]);
        assert_eq!(events, audit);
    }
    assert_eq!(practice.get(&lasting).await.status, Status::Pending);
}

#[tokio::test]
async fn the_database_itself_refuses_a_double_booking() {
    let practice = Practice::open().await;
    let (patient, other, staff) =
        (practice.patient().await, practice.patient().await, practice.staff().await);
    let body = json!({ "patient_id": patient, "staff_id": staff, "start": NOW, "duration_minutes": 30 });
    let first = practice.book(body).await.unwrap();
    let later = json!({
        "patient_id": other, "staff_id": staff, "start": "2026-06-05T09:00:00Z", "duration_minutes": 30
    });
    let second = practice.book(later).await.unwrap();
    let move_it = "UPDATE appointments SET (starts_at, ends_at, busy_starts_at, busy_ends_at) = \
                   (SELECT starts_at, ends_at, busy_starts_at, busy_ends_at FROM appointments WHERE id <> $1 LIMIT 1) \
                   WHERE id = $1";
    let mut connection = practice.tenant.database.superuser().await;
    let path = format!("SET search_path = {}", practice.tenant.tenant.database_schema.quoted());
    sqlx::query(sqlx::AssertSqlSafe(path)).execute(&mut connection).await.unwrap();
    let refused = sqlx::query(move_it).bind(second.id.uuid()).execute(&mut connection).await.unwrap_err();
    let refused = refused.as_database_error().unwrap();
    assert_eq!(
        (refused.code().as_deref(), refused.constraint()),
        (Some("23P01"), Some("ex_appointments__staff"))
    );
    assert_eq!(practice.get(&first).await.version, 1);
}

/// Waits until a statement on appointments waits for another transaction.
async fn until_somebody_waits(practice: &Practice, statement: &str) {
    let mut connection = practice.tenant.database.superuser().await;
    let query = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity \
                 WHERE wait_event_type = 'Lock' AND position($1 IN query) > 0 AND position($2 IN query) > 0)";
    for _ in 0..10_000 {
        let waits: bool = sqlx::query_scalar(query)
            .bind(practice.tenant.tenant.database_schema.as_str())
            .bind(statement)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        if waits {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("nobody waits in {statement}");
}

#[tokio::test]
async fn who_takes_a_slot_past_the_locks_still_stands_against_it() {
    let practice = Practice::open().await;
    let (patient, other, staff) =
        (practice.patient().await, practice.patient().await, practice.staff().await);
    let body = json!({ "patient_id": patient, "staff_id": staff, "start": NOW, "duration_minutes": 30 });
    let held = practice.book(body).await.unwrap();
    let later = "2026-06-05T09:00:00Z";
    let body = json!({ "patient_id": other, "staff_id": staff, "start": later, "duration_minutes": 30 });
    for statement in ["INSERT INTO", "UPDATE"] {
        // A copy of the appointment at the later time, by a transaction that has asked for no lock.
        let bypass = practice.tenant.connection.begin().await.unwrap();
        let intruder = practice.scope.next_id();
        let (original, shift) = (held.id, "4 days 2 hours");
        let copy = raw_sql!(
            Postgres,
            r#"INSERT INTO appointments
                   (id, patient_id, staff_id, starts_at, ends_at, busy_starts_at, busy_ends_at, time_zone, status)
               SELECT {intruder}, patient_id, staff_id, starts_at + CAST({shift} AS interval),
                      ends_at + CAST({shift} AS interval), busy_starts_at + CAST({shift} AS interval),
                      busy_ends_at + CAST({shift} AS interval), time_zone, status
               FROM appointments
               WHERE id = {original}"#
        );
        bypass.execute_raw(copy).await.unwrap();
        let attempt = async {
            match statement {
                "UPDATE" => practice.reschedule(&held, json!({ "start": later })).await,
                _ => practice.book(body.clone()).await,
            }
        };
        let release = async {
            until_somebody_waits(&practice, statement).await;
            bypass.commit().await.unwrap();
        };
        let (attempt, ()) = tokio::join!(attempt, release);
        assert_eq!(conflicts(attempt), [intruder], "{statement}");
        let remove = raw_sql!(Postgres, r#"DELETE FROM appointments WHERE id = {intruder}"#);
        practice.tenant.connection.execute_raw(remove).await.unwrap();
    }
    assert_eq!(practice.get(&held).await, held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_parallel_moves_to_one_slot_exactly_one_succeeds() {
    let practice = Practice::open().await;
    let staff = practice.staff().await;
    let connection = busy_cluster(&practice).await.tenant(practice.tenant.tenant.target());
    for round in 1..=3 {
        let mut rows = Vec::new();
        for index in 0..16 {
            let patient = practice.patient().await;
            let start = format!("2026-06-{:02}T{:02}:{:02}:00Z", round + 10, 8 + index / 2, index % 2 * 30);
            let body =
                json!({ "patient_id": patient, "staff_id": staff, "start": start, "duration_minutes": 30 });
            rows.push(practice.book(body).await.unwrap());
        }
        let target = format!("2026-06-{:02}T20:00:00Z", round + 10);
        let attempts: Vec<_> = rows
            .iter()
            .map(|row| {
                let (connection, scope, id) = (connection.clone(), practice.scope.clone(), row.id);
                let cipher = practice.tenant.cipher.clone();
                let to = serde_json::from_value(json!({ "start": target })).unwrap();
                tokio::spawn(async move {
                    let tx = connection.begin().await?;
                    let moved = appointment::reschedule(&tx, &scope, &cipher, (id, None), to).await?;
                    tx.commit().await?;
                    Ok::<_, CoreError>(moved)
                })
            })
            .collect();
        let (mut winners, mut losers) = (Vec::new(), Vec::new());
        for attempt in attempts {
            match attempt.await.unwrap() {
                Ok(moved) => winners.push(moved.id.uuid()),
                Err(CoreError::SlotTaken { conflicts }) => losers.push(conflicts),
                Err(error) => panic!("round {round}: {error:?}"),
            }
        }
        assert_eq!((winners.len(), losers.len()), (1, 15), "round {round}");
        assert!(losers.iter().all(|conflicts| *conflicts == winners), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_parallel_overbookings_all_but_the_first_are_flagged() {
    let practice = Practice::open().await;
    let staff = practice.staff().await;
    let connection = busy_cluster(&practice).await.tenant(practice.tenant.tenant.target());
    let mut attempts = Vec::new();
    for _ in 0..20 {
        let (connection, scope) = (connection.clone(), practice.scope.clone());
        let cipher = practice.tenant.cipher.clone();
        let mut input = BookAppointment::new(practice.patient().await, staff, NOW);
        (input.duration_minutes, input.overbook) = (Some(30), true);
        attempts.push(async move {
            let tx = connection.begin().await?;
            let made = appointment::book(&tx, &scope, &cipher, input).await?;
            tx.commit().await?;
            Ok::<_, CoreError>(made.overbook)
        });
    }
    let attempts: Vec<_> = attempts.into_iter().map(tokio::spawn).collect();
    let mut flagged = Vec::new();
    for attempt in attempts {
        flagged.push(attempt.await.unwrap().unwrap());
    }
    assert_eq!(flagged.iter().filter(|flag| !**flag).count(), 1);
}
