//! Numbers without gaps, whoever issues at the same time and whatever fails.

use std::collections::BTreeSet;

use clinicx_billing::InvoiceId;
use futures_util::future::join_all;
use serde_json::json;

use crate::practice::{Practice, line};

/// How many drafts are issued, and how many of them are made to fail.
const DRAFTS: usize = 200;
const FAILING: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn parallel_issues_with_failures_leave_no_gap() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let mut ids: Vec<InvoiceId> = Vec::new();
    for index in 0..DRAFTS {
        // These break at the very end, after they have taken their number.
        let price = if index % (DRAFTS / FAILING) == 3 { "13.37" } else { "10.00" };
        let body = json!({ "patient_id": patient, "lines": [line(price, "0")] });
        ids.push(practice.draft(body).await.unwrap().id);
    }
    let mut superuser = practice.superuser().await;
    sqlx::query(
        "ALTER TABLE ledger_entries ADD CONSTRAINT ck_ledger_entries__planted CHECK (amount <> 13.37)",
    )
    .execute(&mut superuser)
    .await
    .unwrap();
    let issues = ids.iter().map(async |id| {
        let issued = practice.issue(*id, Some(1)).await;
        issued.ok().and_then(|issued| issued.number)
    });
    let numbers: Vec<Option<String>> = join_all(issues).await;
    assert_eq!(numbers.iter().filter(|number| number.is_none()).count(), FAILING);
    let given: BTreeSet<String> = numbers.into_iter().flatten().collect();
    let expected: BTreeSet<String> =
        (1..=DRAFTS - FAILING).map(|number| format!("INV-2026-{number:05}")).collect();
    assert_eq!(given, expected);
}

#[tokio::test]
async fn a_fiscal_year_changes_at_the_clinics_own_midnight() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let number = async |now: &str| {
        let then = practice.at(now);
        then.issued(patient, &["1.00"], "0").await.number.unwrap()
    };
    // Berlin is an hour ahead of UTC in winter, and two in summer.
    assert_eq!(number("2026-12-31T22:59:59Z").await, "INV-2026-00001");
    assert_eq!(number("2026-12-31T23:00:00Z").await, "INV-2027-00001");
    assert_eq!(number("2026-12-31T22:59:59Z").await, "INV-2026-00002");
    practice.set(None, json!({ "fiscal_year_start_month": 7 })).await.unwrap();
    assert_eq!(number("2027-06-30T21:59:59Z").await, "INV-2026-00003");
    assert_eq!(number("2027-06-30T22:00:00Z").await, "INV-2027-00002");
}
