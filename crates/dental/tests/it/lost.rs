//! Teeth that are gone or replaced take with them what was found on them and done to them.

use std::sync::Arc;

use clinicx_dental::{
    finding::{self, FindingFilter, FindingStatus, ToothFinding},
    odontogram,
    presence::{self, PresenceState},
    treatment::Action,
};
use clinicx_types::{clock::FixedClock, error::DomainError, page::PageRequest};
use serde_json::json;

use crate::practice::{Practice, code, tooth};

async fn get(practice: &Practice, of: &ToothFinding) -> ToothFinding {
    let (db, cipher) = (&practice.tenant.connection, &practice.tenant.cipher);
    finding::get(db, &practice.scope, cipher, (practice.patient, of.id)).await.unwrap()
}

async fn open(practice: &Practice) -> Vec<ToothFinding> {
    let (db, cipher) = (&practice.tenant.connection, &practice.tenant.cipher);
    let filter = FindingFilter { statuses: FindingStatus::OPEN.to_vec(), ..FindingFilter::default() };
    let page = (&filter, &PageRequest::default());
    finding::list(db, &practice.scope, cipher, practice.patient, page).await.unwrap().items
}

#[tokio::test]
async fn what_was_found_on_a_tooth_goes_with_it() {
    let mut practice = Practice::open().await;
    practice
        .presence(json!({"tooth": "36", "state": "present", "effective_on": "2020-01-01"}))
        .await
        .unwrap();
    let old = json!({"tooth": "36", "code": "caries", "surfaces": ["O"], "onset_on": "2025-01-01"});
    let old = practice.finding(old).await.unwrap();
    let watched = json!({"tooth": "36", "code": "wear", "status": "watch"});
    let watched = practice.finding(watched).await.unwrap();
    let beside = practice.finding(json!({"tooth": "37", "code": "caries"})).await.unwrap();
    practice.perform(json!({"procedure_code": "RE01", "tooth": "36", "surfaces": ["M"]})).await.unwrap();
    let out = practice.perform(json!({"procedure_code": "SU01", "tooth": "36"})).await.unwrap();

    let gone = get(&practice, &old).await;
    assert_eq!((gone.status, gone.version), (FindingStatus::Resolved, 2));
    assert_eq!(gone.resolved_on.unwrap().to_string(), "2026-06-01");
    assert_eq!(open(&practice).await, std::slice::from_ref(&beside));
    let (audit, events) = practice.trail(old.id.uuid()).await;
    assert_eq!(audit, ["tooth_finding.created", "tooth_finding.status_changed"]);
    assert_eq!(events, audit);
    let chart = practice.chart().await;
    let shown = tooth(&chart, "36");
    assert!(shown.findings.is_empty());
    assert_eq!(shown.treatments.iter().map(|one| one.id).collect::<Vec<_>>(), [out.id]);
    assert_eq!(tooth(&practice.chart_of("2026-05-31").await, "36").findings.len(), 1);

    // An implant is none of what was there, but things can be found on it and done to it.
    practice.scope.clock = Arc::new(FixedClock("2026-06-02T07:00:00Z".parse().unwrap()));
    practice.perform(json!({"procedure_code": "IM01", "tooth": "36"})).await.unwrap();
    practice.perform(json!({"procedure_code": "IM02", "tooth": "36"})).await.unwrap();
    practice.finding(json!({"tooth": "36", "code": "mobility"})).await.unwrap();
    practice.presence(json!({"tooth": "36", "state": "implant"})).await.unwrap();
    let chart = practice.chart().await;
    let svg = odontogram::draw(&chart, &odontogram::Options::default());
    let name = "aria-label=\"36, lower left first molar: implant; mobility; done: Implant placement; done: Crown on \
                implant\"";
    assert!(svg.contains(name), "{}", said(&svg));

    // What turns out not to have happened resolves nothing.
    let wrong = practice.presence(json!({"tooth": "37", "state": "missing"})).await.unwrap();
    assert_eq!(get(&practice, &beside).await.status, FindingStatus::Resolved);
    practice
        .write(async |tx| {
            let which = (practice.patient, wrong.id);
            presence::void(tx, &practice.scope, &practice.tenant.cipher, which, None).await
        })
        .await
        .unwrap();
    let back = get(&practice, &beside).await;
    assert_eq!((back.status, back.resolved_on, back.version), (FindingStatus::Active, None, 3));
    assert_eq!(get(&practice, &watched).await.status, FindingStatus::Resolved);
}

/// The name of tooth 36 in a drawing.
fn said(svg: &str) -> &str {
    let rest = &svg[svg.find("<g id=\"tooth-36\"").unwrap()..];
    &rest[..rest.find("<title>").unwrap()]
}

#[tokio::test]
async fn an_extraction_that_was_an_error_gives_its_findings_back() {
    let practice = Practice::open().await;
    let active = practice.finding(json!({"tooth": "18", "code": "caries"})).await.unwrap();
    let watched = practice.finding(json!({"tooth": "18", "code": "wear", "status": "watch"})).await.unwrap();
    let out = practice.perform(json!({"procedure_code": "SU01", "tooth": "18"})).await.unwrap();
    assert!(open(&practice).await.is_empty());
    practice.act(&out, Action::Void).await.unwrap();
    assert_eq!(get(&practice, &active).await.status, FindingStatus::Active);
    assert_eq!(get(&practice, &watched).await.status, FindingStatus::Watch);
    assert_eq!(tooth(&practice.chart().await, "18").findings.len(), 2);
}

#[tokio::test]
async fn deciduous_teeth_that_fall_out_take_their_findings_along() {
    let practice = Practice::open().await;
    let body = json!({"tooth": "75", "code": "caries", "onset_on": "2024-01-01"});
    let early = practice.finding(body).await.unwrap();
    let fallen = json!({"tooth": "75", "state": "exfoliated", "effective_on": "2025-03-04"});
    let fallen = practice.presence(fallen).await.unwrap();
    let early = get(&practice, &early).await;
    assert_eq!(early.resolved_on.unwrap().to_string(), "2025-03-04");
    assert_eq!(early.resolved_by_presence_id, Some(fallen.id));
    // What is written down afterwards was there until then.
    let body = json!({"tooth": "75", "code": "wear", "onset_on": "2023-01-01"});
    let late = practice.finding(body).await.unwrap();
    assert_eq!((late.status, late.resolved_on), (FindingStatus::Resolved, early.resolved_on));
    assert_eq!((late.version, practice.trail(late.id.uuid()).await.0.len()), (1, 1));
    assert_eq!(tooth(&practice.chart().await, "75").presence, Some(PresenceState::Exfoliated));
    assert!(tooth(&practice.chart().await, "75").findings.is_empty());
    assert_eq!(tooth(&practice.chart_of("2025-03-03").await, "75").findings.len(), 2);
}

#[tokio::test]
async fn a_filling_that_was_an_error_gives_back_what_it_resolved() {
    let practice = Practice::open().await;
    let body = json!({"tooth": "36", "code": "caries", "surfaces": ["O"], "status": "watch"});
    let found = practice.finding(body).await.unwrap();
    let other = practice.finding(json!({"tooth": "36", "code": "wear"})).await.unwrap();
    let fill = async || {
        let planned = json!({"procedure_code": "RE01", "tooth": "36", "surfaces": ["O"]});
        let planned = practice.plan(planned).await.unwrap();
        let begun = practice.act(&planned, Action::Start).await.unwrap();
        let body = json!({"resolves": [found.id]});
        practice.act_with(&begun, Action::Complete, body).await.unwrap()
    };
    let filling = fill().await;
    let resolved = get(&practice, &found).await;
    assert_eq!((resolved.status, resolved.version), (FindingStatus::Resolved, 2));
    assert_eq!(resolved.resolved_by_treatment_id, Some(filling.id));
    practice.act(&filling, Action::Void).await.unwrap();
    let back = get(&practice, &found).await;
    assert_eq!((back.status, back.resolved_on, back.version), (FindingStatus::Watch, None, 3));
    assert_eq!(back.resolved_by_treatment_id, None);
    assert_eq!(get(&practice, &other).await, other);

    // When the tooth is gone by the time, its loss has resolved it.
    let filling = fill().await;
    let gone = practice.presence(json!({"tooth": "36", "state": "extracted"})).await.unwrap();
    assert_eq!(get(&practice, &found).await.resolved_by_treatment_id, Some(filling.id));
    practice.act(&filling, Action::Void).await.unwrap();
    let lost = get(&practice, &found).await;
    assert_eq!((lost.status, lost.resolved_by_presence_id), (FindingStatus::Resolved, Some(gone.id)));
    assert!(open(&practice).await.is_empty());
}

#[tokio::test]
async fn what_can_not_have_become_of_a_tooth_is_refused() {
    let practice = Practice::open().await;
    let record = async |tooth: &str, state: &str, day: &str| {
        practice.presence(json!({"tooth": tooth, "state": state, "effective_on": day})).await
    };
    let out = record("36", "extracted", "2020-01-01").await.unwrap();
    for state in ["present", "erupting", "unerupted", "impacted"] {
        let refused = record("36", state, "2021-01-01").await.unwrap_err();
        assert_eq!((refused.code(), refused.conflicts()), ("tooth_history", vec![out.id.uuid()]), "{state}");
    }
    record("36", "present", "2019-01-01").await.unwrap();
    assert_eq!(code(record("36", "erupting", "2019-06-01").await), "tooth_history");
    // Neither can it have been gone before a day on which it was there.
    assert_eq!(code(record("36", "extracted", "2018-01-01").await), "tooth_history");
    let planned = practice.plan(json!({"procedure_code": "SU01", "tooth": "11"})).await.unwrap();
    let begun = practice.act(&planned, Action::Start).await.unwrap();
    record("11", "present", "2026-05-01").await.unwrap();
    let body = json!({"completed_at": "2026-04-01T10:00:00Z"});
    assert_eq!(code(practice.act_with(&begun, Action::Complete, body).await), "tooth_history");
    practice.act(&begun, Action::Complete).await.unwrap();

    // What was an error is voided, and then it can be said how it was.
    practice
        .write(async |tx| {
            let which = (practice.patient, out.id);
            presence::void(tx, &practice.scope, &practice.tenant.cipher, which, None).await
        })
        .await
        .unwrap();
    record("36", "present", "2021-01-01").await.unwrap();
}

#[tokio::test]
async fn an_error_leaves_no_history_that_can_not_be() {
    let practice = Practice::open().await;
    let cipher = &practice.tenant.cipher;
    let record = async |tooth: &str, state: &str, day: &str| {
        practice.presence(json!({"tooth": tooth, "state": state, "effective_on": day})).await
    };
    let void = async |id| {
        let which = (practice.patient, id);
        practice.write(async |tx| presence::void(tx, &practice.scope, cipher, which, None).await).await
    };
    let conflict = |refused: Result<_, clinicx_dental::DentalError>| {
        let error = refused.map(|_| ()).unwrap_err();
        assert_eq!(error.code(), "tooth_history");
        error.conflicts()
    };
    record("11", "present", "2026-01-01").await.unwrap();
    let missing = record("11", "missing", "2026-02-01").await.unwrap();
    let back = record("11", "unerupted", "2026-03-01").await.unwrap();
    assert_eq!(conflict(void(missing.id).await), [back.id.uuid()]);
    assert_eq!(tooth(&practice.chart().await, "11").presence, Some(PresenceState::Unerupted));
    // What came later is an error first.
    void(back.id).await.unwrap();
    void(missing.id).await.unwrap();
    assert_eq!(tooth(&practice.chart().await, "11").presence, Some(PresenceState::Present));
    // What never came through did not fall out, and what came through does not go back.
    let unerupted = record("75", "unerupted", "2026-01-01").await.unwrap();
    assert_eq!(conflict(record("75", "exfoliated", "2026-02-01").await), [unerupted.id.uuid()]);
    let present = record("46", "present", "2026-01-01").await.unwrap();
    assert_eq!(conflict(record("46", "impacted", "2026-02-01").await), [present.id.uuid()]);
}

#[tokio::test]
async fn an_extraction_stays_under_the_implant_that_stands_in_its_gap() {
    let mut practice = Practice::open().await;
    let body = json!({"tooth": "36", "state": "present", "effective_on": "2026-01-01"});
    practice.presence(body).await.unwrap();
    let out = practice.perform(json!({"procedure_code": "SU01", "tooth": "36"})).await.unwrap();
    practice.scope.clock = Arc::new(FixedClock("2026-06-02T07:00:00Z".parse().unwrap()));
    let implant = practice.perform(json!({"procedure_code": "IM01", "tooth": "36"})).await.unwrap();
    assert_eq!(code(practice.act(&out, Action::Void).await), "tooth_history");
    assert_eq!(practice.treatment(&out).await, out);
    assert_eq!(tooth(&practice.chart().await, "36").presence, Some(PresenceState::Implant));
    practice.act(&implant, Action::Void).await.unwrap();
    practice.act(&out, Action::Void).await.unwrap();
    assert_eq!(tooth(&practice.chart().await, "36").presence, Some(PresenceState::Present));
}
