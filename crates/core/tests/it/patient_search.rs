//! Finding patients as they are typed.

use std::collections::BTreeMap;

use clinicx_core::{
    PatientId,
    patient::{self, CreatePatient, PatientFilter, PatientSort, PatientStatus},
};
use clinicx_persistence::TenantScoped;
use clinicx_types::{
    error::DomainError,
    page::{CursorKey, Page, PageRequest},
};
use sea_orm::{ConnectionTrait, raw_sql};
use serde_json::json;

use crate::clinic::Clinic;

fn named(family_name: &str, given_name: &str) -> CreatePatient {
    CreatePatient {
        family_name: family_name.into(),
        given_name: given_name.into(),
        ..CreatePatient::default()
    }
}

/// Registers people; the result says who is who.
async fn people(clinic: &Clinic, names: &[(&str, &str)]) -> BTreeMap<PatientId, String> {
    let mut people = BTreeMap::new();
    for (family, given) in names {
        people.insert(clinic.register(named(family, given)).await.id, format!("{family} {given}"));
    }
    people
}

async fn found(clinic: &Clinic, people: &BTreeMap<PatientId, String>, q: &str) -> Vec<String> {
    clinic.search(q).await.into_iter().map(|id| people[&id].clone()).collect()
}

#[tokio::test]
async fn names_are_found_as_they_are_typed() {
    let clinic = Clinic::open("de-DE").await;
    let people = people(
        &clinic,
        &[
            ("Müller", "José"),
            ("Straßburger", "Zoë"),
            ("O'Brien", "Seán"),
            ("مُحَمَّد", "أحمد"),
            ("الحسن", "فاطمة"),
            ("عبد الله", "مصطفى"),
            ("Иванов", "Алёна"),
            ("Παπαδόπουλος", "Γιώργος"),
            ("王", "小明"),
            ("כהן", "שָׁלוֹם"),
            ("100%_sure", "Wild\\card"),
        ],
    )
    .await;
    let cases = [
        ("muller", "Müller José"),
        ("MUELLER", "Müller José"),
        ("jose mül", "Müller José"),
        ("strassb", "Straßburger Zoë"),
        ("zoe", "Straßburger Zoë"),
        ("obrien", "O'Brien Seán"),
        ("o'brien sean", "O'Brien Seán"),
        ("brien", "O'Brien Seán"),
        ("محمد", "مُحَمَّد أحمد"),
        ("احمد", "مُحَمَّد أحمد"),
        ("محـــمد إحمد", "مُحَمَّد أحمد"),
        ("حسن", "الحسن فاطمة"),
        ("فاطمه", "الحسن فاطمة"),
        ("عبدالله", "عبد الله مصطفى"),
        ("مصطفي", "عبد الله مصطفى"),
        ("иванов алена", "Иванов Алёна"),
        ("παπαδοπουλοσ", "Παπαδόπουλος Γιώργος"),
        ("ΓΙΩΡΓΟΣ", "Παπαδόπουλος Γιώργος"),
        ("小明", "王 小明"),
        ("שלום", "כהן שָׁלוֹם"),
        ("100%", "100%_sure Wild\\card"),
        ("wild\\card", "100%_sure Wild\\card"),
    ];
    for (q, expected) in cases {
        assert_eq!(found(&clinic, &people, q).await, [expected], "{q}");
    }
    for nobody in ["%", "_", "\\", "100x", "!!", "müller ivan"] {
        assert!(found(&clinic, &people, nobody).await.is_empty(), "{nobody}");
    }
}

#[tokio::test]
async fn mistyped_names_are_found_when_nothing_else_is() {
    let clinic = Clinic::open("de-DE").await;
    let people = people(
        &clinic,
        &[("Schmidt", "Katharina"), ("Wagner", "Friedrich"), ("Mohammad", "Yusuf"), ("حداد", "عبدالرحمن")],
    )
    .await;
    for (q, expected) in [
        ("Schmitd", "Schmidt Katharina"),
        ("Katarina", "Schmidt Katharina"),
        ("Wagnre", "Wagner Friedrich"),
        ("Fridrich Wagner", "Wagner Friedrich"),
        ("Mohamed", "Mohammad Yusuf"),
        ("عبدالرحمان", "حداد عبدالرحمن"),
    ] {
        assert_eq!(found(&clinic, &people, q).await.first().map(String::as_str), Some(expected), "{q}");
    }
    assert!(found(&clinic, &people, "Xylophon").await.is_empty());
    // Resemblance is asked for only when the letter finds nobody.
    assert_eq!(found(&clinic, &people, "Wagner").await, ["Wagner Friedrich"]);
}

#[tokio::test]
async fn telephones_numbers_identifiers_and_dates_find_their_patient() {
    let clinic = Clinic::open("de-DE").await;
    let anna = clinic.register(serde_json::from_value(json!({
        "family_name": "Anna", "given_name": "A", "birth_date": "1980-05-17", "phones": ["030 901820", "intern 4711"],
        "identifiers": [{"system": "kvnr", "value": "A 123-456-780"}, {"system": "urn:x", "value": "77 88 99"}]
    })).unwrap()).await;
    let bert = clinic.register(serde_json::from_value(json!({
        "family_name": "Bert", "given_name": "B", "birth_date": "1980-05", "phones": ["+963 944 123 456"],
        "identifiers": [{"system": "other", "value": "A123456780"}, {"system": "club", "value": "ABC-DEF"}]
    })).unwrap()).await;
    let filter = PatientFilter::default;
    let cases = [
        (PatientFilter { phone: Some("1820".into()), ..filter() }, vec![anna.id]),
        (PatientFilter { phone: Some("+49 (30) 90-1820".into()), ..filter() }, vec![anna.id]),
        (PatientFilter { phone: Some("4711".into()), ..filter() }, vec![anna.id]),
        (PatientFilter { phone: Some("٣٤٥٦".into()), ..filter() }, vec![bert.id]),
        (PatientFilter { phone: Some("0000".into()), ..filter() }, vec![]),
        (PatientFilter { identifier: Some("a123456780".into()), ..filter() }, vec![anna.id, bert.id]),
        (PatientFilter { identifier: Some("kvnr|A123456780".into()), ..filter() }, vec![anna.id]),
        (PatientFilter { identifier: Some("nobody|A123456780".into()), ..filter() }, vec![]),
        (PatientFilter { identifier: Some("kvnr|".into()), ..filter() }, vec![]),
        (PatientFilter { birth_date: Some("1980-05-17".parse().unwrap()), ..filter() }, vec![anna.id]),
        (PatientFilter { birth_date: Some("1980-05".parse().unwrap()), ..filter() }, vec![anna.id, bert.id]),
        (PatientFilter { birth_date: Some("1980".parse().unwrap()), ..filter() }, vec![anna.id, bert.id]),
        (PatientFilter { birth_date: Some("1981".parse().unwrap()), ..filter() }, vec![]),
        (PatientFilter { q: Some("1820".into()), ..filter() }, vec![anna.id]),
        (PatientFilter { q: Some("030 901820".into()), ..filter() }, vec![anna.id]),
        (PatientFilter { q: Some(anna.mrn.clone()), ..filter() }, vec![anna.id]),
        (
            PatientFilter { q: Some(format!(" {}-{} ", &bert.mrn[..3], &bert.mrn[3..])), ..filter() },
            vec![bert.id],
        ),
        (PatientFilter { q: Some("urn:x|778899".into()), ..filter() }, vec![anna.id]),
        (PatientFilter { q: Some("A 123 456 780".into()), ..filter() }, vec![anna.id, bert.id]),
        (PatientFilter { q: Some("club|abcdef".into()), ..filter() }, vec![bert.id]),
        (PatientFilter { q: Some("anna 17.05.1980".into()), ..filter() }, vec![anna.id]),
        (PatientFilter { q: Some("1980-05-17".into()), ..filter() }, vec![anna.id]),
        (PatientFilter { q: Some("bert 1980-05-17".into()), ..filter() }, vec![]),
        (PatientFilter { q: Some("  ".into()), ..filter() }, vec![anna.id, bert.id]),
        (PatientFilter { q: Some("anna".into()), phone: Some("3456".into()), ..filter() }, vec![]),
        (PatientFilter { status: Some(PatientStatus::Inactive), ..filter() }, vec![]),
    ];
    for (at, (filter, expected)) in cases.into_iter().enumerate() {
        assert_eq!(clinic.list(&filter).await, expected, "case {at}: {:?}", filter.q);
    }
    for (filter, code) in [
        (PatientFilter { phone: Some("123".into()), ..filter() }, "too_short"),
        (PatientFilter { q: Some("x".repeat(201)), ..filter() }, "too_long"),
    ] {
        let error = clinic.try_list(&filter, &PageRequest::default(), PatientSort::Name).await.unwrap_err();
        assert_eq!(error.fields()[0].code, code);
    }
}

#[tokio::test]
async fn pages_are_stable_under_inserts_in_every_order() {
    for sort in [
        PatientSort::Name,
        PatientSort::NameDescending,
        PatientSort::CreatedAt,
        PatientSort::CreatedAtDescending,
    ] {
        let clinic = Clinic::open("de-DE").await;
        let before =
            people(&clinic, &[("C", "c"), ("A", "a"), ("E", "e"), ("B", "b"), ("D", "d"), ("A", "a")]).await;
        let mut request = PageRequest::first(2).unwrap();
        request.count = true;
        let mut seen = Vec::new();
        let mut newcomers = 0;
        loop {
            let page = clinic.try_list(&PatientFilter::default(), &request, sort).await.unwrap();
            assert_eq!(page.total, Some(6 + newcomers));
            seen.extend(page.items.iter().map(|item| item.id));
            let Some(next) = page.next else { break };
            assert!(
                next.0.iter().all(|part| !part.to_lowercase().contains("a a")),
                "a name stands in the cursor"
            );
            request.after = Some(next);
            if newcomers < 4 {
                people(&clinic, &[("0", "first"), ("Z", "last")]).await;
                newcomers += 2;
            }
        }
        let old: Vec<_> = seen.iter().filter(|id| before.contains_key(id)).collect();
        assert_eq!(old.len(), before.len(), "{sort:?} lost or repeated somebody");
        let mut unique = seen.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), seen.len(), "{sort:?} repeated somebody");
    }
}

#[tokio::test]
async fn lists_follow_the_folded_name() {
    let clinic = Clinic::open("de-DE").await;
    let people = people(&clinic, &[("Özil", "M"), ("Olsen", "A"), ("Zorn", "Z"), ("ähnlich", "B")]).await;
    let page =
        clinic.try_list(&PatientFilter::default(), &PageRequest::default(), PatientSort::Name).await.unwrap();
    let names: Vec<_> = page.items.iter().map(|item| people[&item.id].as_str()).collect();
    assert_eq!(names, ["ähnlich B", "Olsen A", "Özil M", "Zorn Z"]);
}

#[tokio::test]
async fn pages_of_resembling_names_hold_everybody_once() {
    let clinic = Clinic::open("de-DE").await;
    let names: Vec<_> = (0..7).map(|_| ("Schmidt", "Katharina")).chain([("Schmied", "Kai")]).collect();
    let everybody = people(&clinic, &names).await;
    let filter = PatientFilter { q: Some("Schmitdt".into()), ..PatientFilter::default() };
    let mut request = PageRequest::first(3).unwrap();
    let mut seen = Vec::new();
    loop {
        let page = clinic.try_list(&filter, &request, PatientSort::Name).await.unwrap();
        seen.extend(page.items.iter().map(|item| item.id));
        let Some(next) = page.next else { break };
        request.after = Some(next);
    }
    assert_eq!(seen.len(), everybody.len());
    assert_eq!(everybody[seen.last().unwrap()], "Schmied Kai");
}

#[tokio::test]
async fn a_foreign_cursor_is_refused() {
    let clinic = Clinic::open("de-DE").await;
    let id = clinic.register(named("A", "B")).await.id.to_string();
    for key in [
        vec![],
        vec!["name".to_owned()],
        vec!["name".to_owned(), "x".to_owned()],
        vec!["created_at".to_owned(), id.clone()],
        vec!["similar".to_owned(), id.clone()],
        vec!["name".to_owned(), uuid::Uuid::nil().to_string()],
    ] {
        let mut request = PageRequest::default();
        request.after = Some(CursorKey(key.clone()));
        let error =
            clinic.try_list(&PatientFilter::default(), &request, PatientSort::Name).await.unwrap_err();
        assert_eq!(error.fields()[0].pointer, "?cursor", "{key:?}");
    }
}

/// How often a table was read by an index and row by row in this transaction.
async fn scans(db: &impl TenantScoped, table: &str) -> (i64, i64) {
    let statement = raw_sql!(
        Postgres,
        "SELECT COALESCE(idx_scan, 0) AS by_index, seq_scan AS by_row FROM pg_catalog.pg_stat_xact_user_tables
         WHERE relname = {table} AND schemaname = current_schema()"
    );
    let row = db.query_one_raw(statement).await.unwrap().unwrap();
    (row.try_get("", "by_index").unwrap(), row.try_get("", "by_row").unwrap())
}

#[tokio::test]
async fn search_among_thousands_goes_through_the_indexes() {
    let clinic = Clinic::open("de-DE").await;
    // Names of four letters, so that a prefix narrows the search down.
    for statement in [
        "INSERT INTO patients (id, mrn, family_name, given_name, sort_name, search_text)
         SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'T' || n, word, 'x', word || ' x', word || ' x'
         FROM (SELECT n, translate(lpad(n::text, 4, '0'), '0123456789', 'abcdefghij') AS word
               FROM generate_series(1, 5000) AS n) AS numbered",
        "INSERT INTO patient_search_tokens (id, patient_id, token)
         SELECT ('00000000-0000-7000-9000-' || right(id::text, 12))::uuid, id, family_name FROM patients",
        "INSERT INTO patient_telecoms (id, patient_id, system, value_raw, value, reversed_digits, rank)
         SELECT ('00000000-0000-7000-a000-' || right(id::text, 12))::uuid, id, 'phone', mrn, mrn,
                rpad(reverse(substr(mrn, 2)), 8, '7'), 1 FROM patients",
    ] {
        clinic.run(statement).await;
    }
    clinic.analyze(&["patients", "patient_search_tokens", "patient_telecoms"]).await;
    let tx = clinic.db().begin().await.unwrap();
    let check = async |filter: PatientFilter, table: &str, expected: usize| {
        let (index_before, rows_before) = scans(&tx, table).await;
        let listed: Page<_> = patient::list(
            &tx,
            &clinic.scope(),
            &clinic.cipher,
            &filter,
            (&PageRequest::default(), PatientSort::Name),
        )
        .await
        .unwrap();
        assert_eq!(listed.items.len(), expected, "{:?}", filter.q);
        let (index_after, rows_after) = scans(&tx, table).await;
        assert!(index_after > index_before, "{table} was not read through an index");
        assert_eq!(rows_after, rows_before, "{table} was read row by row");
    };
    let named = |q: &str| PatientFilter { q: Some(q.into()), ..PatientFilter::default() };
    check(named("bcde"), "patient_search_tokens", 1).await;
    check(named("bcd"), "patient_search_tokens", 10).await;
    check(named("bcd"), "patients", 10).await;
    let by_phone = PatientFilter { phone: Some("4321".into()), ..PatientFilter::default() };
    check(by_phone, "patient_telecoms", 1).await;
    // The first page of everybody follows the index of the order.
    check(PatientFilter::default(), "patients", 50).await;

    let plan = tx
        .query_all_raw(raw_sql!(
            Postgres,
            "EXPLAIN SELECT patient_id FROM patient_search_tokens WHERE token >= 'bcd' AND token < 'bce'"
        ))
        .await
        .unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.try_get("", "QUERY PLAN").unwrap()).collect();
    assert!(plan.join("\n").contains("ux_patient_search_tokens__token_patient_id"), "{plan:#?}");
    tx.rollback().await.unwrap();
}
