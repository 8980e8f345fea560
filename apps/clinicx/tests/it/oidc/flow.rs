//! The code flow, with the issuer's part played by the test.

use chrono::Utc;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::{
    forge::Key,
    issuer::Issuer,
    world::{CLIENT, World, back, world},
};
use crate::support::{Answer, PASSWORD};

/// A log-in that was begun, and what the service sent along.
struct Begun {
    provider: &'static str,
    url: Url,
    state: String,
    binding: String,
}

impl Begun {
    fn parameter(&self, name: &str) -> String {
        let found = self.url.query_pairs().find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned()).unwrap_or_default()
    }
}

async fn begin(world: &World, provider: &'static str, tenant: Option<&str>) -> Begun {
    let mut body = json!({"redirect_uri": back(provider)});
    if let Some(tenant) = tenant {
        body["tenant"] = json!(tenant);
    }
    let answer = world.anonymous.post(&format!("/auth/oidc/{provider}/authorize"), body).await.expect(200);
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    let url = Url::parse(&text("authorization_url")).unwrap();
    Begun { provider, url, state: text("state"), binding: text("binding") }
}

/// The claims of the ID token that answers a nonce.
pub(super) fn id_claims(issuer: &Issuer, nonce: &str) -> Value {
    let now = Utc::now().timestamp();
    json!({
        "iss": issuer.url, "sub": Uuid::new_v4().to_string(), "aud": CLIENT, "iat": now, "exp": now + 300,
        "nonce": nonce,
    })
}

/// The claims of the ID token that belongs to a log-in at the first clinic's reception.
fn claims_of(world: &World, issuer: &Issuer, begun: &Begun) -> Value {
    let mut claims = id_claims(issuer, &begun.parameter("nonce"));
    claims["tenant"] = json!(world.clinic_a.slug);
    claims["roles"] = json!(["desk"]);
    claims
}

pub(super) fn id_token(key: &Key, claims: &Value) -> String {
    let header = json!({"alg": key.algorithm(), "typ": "JWT", "kid": key.id});
    key.token_of(&header.to_string(), &claims.to_string())
}

/// Has the issuer answer a new code with this ID token.
pub(super) fn code_for(issuer: &Issuer, id_token: String) -> String {
    let code = Uuid::new_v4().to_string();
    let tokens = json!({"token_type": "Bearer", "access_token": "opaque", "id_token": id_token});
    issuer.set(|state| _ = state.codes.insert(code.clone(), tokens));
    code
}

async fn finish(world: &World, begun: &Begun, code: &str, changes: Value) -> Answer {
    let mut body = json!({
        "code": code, "state": begun.state, "binding": begun.binding, "redirect_uri": begun.parameter("redirect_uri"),
    });
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    world.anonymous.post(&format!("/auth/oidc/{}/callback", begun.provider), body).await
}

/// A log-in of somebody new, up to the answer.
async fn log_in(
    world: &World,
    (provider, issuer): (&'static str, &Issuer),
    tenant: Option<&str>,
    changes: Value,
) -> Answer {
    let begun = begin(world, provider, tenant).await;
    let mut claims = claims_of(world, issuer, &begun);
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    let code = code_for(issuer, id_token(&issuer.key, &claims));
    finish(world, &begun, &code, json!({})).await
}

/// Codes and states that were used, and those of other log-ins; returns how many were refused.
pub(super) async fn replays(world: &World) -> usize {
    let issuer = &world.platform;
    let begun = begin(world, "platform", None).await;
    let code = code_for(issuer, id_token(&issuer.key, &claims_of(world, issuer, &begun)));
    finish(world, &begun, &code, json!({})).await.expect(200);
    finish(world, &begun, &code, json!({})).await.expect_problem(401, "invalid_login_state");
    // The code of one log-in with the state of another: the nonce is not the one that was sent.
    let (mine, theirs) = (begin(world, "platform", None).await, begin(world, "platform", None).await);
    let code = code_for(issuer, id_token(&issuer.key, &claims_of(world, issuer, &theirs)));
    finish(world, &mine, &code, json!({})).await.expect_problem(401, "login_refused");
    // The state of somebody else's browser, and one that nobody has.
    let code = code_for(issuer, id_token(&issuer.key, &claims_of(world, issuer, &theirs)));
    let stolen = json!({ "binding": mine.binding });
    finish(world, &theirs, &code, stolen).await.expect_problem(401, "invalid_login_state");
    finish(world, &theirs, &code, json!({})).await.expect_problem(401, "invalid_login_state");
    let made_up = json!({"state": "A".repeat(43)});
    finish(world, &theirs, &code, made_up).await.expect_problem(401, "invalid_login_state");
    // A log-in that was begun at one provider and is finished at another.
    let begun = Begun { provider: "own-a", ..begin(world, "platform", None).await };
    finish(world, &begun, &code, json!({})).await.expect_problem(401, "invalid_login_state");
    // A code that the issuer does not know.
    let begun = self::begin(world, "platform", None).await;
    finish(world, &begun, "unknown", json!({})).await.expect_problem(401, "login_refused");
    7
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flow_ends_in_a_session_that_refreshes_and_ends() {
    let world = world().await;
    let begun = begin(world, "platform", Some(&world.clinic_a.slug)).await;
    assert!(begun.url.as_str().starts_with(&format!("{}/authorize?fixed=1&", world.platform.url)));
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", &back("platform")),
        ("scope", "openid profile email"),
        ("code_challenge_method", "S256"),
        ("state", &begun.state),
    ] {
        assert_eq!(begun.parameter(name), value, "{name}");
    }
    assert!(!begun.url.as_str().contains(&begun.binding));
    let claims = claims_of(world, &world.platform, &begun);
    let code = code_for(&world.platform, id_token(&world.platform.key, &claims));
    let tokens = finish(world, &begun, &code, json!({"iss": world.platform.url})).await.expect(200);
    let sent =
        world.platform.state.lock().unwrap().asked.iter().find(|(form, _)| form["code"] == code).cloned();
    let (form, authorization) = sent.unwrap();
    let challenge = {
        use sha2::Digest;
        super::forge::encode(sha2::Sha256::digest(form["code_verifier"].as_bytes()))
    };
    assert_eq!(begun.parameter("code_challenge"), challenge);
    assert_eq!(
        (&form["grant_type"], &form["redirect_uri"]),
        (&"authorization_code".to_owned(), &back("platform"))
    );
    assert!(!form.contains_key("client_secret"));
    assert!(authorization.unwrap().starts_with("Basic "));
    let api = world.with_token(tokens["access_token"].as_str().unwrap());
    api.get("/patients").await.expect(200);
    let me = api.get("/auth/me").await.expect(200);
    assert_eq!((&me["tenant"], &me["roles"]), (&json!(world.clinic_a.slug), &json!(["receptionist"])));
    // The claim named the tenant, and no other one.
    let elsewhere = json!({"tenant": world.clinic_b.slug});
    api.post("/auth/switch", elsewhere).await.expect_problem(403, "no_membership");
    let body = json!({"refresh_token": tokens["refresh_token"]});
    let next = world.anonymous.post("/auth/refresh", body).await.expect(200);
    let api = world.with_token(next["access_token"].as_str().unwrap());
    api.post("/auth/logout", json!({})).await.expect(204);
    let body = json!({"refresh_token": next["refresh_token"]});
    world.anonymous.post("/auth/refresh", body).await.expect_problem(401, "invalid_refresh_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_that_is_not_for_this_log_in_is_refused() {
    let world = world().await;
    let now = Utc::now().timestamp();
    for changes in [
        json!({"nonce": null}),
        json!({"nonce": "another"}),
        json!({"aud": null}),
        json!({"aud": super::world::AUDIENCE}),
        json!({"aud": [CLIENT, "another"], "azp": CLIENT}),
        json!({"aud": [CLIENT, super::world::AUDIENCE]}),
        json!({"azp": "another"}),
        json!({"iss": world.own.url}),
        json!({"sub": null}),
        json!({"exp": now - 61}),
        json!({"exp": null}),
        json!({"iat": null}),
        json!({"iat": now + 120}),
        json!({"typ": "Bearer"}),
        json!({"token_use": "access"}),
        json!({"events": {}}),
        json!({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}),
    ] {
        let answer = log_in(world, ("platform", &world.platform), None, changes.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, "login_refused"), "{changes}");
    }
    for (what, token) in [
        ("another key", id_token(&Key::rsa(&world.platform.key.id), &json!({}))),
        ("no token", "x".to_owned()),
        ("unsigned", "e30.e30.".to_owned()),
    ] {
        let begun = begin(world, "platform", None).await;
        let code = code_for(&world.platform, token);
        let answer = finish(world, &begun, &code, json!({})).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, "login_refused"), "{what}");
    }
    // The answer of another issuer (RFC 9207).
    let begun = begin(world, "platform", None).await;
    let code =
        code_for(&world.platform, id_token(&world.platform.key, &claims_of(world, &world.platform, &begun)));
    let answer = finish(world, &begun, &code, json!({"iss": world.own.url})).await;
    answer.expect_problem(401, "login_refused");
    assert!(world.platform.state.lock().unwrap().codes.contains_key(&code), "the code was not sent on");
}

/// RFC 9700, section 4.4: an answer of one issuer must not lead to the other's token endpoint.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_arrived_at_another_issuers_address_is_refused() {
    let world = world().await;
    let issuer = &world.platform;
    let begun = begin(world, "platform", None).await;
    let code = code_for(issuer, id_token(&issuer.key, &claims_of(world, issuer, &begun)));
    finish(world, &begun, &code, json!({"redirect_uri": null})).await.expect_problem(422, "invalid");
    let elsewhere = json!({"redirect_uri": back("roaming")});
    finish(world, &begun, &code, elsewhere).await.expect_problem(401, "login_refused");
    assert!(issuer.state.lock().unwrap().codes.contains_key(&code), "the code was not sent on");
    // What an issuer says of itself needs no address.
    let begun = begin(world, "platform", None).await;
    let code = code_for(issuer, id_token(&issuer.key, &claims_of(world, issuer, &begun)));
    let named = json!({"redirect_uri": null, "iss": issuer.url});
    finish(world, &begun, &code, named).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_leads_only_where_the_configuration_and_the_claims_say() {
    let world = world().await;
    let begin = async |provider: &str, body: Value| {
        world.anonymous.post(&format!("/auth/oidc/{provider}/authorize"), body).await
    };
    let own = back("platform");
    for redirect in
        ["https://evil.example/back", &format!("{own}/"), &format!("{own}?x"), &back("roaming"), ""]
    {
        begin("platform", json!({"redirect_uri": redirect})).await.expect_problem(422, "invalid");
    }
    begin("nobody", json!({"redirect_uri": own})).await.expect_problem(404, "not_found");
    let other = json!({"redirect_uri": back("own-a"), "tenant": world.clinic_b.slug});
    begin("own-a", other).await.expect_problem(404, "not_found");
    let to_b = Some(world.clinic_b.slug.as_str());
    let platform = ("platform", &world.platform);
    log_in(world, platform, to_b, json!({})).await.expect_problem(403, "no_membership");
    let both = json!({"tenant": [world.clinic_a.slug, world.clinic_b.slug]});
    log_in(world, platform, None, both.clone()).await.expect_problem(409, "tenant_required");
    log_in(world, platform, to_b, both).await.expect(200);
    log_in(world, platform, None, json!({"roles": []})).await.expect_problem(403, "account_not_linked");
    let roaming = ("roaming", &world.roaming);
    log_in(world, roaming, None, json!({})).await.expect_problem(403, "no_membership");
    let owner = json!({"email": format!("owner@{}.example", world.clinic_b.slug), "email_verified": true});
    log_in(world, roaming, None, owner).await.expect(200);
    let operator = json!({"tenant": null, "groups": ["platform-operators"]});
    let tokens = log_in(world, platform, None, operator).await.expect(200);
    world.with_token(tokens["access_token"].as_str().unwrap()).get("/platform/tenants").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_providers_shows_a_tenants_own_to_that_tenant_only() {
    let world = world().await;
    let names = async |query: &str| {
        let answer = world.anonymous.get(&format!("/auth/oidc/providers{query}")).await.expect(200);
        let items = answer["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("").await, ["platform", "roaming"]);
    assert_eq!(names("?tenant=oidc-a").await, ["platform", "own-a", "roaming"]);
    assert_eq!(names("?tenant=oidc-b").await, ["platform", "roaming"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_log_in_is_kept_in_the_clear() {
    let world = world().await;
    let begun = begin(world, "platform", None).await;
    let rows: Vec<String> = sqlx::query_scalar("SELECT row_to_json(f)::text FROM public.oidc_flows AS f")
        .fetch_all(&mut world.database().await)
        .await
        .unwrap();
    assert!(!rows.is_empty());
    let hidden = [begun.state.clone(), begun.binding.clone(), begun.parameter("nonce"), back("platform")];
    for row in rows {
        let bytes = row.to_lowercase();
        for secret in &hidden {
            let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert!(!row.contains(secret.as_str()) && !bytes.contains(&hex));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_by_password_still_works_beside_it() {
    let world = world().await;
    let login = json!({"email": format!("owner@{}.example", world.clinic_a.slug), "password": PASSWORD});
    world.anonymous.post("/auth/login", login).await.expect(200);
}
