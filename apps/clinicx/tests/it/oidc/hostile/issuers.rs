//! Tokens that an issuer never made, or made for something else.

use chrono::Utc;
use serde_json::{Value, json};

use super::{
    super::{
        forge::{Key, encode, hmac_token},
        world::{AUDIENCE, CLIENT, World},
    },
    Attacks, with,
};

/// Headers that name no algorithm that the issuer may use, unsigned and signed with the public key as a secret.
pub(super) fn algorithms(attacks: &mut Attacks, key: &Key, claims: &Value) {
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
pub(super) fn headers(attacks: &mut Attacks, key: &Key, thief: &Key, claims: &Value) {
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
pub(super) fn claims(attacks: &mut Attacks, world: &World, right: &Value) {
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
        json!({"aud": format!("{} ", AUDIENCE)}),
        json!({"aud": {"0": AUDIENCE}}),
        json!({"aud": [AUDIENCE, 1]}),
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
pub(super) fn issuers(attacks: &mut Attacks, world: &World, right: &Value) {
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
