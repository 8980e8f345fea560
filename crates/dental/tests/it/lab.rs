//! Work for laboratories.

use clinicx_dental::{
    DentalError,
    lab_case::{self, LabAction, LabCase, LabStatus, LabWork, UpdateLabCase},
};
use serde_json::{Value, json};

use crate::practice::{Practice, code, wrong_field};

async fn create(practice: &Practice, body: Value) -> Result<LabCase, DentalError> {
    let input = serde_json::from_value(body).unwrap();
    let cipher = &practice.tenant.cipher;
    practice
        .write(async |tx| lab_case::create(tx, &practice.scope, cipher, practice.patient, input).await)
        .await
}

async fn act(practice: &Practice, on: &LabCase, action: LabAction) -> Result<LabCase, DentalError> {
    let revision = (on.id, Some(on.version));
    let cipher = &practice.tenant.cipher;
    practice.write(async |tx| lab_case::transition(tx, &practice.scope, cipher, revision, action).await).await
}

#[tokio::test]
async fn work_is_sent_and_comes_back() {
    let practice = Practice::open().await;
    let crown = practice.plan(json!({"procedure_code": "CR01", "tooth": "36"})).await.unwrap();
    let body = json!({"laboratory": "Bright Labs", "work": "crown", "treatment_id": crown.id, "shade": "A2",
        "cost": "140.5", "note": "Thin at the margin", "due_on": "2026-06-20"});
    let made = create(&practice, body).await.unwrap();
    assert_eq!(
        (made.status, made.work, made.cost.as_deref()),
        (LabStatus::Draft, LabWork::Crown, Some("140.50"))
    );
    let patch: UpdateLabCase = serde_json::from_value(json!({"shade": "A3", "note": null})).unwrap();
    let cipher = &practice.tenant.cipher;
    let changed = practice
        .write(async |tx| lab_case::update(tx, &practice.scope, cipher, (made.id, Some(1)), patch).await)
        .await
        .unwrap();
    assert_eq!((changed.version, changed.shade.as_deref(), changed.note.as_deref()), (2, Some("A3"), None));
    let sent = act(&practice, &changed, LabAction::Send).await.unwrap();
    assert_eq!(sent.sent_on.map(|day| day.to_string()).as_deref(), Some("2026-06-01"));
    assert_eq!(code(act(&practice, &sent, LabAction::Complete).await), "transition_refused");
    let back = act(&practice, &sent, LabAction::Receive).await.unwrap();
    let again = act(&practice, &back, LabAction::Send).await.unwrap();
    assert_eq!((again.status, again.received_on), (LabStatus::Sent, None));
    let back = act(&practice, &again, LabAction::Receive).await.unwrap();
    let done = act(&practice, &back, LabAction::Complete).await.unwrap();
    assert_eq!(code(act(&practice, &done, LabAction::Cancel).await), "transition_refused");
    let (audit, events) = practice.trail(made.id.uuid()).await;
    assert_eq!((audit.len(), events), (7, audit));
    // What was written down for the wrong patient is an error, even when it is over.
    let voided = act(&practice, &done, LabAction::Void).await.unwrap();
    assert_eq!(voided.status, LabStatus::EnteredInError);
    assert_eq!(code(act(&practice, &voided, LabAction::Void).await), "transition_refused");
    let absurd = json!({"laboratory": "Bright Labs", "due_on": "9999-12-31"});
    assert_eq!(wrong_field(create(&practice, absurd).await), ("/due_on".into(), "out_of_range".into()));
    let stranger = json!({"laboratory": "Bright Labs", "treatment_id": practice.patient});
    assert_eq!(wrong_field(create(&practice, stranger).await), ("/treatment_id".into(), "not_found".into()));
}
