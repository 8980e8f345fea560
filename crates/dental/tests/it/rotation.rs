//! Changing a tenant's key: the sealed words of the module follow, and a tenant without the module has none.

use clinicx_dental::{sealed, treatment};
use clinicx_keys::{FieldCipher, Keyring};
use clinicx_tenancy::{PlatformScope, Resealed};
use clinicx_testing::TestTenant;
use serde_json::json;

use crate::practice::Practice;

/// Changes the key and seals everything anew; returns the cipher after it.
async fn rotate(tenant: &TestTenant) -> (Resealed, FieldCipher) {
    let by = PlatformScope::system("test");
    tenant.tenancy.begin_key_change(&tenant.tenant, &by).await.unwrap();
    let done = tenant.tenancy.reseal(&tenant.tenant, sealed::COLUMNS, &by, || ()).await.unwrap();
    let keyring = Keyring::new(tenant.tenancy.app().clone(), tenant.tenancy.keys().clone());
    (done, keyring.cipher(tenant.tenant.id).await.unwrap().lasting())
}

#[tokio::test]
async fn words_follow_a_change_of_keys() {
    let practice = Practice::open().await;
    let note = json!({"tooth": "36", "code": "other", "note": "Grinds at night"});
    practice.finding(note).await.unwrap();
    let planned = json!({"procedure_code": "EX01", "note": "Bring the splint"});
    let planned = practice.plan(planned).await.unwrap();
    let (done, cipher) = rotate(&practice.tenant).await;
    assert_eq!((done.values, done.unreadable), (2, 0));
    let db = &practice.tenant.connection;
    let found = treatment::get(db, &practice.scope, &cipher, planned.id).await.unwrap();
    assert_eq!(found.note.as_deref(), Some("Bring the splint"));
}

#[tokio::test]
async fn a_tenant_without_the_module_has_nothing_to_seal_anew() {
    let tenant = TestTenant::builder().modules(&[]).create().await;
    let (done, _) = rotate(&tenant).await;
    assert_eq!((done.values, done.unreadable, done.complete), (0, 0, true));
}
