//! Another tenant's things are not there.

use clinicx_billing::{account, invoice, payment};
use serde_json::json;

use crate::practice::{Practice, code};

#[tokio::test]
async fn another_tenants_ids_are_unknown() {
    let here = Practice::open().await;
    let there = Practice::of(here.tenant.another().await);
    let patient = there.patient().await;
    let foreign = there.issued(patient, &["10.00"], "0").await;
    let paid = there.pay(json!({ "patient_id": patient, "amount": "1", "method": "cash" })).await.unwrap();
    let (db, scope, cipher) = (&here.tenant.connection, &here.scope, &here.tenant.cipher);
    assert_eq!(code(invoice::get(db, scope, cipher, foreign.id).await), "not_found");
    assert_eq!(code(payment::get(db, scope, cipher, paid.id).await), "not_found");
    assert_eq!(code(account::get(db, scope, foreign.account_id).await), "not_found");
    assert_eq!(code(here.cancel(foreign.id).await), "not_found");
    assert_eq!(code(here.refund(&paid, "1.00").await), "not_found");
    assert_eq!(code(here.draft(json!({ "patient_id": patient, "lines": [] })).await), "not_found");
    let own = here.patient().await;
    let issued = here.issued(own, &["10.00"], "0").await;
    assert_eq!(issued.number, foreign.number);
}
