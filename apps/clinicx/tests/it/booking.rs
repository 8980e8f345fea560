//! Appointments over HTTP.

use clinicx::config::{Config, LimitsConfig};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::support::{Api, Clinic, OPERATOR, configuration, start};

/// A body that books half an hour at `start`.
fn booking(patient: &Value, staff: &Value, start: &str) -> Value {
    json!({"patient_id": patient["id"], "staff_id": staff["id"], "start": start, "duration_minutes": 30})
}

/// What became of the bookings of some races.
#[derive(Debug, Default)]
struct Races {
    won: usize,
    taken: usize,
    throttled: usize,
}

/// Lets fifty bookings at a time race for one slot, `rounds` times.
async fn race(clinic: &Clinic, rounds: u32) -> Races {
    let staff = clinic.staff().await;
    let mut patients = Vec::new();
    for number in 0..50 {
        patients.push(clinic.patient(&format!("Rival{number}")).await);
    }
    let mut races = Races::default();
    for round in 0..rounds {
        let start = format!("2031-03-{:02}T10:00:00Z", round + 1);
        let attempts = patients.iter().map(|patient| {
            let (api, body) = (clinic.admin.clone(), booking(patient, &staff, &start));
            tokio::spawn(async move { api.post("/appointments", body).await })
        });
        let mut winner = None;
        let mut losers = Vec::new();
        for attempt in attempts.collect::<Vec<_>>() {
            let answer = attempt.await.unwrap();
            match answer.status.as_u16() {
                201 => assert!(
                    winner.replace(answer.json()["id"].clone()).is_none(),
                    "two winners in round {round}"
                ),
                429 => {
                    answer.expect_problem(429, "throttled");
                    races.throttled += 1;
                }
                _ => losers.push(answer.expect_problem(409, "slot_taken")),
            }
        }
        let winner = winner.expect("one winner");
        races.won += 1;
        races.taken += losers.len();
        for loser in losers {
            assert_eq!(loser["conflicts"], json!([winner]));
        }
        // What is answered is what is booked.
        let booked = format!("/appointments?count=true&from={start}&to={}", start.replace("T10", "T11"));
        assert_eq!(clinic.admin.get(&booked).await.expect(200)["total"], 1);
    }
    races
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_parallel_bookings_of_one_slot_leave_one_winner() {
    let Races { won, taken, throttled } = race(&Clinic::create().await, 20).await;
    println!("50 bookings of one slot at a time, 20 times: {won} won, {taken} were answered 409 slot_taken");
    assert_eq!((won, taken, throttled), (20, 980, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_that_hold_by_default_leave_one_winner_too() {
    let config = Config { limits: LimitsConfig::default(), ..configuration("race").await };
    let anonymous = Api { base: start(config).await, token: None, client: Client::new() };
    let operator = anonymous.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
    let clinic = Clinic::made_by(&operator, json!({})).await;
    let Races { won, taken, throttled } = race(&clinic, 5).await;
    println!(
        "with the default limits, 5 times: {won} won, {taken} were answered 409 slot_taken, {throttled} 429 throttled"
    );
    assert_eq!((won, taken + throttled), (5, 245));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visit_goes_from_booking_to_its_end() {
    let clinic = Clinic::create().await;
    let (patient, staff) = (clinic.patient("Visitor").await, clinic.staff().await);
    let answer = clinic.admin.post("/appointments", booking(&patient, &staff, "2031-05-05T08:00:00Z")).await;
    let booked = answer.expect(201);
    assert_eq!(booked["status"], "booked");
    assert_eq!(answer.header("etag"), "\"1\"");
    let path = format!("/appointments/{}", booked["id"].as_str().unwrap());
    assert!(answer.header("location").ends_with(&path), "{}", answer.header("location"));

    let bare = clinic.admin.post(&format!("{path}/arrive"), json!({})).await;
    bare.expect_problem(428, "precondition_required");
    let early =
        clinic.admin.change(Method::POST, &format!("{path}/no-show"), &booked["version"], json!({})).await;
    early.expect_problem(409, "wrong_time");

    let mut version = booked["version"].clone();
    for (action, status) in [("arrive", "arrived"), ("check-in", "checked-in"), ("fulfil", "fulfilled")] {
        let answer =
            clinic.admin.change(Method::POST, &format!("{path}/{action}"), &version, json!({})).await;
        let moved = answer.expect(200);
        assert_eq!(moved["status"], status);
        let stale = clinic.admin.change(Method::POST, &format!("{path}/cancel"), &version, json!({})).await;
        stale.expect_problem(412, "version_mismatch");
        version = moved["version"].clone();
    }
    let late = clinic.admin.change(Method::POST, &format!("{path}/cancel"), &version, json!({})).await;
    let problem = late.expect_problem(409, "transition_refused");
    assert_eq!(problem["allowed"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn rescheduling_moves_and_frees_the_old_time() {
    let clinic = Clinic::create().await;
    let (patient, other, staff) =
        (clinic.patient("Mover").await, clinic.patient("Stayer").await, clinic.staff().await);
    let first = clinic
        .admin
        .post("/appointments", booking(&patient, &staff, "2031-06-02T08:00:00Z"))
        .await
        .expect(201);
    clinic.admin.post("/appointments", booking(&other, &staff, "2031-06-02T09:00:00Z")).await.expect(201);
    let path = format!("/appointments/{}/reschedule", first["id"].as_str().unwrap());
    let to = |start: &str| json!({"start": start, "duration_minutes": 30});
    let taken = clinic.admin.change(Method::POST, &path, &first["version"], to("2031-06-02T09:15:00Z")).await;
    taken.expect_problem(409, "slot_taken");
    let moved = clinic.admin.change(Method::POST, &path, &first["version"], to("2031-06-02T08:15:00Z")).await;
    assert!(moved.expect(200)["start"].as_str().unwrap().contains("15:00"));
    let version = moved.json()["version"].clone();
    for field in ["start", "end", "duration_minutes", "time_zone"] {
        let nothing = clinic.admin.change(Method::POST, &path, &version, json!({field: null}));
        let problem = nothing.await.expect_problem(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], format!("/{field}"), "{problem}");
    }
    clinic.admin.post("/appointments", booking(&other, &staff, "2031-06-02T08:45:00Z")).await.expect(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_the_clinics_own_day() {
    let clinic = Clinic::create().await;
    let (patient, staff) = (clinic.patient("Night").await, clinic.staff().await);
    // 23:30 and 00:30 in Berlin, which is two hours ahead of UTC in July.
    for start in ["2031-07-01T21:30:00Z", "2031-07-01T22:30:00Z"] {
        clinic.admin.post("/appointments", booking(&patient, &staff, start)).await.expect(201);
    }
    for (day, count) in [("2031-07-01", 1), ("2031-07-02", 1), ("2031-07-03", 0)] {
        let list = clinic.admin.get(&format!("/appointments?day={day}")).await.expect(200);
        assert_eq!(list["items"].as_array().unwrap().len(), count, "{day}");
    }
    let range = "/appointments?from=2031-07-01T00:00:00Z&to=2031-07-02T00:00:00Z";
    assert_eq!(clinic.admin.get(range).await.expect(200)["items"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn local_times_that_do_not_exist_or_exist_twice_are_refused() {
    let clinic = Clinic::create().await;
    let (patient, staff) = (clinic.patient("Clock").await, clinic.staff().await);
    let at = |start: &str| {
        let mut body = booking(&patient, &staff, start);
        body["time_zone"] = json!("Europe/Berlin");
        body
    };
    for (start, code) in [
        ("2031-03-30T02:30:00", "local_time_does_not_exist"),
        ("2031-10-26T02:30:00", "local_time_ambiguous"),
    ] {
        let problem = clinic.admin.post("/appointments", at(start)).await.expect(422);
        assert_eq!(problem["errors"][0]["code"], code, "{problem}");
        assert_eq!(problem["errors"][0]["pointer"], "/start");
    }
    clinic.admin.post("/appointments", at("2031-10-26T02:30:00+01:00")).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn working_hours_and_time_off_bound_what_can_be_booked() {
    let clinic = Clinic::create().await;
    let (patient, staff) = (clinic.patient("Hours").await, clinic.staff().await);
    let staff_path = format!("/staff/{}", staff["id"].as_str().unwrap());
    let hours = json!({"weekday": 1, "starts": "09:00", "ends": "17:00"});
    clinic.admin.post(&format!("{staff_path}/working-hours"), hours.clone()).await.expect(201);
    clinic.admin.post(&format!("{staff_path}/working-hours"), hours).await.expect(409);
    // 2031-09-01 is a Monday; Berlin is two hours ahead of UTC.
    let book = |start: &'static str| {
        let body = booking(&patient, &staff, start);
        let api: Api = clinic.admin.clone();
        async move { api.post("/appointments", body).await }
    };
    book("2031-09-01T06:30:00Z").await.expect_problem(409, "outside_working_hours");
    book("2031-09-01T07:00:00Z").await.expect(201);
    book("2031-09-02T08:00:00Z").await.expect_problem(409, "outside_working_hours");
    let away =
        json!({"starts_at": "2031-09-08T00:00:00Z", "ends_at": "2031-09-09T00:00:00Z", "reason": "course"});
    clinic.admin.post(&format!("{staff_path}/time-off"), away).await.expect(201);
    book("2031-09-08T08:00:00Z").await.expect_problem(409, "time_off");
}
