//! Treatments: planned, performed, billed, taken back.

use clinicx_core::charge::Charges;
use clinicx_dental::{
    presence::PresenceState,
    treatment::{self, Action, Flag, Status, TreatmentFilter, UpdateTreatment},
};
use clinicx_types::{page::PageRequest, permission::Role};
use serde_json::{Value, json};

use crate::practice::{Practice, code, tooth, wrong_field};

#[tokio::test]
async fn a_treatment_takes_over_what_the_catalogue_says() {
    let practice = Practice::open().await;
    let body = json!({"procedure_code": "re01", "tooth": "36", "surfaces": ["D", "o", "M"], "price": "120"});
    let planned = practice.plan(body).await.unwrap();
    assert_eq!((planned.version, planned.status), (1, Status::Preparation));
    let named = (planned.procedure_code.as_str(), planned.procedure_name.as_str());
    assert_eq!(named, ("RE01", "Composite filling"));
    assert_eq!((planned.surfaces.joined().as_str(), planned.price.as_deref()), ("MOD", Some("120.00")));
    assert_eq!(planned.currency.as_deref(), Some("EUR"));
    let chart = practice.chart().await;
    let shown = tooth(&chart, "36");
    assert_eq!((shown.planned.len(), shown.treatments.len(), chart.charted), (1, 0, false));
    let mouth = practice.perform(json!({"procedure_code": "PR01"})).await.unwrap();
    assert_eq!(practice.chart().await.treatments[0].id, mouth.id);
    let (audit, events) = practice.trail(mouth.id.uuid()).await;
    assert_eq!(audit, ["treatment.created", "treatment.status_changed", "treatment.status_changed"]);
    assert_eq!(events, audit);
}

#[tokio::test]
async fn what_is_wrong_about_a_treatment_is_refused() {
    let practice = Practice::open().await;
    let check = async |body: Value, pointer: &str, code: &str| {
        let found = wrong_field(practice.plan(body.clone()).await);
        assert_eq!(found, (pointer.to_owned(), code.to_owned()), "{body}");
    };
    check(json!({"procedure_code": "XX99", "tooth": "36"}), "/procedure_code", "not_found").await;
    check(json!({"procedure_code": "RE01"}), "/tooth", "required").await;
    check(json!({"procedure_code": "DE01"}), "/region", "required").await;
    check(json!({"procedure_code": "BR01"}), "/teeth", "required").await;
    check(json!({"procedure_code": "RE01", "tooth": "99"}), "/tooth", "unknown_tooth").await;
    check(
        json!({"procedure_code": "SU01", "tooth": "36", "surfaces": ["O"]}),
        "/surfaces",
        "not_of_procedure",
    )
    .await;
    check(json!({"procedure_code": "IM01", "tooth": "55"}), "/tooth", "not_of_tooth").await;
    check(json!({"procedure_code": "BR01", "teeth": ["14", "55"]}), "/teeth", "not_of_tooth").await;
    let absurd = json!({"procedure_code": "RE01", "tooth": "36", "planned_on": "2200-01-01"});
    check(absurd, "/planned_on", "out_of_range").await;
    check(json!({"procedure_code": "RE01", "tooth": "36", "price": "1.234"}), "/price", "too_precise").await;
    check(json!({"procedure_code": "RE01", "tooth": "36", "price": "-1"}), "/price", "out_of_range").await;
    let visit = json!({"procedure_code": "RE01", "tooth": "36", "appointment_id": practice.patient});
    check(visit, "/appointment_id", "not_found").await;
}

#[tokio::test]
async fn a_treatment_goes_through_its_states() {
    let practice = Practice::open().await;
    let planned =
        practice.plan(json!({"procedure_code": "CR01", "tooth": "36", "price": "800"})).await.unwrap();
    assert_eq!(code(practice.act(&planned, Action::Complete).await), "transition_refused");
    let begun = practice.act(&planned, Action::Start).await.unwrap();
    assert_eq!((begun.status, begun.version), (Status::InProgress, 2));
    assert_eq!(code(practice.act(&planned, Action::Hold).await), "version_mismatch");
    let waiting =
        practice.act_with(&begun, Action::Hold, json!({"reason": "The laboratory."})).await.unwrap();
    assert_eq!((waiting.status, waiting.reason.as_deref()), (Status::OnHold, Some("The laboratory.")));
    let resumed = practice.act(&waiting, Action::Resume).await.unwrap();
    let done = practice.act(&resumed, Action::Complete).await.unwrap();
    assert_eq!((done.status, done.completed_at.is_some()), (Status::Completed, true));
    assert_eq!(code(practice.act(&done, Action::Stop).await), "transition_refused");
    let given_up = practice.plan(json!({"procedure_code": "CR01", "tooth": "46"})).await.unwrap();
    assert_eq!(practice.act(&given_up, Action::Stop).await.unwrap().status, Status::NotDone);
    let stopped = practice.plan(json!({"procedure_code": "CR01", "tooth": "46"})).await.unwrap();
    let stopped = practice.act(&stopped, Action::Start).await.unwrap();
    assert_eq!(practice.act(&stopped, Action::Stop).await.unwrap().status, Status::Stopped);
    let db = &practice.tenant.connection;
    let filter = TreatmentFilter { tooth: Some("46".parse().unwrap()), ..TreatmentFilter::default() };
    let cipher = &practice.tenant.cipher;
    let page = PageRequest::default();
    let on_tooth =
        treatment::list(db, &practice.scope, cipher, practice.patient, (&filter, &page)).await.unwrap();
    assert_eq!(on_tooth.items.len(), 2);
    let filter = TreatmentFilter { statuses: vec![Status::Completed], ..TreatmentFilter::default() };
    let ended =
        treatment::list(db, &practice.scope, cipher, practice.patient, (&filter, &page)).await.unwrap();
    assert_eq!(ended.items, [done]);
}

#[tokio::test]
async fn an_extraction_takes_the_tooth_and_flags_what_was_planned_on_it() {
    let practice = Practice::open().await;
    let filling =
        practice.plan(json!({"procedure_code": "RE01", "tooth": "36", "surfaces": ["O"]})).await.unwrap();
    let range = practice.plan(json!({"procedure_code": "PE03", "teeth": ["35", "36"]})).await.unwrap();
    let bridge = practice.plan(json!({"procedure_code": "BR01", "teeth": ["35", "36", "37"]})).await.unwrap();
    let neighbour =
        practice.plan(json!({"procedure_code": "RE01", "tooth": "37", "surfaces": ["O"]})).await.unwrap();
    let out =
        practice.perform(json!({"procedure_code": "SU01", "tooth": "36", "price": "90"})).await.unwrap();
    let chart = practice.chart().await;
    assert_eq!(tooth(&chart, "36").presence, Some(PresenceState::Extracted));
    assert_eq!(practice.treatment(&filling).await.flag, Some(Flag::ToothGone));
    assert_eq!(practice.treatment(&range).await.flag, Some(Flag::ToothGone));
    for unharmed in [&bridge, &neighbour] {
        assert_eq!(practice.treatment(unharmed).await.flag, None);
    }
    let again = practice.plan(json!({"procedure_code": "RE01", "tooth": "36"})).await;
    assert_eq!(code(again), "tooth_gone");
    let flagged = practice.treatment(&filling).await;
    assert_eq!(code(practice.act(&flagged, Action::Start).await), "tooth_gone");
    assert_eq!(practice.act(&flagged, Action::Stop).await.unwrap().status, Status::NotDone);

    // The extraction was written on the wrong patient: the tooth is back, and so is what was planned.
    let voided = practice.act(&out, Action::Void).await.unwrap();
    assert_eq!(voided.status, Status::EnteredInError);
    assert_eq!(tooth(&practice.chart().await, "36").presence, None);
    assert_eq!(practice.treatment(&range).await.flag, None);
}

#[tokio::test]
async fn gaps_are_filled_by_implants_bridges_and_dentures() {
    let practice = Practice::open().await;
    practice.presence(json!({"tooth": "36", "state": "present"})).await.unwrap();
    let early = practice.plan(json!({"procedure_code": "IM01", "tooth": "36"})).await;
    assert_eq!(code(early), "tooth_present");
    practice.presence(json!({"tooth": "36", "state": "extracted"})).await.unwrap();
    practice.perform(json!({"procedure_code": "IM01", "tooth": "36"})).await.unwrap();
    assert_eq!(tooth(&practice.chart().await, "36").presence, Some(PresenceState::Implant));
    practice.perform(json!({"procedure_code": "IM02", "tooth": "36"})).await.unwrap();

    practice.presence(json!({"tooth": "24", "state": "missing"})).await.unwrap();
    practice.perform(json!({"procedure_code": "BR01", "teeth": ["23", "24", "25"]})).await.unwrap();
    let chart = practice.chart().await;
    assert_eq!(tooth(&chart, "24").presence, Some(PresenceState::Pontic));
    assert_eq!(tooth(&chart, "23").presence, None);
    assert_eq!(tooth(&chart, "23").treatments.len(), 1);
    practice.presence(json!({"tooth": "11", "state": "missing"})).await.unwrap();
    practice.perform(json!({"procedure_code": "DE02", "region": "01"})).await.unwrap();
}

#[tokio::test]
async fn work_that_is_done_is_handed_to_billing_once() {
    let practice = Practice::open().await;
    let done = practice
        .perform(json!({"procedure_code": "RE01", "tooth": "36", "surfaces": ["M", "O"], "price": "120.50"}))
        .await
        .unwrap();
    // What nobody has priced is billed all the same: the invoice names its price.
    practice.perform(json!({"procedure_code": "EX01"})).await.unwrap();
    practice.perform(json!({"procedure_code": "EX01", "price": "0"})).await.unwrap();
    {
        let charges = practice.till.charges.lock().unwrap();
        let [charge, unpriced, free] = charges.as_slice() else { panic!("{charges:?}") };
        assert_eq!(unpriced.unit_price, None);
        assert_eq!(free.unit_price.map(|price| price.to_string()), Some("0.00".into()));
        assert_eq!(charge.source, treatment::charge_source(done.id));
        assert_eq!((charge.code.as_str(), charge.description.as_str()), ("RE01", "Composite filling 36 MO"));
        assert_eq!(
            (charge.unit_price.map(|price| price.to_string()), charge.staff_id),
            (Some("120.50".into()), Some(practice.dentist))
        );
    }
    practice.till.billed.lock().unwrap().push(done.id.uuid());
    assert_eq!(code(practice.act(&done, Action::Void).await), "treatment_billed");
    assert_eq!(practice.treatment(&done).await, done);
    practice.till.billed.lock().unwrap().clear();
    practice.act(&done, Action::Void).await.unwrap();
    assert_eq!(practice.till.charges.lock().unwrap().len(), 2);
    assert!(tooth(&practice.chart().await, "36").treatments.is_empty());
}

#[tokio::test]
async fn what_was_done_before_counts_from_its_day() {
    let practice = Practice::open().await;
    let found = practice
        .finding(json!({"tooth": "36", "code": "caries", "surfaces": ["O"], "onset_on": "2018-01-01"}))
        .await
        .unwrap();
    let planned =
        practice.plan(json!({"procedure_code": "RE01", "tooth": "36", "surfaces": ["O"]})).await.unwrap();
    let begun = practice.act(&planned, Action::Start).await.unwrap();
    let later = json!({"completed_at": "2026-06-02T10:00:00Z"});
    assert_eq!(wrong_field(practice.act_with(&begun, Action::Complete, later).await).1, "in_future");
    let early = json!({"completed_at": "2018-01-01T10:00:00Z"});
    assert_eq!(wrong_field(practice.act_with(&begun, Action::Stop, early).await).1, "only_on_completing");
    let body = json!({"completed_at": "2018-02-01T22:59:00Z", "resolves": [found.id]});
    let done = practice.act_with(&begun, Action::Complete, body.clone()).await.unwrap();
    assert_eq!(done.started_at, done.completed_at);
    let check = async |day: &str, findings: usize, treatments: usize| {
        let chart = practice.chart_of(day).await;
        let shown = tooth(&chart, "36");
        assert_eq!((shown.findings.len(), shown.treatments.len()), (findings, treatments), "{day}");
    };
    // 23:59 in Berlin.
    check("2018-01-31", 1, 0).await;
    check("2018-02-01", 0, 1).await;
    check("2026-06-01", 0, 1).await;
    let again =
        practice.plan(json!({"procedure_code": "RE01", "tooth": "36", "surfaces": ["M"]})).await.unwrap();
    let again = practice.act(&again, Action::Start).await.unwrap();
    let refused = practice.act_with(&again, Action::Complete, body).await;
    assert_eq!(wrong_field(refused), ("/resolves/0".into(), "not_open".into()));
    assert_eq!(practice.treatment(&again).await.status, Status::InProgress);
}

#[tokio::test]
async fn what_is_planned_can_be_changed_until_it_has_ended() {
    let practice = Practice::open().await;
    let planned =
        practice.plan(json!({"procedure_code": "RE01", "tooth": "36", "price": "10"})).await.unwrap();
    let update = async |of: &treatment::Treatment, body: Value| {
        let patch: UpdateTreatment = serde_json::from_value(body).unwrap();
        let revision = (of.id, Some(of.version));
        let cipher = &practice.tenant.cipher;
        practice.write(async |tx| treatment::update(tx, &practice.scope, cipher, revision, patch).await).await
    };
    let body = json!({"price": "12.50", "planned_on": "2026-07-01", "note": "Rubber dam"});
    let changed = update(&planned, body.clone()).await.unwrap();
    let now = (changed.version, changed.price.as_deref(), changed.note.as_deref());
    assert_eq!(now, (2, Some("12.50"), Some("Rubber dam")));
    assert_eq!(update(&changed, body).await.unwrap(), changed);
    let cleared = update(&changed, json!({"price": null, "note": null})).await.unwrap();
    assert_eq!((cleared.price, cleared.currency, cleared.note), (None, None, None));
    let given_up = practice.act(&practice.treatment(&planned).await, Action::Stop).await.unwrap();
    assert_eq!(code(update(&given_up, json!({"price": "1"})).await), "transition_refused");
}

#[tokio::test]
async fn an_error_needs_a_right_of_its_own() {
    let practice = Practice::open().await;
    let planned = practice.plan(json!({"procedure_code": "EX01"})).await.unwrap();
    let scope = practice.tenant.scope_of(&[Role::Hygienist], clinicx_dental::permission::RULES);
    let refused = practice
        .write(async |tx| {
            let charges: &dyn Charges = &practice.till;
            let hand = (&practice.tenant.cipher, charges);
            let step = (Action::Void, treatment::TreatmentStep::default());
            treatment::transition(tx, &scope, hand, (planned.id, None), step).await
        })
        .await;
    assert_eq!(code(refused), "permission_denied");
}

#[tokio::test]
async fn of_two_who_complete_a_treatment_at_once_one_does() {
    for _ in 0..10 {
        let practice = Practice::open().await;
        let planned =
            practice.plan(json!({"procedure_code": "SU01", "tooth": "18", "price": "90"})).await.unwrap();
        let other =
            practice.plan(json!({"procedure_code": "RE01", "tooth": "18", "price": "90"})).await.unwrap();
        let begun = practice.act(&planned, Action::Start).await.unwrap();
        let (one, two, three) = tokio::join!(
            practice.act(&begun, Action::Complete),
            practice.act(&begun, Action::Complete),
            practice.act(&other, Action::Start),
        );
        assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1);
        assert_eq!(practice.till.charges.lock().unwrap().len(), 1);
        let other = practice.treatment(&other).await;
        // Either it was begun first, and then it is flagged; or it was refused.
        assert_eq!(other.flag, Some(Flag::ToothGone));
        assert_eq!(other.status == Status::InProgress, three.is_ok());
    }
}

#[tokio::test]
async fn nothing_is_done_inside_of_what_stands_in_the_place_of_a_tooth() {
    let practice = Practice::open().await;
    for (tooth, state) in [("36", "implant"), ("46", "pontic")] {
        let root = practice.plan(json!({"procedure_code": "EN01", "tooth": tooth})).await.unwrap();
        practice.presence(json!({"tooth": tooth, "state": state})).await.unwrap();
        // What was planned before is to be looked at again, and can't be begun.
        let root = practice.treatment(&root).await;
        assert_eq!(root.flag, Some(Flag::ToothGone));
        assert_eq!(code(practice.act(&root, Action::Start).await), "tooth_gone");
        let again = practice.plan(json!({"procedure_code": "EN01", "tooth": tooth})).await;
        assert_eq!(wrong_field(again), ("/tooth".into(), "not_of_tooth".into()));
        // The hole of its screw is filled, and it gets a crown.
        practice.perform(json!({"procedure_code": "RE01", "tooth": tooth})).await.unwrap();
        practice.perform(json!({"procedure_code": "CR01", "tooth": tooth})).await.unwrap();
    }
}

#[tokio::test]
async fn a_bridge_of_before_the_rule_can_be_given_up() {
    let practice = Practice::open().await;
    let bridge = practice.plan(json!({"procedure_code": "BR01", "teeth": ["14", "15"]})).await.unwrap();
    let begun = practice.act(&bridge, Action::Start).await.unwrap();
    let mut superuser = practice.tenant.database.superuser().await;
    let schema = practice.tenant.tenant.database_schema.quoted();
    let teeth = format!("UPDATE {schema}.treatments SET teeth = '{{14,55}}' WHERE effect = 'pontic'");
    let refused = sqlx::query(sqlx::AssertSqlSafe(teeth.clone())).execute(&mut superuser).await.unwrap_err();
    let refused = refused.as_database_error().and_then(|error| error.constraint()).map(str::to_owned);
    assert_eq!(refused.as_deref(), Some("ck_treatments__pontic"));
    let from_before = format!(
        "BEGIN; ALTER TABLE {schema}.treatments DROP CONSTRAINT ck_treatments__pontic; {teeth}; ALTER TABLE \
         {schema}.treatments ADD CONSTRAINT ck_treatments__pontic CHECK (effect IS DISTINCT FROM 'pontic' OR status IN \
         ('not-done', 'stopped', 'entered-in-error') OR array_to_string(teeth, ' ') !~ '(^| )[5-8]') NOT VALID; COMMIT"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(from_before)).execute(&mut superuser).await.unwrap();
    assert_eq!(wrong_field(practice.act(&begun, Action::Complete).await).1, "not_of_tooth");
    assert_eq!(practice.act(&begun, Action::Stop).await.unwrap().status, Status::Stopped);
}
