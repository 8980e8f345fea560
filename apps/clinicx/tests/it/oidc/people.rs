//! Who comes in with an issuer's access token, as whom, and until when.

use std::time::{Duration, Instant};

use clinicx_identity::{IdentityScope, membership, user};
use clinicx_types::{id::UserId, permission::Role};
use serde_json::{Value, json};

use super::{forge::Key, world::world};
use crate::support::Answer;

/// Asks again and again until the answer has this status; within five seconds, as role changes must.
pub(super) async fn within_five_seconds(status: u16, mut ask: impl AsyncFnMut() -> Answer) {
    let begin = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    loop {
        let answer = ask().await;
        if answer.status.as_u16() == status {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(5), "{} {}", answer.status, answer.text);
        tick.tick().await;
    }
}

pub(super) fn with(mut claims: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

async fn user_of(token: &str) -> UserId {
    let me = world().await.with_token(token).get("/auth/me").await.expect(200);
    me["id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_of_the_platforms_issuer_gets_an_account_and_the_roles_of_the_mapping() {
    let world = world().await;
    let claims = with(
        world.claims(&world.platform),
        json!({"name": "Noor Desk", "email": "noor@people.example", "email_verified": true}),
    );
    let api = world.with_token(&world.platform.key.token(&claims));
    api.get("/patients").await.expect(200);
    let me = api.get("/auth/me").await.expect(200);
    assert_eq!(
        (&me["email"], &me["full_name"], &me["tenant"], &me["roles"], &me["is_operator"]),
        (
            &json!("noor@people.example"),
            &json!("Noor Desk"),
            &json!(world.clinic_a.slug),
            &json!(["receptionist"]),
            &json!(false)
        )
    );
    // What a receptionist may not do, nobody with this mapping may.
    api.post("/rooms", json!({"name": "1", "kind": "chair"})).await.expect_problem(403, "permission_denied");
    // The next token says more, and it is the same person.
    let more =
        with(world.claims(&world.platform), json!({"sub": claims["sub"], "roles": ["admins", "unknown"]}));
    let more = world.with_token(&world.platform.key.token(&more));
    assert_eq!(more.get("/auth/me").await.expect(200)["id"], me["id"]);
    more.post("/rooms", json!({"name": "1", "kind": "chair"})).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unverified_address_is_not_taken_over() {
    let world = world().await;
    let claims = with(
        world.claims(&world.platform),
        json!({"email": format!("owner@{}.example", world.clinic_b.slug), "email_verified": false}),
    );
    let me = world.with_token(&world.platform.key.token(&claims)).get("/auth/me").await.expect(200);
    assert!(me["email"].as_str().unwrap().ends_with("@platform.oidc.invalid"), "{me}");
    // A verified one that is somebody's is refused: this issuer does not link.
    let claims = with(
        world.claims(&world.platform),
        json!({"email": format!("owner@{}.example", world.clinic_b.slug), "email_verified": true}),
    );
    let answer = world.patients(&world.platform.key.token(&claims)).await;
    answer.expect_problem(403, "account_not_linked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_out_ends_the_token() {
    let world = world().await;
    let api = world.with_token(&world.platform.key.token(&world.claims(&world.platform)));
    api.get("/patients").await.expect(200);
    api.post("/auth/logout", json!({})).await.expect(204);
    api.get("/patients").await.expect_problem(401, "invalid_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_membership_that_was_taken_away_here_stays_away() {
    let world = world().await;
    let claims = world.claims(&world.platform);
    let token = world.platform.key.token(&claims);
    world.patients(&token).await.expect(200);
    let (user, process) = (user_of(&token).await, world.process().await);
    let scope = IdentityScope::system("test");
    membership::revoke(&process.app, &scope, world.clinic_a.id, user).await.unwrap();
    within_five_seconds(401, async || world.patients(&token).await).await;
    // A new token of the same person opens nothing either.
    let next = with(world.claims(&world.platform), json!({"sub": claims["sub"], "roles": ["admins"]}));
    world.patients(&world.platform.key.token(&next)).await.expect_problem(403, "no_membership");
    // Until somebody here lets them in again; then what was given here counts, not the claim.
    membership::grant(&process.app, &scope, world.clinic_a.id, user, &[Role::Nurse]).await.unwrap();
    let next = with(world.claims(&world.platform), json!({"sub": claims["sub"], "roles": ["admins"]}));
    let me = world.with_token(&world.platform.key.token(&next)).get("/auth/me").await.expect(200);
    assert_eq!(me["roles"], json!(["nurse"]));
    process.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_issuer_takes_away_is_gone_and_an_older_token_does_not_bring_it_back() {
    let world = world().await;
    let claims = world.claims(&world.platform);
    let token = world.platform.key.token(&claims);
    world.patients(&token).await.expect(200);
    let older = with(
        claims.clone(),
        json!({"jti": "older", "iat": claims["iat"].as_i64().unwrap() - 30, "roles": ["admins"]}),
    );
    let me = world.with_token(&world.platform.key.token(&older)).get("/auth/me").await.expect(200);
    assert_eq!(me["roles"], json!(["receptionist"]), "the newer token has spoken");
    let without = with(world.claims(&world.platform), json!({"sub": claims["sub"], "roles": []}));
    world.patients(&world.platform.key.token(&without)).await.expect_problem(403, "no_membership");
    within_five_seconds(401, async || world.patients(&token).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_account_is_refused() {
    let world = world().await;
    let claims = world.claims(&world.platform);
    let token = world.platform.key.token(&claims);
    world.patients(&token).await.expect(200);
    let (user, process) = (user_of(&token).await, world.process().await);
    user::disable(&process.app, &IdentityScope::system("test"), user, None).await.unwrap();
    within_five_seconds(401, async || world.patients(&token).await).await;
    let next = with(world.claims(&world.platform), json!({"sub": claims["sub"]}));
    world.patients(&world.platform.key.token(&next)).await.expect_problem(403, "account_not_linked");
    process.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_made_by_the_platforms_issuer_alone_and_for_as_long_as_it_says_so() {
    let world = world().await;
    let mut claims = with(world.claims(&world.platform), json!({"groups": ["platform-operators"]}));
    claims.as_object_mut().unwrap().remove("tenant");
    let api = world.with_token(&world.platform.key.token(&claims));
    api.get("/platform/tenants").await.expect(200);
    api.get("/patients").await.expect_problem(403, "permission_denied");
    // Named together with a tenant, the token is the tenant's and no operator's.
    let inside =
        with(world.claims(&world.platform), json!({"sub": claims["sub"], "groups": claims["groups"]}));
    let inside = world.with_token(&world.platform.key.token(&inside));
    inside.get("/patients").await.expect(200);
    inside.get("/platform/tenants").await.expect_problem(403, "permission_denied");
    // Without the group the right ends, also for tokens that were made with it.
    let later = with(world.claims(&world.platform), json!({"sub": claims["sub"]}));
    world.patients(&world.platform.key.token(&later)).await.expect(200);
    within_five_seconds(401, async || api.get("/platform/tenants").await).await;
    // A tenant's own issuer says it in vain.
    let own = with(world.claims(&world.own), json!({"groups": ["platform-operators"]}));
    let own = world.with_token(&world.own.key.token(&own));
    own.get("/patients").await.expect(200);
    own.get("/platform/tenants").await.expect_problem(403, "permission_denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_own_issuer_leads_to_that_tenant_whatever_its_tokens_say() {
    let world = world().await;
    let claims = with(world.claims(&world.own), json!({"tenant": world.clinic_b.slug, "roles": ["admins"]}));
    let api = world.with_token(&world.own.key.token(&claims));
    let me = api.get("/auth/me").await.expect(200);
    assert_eq!(me["tenant"], json!(world.clinic_a.slug));
    assert_eq!(me["tenants"].as_array().unwrap().len(), 1);
    // Even with a membership in the other one, the issuer does not lead there.
    let process = world.process().await;
    let (scope, user) = (IdentityScope::system("test"), me["id"].as_str().unwrap().parse().unwrap());
    membership::grant(&process.app, &scope, world.clinic_b.id, user, &[Role::Owner]).await.unwrap();
    api.post("/auth/switch", json!({"tenant": world.clinic_b.slug}))
        .await
        .expect_problem(403, "no_membership");
    assert_eq!(api.get("/auth/me").await.expect(200)["tenants"].as_array().unwrap().len(), 1);
    process.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_own_issuer_links_to_accounts_of_that_tenant_only() {
    let world = world().await;
    let speak_for = async |email: String| {
        let claims = with(world.claims(&world.own), json!({"email": email, "email_verified": true}));
        world.with_token(&world.own.key.token(&claims)).get("/auth/me").await
    };
    let owner = speak_for(format!("owner@{}.example", world.clinic_a.slug)).await.expect(200);
    assert_eq!(owner["id"], world.clinic_a.owner.get("/auth/me").await.expect(200)["id"]);
    // What was given here stays as it is: the mapping of `desk` does not make the owner a receptionist.
    assert_eq!(owner["roles"], json!(["owner"]));
    let of_b = format!("owner@{}.example", world.clinic_b.slug);
    speak_for(of_b).await.expect_problem(403, "account_not_linked");
    speak_for(crate::support::OPERATOR.0.to_owned()).await.expect_problem(403, "account_not_linked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_own_issuer_takes_no_address_of_a_domain_that_is_not_its_own() {
    let world = world().await;
    let speak_for = async |email: &str| {
        let claims = with(world.claims(&world.own), json!({"email": email, "email_verified": true}));
        let me = world.with_token(&world.own.key.token(&claims)).get("/auth/me").await.expect(200);
        me["email"].as_str().unwrap().to_owned()
    };
    let name = uuid::Uuid::new_v4().simple().to_string();
    let (inside, elsewhere) = (format!("{name}@oidc-a.example"), format!("{name}@elsewhere.example"));
    assert_eq!(speak_for(&inside).await, inside);
    let placeholder = speak_for(&elsewhere).await;
    assert!(placeholder.ends_with("@own-a.oidc.invalid"), "{placeholder}");
    // The owner of the address can still have an account of it, and the issuer has no part in that.
    let process = world.process().await;
    let new = clinicx_identity::NewAccount {
        email: &elsewhere,
        full_name: "The Owner",
        password: None,
        is_operator: false,
    };
    let owner = process.identity.create_user(&IdentityScope::system("test"), new).await.unwrap();
    process.close().await;
    // An address that is somebody's already is no key to that account either.
    let again = speak_for(&elsewhere).await;
    assert!(again.ends_with(".oidc.invalid") && again != placeholder && owner.email == elsewhere, "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_own_issuer_ends_no_log_in_elsewhere() {
    let world = world().await;
    let (process, scope) = (world.process().await, IdentityScope::system("test"));
    let email = format!("{}@{}.example", uuid::Uuid::new_v4().simple(), world.clinic_a.slug);
    let password = clinicx_identity::Password::new(crate::support::PASSWORD);
    let new = clinicx_identity::NewAccount {
        email: &email,
        full_name: "Works Twice",
        password: Some(&password),
        is_operator: false,
    };
    let user = process.identity.create_user(&scope, new).await.unwrap().id;
    membership::grant(&process.app, &scope, world.clinic_a.id, user, &[Role::Nurse]).await.unwrap();
    let claims = with(world.claims(&world.own), json!({"email": email, "email_verified": true}));
    let own = world.with_token(&world.own.key.token(&claims));
    own.get("/auth/me").await.expect(200);
    membership::grant(&process.app, &scope, world.clinic_b.id, user, &[Role::Nurse]).await.unwrap();
    process.close().await;
    let log_in = async |slug: &str| {
        let body = json!({"email": email, "password": crate::support::PASSWORD, "tenant": slug});
        world.anonymous.login(body).await
    };
    let there = log_in(&world.clinic_b.slug).await;
    // One log-in that began elsewhere and was switched to the issuer's tenant.
    let switched = there.post("/auth/switch", json!({"tenant": world.clinic_a.slug})).await.expect(200);
    let switched = there.with_token(switched["access_token"].as_str().unwrap());
    let session = there.get("/auth/sessions").await.expect(200)["items"][0]["id"].clone();
    let path = format!("/auth/sessions/{}", session.as_str().unwrap());
    own.send(own.request(reqwest::Method::DELETE, &path)).await.expect(204);
    switched.get("/auth/me").await.expect_problem(401, "invalid_token");
    there.get("/auth/me").await.expect(200);
    own.send(own.request(reqwest::Method::DELETE, &path)).await.expect_problem(404, "not_found");

    let here = log_in(&world.clinic_a.slug).await;
    own.post("/auth/logout-all", json!({})).await.expect(204);
    here.get("/auth/me").await.expect_problem(401, "invalid_token");
    own.get("/auth/me").await.expect_problem(401, "invalid_token");
    there.get("/auth/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_memberships_decide_nobody_gets_in_without_one() {
    let world = world().await;
    let stranger = world.claims(&world.roaming);
    world.patients(&world.roaming.key.token(&stranger)).await.expect_problem(403, "no_membership");
    let owner = with(
        world.claims(&world.roaming),
        json!({"email": format!("OWNER@{}.example", world.clinic_b.slug), "email_verified": true}),
    );
    let me = world.with_token(&world.roaming.key.token(&owner)).get("/auth/me").await.expect(200);
    assert_eq!((&me["tenant"], &me["roles"]), (&json!(world.clinic_b.slug), &json!(["owner"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_found_and_an_unknown_one_costs_no_more_than_one_question() {
    let world = world().await;
    // An issuer of its own, so that no other test's tokens ask it.
    let issuer = super::issuer::Issuer::start(Key::rsa("rotating-1"));
    let mut config = crate::support::configuration("rotation").await;
    config.auth.oidc =
        vec![clinicx::config::OidcConfig { roles: None, ..super::world::provider("rotating", &issuer.url) }];
    let base = crate::support::start(config).await;
    let api = crate::support::Api { base, ..world.anonymous.clone() };
    let ask = async |token: String| api.with_token(&token).get("/auth/me").await;
    let claims = with(world.claims(&issuer), json!({}));
    ask(issuer.key.token(&claims)).await.expect_problem(403, "no_membership");
    assert_eq!(issuer.hits("/keys"), 1);
    for number in 0..20 {
        let unknown = json!({"alg": "RS256", "typ": "at+jwt", "kid": format!("unknown-{number}")});
        let token = issuer.key.token_of(&unknown.to_string(), &claims.to_string());
        ask(token).await.expect_problem(401, "invalid_token");
    }
    assert_eq!(issuer.hits("/keys"), 1, "within ten seconds it is not asked again");
    let new = Key::rsa("rotating-2");
    issuer.set(|state| state.keys = vec![new.jwk()]);
    let begin = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    while ask(new.token(&claims)).await.status != 403 {
        assert!(begin.elapsed() < Duration::from_secs(15), "the new key is not found");
        tick.tick().await;
    }
    ask(issuer.key.token(&claims)).await.expect_problem(401, "invalid_token");
    assert_eq!(issuer.hits("/keys"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_away_or_lies_about_itself_is_503_and_its_neighbours_are_served() {
    let world = world().await;
    for (purpose, description) in [
        ("another issuer", json!({"issuer": "http://127.0.0.1:1"})),
        ("keys elsewhere", json!({"jwks_uri": "http://127.0.0.1:1/keys"})),
        ("keys in a file", json!({"jwks_uri": "file:///etc/passwd"})),
        ("away", Value::Null),
    ] {
        let issuer = super::issuer::Issuer::start(Key::curve("k"));
        issuer.set(|state| {
            state.fails = description.is_null();
            state.description = description;
        });
        let mut config = crate::support::configuration("lying").await;
        config.auth.oidc = vec![clinicx::config::OidcConfig {
            roles: None,
            algorithms: vec!["ES256".to_owned()],
            ..super::world::provider("lying", &issuer.url)
        }];
        let api =
            crate::support::Api { base: crate::support::start(config).await, ..world.anonymous.clone() };
        let answer = api.with_token(&issuer.key.token(&world.claims(&issuer))).get("/auth/me").await;
        answer.expect_problem(503, "issuer_unavailable");
        assert_eq!(answer.header("retry-after"), "10", "{purpose}");
        let local = api
            .login(json!({"email": crate::support::OPERATOR.0, "password": crate::support::OPERATOR.1}))
            .await;
        local.get("/auth/me").await.expect(200);
    }
}
