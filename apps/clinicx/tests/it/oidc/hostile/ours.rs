//! Tokens of this service that somebody has altered, or taken elsewhere.

use chrono::Utc;
use clinicx::keys;
use clinicx_identity::TokenKey;
use serde_json::{Value, json};

use super::{
    super::{
        forge::{encode, hmac_token},
        world::{AUDIENCE, World},
    },
    Attacks, with,
};

/// Tokens of this service: with each part altered, and altered and signed again with the right key.
pub(super) fn ours(attacks: &mut Attacks, world: &World, token: &str, refresh_token: &str) {
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
    let dressed = with(claims.clone(), &json!({"iss": world.platform.url, "aud": AUDIENCE}));
    let header = world.platform.key.header().to_string();
    attacks.add("ours in an issuer's clothes", hmac_token(&header, &dressed.to_string(), &key));
    let stolen = with(
        world.claims(&world.platform),
        &json!({"iss": "clinicx", "aud": "clinicx-api", "sid": claims["sid"]}),
    );
    attacks.add("an issuer's in ours", world.platform.key.token(&stolen));
}
