//! Periodontal examinations.

use clinicx_dental::{
    DentalError,
    perio::{self, PerioExam, PerioFilter, PerioSite},
    presence::RecordStatus,
};
use clinicx_types::page::PageRequest;
use serde_json::{Value, json};

use crate::practice::{Practice, code, wrong_field};

async fn record(practice: &Practice, body: Value) -> Result<PerioExam, DentalError> {
    let input = serde_json::from_value(body).unwrap();
    let cipher = &practice.tenant.cipher;
    practice.write(async |tx| perio::record(tx, &practice.scope, cipher, practice.patient, input).await).await
}

#[tokio::test]
async fn attachment_loss_is_computed_at_each_of_six_sites() {
    let practice = Practice::open().await;
    let sites = json!({
        "mesio_buccal": {"probing_mm": 5, "recession_mm": 2, "bleeding": true},
        "buccal": {"probing_mm": 3, "recession_mm": -1},
        "disto_lingual": {"probing_mm": 4, "plaque": true, "calculus": false},
    });
    let made = record(&practice, json!({"teeth": [{"tooth": "36", "sites": sites}]})).await.unwrap();
    let loss = |site| made.teeth[0].sites[&site].attachment_loss_mm;
    assert_eq!(loss(PerioSite::MesioBuccal), Some(7));
    assert_eq!(loss(PerioSite::Buccal), Some(2));
    assert_eq!(loss(PerioSite::DistoLingual), None);
    let db = &practice.tenant.connection;
    let cipher = &practice.tenant.cipher;
    let which = (practice.patient, made.id);
    assert_eq!(perio::get(db, &practice.scope, cipher, which).await.unwrap(), made);
    let voided = practice
        .write(async |tx| perio::void(tx, &practice.scope, cipher, which, Some(1)).await)
        .await
        .unwrap();
    assert_eq!((voided.status, voided.teeth.len()), (RecordStatus::EnteredInError, 1));
    let again = practice.write(async |tx| perio::void(tx, &practice.scope, cipher, which, None).await).await;
    assert_eq!(code(again), "transition_refused");
    let filter = PerioFilter { status: Some(RecordStatus::Recorded) };
    let page = PageRequest::default();
    let holding = perio::list(db, &practice.scope, cipher, practice.patient, (filter, &page)).await.unwrap();
    assert!(holding.items.is_empty());
}

#[tokio::test]
async fn measures_outside_their_range_and_of_teeth_that_are_gone_are_refused() {
    let practice = Practice::open().await;
    let exam =
        |tooth: &str, measure: Value| json!({"teeth": [{"tooth": tooth, "sites": {"buccal": measure}}]});
    let check = async |body: Value, code: &str| {
        assert_eq!(wrong_field(record(&practice, body.clone()).await).1, code, "{body}");
    };
    let wrong = record(&practice, exam("36", json!({"probing_mm": 21}))).await;
    assert_eq!(wrong_field(wrong), ("/teeth/0/sites/buccal/probing_mm".into(), "out_of_range".into()));
    check(exam("36", json!({"probing_mm": -1})), "out_of_range").await;
    check(exam("36", json!({"recession_mm": -11})), "out_of_range").await;
    check(exam("36", json!({"recession_mm": 21})), "out_of_range").await;
    check(exam("19", json!({"probing_mm": 2})), "unknown_tooth").await;
    check(json!({"teeth": []}), "too_short").await;
    let one = json!({"tooth": "36", "sites": {"buccal": {"probing_mm": 2}}});
    check(json!({"teeth": [one, one]}), "duplicate").await;
    practice
        .presence(json!({"tooth": "36", "state": "missing", "effective_on": "2025-01-01"}))
        .await
        .unwrap();
    assert_eq!(code(record(&practice, exam("36", json!({"probing_mm": 2}))).await), "tooth_gone");
    let before = json!({"examined_on": "2024-12-31", "teeth": [one]});
    record(&practice, before).await.unwrap();
}
