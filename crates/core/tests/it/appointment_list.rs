//! Lists of appointments: by day, by range, by whom; page by page while others book.

use clinicx_core::appointment::{self, Action, AppointmentFilter, Status};
use clinicx_types::page::{CursorKey, PageRequest};
use sea_orm::{ConnectionTrait, Statement, raw_sql};
use serde_json::json;

use crate::practice::{Practice, code};

async fn starts(practice: &Practice, filter: &AppointmentFilter) -> Vec<String> {
    let db = &practice.tenant.connection;
    let page =
        appointment::list(db, &practice.scope, &practice.tenant.cipher, filter, &PageRequest::default())
            .await
            .unwrap();
    page.items.iter().map(|one| one.start.to_rfc3339()).collect()
}

#[tokio::test]
async fn a_days_list_has_the_clinics_local_day_also_where_midnight_does_not_exist() {
    let check = async |zone: &str, day: &str, inside: &[&str], outside: &[&str]| {
        let practice = Practice::in_zone(zone).await;
        let staff = practice.staff().await;
        for start in inside.iter().chain(outside) {
            let patient = practice.patient().await;
            let body =
                json!({ "patient_id": patient, "staff_id": staff, "start": start, "duration_minutes": 1 });
            practice.book(body).await.unwrap();
        }
        let filter = AppointmentFilter { day: day.parse().ok(), ..AppointmentFilter::default() };
        let page = PageRequest::default();
        let found = appointment::list(
            &practice.tenant.connection,
            &practice.scope,
            &practice.tenant.cipher,
            &filter,
            &page,
        )
        .await;
        let found = found.unwrap().items;
        let found: Vec<_> = found.iter().map(|one| one.start.to_utc().format("%FT%TZ").to_string()).collect();
        assert_eq!(found, inside, "{zone} {day}");
    };
    // Beirut skips the midnight of 2027-03-28: the day begins at 01:00, 22:00Z.
    let inside = ["2027-03-27T22:00:00Z", "2027-03-28T20:59:00Z"];
    check("Asia/Beirut", "2027-03-28", &inside, &["2027-03-27T21:59:00Z", "2027-03-28T21:00:00Z"]).await;
    // Cairo goes back at the end of 2026-10-29: the day has 25 hours.
    let inside = ["2026-10-28T21:00:00Z", "2026-10-29T21:59:00Z"];
    check("Africa/Cairo", "2026-10-29", &inside, &["2026-10-28T20:59:00Z", "2026-10-29T22:00:00Z"]).await;
    let inside = ["2026-06-01T22:00:00Z", "2026-06-02T21:59:00Z"];
    check("Europe/Berlin", "2026-06-02", &inside, &["2026-06-01T21:59:00Z", "2026-06-02T22:00:00Z"]).await;
}

#[tokio::test]
async fn pages_stay_right_while_others_book() {
    let practice = Practice::open().await;
    let staff = practice.staff().await;
    let (db, scope) = (&practice.tenant.connection, &practice.scope);
    let book = async |start: String| {
        let patient = practice.patient().await;
        let body =
            json!({ "patient_id": patient, "staff_id": staff, "start": start, "duration_minutes": 10 });
        practice.book(body).await.unwrap()
    };
    let mut expected = Vec::new();
    for minute in [0, 20, 40] {
        expected.push(book(format!("2026-06-02T08:{minute:02}:00Z")).await.id);
        expected.push(book(format!("2026-06-02T09:{minute:02}:00Z")).await.id);
    }
    expected.sort_by_key(|id| (*id).uuid());
    let filter = AppointmentFilter { day: "2026-06-02".parse().ok(), ..AppointmentFilter::default() };
    let mut page = PageRequest::first(2).unwrap();
    page.count = true;
    let mut found = Vec::new();
    for round in 0.. {
        let next = appointment::list(db, scope, &practice.tenant.cipher, &filter, &page).await.unwrap();
        assert!(next.items.is_sorted_by_key(|one| one.start));
        found.extend(next.items.iter().map(|one| one.id));
        assert_eq!(next.total, Some(6 + round));
        // One that comes before what has been read does not shift what follows.
        book(format!("2026-06-02T07:{:02}:00Z", round * 10)).await;
        page.after = next.next;
        if page.after.is_none() {
            break;
        }
    }
    found.sort_by_key(|id| (*id).uuid());
    assert_eq!(found, expected);
    for bad in [vec![], vec!["x".to_owned(), "y".to_owned()], vec!["2026-06-02T08:00:00Z".to_owned()]] {
        page.after = Some(CursorKey(bad));
        assert_eq!(
            code(appointment::list(db, scope, &practice.tenant.cipher, &filter, &page).await),
            "invalid"
        );
    }
}

#[tokio::test]
async fn lists_are_filtered_by_range_people_room_and_status() {
    let practice = Practice::open().await;
    let (one, two) = (practice.patient().await, practice.patient().await);
    let (dentist, nurse, chair) = (practice.staff().await, practice.staff().await, practice.chair().await);
    let eight = json!({
        "patient_id": one, "staff_id": dentist, "room_id": chair, "start": "2026-06-02T08:00:00Z", "duration_minutes": 30
    });
    let eight = practice.book(eight).await.unwrap();
    let nine = json!({ "patient_id": two, "staff_id": dentist, "start": "2026-06-02T09:00:00Z", "duration_minutes": 30 });
    practice.book(nine).await.unwrap();
    let ten = json!({ "patient_id": two, "staff_id": nurse, "start": "2026-06-02T10:00:00Z", "duration_minutes": 30 });
    practice.book(ten).await.unwrap();
    practice.act(&practice.scope, &eight, Action::Cancel).await.unwrap();
    let all = AppointmentFilter::default;
    let check = async |filter: AppointmentFilter, hours: &[u32]| {
        let expected: Vec<_> = hours.iter().map(|hour| format!("2026-06-02T{hour:02}:00:00+02:00")).collect();
        assert_eq!(starts(&practice, &filter).await, expected, "{filter:?}");
    };
    check(all(), &[10, 11, 12]).await;
    check(AppointmentFilter { from: "2026-06-02T09:00:00Z".parse().ok(), ..all() }, &[11, 12]).await;
    check(AppointmentFilter { to: "2026-06-02T09:00:00Z".parse().ok(), ..all() }, &[10]).await;
    check(AppointmentFilter { staff_id: Some(dentist), ..all() }, &[10, 11]).await;
    check(AppointmentFilter { patient_id: Some(two), ..all() }, &[11, 12]).await;
    check(AppointmentFilter { room_id: Some(chair), ..all() }, &[10]).await;
    check(AppointmentFilter { statuses: vec![Status::Booked], ..all() }, &[11, 12]).await;
    check(AppointmentFilter { statuses: vec![Status::Booked, Status::Cancelled], ..all() }, &[10, 11, 12])
        .await;
    check(AppointmentFilter { staff_id: Some(dentist), statuses: vec![Status::Booked], ..all() }, &[11])
        .await;
    let both = AppointmentFilter {
        day: "2026-06-02".parse().ok(),
        from: "2026-06-02T09:00:00Z".parse().ok(),
        ..all()
    };
    let refused = appointment::list(
        &practice.tenant.connection,
        &practice.scope,
        &practice.tenant.cipher,
        &both,
        &PageRequest::default(),
    )
    .await;
    assert_eq!(code(refused), "invalid");
}

#[tokio::test]
async fn lists_and_checks_go_through_the_indexes_also_under_row_level_security() {
    let practice = Practice::open().await;
    let (patient, staff) = (practice.patient().await, practice.staff().await);
    let mut superuser = practice.tenant.database.superuser().await;
    let path = format!("SET search_path = {}", practice.tenant.tenant.database_schema.quoted());
    sqlx::query(sqlx::AssertSqlSafe(path)).execute(&mut superuser).await.unwrap();
    let fill = "INSERT INTO appointments \
                    (id, patient_id, staff_id, starts_at, ends_at, busy_starts_at, busy_ends_at, time_zone, status) \
                SELECT gen_random_uuid(), $1, $2, at, at + interval '30 minutes', at, at + interval '30 minutes', \
                       'UTC', 'booked' \
                FROM (SELECT timestamptz '2025-01-01 00:00Z' + n * interval '30 minutes' AS at \
                      FROM generate_series(1, 20000) AS n) AS times";
    sqlx::query(fill).bind(patient.uuid()).bind(staff.uuid()).execute(&mut superuser).await.unwrap();
    sqlx::query("ANALYZE appointments").execute(&mut superuser).await.unwrap();
    let check = async |query: Statement, index: &str| {
        let tx = practice.tenant.connection.begin_read_only().await.unwrap();
        let plan = tx.query_all_raw(query).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.try_get("", "QUERY PLAN").unwrap()).collect();
        assert!(plan.iter().any(|line| line.contains(index)), "{index} {plan:#?}");
        tx.rollback().await.unwrap();
    };
    let day = raw_sql!(
        Postgres,
        r#"EXPLAIN SELECT id FROM appointments
           WHERE starts_at >= '2025-06-02 00:00Z' AND starts_at < '2025-06-03 00:00Z'
           ORDER BY starts_at, id LIMIT 51"#
    );
    check(day, "ix_appointments__starts_at_id").await;
    let next_page = raw_sql!(
        Postgres,
        r#"EXPLAIN SELECT id FROM appointments
           WHERE (starts_at, id) > ('2025-06-02 00:00Z', '00000000-0000-0000-0000-000000000000')
           ORDER BY starts_at, id LIMIT 51"#
    );
    check(next_page, "ix_appointments__starts_at_id").await;
    let busy = raw_sql!(
        Postgres,
        r#"EXPLAIN SELECT id FROM appointments
           WHERE staff_id = {staff} AND starts_at > '2025-06-01 00:00Z' AND starts_at < '2025-06-04 00:00Z'
             AND busy_starts_at < '2025-06-02 10:00Z' AND busy_ends_at > '2025-06-02 09:00Z'
             AND status IN ('pending', 'booked', 'arrived', 'checked-in', 'fulfilled')"#
    );
    check(busy, "starts_at_id").await;
    let stale = raw_sql!(
        Postgres,
        r#"EXPLAIN SELECT id FROM appointments WHERE hold_expires_at <= '2025-06-01 00:00Z' AND staff_id = {staff}"#
    );
    check(stale, "ix_appointments__hold_expires_at").await;
}
