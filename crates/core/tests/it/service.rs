//! Services: made, changed, listed, removed.

use clinicx_core::service::{self, ServiceFilter, UpdateService};
use clinicx_types::page::PageRequest;
use serde_json::json;

use crate::practice::{Practice, code, wrong_field};

fn patch(body: serde_json::Value) -> UpdateService {
    serde_json::from_value(body).unwrap()
}

#[tokio::test]
async fn a_minimal_service_has_the_clinics_currency_and_no_price() {
    let practice = Practice::open().await;
    let body = json!({ "code": "EX", "name": "Examination", "duration_minutes": 30 });
    let made = practice.service_with(body).await.unwrap();
    assert_eq!((made.duration_minutes, made.buffer_before_minutes, made.buffer_after_minutes), (30, 0, 0));
    assert_eq!((made.price.as_deref(), made.currency.as_str(), made.tax_rate.as_str()), (None, "EUR", "0"));
    assert!(made.active && !made.needs_chair && !made.bookable_online && made.names.is_empty());
    assert_eq!(service::get(&practice.tenant.connection, &practice.scope, made.id).await.unwrap(), made);
}

#[tokio::test]
async fn a_service_is_changed_and_removed() {
    let practice = Practice::open().await;
    let scope = &practice.scope;
    let body = json!({
        "code": "FIL", "name": "Filling", "names": { "ar": "حشوة", "de-AT": "Füllung" }, "duration_minutes": 45,
        "buffer_after_minutes": 10, "needs_chair": true, "price": "80", "tax_rate": "7.50"
    });
    let made = practice.service_with(body).await.unwrap();
    assert_eq!((made.price.as_deref(), made.tax_rate.as_str()), (Some("80.00"), "7.5"));
    assert_eq!(made.names["ar"], "حشوة");
    let stored = service::get(&practice.tenant.connection, scope, made.id).await.unwrap();
    assert_eq!(stored, made);
    let change = patch(json!({ "price": "90.50", "currency": "USD", "bookable_online": true }));
    let changed =
        practice.write(async |tx| service::update(tx, scope, made.id, Some(1), change).await).await.unwrap();
    assert_eq!(
        (changed.version, changed.price.as_deref(), changed.currency.as_str()),
        (2, Some("90.50"), "USD")
    );
    let yen = patch(json!({ "currency": "JPY" }));
    let refused = practice.write(async |tx| service::update(tx, scope, made.id, None, yen).await).await;
    assert_eq!(wrong_field(refused), ("/price".into(), "too_precise".into()));
    let free = patch(json!({ "price": null }));
    let free =
        practice.write(async |tx| service::update(tx, scope, made.id, None, free).await).await.unwrap();
    assert_eq!((free.version, free.price), (3, None));
    practice.write(async |tx| service::delete(tx, scope, made.id, Some(3)).await).await.unwrap();
    let (audit, events) = practice.trail(made.id.uuid()).await;
    assert_eq!(audit, ["service.created", "service.updated", "service.updated", "service.deleted"]);
    assert_eq!(events, audit);
}

#[tokio::test]
async fn what_is_wrong_about_a_service_is_refused() {
    let practice = Practice::open().await;
    let body = |field: &str, value: serde_json::Value| {
        let mut body = json!({ "code": "EX", "name": "Examination", "duration_minutes": 30 });
        body[field] = value;
        body
    };
    let check = async |field: &str, value: serde_json::Value, code: &str| {
        let found = wrong_field(practice.service_with(body(field, value.clone())).await);
        assert_eq!(found, (format!("/{field}"), code.to_owned()), "{field} {value}");
    };
    check("duration_minutes", json!(0), "out_of_range").await;
    check("duration_minutes", json!(1441), "out_of_range").await;
    check("buffer_before_minutes", json!(-1), "out_of_range").await;
    check("price", json!("1.234"), "too_precise").await;
    check("price", json!("1e2"), "malformed_amount").await;
    check("price", json!("NaN"), "malformed_amount").await;
    check("price", json!("-1"), "out_of_range").await;
    check("currency", json!("XYZ"), "unknown_currency").await;
    check("tax_rate", json!("120"), "malformed_percentage").await;
    check("names", json!({ "not a language": "x" }), "malformed_language").await;
    assert!(serde_json::from_value::<service::CreateService>(body("price", json!(12.5))).is_err());
    practice.service_with(body("name", json!("One"))).await.unwrap();
    assert_eq!(code(practice.service_with(body("name", json!("Two"))).await), "code_taken");
}

#[tokio::test]
async fn services_are_listed_by_code_and_filtered() {
    let practice = Practice::open().await;
    for (code, active) in [("C", true), ("A", true), ("B", false)] {
        let body = json!({ "code": code, "name": code, "duration_minutes": 30, "active": active });
        practice.service_with(body).await.unwrap();
    }
    let (db, scope) = (&practice.tenant.connection, &practice.scope);
    let mut page = PageRequest::first(2).unwrap();
    let first = service::list(db, scope, &ServiceFilter::default(), &page).await.unwrap();
    assert_eq!(first.items.iter().map(|one| one.code.as_str()).collect::<Vec<_>>(), ["A", "B"]);
    page.after = first.next;
    let second = service::list(db, scope, &ServiceFilter::default(), &page).await.unwrap();
    assert_eq!(second.items.iter().map(|one| one.code.as_str()).collect::<Vec<_>>(), ["C"]);
    let active = ServiceFilter { active: Some(true), ..ServiceFilter::default() };
    assert_eq!(service::list(db, scope, &active, &PageRequest::default()).await.unwrap().items.len(), 2);
}
