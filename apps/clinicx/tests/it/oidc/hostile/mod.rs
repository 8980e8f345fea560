//! Tokens that nobody may get in with: over HTTP, against the service as it runs.
//!
//! The bar: at least sixty, each answered 401 or 403 with a problem document, none with 5xx; and the right tokens beside
//! them are let in before and after, so that it is not a closed door that refuses.

use chrono::Utc;
use clinicx::keys;
use clinicx_identity::TokenKey;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    forge::{Key, encode, hmac_token},
    world::{CLIENT, World, world},
};
use crate::support::{Answer, Api, PASSWORD};

/// A token that is shown, and the headers beside it.
struct Attack {
    name: String,
    token: String,
    headers: Vec<(&'static str, String)>,
}

struct Attacks(Vec<Attack>);

impl Attacks {
    fn add(&mut self, name: impl Into<String>, token: impl Into<String>) {
        self.0.push(Attack { name: name.into(), token: token.into(), headers: Vec::new() });
    }

    fn add_at(&mut self, name: &str, token: &str, header: &'static str, value: String) {
        self.0.push(Attack {
            name: name.to_owned(),
            token: token.to_owned(),
            headers: vec![(header, value)],
        });
    }
}

/// Changes members of an object; `null` takes one away.
fn with(mut object: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => object.as_object_mut().unwrap().remove(name),
            value => object.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    object
}

/// Headers that name no algorithm that the issuer may use, unsigned and signed with the public key as a secret.
fn algorithms(attacks: &mut Attacks, key: &Key, claims: &Value) {
    let claims = claims.to_string();
    for none in ["none", "None", "NONE", "nOnE", "none ", "\u{0}none", ""] {
        let header = json!({"alg": none, "typ": "at+jwt", "kid": key.id}).to_string();
        let message = format!("{}.{}", encode(&header), encode(&claims));
        attacks.add(format!("alg {none:?} without a signature"), format!("{message}."));
        attacks.add(format!("alg {none:?} with the key's signature"), key.token_of(&header, &claims));
    }
    for (what, secret) in [
        ("PEM", key.public_pem()),
        ("DER", key.public_der()),
        ("JWK", key.jwk().to_string().into_bytes()),
        ("nothing", b"\0".to_vec()),
    ] {
        for algorithm in ["HS256", "RS256"] {
            let header = json!({"alg": algorithm, "typ": "at+jwt", "kid": key.id}).to_string();
            attacks.add(
                format!("{algorithm} whose secret is the public key as {what}"),
                hmac_token(&header, &claims, &secret),
            );
        }
    }
    for header in [
        json!({"alg": "PS256"}),
        json!({"alg": "RS512"}),
        json!({"alg": "ES256"}),
        json!({"alg": "EdDSA"}),
        json!({"alg": "rs256"}),
        json!({"alg": ["RS256"]}),
        json!({"alg": null}),
    ] {
        let header = with(key.header(), &header);
        attacks.add(format!("header {header}"), key.token_of(&header.to_string(), &claims));
    }
    let header = with(key.header(), &json!({"alg": "PS256"})).to_string();
    let message = format!("{}.{}", encode(&header), encode(&claims));
    let signature = encode(key.sign_pss(&message));
    attacks.add("PS256 that the issuer is not allowed", format!("{message}.{signature}"));
}

/// Headers that point to another key or ask for something else.
fn headers(attacks: &mut Attacks, key: &Key, thief: &Key, claims: &Value) {
    let claims = claims.to_string();
    for (what, id) in [
        ("SQL", json!("x' UNION SELECT 'c2VjcmV0' --")),
        ("a path", json!("../../../../dev/null")),
        ("a URL", json!("https://evil.example/key")),
        ("null byte", json!("platform-1\0")),
        ("full width", json!("ｐlatform-1")),
        ("huge", json!("k".repeat(4000))),
        ("empty", json!("")),
        ("number", json!(1)),
        ("list", json!(["platform-1"])),
        ("missing", Value::Null),
    ] {
        let header = with(key.header(), &json!({ "kid": id })).to_string();
        attacks.add(format!("kid: {what}"), key.token_of(&header, &claims));
    }
    for (name, value) in [
        ("jwk", thief.jwk()),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/chain.pem")),
        ("x5c", json!([base64_of(&thief.public_der())])),
    ] {
        for id in [&key.id, &thief.id] {
            let header = json!({"alg": "RS256", "typ": "at+jwt", "kid": id, name: value}).to_string();
            attacks.add(format!("{name} with kid {id}"), thief.token_of(&header, &claims));
        }
    }
    for header in [
        json!({"crit": ["exp"]}),
        json!({"crit": []}),
        json!({"crit": ["x"], "x": 1}),
        json!({"b64": false}),
        json!({"zip": "DEF"}),
        json!({"enc": "A256GCM"}),
        json!({"cty": "JWT"}),
        json!({"typ": "dpop+jwt"}),
        json!({"typ": "logout+jwt"}),
        json!({"typ": "at+jwt2"}),
        json!({"typ": ["at+jwt"]}),
        json!({"typ": null}),
        json!({"typ": ""}),
    ] {
        attacks
            .add(format!("header {header}"), key.token_of(&with(key.header(), &header).to_string(), &claims));
    }
    let twice = format!(r#"{{"alg":"RS256","typ":"at+jwt","kid":"{}","kid":"{}"}}"#, thief.id, key.id);
    attacks.add("kid twice", key.token_of(&twice, &claims));
    attacks.add("a header that is a list", key.token_of(r#"["RS256"]"#, &claims));
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD.encode(bytes)
}

/// Claims that are missing, wrong, or of another kind.
fn claims(attacks: &mut Attacks, world: &World, right: &Value) {
    let (key, now) = (&world.platform.key, Utc::now().timestamp());
    let url = &world.platform.url;
    let mut cases = vec![
        json!({"iss": null}),
        json!({"iss": [url]}),
        json!({"iss": format!("{url}/")}),
        json!({"iss": url.to_uppercase()}),
        json!({"iss": url.replace("127", "１２７")}),
        json!({"iss": format!("{url}\u{200b}")}),
        json!({"iss": format!("{url}?")}),
        json!({"iss": world.own.url}),
        json!({"iss": "clinicx"}),
        json!({"iss": "https://nobody.example"}),
        json!({"iss": 1}),
        json!({"aud": null}),
        json!({"aud": []}),
        json!({"aud": ["https://other.example"]}),
        json!({"aud": "https://other.example"}),
        json!({"aud": CLIENT}),
        json!({"aud": format!("{} ", super::world::AUDIENCE)}),
        json!({"aud": {"0": super::world::AUDIENCE}}),
        json!({"aud": [super::world::AUDIENCE, 1]}),
        json!({"aud": "clinicx-api"}),
        json!({"azp": "another-client"}),
        json!({"azp": [CLIENT]}),
        json!({"client_id": "another-client"}),
        json!({"cnf": {"jkt": "x"}}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": " "}),
        json!({"sub": 7}),
        json!({"sub": ["a"]}),
        json!({"sub": "a\u{0}b"}),
        json!({"sub": "a\nb"}),
        json!({"sub": "аdmin"}),
        json!({"sub": "s".repeat(256)}),
        json!({"exp": null}),
        json!({"exp": now - 61}),
        json!({"exp": 0}),
        json!({"exp": -1}),
        json!({"exp": i64::MIN}),
        json!({"exp": i64::MAX}),
        json!({"exp": u64::MAX}),
        json!({"exp": 1e300}),
        json!({"exp": format!("{}.5", now + 600).parse::<f64>().unwrap()}),
        json!({"exp": (now + 600).to_string()}),
        json!({"exp": [now + 600]}),
        json!({"exp": true}),
        json!({"exp": now + 86_400}),
        json!({"exp": now + 100, "iat": now + 200}),
        json!({"iat": null}),
        json!({"iat": now + 120}),
        json!({"iat": "now"}),
        json!({"iat": -5}),
        json!({"iat": 0}),
        json!({"nbf": now + 120}),
        json!({"nbf": "soon"}),
        json!({"nbf": 0.5}),
        json!({"nonce": "n"}),
        json!({"at_hash": "h"}),
        json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}),
        json!({"typ": "ID"}),
        json!({"typ": "Refresh"}),
        json!({"typ": "Offline"}),
        json!({"token_use": "id"}),
        json!({"roles": []}),
        json!({"roles": "owner"}),
        json!({"roles": {"desk": true}}),
        json!({"roles": ["Desk", "desk ", "owner", "admin"]}),
        json!({"tenant": null}),
        json!({"tenant": []}),
        json!({"tenant": "nobody-has-this"}),
        json!({"tenant": [world.clinic_a.slug, world.clinic_b.slug]}),
        json!({"tenant": {"slug": world.clinic_a.slug}}),
        json!({"tenant": world.clinic_a.slug.to_uppercase()}),
        json!({"tenant": format!("{}'--", world.clinic_a.slug)}),
        json!({"tenant": "../oidc-a"}),
    ];
    // A tenant that is named by id, as by nobody but this service.
    cases.push(json!({"tenant": world.clinic_a.id.to_string()}));
    for (number, case) in cases.iter().enumerate() {
        // Each is somebody who was never here: a session that is there already would let a token in.
        let fresh =
            with(right.clone(), &json!({"sub": format!("hostile-{number}"), "jti": number.to_string()}));
        attacks.add(format!("claims {}", shown(case)), key.token(&with(fresh, case)));
    }
    let twice = right.to_string().replacen('{', r#"{"sub":"somebody-else","#, 1);
    attacks.add("sub twice", key.token_of(&key.header().to_string(), &twice));
    let twice = right.to_string().replacen('{', r#"{"tenant":"oidc-b","#, 1);
    attacks.add("tenant twice", key.token_of(&key.header().to_string(), &twice));
    let twice = right.to_string().replacen('{', r#"{"tenant":"oidc-b","#, 1);
    attacks.add("tenant twice, once escaped", {
        let escaped = twice.replacen(r#""tenant":"oidc-b""#, r#""\u0074enant":"oidc-b""#, 1);
        key.token_of(&key.header().to_string(), &escaped)
    });
    for (what, text) in [
        ("a list", "[]".to_owned()),
        ("a text", "\"x\"".to_owned()),
        ("nothing", String::new()),
        ("half an object", r#"{"iss":"#.to_owned()),
        ("a lone surrogate", right.to_string().replacen('{', r#"{"x":"\ud800","#, 1)),
        ("a byte order mark", format!("\u{feff}{right}")),
        ("deep", format!(r#"{{"x":{}{}}}"#, "[".repeat(3000), "]".repeat(3000))),
    ] {
        attacks.add(format!("claims that are {what}"), key.token_of(&key.header().to_string(), &text));
    }
}

fn shown(case: &Value) -> String {
    case.to_string().chars().take(60).collect()
}

/// Tokens of one issuer that speak for another, or for another's tenants.
fn issuers(attacks: &mut Attacks, world: &World, right: &Value) {
    let thief = Key::rsa(&world.platform.key.id);
    attacks.add("a stranger's key under the issuer's name", thief.token(right));
    let own = &world.own.key;
    let header = with(own.header(), &json!({"kid": world.platform.key.id})).to_string();
    attacks.add("clinic A's key with the platform's name and key", own.token_of(&header, &right.to_string()));
    attacks.add("clinic A's key with the platform's name", own.token(right));
    let as_own = with(right.clone(), &json!({"iss": world.own.url}));
    attacks.add("the platform's key with clinic A's name", world.platform.key.token(&as_own));
    let curve = &world.roaming.key;
    attacks.add("another family's key with the platform's name", curve.token(right));
    let stranger = with(right.clone(), &json!({"iss": world.roaming.url, "sub": "stranger"}));
    attacks.add("somebody without a membership", curve.token(&stranger));
    // Two forms of one signature are both right on a curve; what is not one of them is not.
    let token = curve.token(&stranger);
    attacks.add("a curve's signature with a byte more", format!("{token}AA"));
    let foreign =
        with(right.clone(), &json!({"iss": world.own.url, "sub": "hostile-own", "tenant": "oidc-b"}));
    let foreign = own.token(&foreign);
    let host = format!("{}.clinics.example", world.clinic_b.slug);
    attacks.add_at("clinic A's issuer at clinic B's host", &foreign, "Host", host);
    attacks.add_at(
        "clinic A's issuer with B in X-Tenant-ID",
        &foreign,
        "X-Tenant-ID",
        world.clinic_b.slug.clone(),
    );
}

/// A right token, spelt in another way, cut, or put into another form.
fn spellings(attacks: &mut Attacks, token: &str, thief: &Key) {
    let parts: Vec<&str> = token.split('.').collect();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let last = signature.chars().last().unwrap();
    // The last character has bits that the signature does not use.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = alphabet.chars().nth((alphabet.find(last).unwrap() + 1) % 64).unwrap();
    let other = format!("{}{next}", &signature[..signature.len() - 1]);
    for (what, spelt) in [
        ("no signature", format!("{message}.")),
        ("no signature and no dot", message.to_owned()),
        ("a cut signature", token[..token.len() - 4].to_owned()),
        ("a longer signature", format!("{token}AAAA")),
        ("base64 with other unused bits", format!("{message}.{other}")),
        ("base64 with padding", format!("{message}.{signature}==")),
        (
            "base64 of the other alphabet",
            format!("{message}.{}", signature.replace('-', "+").replace('_', "/")),
        ),
        ("a signature of zeros", format!("{message}.{}", encode(vec![0; 256]))),
        ("a signature of one byte", format!("{message}.AA")),
        ("a fourth part", format!("{token}.{}", parts[1])),
        (
            "five parts, as encrypted ones have",
            format!("{}..{}.{}.{}", parts[0], parts[1], parts[2], parts[2]),
        ),
        ("an empty part", format!(".{}.{}", parts[1], parts[2])),
        ("only dots", "..".to_owned()),
        ("text", "not-a-token".to_owned()),
        ("a token within a token", thief.token_of(r#"{"alg":"RS256","cty":"JWT"}"#, token)),
        ("two tokens", format!("{token},{token}")),
        ("the parts of two tokens", format!("{}.{}.{}", parts[1], parts[0], parts[2])),
        ("twenty thousand bytes", format!("{message}.{}", "A".repeat(20_000))),
        (
            "a claims part of thirty thousand bytes",
            format!("{}.{}.{signature}", parts[0], "A".repeat(30_000)),
        ),
    ] {
        if what != "base64 of the other alphabet" || spelt != token {
            attacks.add(what, spelt);
        }
    }
}

/// Tokens of this service: with each part altered, and altered and signed again with the right key.
fn ours(attacks: &mut Attacks, world: &World, token: &str, refresh_token: &str) {
    let parts: Vec<&str> = token.split('.').collect();
    let read = |part: &str| -> Value {
        use base64::Engine;
        serde_json::from_slice(&base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let (header, claims) = (read(parts[0]), read(parts[1]));
    let key = keys::token_key(&world.config).unwrap();
    let foreign_key = TokenKey::generate().unwrap();
    let mut alter = |name: String, header: &Value, claims: &Value| {
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        attacks.add(format!("ours, {name}, unsigned"), format!("{message}.{}", parts[2]));
        attacks.add(
            format!("ours, {name}, signed again"),
            hmac_token(&header.to_string(), &claims.to_string(), &key),
        );
    };
    for change in [
        json!({"alg": "none"}),
        json!({"alg": "HS512"}),
        json!({"typ": "JWT"}),
        json!({"typ": null}),
        json!({"kid": "x"}),
        json!({"kid": null}),
        json!({"kid": foreign_key.id()}),
        json!({"crit": ["exp"]}),
        json!({"jku": "https://evil.example"}),
        json!({"jwk": {"kty": "oct", "k": "AA"}}),
        json!({"cty": "JWT"}),
    ] {
        alter(format!("header {change}"), &with(header.clone(), &change), &claims);
    }
    let now = Utc::now().timestamp();
    let other = uuid::Uuid::now_v7().to_string();
    for change in [
        json!({"iss": "somebody"}),
        json!({"iss": ["clinicx"]}),
        json!({"iss": null}),
        json!({"aud": "other"}),
        json!({"aud": ["clinicx-api"]}),
        json!({"aud": null}),
        json!({"sub": other}),
        json!({"sub": null}),
        json!({"sid": other}),
        json!({"sid": null}),
        json!({"tid": world.clinic_b.id.to_string()}),
        json!({"tid": null}),
        json!({"tid": other}),
        json!({"exp": now - 1}),
        json!({"exp": u64::MAX}),
        json!({"exp": now + 86_400}),
        json!({"exp": null}),
        json!({"iat": now + 600}),
        json!({"iat": null}),
        json!({"nbf": now + 600}),
        json!({"nbf": null}),
    ] {
        alter(format!("claims {change}"), &header, &with(claims.clone(), &change));
    }
    attacks.add("ours, a refresh token", refresh_token);
    attacks.add(
        "ours, signed with another service's key",
        hmac_token(&header.to_string(), &claims.to_string(), &[7; 32]),
    );
    attacks.add_at(
        "ours, of A at B's host",
        token,
        "Host",
        format!("{}.clinics.example", world.clinic_b.slug),
    );
    attacks.add_at("ours, of A with B in X-Tenant-ID", token, "X-Tenant-ID", world.clinic_b.slug.clone());
    attacks.add_at("ours, of A with rubbish in X-Tenant-ID", token, "X-Tenant-ID", "'; DROP".to_owned());
    // What only this service makes, in an issuer's clothes.
    let dressed = with(claims.clone(), &json!({"iss": world.platform.url, "aud": super::world::AUDIENCE}));
    let header = world.platform.key.header().to_string();
    attacks.add("ours in an issuer's clothes", hmac_token(&header, &dressed.to_string(), &key));
    let stolen = with(
        world.claims(&world.platform),
        &json!({"iss": "clinicx", "aud": "clinicx-api", "sid": claims["sid"]}),
    );
    attacks.add("an issuer's in ours", world.platform.key.token(&stolen));
}

async fn show(world: &World, attack: &Attack) -> Answer {
    let api = world.with_token(&attack.token);
    let request = api.request(Method::GET, "/patients");
    let request = attack.headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
    api.send(request).await
}

async fn tokens(world: &World) -> (Api, Value) {
    let login = json!({"email": format!("owner@{}.example", world.clinic_a.slug), "password": PASSWORD});
    let tokens = world.anonymous.post("/auth/login", login).await.expect(200);
    (world.with_token(tokens["access_token"].as_str().unwrap()), tokens)
}

/// Things that are good once, shown a second time; returns how many were refused.
async fn replays(world: &World) -> usize {
    let (_, first) = tokens(world).await;
    let body = json!({"refresh_token": first["refresh_token"]});
    let second = world.anonymous.post("/auth/refresh", body.clone()).await.expect(200);
    world.anonymous.post("/auth/refresh", body).await.expect_problem(401, "invalid_refresh_token");
    // With the second use the whole log-in has ended.
    let body = json!({"refresh_token": second["refresh_token"]});
    world.anonymous.post("/auth/refresh", body).await.expect_problem(401, "invalid_refresh_token");
    let tokens = world.with_token(second["access_token"].as_str().unwrap());
    tokens.get("/patients").await.expect_problem(401, "invalid_token");
    3 + super::flow::replays(world).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_hostile_token_gets_in_and_none_is_answered_5xx() {
    let world = world().await;
    let (key, thief) = (&world.platform.key, Key::rsa("thief-1"));
    let right = world.claims(&world.platform);
    let token = key.token(&right);
    let (owner, local) = tokens(world).await;
    let mut attacks = Attacks(Vec::new());
    let unseen = with(right.clone(), &json!({"sub": "hostile-headers"}));
    algorithms(&mut attacks, key, &unseen);
    headers(&mut attacks, key, &thief, &unseen);
    claims(&mut attacks, world, &right);
    issuers(&mut attacks, world, &unseen);
    spellings(&mut attacks, &token, &thief);
    let refresh_token = local["refresh_token"].as_str().unwrap();
    ours(&mut attacks, world, local["access_token"].as_str().unwrap(), refresh_token);

    let let_in = async || {
        world.patients(&token).await.expect(200);
        owner.get("/patients").await.expect(200);
    };
    let_in().await;
    let (mut unauthenticated, mut forbidden, mut wrong) = (0, 0, Vec::new());
    for attack in &attacks.0 {
        let answer = show(world, attack).await;
        let is_problem = answer.header("content-type") == "application/problem+json";
        match answer.status.as_u16() {
            401 if is_problem => unauthenticated += 1,
            403 if is_problem => forbidden += 1,
            status => wrong.push(format!("{}: {status} {}", attack.name, answer.text)),
        }
        assert!(
            !answer.text.contains(&attack.token) || attack.token.len() < 8,
            "{} is repeated",
            attack.name
        );
    }
    let_in().await;
    let replayed = replays(world).await;
    let total = attacks.0.len() + replayed;
    println!(
        "hostile tokens: {total} ({unauthenticated} answered 401, {forbidden} answered 403, {replayed} replays \
         answered 401 or 403), {} let in or answered otherwise",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(total >= 60, "only {total}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_no_head_has_room_for_is_refused_before_it_is_read() {
    let world = world().await;
    for bytes in [100_000, 1_000_000] {
        let token = format!("{}.{}.x", encode(world.platform.key.header().to_string()), "A".repeat(bytes));
        let request = world.with_token(&token).request(Method::GET, "/patients");
        // The server may close the connection while the client still writes.
        if let Ok(answer) = request.send().await {
            assert!(matches!(answer.status().as_u16(), 400 | 401 | 403 | 413 | 431), "{}", answer.status());
        }
    }
    world.clinic_a.owner.get("/patients").await.expect(200);
}
