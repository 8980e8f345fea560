//! Invoices: drafted, changed, issued, cancelled.

use clinicx_billing::invoice::{self, InvoiceFilter, InvoiceStatus};
use clinicx_types::page::PageRequest;
use serde_json::json;

use crate::practice::{Practice, code, line, wrong_field};

#[tokio::test]
async fn a_minimal_invoice_is_in_the_clinics_currency() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let body = json!({ "patient_id": patient, "lines": [
        { "description": "Check", "quantity": "1", "unit_price": "10.00", "tax_rate": "20" }
    ] });
    let made = practice.draft(body).await.unwrap();
    assert_eq!((made.number.as_deref(), made.status, made.version), (None, InvoiceStatus::Draft, 1));
    assert_eq!((made.net.as_str(), made.tax.as_str(), made.gross.as_str()), ("10.00", "2.00", "12.00"));
    assert_eq!((made.currency.as_str(), made.due.as_str()), ("EUR", "12.00"));
    assert_eq!((made.lines[0].net.as_str(), made.lines[0].description.as_str()), ("10.00", "Check"));
    assert_eq!((made.taxes[0].rate.as_str(), made.taxes[0].tax.as_str()), ("20", "2.00"));
    assert_eq!(practice.invoice(made.id).await, made);
    assert_eq!(practice.balance(patient).await.balance, "0.00");
}

#[tokio::test]
async fn the_example_of_the_policy_adds_up() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let made = practice.issued(patient, &["68.33", "68.33", "57.50", "85.00"], "20").await;
    assert_eq!((made.net.as_str(), made.tax.as_str(), made.gross.as_str()), ("279.16", "55.83", "334.99"));
    assert_eq!(made.number.as_deref(), Some("INV-2026-00001"));
    assert_eq!((made.status, made.due.as_str()), (InvoiceStatus::Issued, "334.99"));
    assert_eq!(made.issued_on.unwrap().to_string(), "2026-06-01");
    assert_eq!(made.due_on.unwrap().to_string(), "2026-06-15");
    assert_eq!(made.recipient.as_ref().unwrap().name, "Jo Doe");
    assert_eq!(practice.balance(patient).await.balance, "334.99");
    let (audit, events) = practice.trail(made.id.uuid()).await;
    assert_eq!(audit, ["invoice.created", "invoice.issued"]);
    assert_eq!(events, audit);
}

#[tokio::test]
async fn a_draft_is_changed_until_it_is_issued() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let body = json!({ "patient_id": patient, "lines": [line("100.00", "20")], "note": "Thanks" });
    let draft = practice.draft(body).await.unwrap();
    let off = practice.change(&draft, json!({ "discount_percent": "10" })).await.unwrap();
    assert_eq!((off.version, off.net.as_str(), off.discount.as_str()), (2, "90.00", "10.00"));
    assert_eq!((off.lines[0].header_discount.as_str(), off.note.as_deref()), ("10.00", Some("Thanks")));
    let same = practice.change(&off, json!({ "discount_percent": "10" })).await.unwrap();
    assert_eq!(same, off);
    // Clearing an amount clears no share, and the other way round.
    assert_eq!(practice.change(&off, json!({ "discount": null })).await.unwrap(), off);
    let amount = practice.change(&off, json!({ "discount": "5.00", "note": null })).await.unwrap();
    assert_eq!(practice.change(&amount, json!({ "discount_percent": null })).await.unwrap(), amount);
    assert_eq!((amount.net.as_str(), amount.discount_percent.as_deref()), ("95.00", None));
    assert_eq!(amount.note, None);
    assert_eq!(code(practice.change(&draft, json!({ "discount": "1" })).await), "version_mismatch");
    let two = json!({ "lines": [line("10.00", "20"), line("5.00", "7")], "discount": null });
    let two = practice.change(&amount, two).await.unwrap();
    assert_eq!((two.lines.len(), two.taxes.len(), two.gross.as_str()), (2, 2, "17.35"));
    let issued = practice.issue(two.id, Some(two.version)).await.unwrap();
    assert_eq!(code(practice.change(&issued, json!({ "discount": "1" })).await), "transition_refused");
    assert_eq!(code(practice.issue(two.id, None).await), "transition_refused");
}

#[tokio::test]
async fn what_is_wrong_about_an_invoice_is_refused_all_at_once() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let check = async |field: &str, value: serde_json::Value, expected: &str| {
        let mut one = line("10.00", "20");
        one[field] = value.clone();
        let found = wrong_field(practice.draft(json!({ "patient_id": patient, "lines": [one] })).await);
        assert_eq!(found, (format!("/lines/0/{field}"), expected.to_owned()), "{field} {value}");
    };
    check("unit_price", json!("1e2"), "malformed_amount").await;
    check("unit_price", json!("NaN"), "malformed_amount").await;
    check("unit_price", json!("1.234"), "too_precise").await;
    check("unit_price", json!("-1.00"), "out_of_range").await;
    check("quantity", json!("0"), "out_of_range").await;
    check("quantity", json!("-1"), "malformed_quantity").await;
    check("quantity", json!("1.00001"), "malformed_quantity").await;
    check("tax_rate", json!("100.01"), "malformed_percentage").await;
    check("discount", json!("10.01"), "out_of_range").await;
    check("treatment_id", json!(patient), "not_found").await;
    check("service_id", json!(patient), "not_found").await;
    check("staff_id", json!(patient), "not_found").await;
    let whole = json!({ "patient_id": patient, "lines": [line("1.00", "0")], "currency": "XXX" });
    assert_eq!(wrong_field(practice.draft(whole).await), ("/currency".into(), "unknown_currency".into()));
    let both = json!({ "patient_id": patient, "lines": [], "discount": "1", "discount_percent": "1" });
    assert_eq!(wrong_field(practice.draft(both).await).1, "amount_or_percent");
    let number = json!({ "description": "x", "quantity": "1", "unit_price": 10 });
    assert!(serde_json::from_value::<invoice::LineInput>(number).is_err());
    let two = json!({ "patient_id": patient, "lines": [line("x", "20"), line("1.00", "y")] });
    let refused = practice.draft(two).await.unwrap_err();
    assert_eq!(clinicx_types::error::DomainError::fields(&refused).len(), 2);
    let nobody = json!({ "patient_id": practice.scope.next_id(), "lines": [] });
    assert_eq!(code(practice.draft(nobody).await), "not_found");
}

#[tokio::test]
async fn currencies_keep_their_own_decimals() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let yen = json!({ "patient_id": patient, "currency": "JPY", "lines": [line("105", "10")] });
    let yen = practice.draft(yen).await.unwrap();
    assert_eq!((yen.tax.as_str(), yen.gross.as_str()), ("11", "116"));
    let dinar = json!({ "patient_id": patient, "currency": "KWD", "lines": [line("1.005", "5")] });
    let dinar = practice.draft(dinar).await.unwrap();
    assert_eq!((dinar.tax.as_str(), dinar.gross.as_str()), ("0.050", "1.055"));
    practice.issue(yen.id, None).await.unwrap();
    practice.issue(dinar.id, None).await.unwrap();
    let balance = practice.balance(patient).await;
    assert_eq!((balance.currency.as_str(), balance.balance.as_str()), ("EUR", "0.00"));
    let all: Vec<(&str, &str)> = balance
        .accounts
        .iter()
        .map(|account| (account.currency.as_str(), account.balance.as_str()))
        .collect();
    assert_eq!(all, [("JPY", "116"), ("KWD", "1.055")]);
}

#[tokio::test]
async fn an_invoice_without_lines_or_overdue_at_once_is_not_issued() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let empty = practice.draft(json!({ "patient_id": patient, "lines": [] })).await.unwrap();
    assert_eq!(code(practice.issue(empty.id, None).await), "nothing_to_issue");
    let late = json!({ "patient_id": patient, "lines": [line("1.00", "0")], "due_on": "2026-05-31" });
    let late = practice.draft(late).await.unwrap();
    assert_eq!(wrong_field(practice.issue(late.id, None).await), ("/due_on".into(), "too_early".into()));
    let free = practice.issued(patient, &["0.00"], "20").await;
    assert_eq!((free.status, free.number.as_deref()), (InvoiceStatus::Balanced, Some("INV-2026-00001")));
    let cancelled = practice.cancel(free.id).await.unwrap();
    assert_eq!((cancelled.status, cancelled.due.as_str()), (InvoiceStatus::Cancelled, "0.00"));
}

#[tokio::test]
async fn cancelling_takes_the_gross_off_the_account() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let issued = practice.issued(patient, &["100.00"], "20").await;
    let paid = json!({ "patient_id": patient, "amount": "20.00", "method": "cash",
        "allocations": [{ "invoice_id": issued.id, "amount": "20.00" }] });
    let paid = practice.pay(paid).await.unwrap();
    assert_eq!(code(practice.cancel(issued.id).await), "money_allocated");
    practice.release(&paid, json!({ "invoice_id": issued.id })).await.unwrap();
    let cancelled = practice.cancel(issued.id).await.unwrap();
    assert_eq!(cancelled.status, InvoiceStatus::Cancelled);
    assert_eq!(cancelled.number, issued.number);
    assert_eq!(cancelled.cancellation_reason.as_deref(), Some("Mistake"));
    let balance = practice.balance(patient).await;
    assert_eq!((balance.balance.as_str(), balance.unapplied_credit.as_str()), ("-20.00", "20.00"));
    assert_eq!(code(practice.cancel(issued.id).await), "transition_refused");
    assert_eq!(code(practice.credit(issued.id, json!({ "reason": "x" })).await), "transition_refused");
}

#[tokio::test]
async fn a_discarded_draft_is_never_issued() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let draft = practice.draft(json!({ "patient_id": patient, "lines": [line("1.00", "0")] })).await.unwrap();
    let (scope, cipher) = (&practice.scope, &practice.tenant.cipher);
    let gone =
        practice.write(async |tx| invoice::discard(tx, scope, cipher, (draft.id, Some(1))).await).await;
    assert_eq!(gone.unwrap().status, InvoiceStatus::EnteredInError);
    assert_eq!(code(practice.issue(draft.id, None).await), "transition_refused");
}

#[tokio::test]
async fn the_guarantor_pays_and_is_named() {
    let practice = Practice::open().await;
    let parent = practice
        .patient_with(json!({ "family_name": "حداد", "given_name": "ليلى",
            "addresses": [{ "line1": "1 Main Street", "city": "Damascus", "country": "SY" }] }))
        .await;
    let child = json!({ "family_name": "Haddad", "given_name": "Sami", "guarantor_id": parent });
    let child = practice.patient_with(child).await;
    let issued = practice.issued(child, &["50.00"], "0").await;
    let named = issued.recipient.clone().unwrap();
    assert_eq!((named.patient_id, named.name.as_str()), (parent, "ليلى حداد"));
    assert_eq!(named.patient_name.as_deref(), Some("Sami Haddad"));
    assert_eq!(named.address, ["1 Main Street", "Damascus", "SY"]);
    let shown = format!("{issued:?}");
    assert!(!shown.contains("حداد") && !shown.contains("Main Street"), "{shown}");
}

#[tokio::test]
async fn a_patients_balance_is_what_is_owed_for_them_alone() {
    let practice = Practice::open().await;
    let parent = practice.patient().await;
    let child = json!({ "family_name": "Haddad", "given_name": "Sami", "guarantor_id": parent });
    let (one, two) = (practice.patient_with(child.clone()).await, practice.patient_with(child).await);
    let own = practice.issued(parent, &["500.00"], "0").await;
    let childs = practice.issued(one, &["40.00"], "0").await;
    let check = async |expected: [&str; 3]| {
        let mut found = Vec::new();
        for patient in [parent, one, two] {
            let balance = practice.balance(patient).await;
            // Who pays has one account for all of them.
            assert_eq!(balance.accounts.len(), 1);
            assert_eq!(balance.accounts[0].id, own.account_id);
            found.push(balance.balance);
        }
        assert_eq!(found, expected);
    };
    check(["500.00", "40.00", "0.00"]).await;
    // What the guarantor pays stands against the child's invoice.
    let body = json!({ "patient_id": parent, "amount": "100.00", "method": "cash",
        "allocations": [{ "invoice_id": childs.id, "amount": "40.00" }] });
    practice.pay(body).await.unwrap();
    check(["440.00", "0.00", "0.00"]).await;
    assert_eq!(practice.balance(parent).await.accounts[0].balance, "440.00");
    practice.issued(two, &["9.00"], "0").await;
    check(["440.00", "0.00", "9.00"]).await;
    practice.credit(childs.id, json!({ "reason": "Mistake" })).await.unwrap();
    check(["400.00", "0.00", "9.00"]).await;
}

#[tokio::test]
async fn what_a_refused_move_names_can_be_done() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let allowed = |refused: Result<_, clinicx_billing::BillingError>| {
        let _: &Result<clinicx_billing::invoice::Invoice, _> = &refused;
        clinicx_types::error::DomainError::allowed(&refused.unwrap_err())
    };
    let draft = practice.draft(json!({ "patient_id": patient, "lines": [line("1.00", "0")] })).await.unwrap();
    assert_eq!(allowed(practice.cancel(draft.id).await), ["issued", "entered-in-error"]);
    let issued = practice.issue(draft.id, None).await.unwrap();
    assert_eq!(allowed(practice.issue(issued.id, None).await), ["cancelled"]);
    practice.credit(issued.id, json!({ "reason": "Mistake" })).await.unwrap();
    let refused = practice.cancel(issued.id).await;
    assert_eq!(code(refused), "transition_refused");
    assert!(allowed(practice.cancel(issued.id).await).is_empty());
}

#[tokio::test]
async fn what_is_withdrawn_is_no_currency_of_a_new_invoice() {
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    let body = json!({ "patient_id": patient, "currency": "HRK", "lines": [] });
    assert_eq!(wrong_field(practice.draft(body).await), ("/currency".into(), "unknown_currency".into()));
    let body = json!({ "patient_id": patient, "currency": "SLL", "amount": "1.00", "method": "cash" });
    assert_eq!(wrong_field(practice.pay(body).await), ("/currency".into(), "unknown_currency".into()));
}

#[tokio::test]
async fn invoices_are_listed_and_filtered() {
    let practice = Practice::open().await;
    let (one, two) = (practice.patient().await, practice.patient().await);
    let first = practice.issued(one, &["10.00"], "0").await;
    practice.issued(one, &["20.00"], "0").await;
    practice.draft(json!({ "patient_id": two, "lines": [] })).await.unwrap();
    let later = practice.at("2026-07-01T07:00:00Z");
    let list = async |filter: InvoiceFilter| {
        let (db, cipher) = (&practice.tenant.connection, &practice.tenant.cipher);
        let mut page = PageRequest::default();
        page.count = true;
        let page = invoice::list(db, &later.scope, cipher, &filter, &page).await.unwrap();
        assert_eq!(page.total, Some(u64::try_from(page.items.len()).unwrap()));
        page.items
    };
    assert_eq!(list(InvoiceFilter::default()).await.len(), 3);
    let of_one = list(InvoiceFilter { patient_id: Some(one), ..InvoiceFilter::default() }).await;
    assert_eq!(of_one.len(), 2);
    assert!(of_one.iter().all(|invoice| invoice.overdue && invoice.lines.len() == 1));
    let drafts = InvoiceFilter { statuses: vec![InvoiceStatus::Draft], ..InvoiceFilter::default() };
    assert_eq!(list(drafts).await.len(), 1);
    assert_eq!(list(InvoiceFilter { overdue: Some(true), ..InvoiceFilter::default() }).await.len(), 2);
    assert_eq!(list(InvoiceFilter { overdue: Some(false), ..InvoiceFilter::default() }).await.len(), 1);
    let (db, cipher) = (&practice.tenant.connection, &practice.tenant.cipher);
    let (every, one) = (InvoiceFilter::default(), PageRequest::first(1).unwrap());
    let page = invoice::list(db, &later.scope, cipher, &every, &one);
    let page = page.await.unwrap();
    assert_eq!(page.items[0].id, first.id);
    let mut next = PageRequest::default();
    next.after = page.next;
    let rest = invoice::list(db, &later.scope, cipher, &InvoiceFilter::default(), &next).await.unwrap();
    assert_eq!((rest.items.len(), rest.next), (2, None));
}

#[tokio::test]
async fn words_are_sealed_and_stand_in_no_trace() {
    let practice = Practice::open().await;
    let patient = practice.patient_with(json!({ "family_name": "Geheim", "given_name": "Jo" })).await;
    let mut secret = line("1.00", "0");
    secret["description"] = json!("Geheimbehandlung");
    let body = json!({ "patient_id": patient, "lines": [secret], "note": "Geheimnotiz" });
    let draft = practice.draft(body).await.unwrap();
    let draft = practice.change(&draft, json!({ "note": "Geheimer" })).await.unwrap();
    practice.issue(draft.id, None).await.unwrap();
    let pay =
        json!({ "patient_id": patient, "amount": "1.00", "method": "cheque", "reference": "Geheimscheck" });
    practice.pay(pay).await.unwrap();
    let mut superuser = practice.superuser().await;
    let texts: Vec<String> = sqlx::query_scalar(
        "SELECT to_jsonb(i)::text FROM invoices AS i UNION ALL SELECT to_jsonb(l)::text FROM invoice_lines AS l
         UNION ALL SELECT to_jsonb(p)::text FROM payments AS p UNION ALL SELECT to_jsonb(o)::text FROM outbox AS o
         UNION ALL SELECT to_jsonb(a)::text FROM audit_logs AS a WHERE tenant_id = $1 AND entity <> 'patient'",
    )
    .bind(practice.scope.tenant_id.uuid())
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    assert!(texts.len() > 6);
    for text in texts {
        assert!(!text.contains("Geheim"), "{text}");
    }
}
