//! How a clinic bills.

use clinicx_billing::settings::{self, Settings};
use serde_json::{Value, json};

use crate::practice::{Practice, code, read, wrong_field};

impl Practice {
    pub(crate) async fn set(
        &self,
        expected: Option<i64>,
        body: Value,
    ) -> Result<Settings, clinicx_billing::BillingError> {
        self.write(async |tx| settings::update(tx, &self.scope, expected, read(body.clone())).await).await
    }
}

#[tokio::test]
async fn invoices_name_the_clinic_as_it_was_when_they_were_issued() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let first = settings::get(&practice.tenant.connection, &practice.scope).await.unwrap();
    assert_eq!((first.version, first.invoice_prefix.as_str(), first.payment_terms_days), (1, "INV", 14));
    assert_eq!((first.id.get_version_num(), first.created_at), (7, first.updated_at));
    let unnamed = practice.issued(patient, &["1.00"], "0").await;
    assert_eq!(unnamed.issuer.unwrap().name.as_deref(), Some(practice.tenant.tenant.name.as_str()));
    let issuer = json!({ "name": "Praxis Nord", "address": "1 Main Street\nBerlin", "tax_number": "DE1" });
    let set = json!({ "issuer": issuer, "payment_terms_days": 30, "invoice_prefix": "R" });
    let set = practice.set(Some(1), set).await.unwrap();
    assert_eq!((set.version, set.payment_terms_days), (2, 30));
    let found = settings::get(&practice.tenant.connection, &practice.scope).await.unwrap();
    assert_eq!((found.id, &found), (first.id, &set));
    assert_eq!(code(practice.set(Some(1), json!({ "payment_terms_days": 1 })).await), "version_mismatch");
    let named = practice.issued(patient, &["1.00"], "0").await;
    assert_eq!(
        (named.number.as_deref(), named.due_on.unwrap().to_string().as_str()),
        (Some("R-2026-00001"), "2026-07-01")
    );
    practice.set(Some(2), json!({ "issuer": { "name": "Another" } })).await.unwrap();
    assert_eq!(practice.invoice(named.id).await.issuer.unwrap().name.as_deref(), Some("Praxis Nord"));
}

#[tokio::test]
async fn who_the_clinic_is_stands_in_no_audit_row() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let issuer = json!({ "name": "Dr. Geheim", "address": "Geheimweg 1", "contact": "geheim@x.example" });
    practice.set(None, json!({ "issuer": issuer })).await.unwrap();
    practice.set(None, json!({ "issuer": { "name": "Dr. Geheimer" } })).await.unwrap();
    let issued = practice.issued(patient, &["1.00"], "0").await;
    practice.cancel(issued.id).await.unwrap();
    let rows: Vec<String> =
        sqlx::query_scalar("SELECT to_jsonb(a)::text FROM audit_logs AS a WHERE tenant_id = $1")
            .bind(practice.scope.tenant_id.uuid())
            .fetch_all(&mut practice.superuser().await)
            .await
            .unwrap();
    assert!(rows.iter().filter(|row| row.contains("\"issuer\": \"***\"")).count() >= 3, "{rows:?}");
    for row in rows {
        assert!(!row.to_lowercase().contains("geheim"), "{row}");
    }
}

#[tokio::test]
async fn what_is_wrong_about_settings_is_refused() {
    let practice = Practice::open().await;
    let check = async |body: Value, pointer: &str, expected: &str| {
        assert_eq!(wrong_field(practice.set(None, body).await), (pointer.to_owned(), expected.to_owned()));
    };
    check(json!({ "invoice_prefix": "inv" }), "/invoice_prefix", "malformed_prefix").await;
    check(json!({ "invoice_prefix": "CN" }), "/credit_note_prefix", "unchanged").await;
    check(json!({ "fiscal_year_start_month": 13 }), "/fiscal_year_start_month", "out_of_range").await;
    check(json!({ "payment_terms_days": -1 }), "/payment_terms_days", "out_of_range").await;
    check(json!({ "issuer": { "name": " " } }), "/issuer/name", "blank").await;
}

#[tokio::test]
async fn a_prefix_that_began_numbers_of_one_kind_begins_none_of_the_other() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let invoice = practice.issued(patient, &["10.00"], "0").await;
    practice.credit(invoice.id, json!({ "reason": "Mistake" })).await.unwrap();
    let taken = "prefix_of_other_kind".to_owned();
    let swapped = json!({ "invoice_prefix": "XX", "credit_note_prefix": "INV" });
    assert_eq!(wrong_field(practice.set(None, swapped).await), ("/credit_note_prefix".into(), taken.clone()));
    let swapped = json!({ "invoice_prefix": "CN", "credit_note_prefix": "YY" });
    assert_eq!(wrong_field(practice.set(None, swapped).await), ("/invoice_prefix".into(), taken));
    // One that has begun none is free, and so is one of its own kind.
    practice.set(None, json!({ "invoice_prefix": "R", "credit_note_prefix": "G" })).await.unwrap();
    practice.set(None, json!({ "invoice_prefix": "INV", "credit_note_prefix": "CN" })).await.unwrap();
    let mut superuser = practice.superuser().await;
    let series = "INSERT INTO number_series (id, kind, prefix, fiscal_year, last_number)
        VALUES (gen_random_uuid(), 'credit-note', 'INV', 2030, 1)";
    let refused = sqlx::query(series).execute(&mut superuser).await.unwrap_err();
    let refused = refused.into_database_error().unwrap();
    assert_eq!(refused.constraint(), Some("ex_number_series__prefix_kind"));
}
