//! Every column that could hold words or numbers of a person is either sealed or named here with what it holds: a new
//! one can't be forgotten.

use std::collections::BTreeSet;

use clinicx_testing::TestTenant;
use sqlx::Connection;

/// Columns in clear: the table, the columns, and why they are not sealed.
const CLEAR: &[(&str, &[&str], &str)] = &[
    (
        "patients",
        &[
            "family_name",
            "given_name",
            "middle_name",
            "usual_name",
            "original_script_name",
            "sort_name",
            "search_text",
        ],
        "names, over which search and order go",
    ),
    ("patients", &["mrn"], "the clinic's own number, over which search goes"),
    ("patients", &["status", "gender", "birth_date_precision", "preferred_language", "blood_type"], "codes"),
    ("patient_search_tokens", &["token"], "parts of names, over which search goes"),
    ("patient_telecoms", &["system", "use"], "codes"),
    ("patient_telecoms", &["value", "value_raw", "reversed_digits"], "telephones and e-mail, for search"),
    ("patient_addresses", &["use"], "codes"),
    ("patient_addresses", &["line1", "line2", "city", "state", "postal_code"], "where the post goes"),
    ("patient_identifiers", &["system"], "who gave it"),
    ("patient_identifiers", &["blind_index"], "tells nothing without the key"),
    ("patient_emergency_contacts", &["name", "relationship", "phone", "phone_raw"], "whom to call at once"),
    (
        "patient_allergies",
        &["clinical_status", "verification_status", "category", "criticality", "code_system", "code"],
        "codes",
    ),
    ("patient_conditions", &["clinical_status", "verification_status", "code_system", "code"], "codes"),
    ("patient_medications", &["clinical_status", "verification_status", "code_system", "code"], "codes"),
    ("patient_consents", &["purpose", "decision", "wording_hash"], "codes and a digest"),
    (
        "patient_documents",
        &["status", "category", "media_type", "sha256", "storage_key"],
        "codes, a digest and a random name",
    ),
    ("staff", &["family_name", "given_name", "specialty", "licence_number"], "no patient's"),
    ("staff", &["roles", "colour"], "codes"),
    ("rooms", &["name", "kind", "time_zone"], "no patient's"),
    ("services", &["code", "name", "names"], "no patient's"),
    ("working_hours", &["time_zone"], "a code"),
    ("time_off", &["reason"], "no patient's; rota planners read it all day"),
    ("appointments", &["time_zone", "status"], "codes"),
    (
        "appointments",
        &["reason", "comment", "cancellation_reason"],
        "of rows older than the sealed columns beside; a change of keys empties them",
    ),
    ("appointment_events", &["from_status", "to_status", "actor_kind", "actor_job"], "codes"),
    ("appointment_events", &["reason"], "as those of appointments"),
    ("schema_migrations", &["module", "name", "origin"], "no patient's"),
    ("outbox", &["event_type", "aggregate", "payload"], "ids and states"),
    ("idempotency_keys", &["operation", "key", "request_hash"], "no patient's"),
    ("idempotency_keys", &["headers"], "not used"),
    ("dental_charts", &["notation"], "a code"),
    ("treatments", &["procedure_code", "area", "region", "teeth", "surfaces", "status", "flag"], "codes"),
    ("treatments", &["category", "effect"], "codes"),
    ("treatment_events", &["from_status", "to_status", "actor_kind", "actor_job"], "codes"),
    ("treatments", &["procedure_name"], "the catalogue's words for a code"),
    ("procedure_codes", &["code", "name", "names"], "no patient's"),
    ("procedure_codes", &["category", "area", "effect", "origin"], "codes"),
    ("tooth_presence_events", &["tooth", "state", "status"], "codes"),
    ("tooth_finding_stages", &["status"], "codes"),
    ("tooth_findings", &["tooth", "code", "surfaces", "severity", "status", "resolved_from"], "codes"),
    ("perio_exams", &["status"], "codes"),
    ("perio_measurements", &["tooth", "site"], "codes"),
    ("treatment_plans", &["status"], "codes"),
    ("lab_cases", &["work", "status"], "codes"),
    ("lab_cases", &["laboratory", "material", "shade"], "what a laboratory is to make; nothing of whom"),
    ("billing_settings", &["issuer", "invoice_prefix", "credit_note_prefix"], "no patient's"),
    ("charge_items", &["source_kind", "code", "status"], "codes"),
    ("charge_items", &["description"], "the words of a catalogue"),
    ("credit_notes", &["number"], "a number"),
    ("installment_plans", &["status"], "a code"),
    ("invoices", &["number", "status"], "codes"),
    ("invoices", &["issuer"], "no patient's"),
    ("invoice_lines", &["code"], "a code of a catalogue"),
    ("ledger_entries", &["kind", "reference"], "a code and a number"),
    ("number_series", &["kind", "prefix"], "codes"),
    ("payments", &["method", "status"], "codes"),
    ("payment_allocations", &["reason"], "a code"),
    ("refunds", &["method"], "a code"),
];

/// Columns of words that nothing writes; whoever writes them first seals them.
const UNWRITTEN: &[(&str, &[&str])] = &[("dental_charts", &["note"]), ("treatments", &["note"])];

#[tokio::test]
async fn every_column_of_words_is_sealed_or_known_not_to_be() {
    let tenant = TestTenant::builder().create().await;
    let mut superuser = tenant.database.superuser().await;
    let found: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT table_name::text, column_name::text, data_type::text
         FROM information_schema.columns
         WHERE table_schema = $1
           AND data_type IN ('text', 'character varying', 'bytea', 'json', 'jsonb', 'ARRAY', 'xml')",
    )
    .bind(tenant.tenant.database_schema.as_str())
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    superuser.close().await.unwrap();
    let sealed: BTreeSet<(&str, &str)> = clinicx::modules::sealed_columns(&Default::default())
        .iter()
        .map(|column| (column.field.table, column.field.column))
        .collect();
    let named = |list: &[(&'static str, &'static [&'static str])]| -> BTreeSet<(&'static str, &'static str)> {
        list.iter().flat_map(|(table, columns)| columns.iter().map(|column| (*table, *column))).collect()
    };
    let clear: Vec<_> = CLEAR.iter().map(|(table, columns, _)| (*table, *columns)).collect();
    let (clear, unwritten) = (named(&clear), named(UNWRITTEN));
    let known: BTreeSet<_> = clear.iter().chain(&unwritten).copied().chain(sealed.iter().copied()).collect();
    assert_eq!(known.len(), clear.len() + unwritten.len() + sealed.len(), "a column is named twice");
    let columns: BTreeSet<(&str, &str)> =
        found.iter().map(|(table, column, _)| (table.as_str(), column.as_str())).collect();
    let unknown: Vec<_> = columns.difference(&known).collect();
    assert!(unknown.is_empty(), "sealed or not? {unknown:?}");
    let gone: Vec<_> = known.difference(&columns).collect();
    assert!(gone.is_empty(), "no such columns: {gone:?}");
    for (table, column, kind) in &found {
        let is_sealed = sealed.contains(&(table.as_str(), column.as_str()));
        assert!(!is_sealed || kind == "bytea", "{table}.{column} is sealed and {kind}");
    }
}
