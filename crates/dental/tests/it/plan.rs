//! Treatment plans: drafted, accepted with their prices, ended.

use clinicx_dental::{
    TreatmentPlanId,
    procedure_code::{self, ProcedureCodeFilter, UpdateProcedureCode},
    treatment::{self, Action, UpdateTreatment},
    treatment_plan::{self, PlanAction, PlanStatus, PlanStep, TreatmentPlan, UpdateTreatmentPlan},
};
use clinicx_types::page::PageRequest;
use serde_json::json;

use crate::practice::{Practice, code, wrong_field};

async fn step(
    practice: &Practice,
    plan: &TreatmentPlan,
    action: PlanAction,
) -> Result<TreatmentPlan, clinicx_dental::DentalError> {
    practice
        .write(async |tx| {
            let revision = (plan.id, Some(plan.version));
            let cipher = &practice.tenant.cipher;
            treatment_plan::transition(tx, &practice.scope, cipher, revision, (action, PlanStep::default()))
                .await
        })
        .await
}

async fn get(practice: &Practice, id: TreatmentPlanId) -> TreatmentPlan {
    treatment_plan::get(&practice.tenant.connection, &practice.scope, &practice.tenant.cipher, id)
        .await
        .unwrap()
}

/// Gives a procedure a price and a tax.
async fn price(practice: &Practice, code: &str, price: &str) {
    let db = &practice.tenant.connection;
    let filter = ProcedureCodeFilter { q: Some(code.to_owned()), ..ProcedureCodeFilter::default() };
    let found = procedure_code::list(db, &practice.scope, &filter, &PageRequest::default()).await.unwrap();
    let id = found.items[0].id;
    let patch: UpdateProcedureCode =
        serde_json::from_value(json!({"price": price, "tax_rate": "20"})).unwrap();
    practice
        .write(async |tx| procedure_code::update(tx, &practice.scope, id, None, patch).await)
        .await
        .unwrap();
}

#[tokio::test]
async fn accepting_freezes_the_prices() {
    let practice = Practice::open().await;
    price(&practice, "RE01", "100.00").await;
    let own =
        practice.plan(json!({"procedure_code": "RE01", "tooth": "36", "surfaces": ["O"]})).await.unwrap();
    let crown =
        json!({"procedure_code": "CR01", "tooth": "46", "price": "68.33", "staff_id": practice.dentist});
    let body = json!({
        "title": "Both sides", "staff_id": practice.dentist,
        "phases": [
            {"title": "Left", "items": [{"treatment_id": own.id}]},
            {"title": "Right", "items": [{"treatment": crown}]},
        ]
    });
    let plan = practice.draft(body).await.unwrap();
    assert_eq!((plan.status, plan.title.as_deref()), (PlanStatus::Draft, Some("Both sides")));
    assert_eq!((plan.estimate.net.as_str(), plan.estimate.tax.as_str()), ("168.33", "20.00"));
    assert_eq!(plan.phases[1].estimate.gross, "68.33");
    assert_eq!(plan.phases[0].items[0].treatment_id, own.id);

    let shown = step(&practice, &plan, PlanAction::Present).await.unwrap();
    assert_eq!((shown.status, shown.presented_at.is_some()), (PlanStatus::Draft, true));
    let accepted = step(&practice, &shown, PlanAction::Accept).await.unwrap();
    assert_eq!((accepted.status, &accepted.estimate), (PlanStatus::Active, &plan.estimate));
    assert_eq!(code(step(&practice, &accepted, PlanAction::Accept).await), "transition_refused");

    price(&practice, "RE01", "999.00").await;
    let patch: UpdateTreatment = serde_json::from_value(json!({"price": "1"})).unwrap();
    let refused = practice
        .write(async |tx| {
            let revision = (own.id, None);
            treatment::update(tx, &practice.scope, &practice.tenant.cipher, revision, patch).await
        })
        .await;
    assert_eq!(code(refused), "treatment_planned");
    assert_eq!(get(&practice, plan.id).await.estimate, plan.estimate);
    let begun = practice.act(&practice.treatment(&own).await, Action::Start).await.unwrap();
    practice.act(&begun, Action::Complete).await.unwrap();
    assert_eq!(practice.till.charges.lock().unwrap()[0].unit_price.unwrap().to_string(), "100.00");
    assert_eq!(get(&practice, plan.id).await.status, PlanStatus::Active);

    // The last treatment ends the plan, whether it is done or given up.
    let rest = get(&practice, plan.id).await.phases[1].items[0].treatment_id;
    let db = &practice.tenant.connection;
    let rest = treatment::get(db, &practice.scope, &practice.tenant.cipher, rest).await.unwrap();
    practice.act(&rest, Action::Stop).await.unwrap();
    let ended = get(&practice, plan.id).await;
    assert_eq!((ended.status, ended.ended_at.is_some()), (PlanStatus::Completed, true));
    assert_eq!(code(step(&practice, &ended, PlanAction::Revoke).await), "transition_refused");
    let (audit, events) = practice.trail(plan.id.uuid()).await;
    let (status, updated) = ("treatment_plan.status_changed", "treatment_plan.updated");
    // Shown, accepted, begun and done in part, completed.
    assert_eq!(audit, ["treatment_plan.created", updated, status, updated, updated, status]);
    assert_eq!(events, audit);
}

#[tokio::test]
async fn a_draft_can_be_changed_and_a_treatment_is_in_one_plan() {
    let practice = Practice::open().await;
    let one = practice.plan(json!({"procedure_code": "RE01", "tooth": "36"})).await.unwrap();
    let two = practice.plan(json!({"procedure_code": "RE01", "tooth": "37"})).await.unwrap();
    let plan = practice.draft(json!({"items": [{"treatment_id": one.id}]})).await.unwrap();
    let twice = practice.draft(json!({"items": [{"treatment_id": one.id}]})).await;
    assert_eq!(code(twice), "treatment_planned");
    let both = json!({"items": [{"treatment_id": two.id}, {"treatment_id": two.id}]});
    assert_eq!(wrong_field(practice.draft(both).await), ("/items/1/treatment_id".into(), "duplicate".into()));
    let nowhere = json!({"procedure_code": "XX99", "staff_id": practice.dentist});
    let nowhere = json!({"items": [{"treatment_id": one.id}, {"treatment": nowhere}]});
    practice.draft(json!({})).await.unwrap();
    assert_eq!(code(practice.draft(nowhere.clone()).await), "treatment_planned");
    let alone = json!({"items": [nowhere["items"][1]]});
    assert_eq!(wrong_field(practice.draft(alone).await).0, "/items/0/treatment/procedure_code");
    let none = json!({"items": [{}]});
    assert_eq!(wrong_field(practice.draft(none).await), ("/items/0".into(), "treatment_or_id".into()));
    let wrong = json!({"procedure_code": "RE01", "tooth": "99", "staff_id": practice.dentist});
    let wrong = practice.draft(json!({"phases": [{}, {"items": [{"treatment": wrong}]}]})).await;
    assert_eq!(wrong_field(wrong).0, "/phases/1/items/0/treatment/tooth");

    let update = async |plan: &TreatmentPlan, body: serde_json::Value| {
        let patch: UpdateTreatmentPlan = serde_json::from_value(body).unwrap();
        let revision = (plan.id, Some(plan.version));
        let cipher = &practice.tenant.cipher;
        practice
            .write(async |tx| treatment_plan::update(tx, &practice.scope, cipher, revision, patch).await)
            .await
    };
    let body =
        json!({"title": "New", "phases": [{"items": [{"treatment_id": two.id}, {"treatment_id": one.id}]}]});
    let changed = update(&plan, body).await.unwrap();
    let items: Vec<_> = changed.phases[0].items.iter().map(|item| item.treatment_id).collect();
    assert_eq!((changed.version, items), (2, vec![two.id, one.id]));
    assert_eq!((changed.estimate.unpriced, changed.estimate.net.as_str()), (2, "0.00"));
    let revoked = step(&practice, &changed, PlanAction::Revoke).await.unwrap();
    assert_eq!(revoked.status, PlanStatus::Revoked);
    assert_eq!(code(update(&revoked, json!({"title": null})).await), "transition_refused");
    // Its treatments are free again.
    let again = practice.draft(json!({"items": [{"treatment_id": one.id}]})).await.unwrap();
    let empty = practice.draft(json!({})).await.unwrap();
    assert_eq!(wrong_field(step(&practice, &empty, PlanAction::Accept).await).1, "empty_plan");
    step(&practice, &again, PlanAction::Accept).await.unwrap();
}

#[tokio::test]
async fn what_was_given_up_before_is_not_accepted() {
    let practice = Practice::open().await;
    let plan = async |tooth: &str, price: &str| {
        practice.plan(json!({"procedure_code": "RE01", "tooth": tooth, "price": price})).await.unwrap()
    };
    let (one, two) = (plan("36", "100").await, plan("37", "250").await);
    let body = json!({"items": [{"treatment_id": one.id}, {"treatment_id": two.id}]});
    let draft = practice.draft(body).await.unwrap();
    assert_eq!(draft.estimate.net, "350.00");
    practice.act(&two, Action::Stop).await.unwrap();
    let cheaper = get(&practice, draft.id).await;
    assert_eq!((cheaper.version, cheaper.estimate.net.as_str()), (2, "100.00"));
    assert_eq!(code(step(&practice, &draft, PlanAction::Accept).await), "version_mismatch");
    let accepted = step(&practice, &cheaper, PlanAction::Accept).await.unwrap();
    assert_eq!((accepted.status, accepted.estimate.net.as_str()), (PlanStatus::Active, "100.00"));
    assert_eq!(accepted.phases[0].estimate, accepted.estimate);
    // What is given up afterwards was accepted and stays in the estimate.
    practice.act(&one, Action::Stop).await.unwrap();
    let ended = get(&practice, draft.id).await;
    assert_eq!((ended.status, ended.estimate.net.as_str()), (PlanStatus::Completed, "100.00"));
}

#[tokio::test]
async fn a_plan_that_is_done_before_it_is_accepted_ends_with_that() {
    let practice = Practice::open().await;
    let one = practice.plan(json!({"procedure_code": "EX01", "price": "40"})).await.unwrap();
    let draft = practice.draft(json!({"items": [{"treatment_id": one.id}]})).await.unwrap();
    let begun = practice.act(&one, Action::Start).await.unwrap();
    practice.act(&begun, Action::Complete).await.unwrap();
    let draft = get(&practice, draft.id).await;
    let accepted = step(&practice, &draft, PlanAction::Accept).await.unwrap();
    assert_eq!((accepted.status, accepted.estimate.net.as_str()), (PlanStatus::Completed, "40.00"));
    assert!(accepted.accepted_at.is_some() && accepted.ended_at.is_some());
    let (audit, events) = practice.trail(draft.id.uuid()).await;
    let (status, updated) = ("treatment_plan.status_changed", "treatment_plan.updated");
    // It has followed its treatment twice.
    assert_eq!(audit, ["treatment_plan.created", updated, updated, status, status]);
    assert_eq!(events, audit);

    let given_up = practice.plan(json!({"procedure_code": "EX01"})).await.unwrap();
    let draft = practice.draft(json!({"items": [{"treatment_id": given_up.id}]})).await.unwrap();
    practice.act(&given_up, Action::Stop).await.unwrap();
    let draft = get(&practice, draft.id).await;
    assert_eq!(wrong_field(step(&practice, &draft, PlanAction::Accept).await).1, "empty_plan");
}

#[tokio::test]
async fn what_is_not_billed_is_no_part_of_the_estimate() {
    let practice = Practice::open().await;
    let free = json!({"code": "F1", "name": "Goodwill", "price": "80", "billable": false});
    let free = serde_json::from_value(free).unwrap();
    practice.write(async |tx| procedure_code::create(tx, &practice.scope, free).await).await.unwrap();
    let item = |code: &str| json!({"treatment": {"procedure_code": code, "staff_id": practice.dentist}});
    let mut paid = item("EX01");
    paid["treatment"]["price"] = json!("40");
    let draft = practice.draft(json!({"items": [item("F1"), paid]})).await.unwrap();
    let check = |plan: &TreatmentPlan| {
        assert_eq!((plan.estimate.net.as_str(), plan.estimate.unpriced), ("40.00", 0));
        assert_eq!(plan.phases[0].estimate, plan.estimate);
        let billable: Vec<_> = plan.phases[0].items.iter().map(|item| item.billable).collect();
        assert_eq!(billable, [false, true]);
    };
    check(&draft);
    check(&step(&practice, &draft, PlanAction::Accept).await.unwrap());
}

#[tokio::test]
async fn a_patient_accepts_the_price_that_was_shown() {
    let practice = Practice::open().await;
    let filling = json!({"procedure_code": "RE01", "tooth": "36", "price": "10.00"});
    let filling = practice.plan(filling).await.unwrap();
    let draft = practice.draft(json!({"items": [{"treatment_id": filling.id}]})).await.unwrap();
    let shown = step(&practice, &draft, PlanAction::Present).await.unwrap();
    let change = async |body: serde_json::Value| {
        let patch: UpdateTreatment = serde_json::from_value(body).unwrap();
        let revision = (filling.id, None);
        let cipher = &practice.tenant.cipher;
        practice
            .write(async |tx| treatment::update(tx, &practice.scope, cipher, revision, patch).await)
            .await
            .unwrap()
    };
    // What the plan does not say leaves it as it is.
    change(json!({"note": "Rubber dam", "planned_on": "2026-07-01"})).await;
    assert_eq!(get(&practice, draft.id).await, shown);
    change(json!({"price": "500.00"})).await;
    let dearer = get(&practice, draft.id).await;
    assert_eq!((dearer.version, dearer.presented_at, dearer.estimate.net.as_str()), (3, None, "500.00"));
    assert_eq!(code(step(&practice, &shown, PlanAction::Accept).await), "version_mismatch");
    assert_eq!(code(step(&practice, &shown, PlanAction::Present).await), "version_mismatch");
    let (audit, events) = practice.trail(draft.id.uuid()).await;
    let updated = "treatment_plan.updated";
    assert_eq!(audit, ["treatment_plan.created", updated, updated]);
    assert_eq!(events, audit);
    let accepted = step(&practice, &dearer, PlanAction::Accept).await.unwrap();
    assert_eq!((accepted.version, accepted.estimate.net.as_str()), (4, "500.00"));
}

#[tokio::test]
async fn the_version_of_a_plan_rises_with_whatever_it_says() {
    let practice = Practice::open().await;
    let plan = async |tooth: &str| {
        practice.plan(json!({"procedure_code": "RE01", "tooth": tooth, "price": "10"})).await.unwrap()
    };
    let (one, two) = (plan("36").await, plan("37").await);
    let body = json!({"items": [{"treatment_id": one.id}, {"treatment_id": two.id}]});
    let draft = practice.draft(body).await.unwrap();
    let shown = step(&practice, &draft, PlanAction::Present).await.unwrap();
    // A tooth that goes leaves the price as it was shown, and a flag.
    practice.presence(json!({"tooth": "37", "state": "missing"})).await.unwrap();
    let flagged = get(&practice, draft.id).await;
    assert_eq!((flagged.version, flagged.presented_at), (3, shown.presented_at));
    assert!(flagged.phases[0].items[1].flag.is_some());
    let accepted = step(&practice, &flagged, PlanAction::Accept).await.unwrap();
    let begun = practice.act(&one, Action::Start).await.unwrap();
    let under_way = get(&practice, draft.id).await;
    assert_eq!((under_way.version, under_way.presented_at), (accepted.version + 1, shown.presented_at));
    practice.act(&begun, Action::Complete).await.unwrap();
    assert_eq!(get(&practice, draft.id).await.version, accepted.version + 2);
    let two = practice.treatment(&two).await;
    practice.act(&two, Action::Stop).await.unwrap();
    let ended = get(&practice, draft.id).await;
    assert_eq!((ended.version, ended.status), (accepted.version + 3, PlanStatus::Completed));
    let done = practice.treatment(&one).await;
    practice.act(&done, Action::Void).await.unwrap();
    assert_eq!(get(&practice, draft.id).await.version, accepted.version + 4);
}

#[tokio::test]
async fn a_plan_of_the_wrong_patient_is_an_error() {
    let practice = Practice::open().await;
    let one = practice.plan(json!({"procedure_code": "RE01", "tooth": "36"})).await.unwrap();
    let draft = practice.draft(json!({"items": [{"treatment_id": one.id}]})).await.unwrap();
    let accepted = step(&practice, &draft, PlanAction::Accept).await.unwrap();
    let voided = step(&practice, &accepted, PlanAction::Void).await.unwrap();
    assert_eq!((voided.status, voided.ended_at.is_some()), (PlanStatus::EnteredInError, true));
    assert_eq!(code(step(&practice, &voided, PlanAction::Void).await), "transition_refused");
    // Its treatments stay planned, and can stand in another one.
    practice.draft(json!({"items": [{"treatment_id": one.id}]})).await.unwrap();
}
