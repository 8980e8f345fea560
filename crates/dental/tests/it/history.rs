//! What happened to treatments is kept: each move with its reason, and what was noted before.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clinicx_dental::{
    presence::PresenceState,
    treatment::{self, Action, Flag, Status, Treatment, TreatmentEvent, UpdateTreatment},
};
use clinicx_types::{
    clock::FixedClock,
    page::{Page, PageRequest},
};
use serde_json::{Value, json};

use crate::practice::{NOW, Practice, code, tooth};

async fn events(practice: &Practice, of: &Treatment) -> Vec<TreatmentEvent> {
    let (db, cipher) = (&practice.tenant.connection, &practice.tenant.cipher);
    let found = treatment::history(db, &practice.scope, cipher, of.id, &PageRequest::default()).await;
    found.unwrap().items
}

async fn note(practice: &Practice, on: &Treatment, note: Value) -> Treatment {
    let patch: UpdateTreatment = serde_json::from_value(json!({"note": note})).unwrap();
    let (scope, cipher) = (&practice.scope, &practice.tenant.cipher);
    practice
        .write(async |tx| treatment::update(tx, scope, cipher, (on.id, Some(on.version)), patch).await)
        .await
        .unwrap()
}

/// Lets the practice open on another day, at 09:00 in Berlin.
fn on(practice: &mut Practice, day: &str) {
    let now: DateTime<Utc> = format!("{day}T07:00:00Z").parse().unwrap();
    practice.scope.clock = Arc::new(FixedClock(now));
}

#[tokio::test]
async fn no_reason_and_no_note_is_lost() {
    let practice = Practice::open().await;
    let body = json!({"procedure_code": "CR01", "tooth": "36", "note": "A2"});
    let planned = practice.plan(body).await.unwrap();
    let noted = note(&practice, &planned, json!("A3")).await;
    let begun = practice.act(&noted, Action::Start).await.unwrap();
    let reason = json!({"reason": "The laboratory is closed."});
    let held = practice.act_with(&begun, Action::Hold, reason).await.unwrap();
    let resumed = practice.act(&held, Action::Resume).await.unwrap();
    assert_eq!(resumed.reason, held.reason);
    let cleared = note(&practice, &resumed, json!(null)).await;
    let stopped = practice.act_with(&cleared, Action::Stop, json!({"reason": "Moved away."})).await.unwrap();
    let voided = practice.act(&stopped, Action::Void).await.unwrap();
    assert_eq!((voided.reason.as_deref(), voided.note), (Some("Moved away."), None));
    let events = events(&practice, &planned).await;
    let told: Vec<_> = events
        .iter()
        .map(|event| (event.from_status, event.to_status, event.reason.as_deref(), event.note.as_deref()))
        .collect();
    use Status as S;
    let (preparation, open) = (Some(S::Preparation), Some(S::InProgress));
    let expected = [
        (None, S::Preparation, None, None),
        (preparation, S::Preparation, None, Some("A2")),
        (preparation, S::InProgress, None, None),
        (open, S::OnHold, Some("The laboratory is closed."), None),
        (Some(S::OnHold), S::InProgress, None, None),
        (open, S::InProgress, None, Some("A3")),
        (open, S::Stopped, Some("Moved away."), None),
        (Some(S::Stopped), S::EnteredInError, None, None),
    ];
    assert_eq!(told, expected);
    assert!(events.iter().all(|event| event.at.to_rfc3339() == "2026-06-01T07:00:00+00:00"));

    let (db, cipher) = (&practice.tenant.connection, &practice.tenant.cipher);
    let mut page = PageRequest::first(3).unwrap();
    page.count = true;
    let Page { items, next, total } =
        treatment::history(db, &practice.scope, cipher, planned.id, &page).await.unwrap();
    assert_eq!((items.as_slice(), total), (&events[..3], Some(8)));
    page.after = next;
    let rest = treatment::history(db, &practice.scope, cipher, planned.id, &page).await.unwrap();
    assert_eq!(rest.items, events[3..6]);
    let nothing = clinicx_dental::TreatmentId::new(practice.patient.uuid());
    let missing = treatment::history(db, &practice.scope, cipher, nothing, &page).await;
    assert_eq!(code(missing), "not_found");
}

#[tokio::test]
async fn the_words_of_events_are_sealed_and_no_event_can_be_changed() {
    let practice = Practice::open().await;
    let canary = "canary-of-a-reason";
    let body = json!({"procedure_code": "CR01", "tooth": "36", "note": canary});
    let planned = practice.plan(body).await.unwrap();
    let noted = note(&practice, &planned, json!(null)).await;
    practice.act_with(&noted, Action::Stop, json!({"reason": canary})).await.unwrap();
    let mut superuser = practice.tenant.database.superuser().await;
    let schema = practice.tenant.tenant.database_schema.quoted();
    let question = format!(
        "SELECT count(*) FILTER (WHERE t::text LIKE '%{canary}%'), count(reason_sealed), count(note_sealed)
         FROM {schema}.treatment_events AS t"
    );
    let found: (i64, i64, i64) =
        sqlx::query_as(sqlx::AssertSqlSafe(question)).fetch_one(&mut superuser).await.unwrap();
    assert_eq!(found, (0, 1, 1));
    let role = practice.tenant.tenant.database_schema.role();
    for right in ["UPDATE", "DELETE"] {
        let question = "SELECT has_table_privilege($1, $2, $3)";
        let may: bool = sqlx::query_scalar(question)
            .bind(role.as_str())
            .bind(format!("{schema}.treatment_events"))
            .bind(right)
            .fetch_one(&mut superuser)
            .await
            .unwrap();
        assert!(!may, "{right}");
    }
}

#[tokio::test]
async fn what_was_planned_stands_on_the_chart_of_its_day_as_it_stood_then() {
    let mut practice = Practice::open().await;
    on(&mut practice, "2026-04-20");
    let filling = practice.plan(json!({"procedure_code": "RE01", "tooth": "36"})).await.unwrap();
    let crown = practice.plan(json!({"procedure_code": "CR01", "tooth": "37"})).await.unwrap();
    let mouth = practice.plan(json!({"procedure_code": "PR01"})).await.unwrap();
    on(&mut practice, "2026-05-04");
    let crown = practice.act(&crown, Action::Start).await.unwrap();
    on(&mut practice, "2026-05-11");
    let crown = practice.act(&crown, Action::Hold).await.unwrap();
    on(&mut practice, "2026-05-18");
    practice.act(&crown, Action::Resume).await.unwrap();
    practice.scope.clock = Arc::new(FixedClock(NOW.parse().unwrap()));
    let filling = practice.act(&filling, Action::Start).await.unwrap();
    practice.act(&filling, Action::Complete).await.unwrap();
    practice.act(&mouth, Action::Stop).await.unwrap();
    practice.perform(json!({"procedure_code": "SU01", "tooth": "37"})).await.unwrap();

    let check = async |day: &str, code: &str, expected: Option<(Status, Option<Flag>)>| {
        let chart = practice.chart_of(day).await;
        let planned = match code {
            "" => chart.planned.as_slice(),
            code => tooth(&chart, code).planned.as_slice(),
        };
        let shown: Vec<_> = planned.iter().map(|one| (one.status, one.flag)).collect();
        assert_eq!(shown, expected.into_iter().collect::<Vec<_>>(), "{code} on {day}");
        assert!(planned.iter().all(|one| one.completed_at.is_none()), "{code} on {day}");
    };
    use Status as S;
    check("2026-04-19", "36", None).await;
    for day in ["2026-04-20", "2026-05-31"] {
        check(day, "36", Some((S::Preparation, None))).await;
        check(day, "", Some((S::Preparation, None))).await;
    }
    check("2026-06-01", "36", None).await;
    check("2026-06-01", "", None).await;
    for (day, status) in [
        ("2026-05-03", S::Preparation),
        ("2026-05-04", S::InProgress),
        ("2026-05-11", S::OnHold),
        ("2026-05-17", S::OnHold),
        ("2026-05-18", S::InProgress),
        ("2026-05-31", S::InProgress),
    ] {
        check(day, "37", Some((status, None))).await;
    }
    check("2026-06-01", "37", Some((S::InProgress, Some(Flag::ToothGone)))).await;
}

#[tokio::test]
async fn of_what_moved_before_moves_were_kept_it_is_known_since_when_it_was_begun() {
    let mut practice = Practice::open().await;
    on(&mut practice, "2026-04-20");
    let crown = practice.plan(json!({"procedure_code": "CR01", "tooth": "37"})).await.unwrap();
    on(&mut practice, "2026-05-04");
    let crown = practice.act(&crown, Action::Start).await.unwrap();
    let crown = practice.act(&crown, Action::Hold).await.unwrap();
    let mut superuser = practice.tenant.database.superuser().await;
    let schema = practice.tenant.tenant.database_schema.quoted();
    let forget = format!("DELETE FROM {schema}.treatment_events");
    sqlx::query(sqlx::AssertSqlSafe(forget)).execute(&mut superuser).await.unwrap();
    let status =
        async |practice: &Practice, day: &str| tooth(&practice.chart_of(day).await, "37").planned[0].status;
    assert_eq!(status(&practice, "2026-05-03").await, Status::Preparation);
    assert_eq!(status(&practice, "2026-05-04").await, Status::OnHold);
    on(&mut practice, "2026-05-18");
    practice.act(&crown, Action::Resume).await.unwrap();
    assert_eq!(status(&practice, "2026-05-03").await, Status::Preparation);
    assert_eq!(status(&practice, "2026-05-17").await, Status::OnHold);
    assert_eq!(status(&practice, "2026-05-18").await, Status::InProgress);
    assert_eq!(tooth(&practice.chart().await, "37").presence, None::<PresenceState>);
}
