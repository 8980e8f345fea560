//! Statements and reports.

use chrono::NaiveDate;
use clinicx_billing::{
    ledger::{self, EntryKind, LedgerFilter},
    payment::{self, PaymentMethod},
    report,
};
use clinicx_types::page::PageRequest;
use serde_json::json;

use crate::practice::{Practice, line, wrong_field};

fn day(text: &str) -> Option<NaiveDate> {
    Some(text.parse().unwrap())
}

#[tokio::test]
async fn a_statement_goes_from_its_opening_to_its_closing() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let may = practice.at("2026-05-31T21:59:59Z");
    let invoice = may.issued(patient, &["100.00"], "0").await;
    let june = practice.at("2026-05-31T22:00:00Z");
    june.issued(patient, &["50.00"], "0").await;
    practice.pay(json!({ "patient_id": patient, "amount": "30.00", "method": "cash" })).await.unwrap();
    let july = practice.at("2026-07-10T10:00:00Z");
    july.credit(invoice.id, json!({ "reason": "Mistake" })).await.unwrap();
    let (db, account) = (&practice.tenant.connection, invoice.account_id);
    let wanted = (day("2026-06-01"), day("2026-06-30"));
    let shown = ledger::statement(db, &july.scope, account, wanted).await.unwrap();
    assert_eq!((shown.opening.as_str(), shown.closing.as_str()), ("100.00", "120.00"));
    let moves: Vec<(EntryKind, &str, &str)> = shown
        .movements
        .iter()
        .map(|one| (one.entry.kind, one.entry.amount.as_str(), one.balance.as_str()))
        .collect();
    assert_eq!(moves, [(EntryKind::Invoice, "50.00", "150.00"), (EntryKind::Payment, "-30.00", "120.00")]);
    let latest = ledger::statement(db, &july.scope, account, (None, None)).await.unwrap();
    assert_eq!((latest.opening.as_str(), latest.closing.as_str()), ("120.00", "20.00"));
    let backwards = ledger::statement(db, &july.scope, account, (day("2026-06-02"), day("2026-06-01"))).await;
    assert_eq!(wrong_field(backwards).1, "end_before_start");
    let long = ledger::statement(db, &july.scope, account, (day("2025-06-30"), day("2026-07-01"))).await;
    assert_eq!(wrong_field(long).1, "range_too_long");
    let of_june = LedgerFilter { from: wanted.0, to: wanted.1 };
    let page = ledger::list(db, &july.scope, account, &of_june, &PageRequest::default()).await.unwrap();
    assert_eq!(page.items.len(), 2);
    let (every, three) = (LedgerFilter::default(), PageRequest::first(3).unwrap());
    let first = ledger::list(db, &july.scope, account, &every, &three);
    let first = first.await.unwrap();
    let mut next = PageRequest::default();
    next.after = first.next;
    let rest = ledger::list(db, &july.scope, account, &LedgerFilter::default(), &next).await.unwrap();
    assert_eq!((first.items.len(), rest.items.len()), (3, 1));
}

#[tokio::test]
async fn receivables_are_sorted_by_age() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    for (now, net) in [
        ("2026-01-01T10:00:00Z", "16.00"),
        ("2026-03-01T10:00:00Z", "8.00"),
        ("2026-04-10T10:00:00Z", "4.00"),
        ("2026-05-15T10:00:00Z", "2.00"),
        ("2026-05-25T10:00:00Z", "1.00"),
    ] {
        practice.at(now).issued(patient, &[net], "0").await;
    }
    let found = report::receivables(&practice.tenant.connection, &practice.scope).await.unwrap();
    let euro = &found.items[0];
    assert_eq!((euro.currency.as_str(), euro.invoices, euro.total.as_str()), ("EUR", 5, "31.00"));
    assert_eq!((euro.not_overdue.as_str(), euro.days_1_to_30.as_str()), ("1.00", "2.00"));
    assert_eq!((euro.days_31_to_60.as_str(), euro.days_61_to_90.as_str()), ("4.00", "8.00"));
    assert_eq!(euro.over_90_days, "16.00");
}

#[tokio::test]
async fn takings_are_those_of_the_clinics_own_days() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let pay = async |now: &str, amount: &str, method: &str| {
        let then = practice.at(now);
        then.pay(json!({ "patient_id": patient, "amount": amount, "method": method })).await.unwrap()
    };
    pay("2026-06-01T21:59:00Z", "10.00", "cash").await;
    let second = pay("2026-06-01T22:01:00Z", "20.00", "cash").await;
    let card = pay("2026-06-02T10:00:00Z", "40.00", "card").await;
    practice.at("2026-06-02T11:00:00Z").refund(&second, "5.00").await.unwrap();
    let third = practice.at("2026-06-03T11:00:00Z");
    third.void(&card).await.unwrap();
    let db = &practice.tenant.connection;
    let found = report::takings(db, &third.scope, (None, None)).await.unwrap();
    assert_eq!((found.from.to_string(), found.to.to_string()), ("2026-06-01".into(), "2026-06-03".into()));
    let lines: Vec<(String, PaymentMethod, i64, &str, &str, &str)> = found
        .items
        .iter()
        .map(|one| {
            let sums = (one.received.as_str(), one.returned.as_str(), one.net.as_str());
            (one.day.to_string(), one.method, one.payments, sums.0, sums.1, sums.2)
        })
        .collect();
    assert_eq!(
        lines,
        [
            ("2026-06-01".to_owned(), PaymentMethod::Cash, 1, "10.00", "0.00", "10.00"),
            ("2026-06-02".to_owned(), PaymentMethod::Card, 1, "40.00", "0.00", "40.00"),
            ("2026-06-02".to_owned(), PaymentMethod::Cash, 1, "20.00", "5.00", "15.00"),
            ("2026-06-03".to_owned(), PaymentMethod::Card, 0, "0.00", "40.00", "-40.00"),
        ]
    );
}

#[tokio::test]
async fn takings_of_a_day_that_is_over_do_not_change() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let friday = practice.at("2026-05-29T10:00:00Z");
    let cheque = json!({ "patient_id": patient, "amount": "80.00", "method": "cheque", "status": "pending" });
    let cheque = friday.pay(cheque).await.unwrap();
    let monday = &practice;
    let late = json!({ "patient_id": patient, "amount": "5.00", "method": "cash",
        "received_at": "2026-05-29T12:00:00Z" });
    monday.pay(late).await.unwrap();
    let (scope, cipher) = (&monday.scope, &monday.tenant.cipher);
    monday.write(async |tx| payment::complete(tx, scope, cipher, (cheque.id, None)).await).await.unwrap();
    let takings = async |from: &str| {
        let wanted = (day(from), day("2026-06-01"));
        let found = report::takings(&monday.tenant.connection, scope, wanted).await.unwrap();
        let one = |one: report::TakingsLine| (one.day.to_string(), one.method, one.net);
        found.items.into_iter().map(one).collect::<Vec<_>>()
    };
    let monday = "2026-06-01".to_owned();
    let expected = [
        (monday.clone(), PaymentMethod::Cash, "5.00".to_owned()),
        (monday, PaymentMethod::Cheque, "80.00".to_owned()),
    ];
    assert_eq!(takings("2026-05-01").await, expected);
    assert_eq!(takings("2026-06-01").await, expected);
}

#[tokio::test]
async fn revenue_is_told_by_who_did_it() {
    let practice = Practice::open().await;
    let (patient, dentist) = (practice.patient().await, practice.staff().await);
    let mut own = line("100.00", "20");
    own["staff_id"] = json!(dentist);
    let body = json!({ "patient_id": patient, "lines": [own, line("50.00", "20")], "discount": "15.00" });
    let draft = practice.draft(body).await.unwrap();
    let issued = practice.issue(draft.id, None).await.unwrap();
    let wish = json!({ "lines": [{ "invoice_line_id": issued.lines[1].id }], "reason": "Not done" });
    practice.credit(issued.id, wish).await.unwrap();
    let july = practice.at("2026-07-05T10:00:00Z");
    july.cancel(issued.id).await.unwrap();
    let db = &practice.tenant.connection;
    let june = report::revenue(db, &july.scope, (day("2026-06-01"), day("2026-06-30"))).await.unwrap();
    let lines: Vec<_> = june
        .items
        .iter()
        .map(|one| (one.staff_id, one.invoiced.as_str(), one.returned.as_str(), one.net.as_str()))
        .collect();
    assert_eq!(lines, [(Some(dentist), "90.00", "0.00", "90.00"), (None, "45.00", "45.00", "0.00")]);
    let july = report::revenue(db, &july.scope, (None, None)).await.unwrap();
    let lines: Vec<_> = july.items.iter().map(|one| (one.staff_id, one.net.as_str())).collect();
    assert_eq!(lines, [(Some(dentist), "-90.00"), (None, "0.00")]);
}
