//! What can be true of a tooth at all: not before its patient was born, and not of what stands in its place.

use clinicx_core::patient;
use clinicx_dental::{
    finding::{FindingCode, FindingStatus},
    perio,
    treatment::Action,
};
use sea_orm::Iterable;
use serde_json::json;

use crate::practice::{Practice, wrong_field};

#[tokio::test]
async fn nothing_happened_before_the_patient_was_born() {
    let mut practice = Practice::open().await;
    let check = async |practice: &Practice, day: &str, code: &str| {
        let presence = json!({"tooth": "55", "state": "unerupted", "effective_on": day});
        let refused = wrong_field(practice.presence(presence).await);
        assert_eq!(refused, ("/effective_on".into(), code.into()), "{day}");
        let finding = json!({"tooth": "55", "code": "caries", "onset_on": day});
        let refused = wrong_field(practice.finding(finding).await);
        assert_eq!(refused, ("/onset_on".into(), code.into()), "{day}");
        let exam =
            json!({"examined_on": day, "teeth": [{"tooth": "55", "sites": {"buccal": {"bleeding": true}}}]});
        let exam = serde_json::from_value(exam).unwrap();
        let (scope, cipher) = (&practice.scope, &practice.tenant.cipher);
        let refused =
            practice.write(async |tx| perio::record(tx, scope, cipher, practice.patient, exam).await).await;
        assert_eq!(wrong_field(refused), ("/examined_on".into(), code.into()), "{day}");
        let planned = practice.plan(json!({"procedure_code": "EX01"})).await.unwrap();
        let begun = practice.act(&planned, Action::Start).await.unwrap();
        let done = json!({"completed_at": format!("{day}T12:00:00Z")});
        let refused = wrong_field(practice.act_with(&begun, Action::Complete, done).await);
        assert_eq!(refused, ("/completed_at".into(), code.into()), "{day}");
    };
    // Of this one the birth is not known.
    check(&practice, "0001-01-01", "out_of_range").await;
    check(&practice, "1899-12-31", "out_of_range").await;
    let child = json!({"family_name": "Doe", "given_name": "Mia", "birth_date": "2020-05-02"});
    let child = serde_json::from_value(child).unwrap();
    let made = practice
        .write(async |tx| Ok(patient::create(tx, &practice.scope, &practice.tenant.cipher, child).await?));
    practice.patient = made.await.unwrap().id;
    check(&practice, "2020-05-01", "before_birth").await;
    check(&practice, "1899-12-31", "out_of_range").await;
    let first = json!({"tooth": "55", "state": "unerupted", "effective_on": "2020-05-02"});
    practice.presence(first).await.unwrap();
}

#[tokio::test]
async fn what_stands_in_the_place_of_a_tooth_does_not_decay() {
    let practice = Practice::open().await;
    for (tooth, state) in [("36", "implant"), ("46", "pontic")] {
        let body = json!({"tooth": tooth, "state": "present", "effective_on": "2020-01-01"});
        practice.presence(body).await.unwrap();
        let body = json!({"tooth": tooth, "state": "missing", "effective_on": "2024-01-01"});
        practice.presence(body).await.unwrap();
        let body = json!({"tooth": tooth, "state": state, "effective_on": "2025-01-01"});
        practice.presence(body).await.unwrap();
        for code in FindingCode::iter() {
            let recorded = practice.finding(json!({"tooth": tooth, "code": code})).await;
            if code.is_possible_on_replacements() {
                recorded.unwrap();
            } else {
                assert_eq!(wrong_field(recorded), ("/code".into(), "not_of_tooth".into()), "{code:?}");
            }
        }
        // The tooth that was there before could have it.
        let before = json!({"tooth": tooth, "code": "caries", "onset_on": "2021-01-01"});
        assert_eq!(practice.finding(before).await.unwrap().status, FindingStatus::Resolved);
    }
    let on_implants = FindingCode::iter().filter(|code| code.is_possible_on_replacements());
    let names: Vec<_> = on_implants.map(FindingCode::name).collect();
    for impossible in ["caries", "pulpitis", "root filling", "periapical lesion", "sealant"] {
        assert!(!names.contains(&impossible), "{impossible}");
    }
    for possible in ["crown", "fracture", "mobility", "wear"] {
        assert!(names.contains(&possible), "{possible}");
    }
}
