//! Invoices as PDF.

use clinicx_billing::document;
use clinicx_types::lang::Language;
use serde_json::json;

use crate::practice::{Practice, line};

#[tokio::test]
async fn an_invoice_is_written_in_every_language_and_on_as_many_pages_as_it_needs() {
    let practice = Practice::open().await;
    let issuer =
        json!({ "name": "عيادة الياسمين", "address": "شارع بغداد ١٢\nدمشق", "payment_details": "IBAN" });
    practice.set(None, json!({ "issuer": issuer })).await.unwrap();
    let patient = practice.patient_with(json!({ "family_name": "حداد", "given_name": "ليلى" })).await;
    let lines: Vec<_> = (0..70)
        .map(|number| {
            let mut one = line("10.00", if number % 2 == 0 { "7" } else { "19" });
            one["description"] =
                json!(format!("معاينة رقم {number} · Behandlung mit längerem Text, der umbricht"));
            one
        })
        .collect();
    let body = json!({ "patient_id": patient, "lines": lines, "discount": "5.00", "note": "شكرًا · Danke" });
    let draft = practice.draft(body).await.unwrap();
    let issued = practice.issue(draft.id, None).await.unwrap();
    for (language, name) in [(Language::English, "en"), (Language::German, "de"), (Language::Arabic, "ar")] {
        let bytes = document::invoice(&issued, language).unwrap();
        assert!(bytes.starts_with(b"%PDF-"), "{name}");
        if let Ok(folder) = std::env::var("CLINICX_KEEP_DOCUMENTS") {
            std::fs::write(format!("{folder}/invoice-{name}.pdf"), bytes).unwrap();
        }
    }
}
