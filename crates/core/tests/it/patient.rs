//! Registering, reading and changing patients.

use std::{collections::BTreeSet, sync::Arc};

use clinicx_core::{
    CoreError, PatientId,
    patient::{
        self, CreatePatient, Patient, PatientFilter, PatientSort, PatientStatus, Revision, UpdatePatient,
    },
};
use clinicx_keys::{DataKey, FieldCipher};
use clinicx_types::{
    error::{DomainError, ErrorKind},
    page::PageRequest,
};
use sea_orm::{ConnectionTrait, raw_sql};
use serde_json::json;
use uuid::Uuid;

use crate::clinic::{Clinic, ScriptedIds};

fn input(body: serde_json::Value) -> CreatePatient {
    serde_json::from_value(body).unwrap()
}

fn patch(body: serde_json::Value) -> UpdatePatient {
    serde_json::from_value(body).unwrap()
}

fn full() -> CreatePatient {
    input(json!({
        "family_name": "  Haddad ", "given_name": "Layla", "middle_name": "Nour", "usual_name": "Lulu",
        "original_script_name": "ليلى حدّاد", "gender": "female", "birth_date": "1984-03-09",
        "preferred_language": "ar-SY", "blood_type": "AB-", "notes": "afraid of needles",
        "phones": ["0944 123 456", {"value": "+49 30 901820", "use": "work", "opt_out": true}],
        "emails": ["Layla.Haddad@Example.org"],
        "addresses": [{"use": "home", "line1": "Straight Street 7", "city": "Damascus", "country": "sy"}],
        "identifiers": [{"system": "passport", "value": "N 012-345"}],
        "emergency_contacts": [{"name": "Omar Haddad", "relationship": "brother", "phone": "0933 555 777"}]
    }))
}

fn revision(patient: &Patient) -> Revision {
    Revision { id: patient.id, expected: Some(patient.version) }
}

/// The pointer and code of each wrong part.
fn wrong_parts(error: &CoreError) -> Vec<(String, String)> {
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    error.fields().into_iter().map(|field| (field.pointer, field.code)).collect()
}

#[tokio::test]
async fn a_minimal_patient_is_registered_and_read_back() {
    let clinic = Clinic::open("ar-SY").await;
    let made = clinic
        .register(input(json!({"family_name": "Doe", "given_name": "Jo", "phones": [], "emails": []})))
        .await;
    assert_eq!((made.version, made.status, made.mrn.len()), (1, PatientStatus::Active, 9));
    assert!(made.birth_date.is_none() && made.phones.is_empty() && !made.deceased);
    assert_eq!(clinic.get(made.id).await.unwrap(), made);
}

#[tokio::test]
async fn a_full_patient_is_registered_and_read_back() {
    let clinic = Clinic::open("ar-SY").await;
    let made = clinic.register(full()).await;
    assert_eq!(made.family_name, "Haddad");
    assert_eq!(made.phones, ["+963944123456", "+4930901820"]);
    assert_eq!(made.emails, ["layla.haddad@example.org"]);
    assert_eq!(made.telecoms[0].value_raw, "0944 123 456");
    assert_eq!(made.addresses[0].country.as_deref(), Some("SY"));
    assert_eq!(made.identifiers[0].value, "N 012-345");
    assert_eq!(made.emergency_contacts[0].phone.as_deref(), Some("+963933555777"));
    assert_eq!(made.notes.as_deref(), Some("afraid of needles"));
    assert_eq!(clinic.get(made.id).await.unwrap(), made);
}

#[tokio::test]
async fn partial_birth_dates_keep_their_precision() {
    let clinic = Clinic::open("de-DE").await;
    for date in ["1980", "1980-05", "1980-05-17"] {
        let made =
            clinic.register(input(json!({"family_name": "A", "given_name": "B", "birth_date": date}))).await;
        assert_eq!(clinic.get(made.id).await.unwrap().birth_date.unwrap().to_string(), date);
    }
}

#[tokio::test]
async fn wrong_input_is_refused_with_pointers() {
    let clinic = Clinic::open("de-DE").await;
    let cases = [
        (
            json!({"family_name": " ", "given_name": "a\u{7}"}),
            vec![("/family_name", "blank"), ("/given_name", "control_character")],
        ),
        (
            json!({"family_name": "x".repeat(201), "given_name": "\u{200F}"}),
            vec![("/family_name", "too_long"), ("/given_name", "blank")],
        ),
        (
            json!({"family_name": "A", "given_name": "B", "phones": ["0171", "none"], "emails": ["x", {"value": "a@b.c"}]}),
            vec![("/emails/0", "malformed_email"), ("/phones/1", "no_digit")],
        ),
        (
            json!({"family_name": "A", "given_name": "B", "birth_date": "2999-01-01"}),
            vec![("/birth_date", "in_future")],
        ),
        (
            json!({"family_name": "A", "given_name": "B", "birth_date": "1492"}),
            vec![("/birth_date", "too_early")],
        ),
        (
            json!({"family_name": "A", "given_name": "B", "birth_date": "1990", "deceased_on": "1980-01-01"}),
            vec![("/deceased_on", "before_birth")],
        ),
        (
            json!({"family_name": "A", "given_name": "B", "deceased": false, "deceased_on": "1980-01-01"}),
            vec![("/deceased_on", "not_deceased")],
        ),
        (
            json!({"family_name": "A", "given_name": "B", "preferred_language": "klingon!"}),
            vec![("/preferred_language", "malformed_language")],
        ),
        (
            json!({"family_name": "A", "given_name": "B", "guarantor_id": Uuid::nil()}),
            vec![("/guarantor_id", "unknown")],
        ),
        (json!({"family_name": "A", "given_name": "B", "addresses": [{}]}), vec![("/addresses/0", "empty")]),
        (
            json!({"family_name": "A", "given_name": "B", "phones": vec!["0171"; 21]}),
            vec![("/phones", "too_long")],
        ),
        (
            json!({"family_name": "A", "given_name": "B",
                "identifiers": [{"system": "s", "value": "1-2"}, {"system": "s", "value": "12"}]}),
            vec![("/identifiers/1", "duplicate")],
        ),
    ];
    for (body, expected) in cases {
        let error = clinic.try_register(input(body.clone())).await.unwrap_err();
        let expected: Vec<_> =
            expected.into_iter().map(|(at, code)| (at.to_owned(), code.to_owned())).collect();
        assert_eq!(wrong_parts(&error), expected, "{body}");
    }
    for unreadable in [
        json!({"family_name": "A", "given_name": "B", "nickname": "C"}),
        json!({"family_name": "A", "given_name": "B", "gender": "f"}),
        json!({"family_name": "A", "given_name": "B", "birth_date": "17.05.1980"}),
        json!({"family_name": "A"}),
    ] {
        assert!(serde_json::from_value::<CreatePatient>(unreadable.clone()).is_err(), "{unreadable}");
    }
    assert!(clinic.list(&PatientFilter::default()).await.is_empty());
}

#[tokio::test]
async fn a_patch_changes_what_it_names() {
    let clinic = Clinic::open("ar-SY").await;
    let made = clinic.register(full()).await;
    let body = json!({"given_name": "Leila", "middle_name": null, "birth_date": "1984", "notes": null,
        "phones": ["+49 30 901820"], "identifiers": [], "gender": null, "status": "inactive"});
    let changed = clinic.change(revision(&made), patch(body)).await.unwrap();
    assert_eq!(changed.version, 2);
    assert_eq!((changed.given_name.as_str(), changed.family_name.as_str()), ("Leila", "Haddad"));
    assert_eq!((changed.middle_name.as_deref(), changed.usual_name.as_deref()), (None, Some("Lulu")));
    assert_eq!(changed.birth_date.unwrap().to_string(), "1984");
    assert_eq!(changed.status, PatientStatus::Inactive);
    assert!(changed.notes.is_none() && changed.identifiers.is_empty());
    // The number stays, and with it that its owner wants no reminders there.
    assert_eq!(changed.phones, ["+4930901820"]);
    assert!(changed.telecoms.iter().any(|telecom| telecom.value == "+4930901820" && telecom.opt_out));
    assert_eq!(changed.emails, made.emails);
    assert_eq!(clinic.get(made.id).await.unwrap(), changed);

    let dead = clinic.change(revision(&changed), patch(json!({"deceased_on": "2020-02-29"}))).await.unwrap();
    assert!(dead.deceased);
    let alive = clinic.change(revision(&dead), patch(json!({"deceased": false}))).await.unwrap();
    assert_eq!((alive.deceased, alive.deceased_on), (false, None));
}

#[tokio::test]
async fn a_name_that_was_changed_is_found_and_the_old_one_is_not() {
    let clinic = Clinic::open("de-DE").await;
    let made = clinic.register(input(json!({"family_name": "Schmidt", "given_name": "Eva"}))).await;
    clinic.change(revision(&made), patch(json!({"family_name": "Zimmermann"}))).await.unwrap();
    assert_eq!(clinic.search("zimmer").await, [made.id]);
    assert!(clinic.search("schmidt").await.is_empty());
}

#[tokio::test]
async fn a_patch_that_changes_nothing_leaves_no_trace() {
    let clinic = Clinic::open("ar-SY").await;
    let made = clinic.register(full()).await;
    let body = json!({"family_name": "Haddad", "phones": ["0944 123 456", {"value": "+49 30 901820"}],
        "identifiers": [{"system": "passport", "value": "N 012-345"}]});
    let same = clinic.change(revision(&made), patch(body)).await.unwrap();
    assert_eq!(same.version, 1);
    assert_eq!(clinic.events(made.id).await, ["patient.created"]);
}

#[tokio::test]
async fn patches_that_mean_nothing_are_refused() {
    let clinic = Clinic::open("de-DE").await;
    let made = clinic.register(full()).await;
    let check = async |body: serde_json::Value, at: &str, code: &str| {
        let error = clinic.change(revision(&made), patch(body)).await.unwrap_err();
        assert_eq!(wrong_parts(&error), [(at.to_owned(), code.to_owned())]);
    };
    check(json!({"family_name": ""}), "/family_name", "blank").await;
    for unseen in ["\u{200B}", "\u{2060} \u{3164}", "\u{200D}\u{200C}"] {
        check(json!({"family_name": unseen}), "/family_name", "blank").await;
    }
    check(json!({"status": "merged"}), "/status", "not_settable").await;
    check(json!({"guarantor_id": made.id}), "/guarantor_id", "self").await;
    check(json!({"deceased_on": "1950-01-01"}), "/deceased_on", "before_birth").await;
    for unreadable in [json!({"family_name": null}), json!({"mrn": "1"}), json!({"deceased": null})] {
        assert!(serde_json::from_value::<UpdatePatient>(unreadable.clone()).is_err(), "{unreadable}");
    }
    assert_eq!(clinic.get(made.id).await.unwrap().version, 1);
}

#[tokio::test]
async fn a_stale_version_is_refused_and_any_version_is_not() {
    let clinic = Clinic::open("de-DE").await;
    let made = clinic.register(full()).await;
    clinic.change(revision(&made), patch(json!({"usual_name": "One"}))).await.unwrap();
    let error = clinic.change(revision(&made), patch(json!({"usual_name": "Two"}))).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Stale, "version_mismatch"));
    let any = Revision { id: made.id, expected: None };
    let changed = clinic.change(any, patch(json!({"usual_name": "Three"}))).await.unwrap();
    assert_eq!(changed.version, 3);
}

#[tokio::test]
async fn an_unknown_patient_is_not_found() {
    let clinic = Clinic::open("de-DE").await;
    let id = PatientId::new(Uuid::now_v7());
    assert_eq!(clinic.get(id).await.unwrap_err().code(), "not_found");
    let error =
        clinic.change(Revision { id, expected: None }, patch(json!({"notes": "x"}))).await.unwrap_err();
    assert_eq!(error.code(), "not_found");
    assert!(patient::find(&clinic.db(), &clinic.scope(), &clinic.cipher, id).await.unwrap().is_none());
}

#[tokio::test]
async fn merged_and_erased_records_are_gone() {
    let clinic = Clinic::open("de-DE").await;
    let (survivor, merged, erased) = (
        clinic.register(full_of("A")).await,
        clinic.register(full_of("B")).await,
        clinic.register(full_of("C")).await,
    );
    clinic
        .run(&format!(
            "UPDATE patients SET status = 'merged', merged_into_id = '{}' WHERE id = '{}'",
            survivor.id, merged.id
        ))
        .await;
    clinic
        .run(&format!("UPDATE patients SET status = 'erased', family_name = '' WHERE id = '{}'", erased.id))
        .await;

    let error = clinic.get(merged.id).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Gone, "patient_merged"));
    assert_eq!(error.conflicts(), [survivor.id.uuid()]);
    let error = clinic.change(revision(&merged), patch(json!({"notes": "x"}))).await.unwrap_err();
    assert_eq!(error.code(), "patient_merged");
    assert_eq!(clinic.get(erased.id).await.unwrap_err().code(), "patient_erased");
    let listed: Vec<_> = clinic.list(&PatientFilter::default()).await;
    assert_eq!(listed, [survivor.id]);
    let of_status = PatientFilter { status: Some(PatientStatus::Merged), ..PatientFilter::default() };
    assert_eq!(clinic.list(&of_status).await, [merged.id]);
    let error = patient::require(&clinic.db(), &clinic.scope(), merged.id).await.unwrap_err();
    assert_eq!(error.code(), "patient_merged");
    patient::require(&clinic.db(), &clinic.scope(), survivor.id).await.unwrap();
    let unpaid =
        clinic.change(revision(&survivor), patch(json!({"guarantor_id": merged.id}))).await.unwrap_err();
    assert_eq!(wrong_parts(&unpaid), [("/guarantor_id".to_owned(), "unknown".to_owned())]);
}

fn full_of(family_name: &str) -> CreatePatient {
    input(json!({"family_name": family_name, "given_name": "X"}))
}

#[tokio::test]
async fn an_identifier_belongs_to_one_patient_until_it_is_void() {
    let clinic = Clinic::open("de-DE").await;
    let first = clinic.register(full()).await;
    let same = || {
        input(json!({"family_name": "A", "given_name": "B",
        "identifiers": [{"system": "passport", "value": "n012345"}]}))
    };
    let error = clinic.try_register(same()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "identifier_taken"));
    let other_system = input(json!({"family_name": "A", "given_name": "B",
        "identifiers": [{"system": "national", "value": "n012345"}]}));
    clinic.register(other_system).await;

    clinic.change(revision(&first), patch(json!({"identifiers": []}))).await.unwrap();
    let second = clinic.register(same()).await;
    let taken = patch(json!({"identifiers": [{"system": "passport", "value": "N 012-345"}]}));
    let error = clinic.change(Revision { id: first.id, expected: None }, taken).await.unwrap_err();
    assert_eq!(error.code(), "identifier_taken");
    assert_eq!(clinic.get(second.id).await.unwrap().identifiers.len(), 1);
}

#[tokio::test]
async fn identifiers_and_notes_are_sealed_for_their_row() {
    let clinic = Clinic::open("de-DE").await;
    let made = clinic.register(full()).await;
    let row = clinic
        .db()
        .query_one_raw(raw_sql!(
            Postgres,
            "SELECT i.value, p.notes FROM patient_identifiers AS i JOIN patients AS p ON p.id = i.patient_id"
        ))
        .await
        .unwrap()
        .unwrap();
    let (value, notes): (Vec<u8>, Vec<u8>) =
        (row.try_get("", "value").unwrap(), row.try_get("", "notes").unwrap());
    for clear in ["012", "needles"] {
        for sealed in [&value, &notes] {
            assert!(!sealed.windows(clear.len()).any(|part| part == clear.as_bytes()));
        }
    }
    let stranger = FieldCipher::new(clinic.scope().tenant_id, 1, DataKey::random().unwrap());
    let error = patient::get(&clinic.db(), &clinic.scope(), &stranger, made.id).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Internal, "internal"));
}

#[tokio::test]
async fn every_write_leaves_one_audit_row_and_one_event_without_personal_data() {
    let clinic = Clinic::open("ar-SY").await;
    let made = clinic.register(full()).await;
    clinic.change(revision(&made), patch(json!({"family_name": "Khoury", "gender": "other"}))).await.unwrap();
    assert_eq!(clinic.events(made.id).await, ["patient.created", "patient.updated"]);
    let trail = clinic.audit_rows(made.id).await;
    let actions: Vec<_> = trail.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(actions, ["patient.created", "patient.updated"]);
    assert_eq!(trail[1].before, json!({"family_name": "***", "gender": "female"}));
    assert_eq!(trail[1].after, json!({"family_name": "***", "gender": "other"}));
    let everything = format!(
        "{}{}",
        json!(trail.iter().map(|row| [&row.before, &row.after]).collect::<Vec<_>>()),
        clinic.payloads(made.id).await
    );
    for personal in [
        "Haddad",
        "Layla",
        "Khoury",
        "ليلى",
        "944123456",
        "layla",
        "012",
        "Straight",
        "Omar",
        "1984",
        "needles",
    ] {
        assert!(!everything.contains(personal), "{personal} stands in {everything}");
    }
}

#[tokio::test]
async fn a_refused_write_leaves_nothing() {
    let clinic = Clinic::open("de-DE").await;
    let made = clinic.register(full()).await;
    clinic.try_register(full()).await.unwrap_err();
    assert_eq!(clinic.list(&PatientFilter::default()).await, [made.id]);
    assert_eq!(clinic.events(made.id).await, ["patient.created"]);
}

#[tokio::test]
async fn a_second_tenant_with_the_same_ids_sees_nothing_of_the_first() {
    let (one, two) = (Clinic::open("de-DE").await, Clinic::open("de-DE").await);
    let ids: Vec<Uuid> = (0..100).map(|_| Uuid::now_v7()).collect();
    let mine = one.register_with(Arc::new(ScriptedIds::new(&ids)), full()).await.unwrap();
    assert_eq!(two.get(mine.id).await.unwrap_err().code(), "not_found");
    let mut theirs = full();
    theirs.family_name = "Other".to_owned();
    let theirs = two.register_with(Arc::new(ScriptedIds::new(&ids)), theirs).await.unwrap();
    assert_eq!(mine.id, theirs.id);
    assert_eq!(one.get(mine.id).await.unwrap().family_name, "Haddad");
    assert_eq!(two.get(mine.id).await.unwrap().family_name, "Other");
    assert_eq!(one.list(&PatientFilter::default()).await.len(), 1);
    assert!(one.search("other").await.is_empty());
    let filter = PatientFilter { identifier: Some("N012345".to_owned()), ..PatientFilter::default() };
    two.run("DELETE FROM patient_identifiers").await;
    assert!(two.list(&filter).await.is_empty());
    assert_eq!(one.list(&filter).await, [mine.id]);
}

#[tokio::test]
async fn a_record_number_that_is_taken_is_drawn_again() {
    let clinic = Clinic::open("de-DE").await;
    // The ids that a minimal registration asks for: the patient's, then one for each draw.
    let [draw, one, two] = [Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7()];
    let first = clinic.register_with(Arc::new(ScriptedIds::new(&[one, draw])), full_of("A")).await.unwrap();
    let second = clinic.register_with(Arc::new(ScriptedIds::new(&[two, draw])), full_of("B")).await.unwrap();
    assert_eq!((first.id.uuid(), second.id.uuid()), (one, two));
    assert_ne!(first.mrn, second.mrn);
}

#[tokio::test]
async fn registrations_in_parallel_get_numbers_of_their_own() {
    let clinic = Arc::new(Clinic::open("de-DE").await);
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let clinic = Arc::clone(&clinic);
            tokio::spawn(async move { clinic.register(full_of(&format!("P{number}"))).await.mrn })
        })
        .collect();
    let mut numbers = BTreeSet::new();
    for task in tasks {
        numbers.insert(task.await.unwrap());
    }
    assert_eq!(numbers.len(), 20);
}

#[tokio::test]
async fn two_changes_of_one_version_cannot_both_win() {
    let clinic = Arc::new(Clinic::open("de-DE").await);
    let made = clinic.register(full_of("A")).await;
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let (clinic, revision) = (Arc::clone(&clinic), revision(&made));
            tokio::spawn(async move {
                clinic.change(revision, patch(json!({"usual_name": format!("N{number}")}))).await.is_ok()
            })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        won += usize::from(task.await.unwrap());
    }
    assert_eq!(won, 1);
    let page = PageRequest::default();
    let listed = clinic.try_list(&PatientFilter::default(), &page, PatientSort::Name).await.unwrap();
    assert_eq!(listed.items[0].version, 2);
}
