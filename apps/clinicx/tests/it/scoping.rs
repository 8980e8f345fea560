//! What a client names by itself is looked for among what is its own.

use clinicx::wiring::Platform;
use clinicx_identity::{IdentityScope, NewAccount, Password, membership};
use clinicx_types::{id::TenantId, permission::Role};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::support::{Api, OPERATOR, PASSWORD, configuration, start};

async fn add_patient(api: &Api, key: &str) -> Value {
    let body = json!({"family_name": "Same", "given_name": "Body", "phones": [], "emails": []});
    let request = api.request(Method::POST, "/patients").header("Idempotency-Key", key).json(&body);
    api.send(request).await.expect(201)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_is_its_users_and_its_clinics_own() {
    let config = configuration("scoping").await;
    let anonymous = Api { base: start(config.clone()).await, token: None, client: Client::new() };
    let operator = anonymous.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
    let mut clinics = Vec::new();
    for slug in ["one", "two"] {
        let body = json!({"slug": slug, "name": "A clinic", "modules": [], "time_zone": "UTC", "currency": "EUR",
            "locale": "en", "admin": {"email": "ada@one.example", "full_name": "Ada", "password": PASSWORD}});
        // The second time the account is there already.
        let body = if slug == "one" { body } else { without_password(body) };
        clinics.push(operator.post("/platform/tenants", body).await.expect(201));
    }
    let platform = Platform::open(&config).await.unwrap();
    let (scope, password) = (IdentityScope::system("test"), Password::new(PASSWORD));
    let account = NewAccount {
        email: "bob@one.example",
        full_name: "Bob",
        password: Some(&password),
        is_operator: false,
    };
    let bob = platform.identity.create_user(&scope, account).await.unwrap();
    let clinic = TenantId::new(clinics[0]["id"].as_str().unwrap().parse().unwrap());
    membership::grant(&platform.app, &scope, clinic, bob.id, &[Role::Admin]).await.unwrap();
    platform.close().await;

    let login = async |email: &str, tenant: &str| {
        anonymous.login(json!({"email": email, "password": PASSWORD, "tenant": tenant})).await
    };
    let ada = login("ada@one.example", "one").await;
    let ada_elsewhere = login("ada@one.example", "two").await;
    let bob = login("bob@one.example", "one").await;
    let key = "the-same-key-for-everybody";
    let first = add_patient(&ada, key).await;
    assert_eq!(add_patient(&ada, key).await["id"], first["id"]);
    let others = [add_patient(&bob, key).await, add_patient(&ada_elsewhere, key).await];
    assert!(others.iter().all(|other| other["id"] != first["id"]), "another's answer was given again");
    assert_eq!(ada.get("/patients?count=true").await.expect(200)["total"], 2);
    assert_eq!(ada_elsewhere.get("/patients?count=true").await.expect(200)["total"], 1);
}

fn without_password(mut body: Value) -> Value {
    body["admin"].as_object_mut().unwrap().remove("password");
    body
}
