//! Hostile tokens: each is refused, and for the reason that it is hostile for.

use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_800_000_000;

fn key() -> TokenKey {
    TokenKey::new(std::array::from_fn(|at| u8::try_from(at).unwrap())).unwrap()
}

fn signer() -> TokenSigner {
    TokenSigner::new(&key(), Duration::from_secs(600))
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).unwrap()
}

fn header() -> Value {
    json!({"alg": "HS256", "typ": "at+jwt", "kid": key().id()})
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "iat": NOW, "nbf": NOW, "exp": NOW + 600,
        "sub": "0190a000-0000-7000-8000-000000000001", "sid": "0190a000-0000-7000-8000-000000000002",
        "tid": "0190a000-0000-7000-8000-000000000003",
    })
}

fn base64(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(text)
}

fn signed_by(secret: &[u8], algorithm: Algorithm, header: &str, claims: &str) -> String {
    let message = format!("{}.{}", base64(header), base64(claims));
    let signature = crypto::sign(message.as_bytes(), &EncodingKey::from_secret(secret), algorithm).unwrap();
    format!("{message}.{signature}")
}

/// A token with the right signature over whatever stands in it.
fn signed(header: &str, claims: &str) -> String {
    signed_by(key().bytes(), Algorithm::HS256, header, claims)
}

fn with_header(field: &str, value: Value) -> String {
    let mut changed = header();
    changed[field] = value;
    signed(&changed.to_string(), &claims().to_string())
}

fn with_claim(field: &str, value: Value) -> String {
    let mut changed = claims();
    changed[field] = value;
    signed(&header().to_string(), &changed.to_string())
}

fn without_claim(field: &str) -> String {
    let mut changed = claims();
    changed.as_object_mut().unwrap().remove(field);
    signed(&header().to_string(), &changed.to_string())
}

fn without_header(field: &str) -> String {
    let mut changed = header();
    changed.as_object_mut().unwrap().remove(field);
    signed(&changed.to_string(), &claims().to_string())
}

#[track_caller]
fn check(name: &str, token: &str, expected: TokenError) {
    assert_eq!(signer().verify(token, now()), Err(expected), "{name}");
}

#[test]
fn an_issued_token_says_what_was_put_into_it() {
    let (user, session) = (UserId::new(uuid::Uuid::now_v7()), SessionId::new(uuid::Uuid::now_v7()));
    for tenant in [None, Some(TenantId::new(uuid::Uuid::now_v7()))] {
        let token = signer().issue(user, session, tenant, now()).unwrap();
        let claims = signer().verify(&token, now()).unwrap();
        let expires_at = DateTime::from_timestamp(NOW + 600, 0).unwrap();
        assert_eq!(claims, TokenClaims { user_id: user, session_id: session, tenant, expires_at });
    }
}

#[test]
fn a_token_is_good_until_the_second_before_its_end() {
    let token = signed(&header().to_string(), &claims().to_string());
    let at =
        |second: i64| signer().verify(&token, DateTime::from_timestamp(NOW + second, 0).unwrap()).map(|_| ());
    assert_eq!(at(0), Ok(()));
    assert_eq!(at(599), Ok(()));
    assert_eq!(at(600), Err(TokenError::Expired));
    assert_eq!(at(-5), Ok(()));
    assert_eq!(at(-6), Err(TokenError::NotYetValid));
}

#[test]
fn a_lifetime_is_never_longer_than_the_longest() {
    let signer = TokenSigner::new(&key(), Duration::from_secs(86_400));
    assert_eq!(signer.ttl_s(), 900);
}

#[test]
fn a_claim_that_is_not_known_yet_does_no_harm() {
    assert!(signer().verify(&with_claim("amr", json!(["pwd"])), now()).is_ok());
}

#[test]
fn hostile_headers_are_refused_even_with_the_right_signature() {
    check("alg none", &with_header("alg", json!("none")), TokenError::Algorithm);
    check("alg None", &with_header("alg", json!("None")), TokenError::Algorithm);
    check("alg hs256", &with_header("alg", json!("hs256")), TokenError::Algorithm);
    check("alg HS384", &with_header("alg", json!("HS384")), TokenError::Algorithm);
    check("alg RS256", &with_header("alg", json!("RS256")), TokenError::Algorithm);
    check("alg list", &with_header("alg", json!(["HS256"])), TokenError::Malformed);
    check("alg null", &with_header("alg", Value::Null), TokenError::Malformed);
    check("no alg", &without_header("alg"), TokenError::Malformed);
    check("typ JWT", &with_header("typ", json!("JWT")), TokenError::Type);
    check("typ dpop+jwt", &with_header("typ", json!("dpop+jwt")), TokenError::Type);
    check("typ AT+JWT", &with_header("typ", json!("AT+JWT")), TokenError::Type);
    check("no typ", &without_header("typ"), TokenError::Malformed);
    check("no kid", &without_header("kid"), TokenError::Malformed);
    check("kid empty", &with_header("kid", json!("")), TokenError::Key);
    check("kid path", &with_header("kid", json!("../../dev/null")), TokenError::Key);
    check("kid SQL", &with_header("kid", json!("' OR 1=1 --")), TokenError::Key);
    check("jku", &with_header("jku", json!("https://evil.example/jwks")), TokenError::Malformed);
    check("x5u", &with_header("x5u", json!("https://evil.example/x5u")), TokenError::Malformed);
    check("jwk", &with_header("jwk", json!({"kty": "oct", "k": "AAAA"})), TokenError::Malformed);
    check("crit", &with_header("crit", json!(["exp2"])), TokenError::Malformed);
    check("crit empty", &with_header("crit", json!([])), TokenError::Malformed);
    check("b64 false", &with_header("b64", json!(false)), TokenError::Malformed);
    check("zip", &with_header("zip", json!("DEF")), TokenError::Malformed);
    let twice = format!(r#"{{"alg":"HS256","alg":"none","typ":"at+jwt","kid":"{}"}}"#, key().id());
    check("alg twice", &signed(&twice, &claims().to_string()), TokenError::Malformed);
    let list = json!(["HS256", "at+jwt", key().id()]).to_string();
    check("header list", &signed(&list, &claims().to_string()), TokenError::Malformed);
}

#[test]
fn hostile_claims_are_refused_even_with_the_right_signature() {
    for claim in ["iss", "aud", "sub", "sid", "iat", "nbf", "exp"] {
        check(claim, &without_claim(claim), TokenError::Malformed);
        check(claim, &with_claim(claim, Value::Null), TokenError::Malformed);
    }
    check("iss list", &with_claim("iss", json!([ISSUER])), TokenError::Malformed);
    check("iss with slash", &with_claim("iss", json!("clinicx/")), TokenError::Issuer);
    check("iss in capitals", &with_claim("iss", json!("CLINICX")), TokenError::Issuer);
    check("aud list", &with_claim("aud", json!([AUDIENCE])), TokenError::Malformed);
    check("aud other", &with_claim("aud", json!("other-api")), TokenError::Audience);
    check("aud number", &with_claim("aud", json!(7)), TokenError::Malformed);
    check("exp past", &with_claim("exp", json!(NOW - 1)), TokenError::Expired);
    check("exp now", &with_claim("exp", json!(NOW)), TokenError::Expired);
    check("exp far", &with_claim("exp", json!(NOW + 901)), TokenError::Lifetime);
    check("exp largest", &with_claim("exp", json!(i64::MAX)), TokenError::Lifetime);
    check("exp u64::MAX", &with_claim("exp", json!(u64::MAX)), TokenError::Malformed);
    check("exp 1e300", &with_claim("exp", json!(1e300)), TokenError::Malformed);
    check("exp float", &with_claim("exp", json!(600.5)), TokenError::Malformed);
    check("exp text", &with_claim("exp", json!((NOW + 600).to_string())), TokenError::Malformed);
    check("exp negative", &with_claim("exp", json!(-1)), TokenError::Expired);
    check("iat future", &with_claim("iat", json!(NOW + 6)), TokenError::NotYetValid);
    check("iat long ago", &with_claim("iat", json!(NOW - 301)), TokenError::Lifetime);
    check("iat smallest", &with_claim("iat", json!(i64::MIN)), TokenError::Lifetime);
    check("nbf future", &with_claim("nbf", json!(NOW + 60)), TokenError::NotYetValid);
    check("nbf text", &with_claim("nbf", json!("soon")), TokenError::Malformed);
    check("sub no id", &with_claim("sub", json!("admin")), TokenError::Malformed);
    check("sub number", &with_claim("sub", json!(1)), TokenError::Malformed);
    let braces = json!("{0190a000-0000-7000-8000-000000000001}");
    check("sub in braces", &with_claim("sub", braces), TokenError::Malformed);
    let capitals = json!("0190A000-0000-7000-8000-000000000002");
    check("sid in capitals", &with_claim("sid", capitals), TokenError::Malformed);
    check("tid null", &with_claim("tid", Value::Null), TokenError::Malformed);
    check("tid slug", &with_claim("tid", json!("clinic1")), TokenError::Malformed);
    check("tid list", &with_claim("tid", json!([claims()["tid"].clone()])), TokenError::Malformed);
    let twice = claims().to_string().replacen('{', r#"{"tid":"0190a000-0000-7000-8000-00000000000f","#, 1);
    check("tid twice", &signed(&header().to_string(), &twice), TokenError::Malformed);
    check("claims list", &signed(&header().to_string(), "[]"), TokenError::Malformed);
    check("claims text", &signed(&header().to_string(), "\"x\""), TokenError::Malformed);
    check("claims empty", &signed(&header().to_string(), ""), TokenError::Malformed);
    let trailing = format!("{}{{}}", claims());
    check("claims and more", &signed(&header().to_string(), &trailing), TokenError::Malformed);
}

#[test]
fn forged_signatures_are_refused() {
    let (header, claims) = (header().to_string(), claims().to_string());
    let good = signed(&header, &claims);
    assert!(signer().verify(&good, now()).is_ok());
    let (message, signature) = good.rsplit_once('.').unwrap();
    check("no signature", &format!("{message}."), TokenError::Signature);
    check("other key", &signed_by(b"another key", Algorithm::HS256, &header, &claims), TokenError::Signature);
    check("empty key", &signed_by(b"", Algorithm::HS256, &header, &claims), TokenError::Signature);
    let id = key().id();
    check("kid as key", &signed_by(id.as_bytes(), Algorithm::HS256, &header, &claims), TokenError::Signature);
    check(
        "HS512 below HS256",
        &signed_by(key().bytes(), Algorithm::HS512, &header, &claims),
        TokenError::Signature,
    );
    check("signature cut", good.get(..good.len() - 1).unwrap(), TokenError::Signature);
    check("signature padded", &format!("{good}="), TokenError::Signature);
    check("signature of zeros", &format!("{message}.{}", "A".repeat(43)), TokenError::Signature);
    let other = claims.replace("000000000003", "000000000004");
    let swapped = format!("{}.{}.{signature}", base64(&header), base64(&other));
    check("claims changed", &swapped, TokenError::Signature);
    for at in 0..signature.len() {
        let mut bytes = signature.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let forged = format!("{message}.{}", String::from_utf8(bytes).unwrap());
        check("one character changed", &forged, TokenError::Signature);
    }
}

#[test]
fn what_has_not_the_form_of_a_token_is_refused() {
    let good = signed(&header().to_string(), &claims().to_string());
    let (message, _) = good.rsplit_once('.').unwrap();
    for bad in ["", ".", "..", "...", "abc", "a.b", "a.b.c", message, "null", "{}", "Bearer x", "é.é.é"] {
        check(bad, bad, TokenError::Malformed);
    }
    check("four parts", &format!("{good}.x"), TokenError::Malformed);
    check("five parts (JWE)", &format!("{good}.x.y"), TokenError::Malformed);
    check("blank before", &format!(" {good}"), TokenError::Malformed);
    check("blank behind", &format!("{good} "), TokenError::Signature);
    check("line break", &good.replacen('.', ".\n", 1), TokenError::Signature);
    check("padded header", &good.replacen('.', "=.", 1), TokenError::Malformed);
    check("too long", &"a".repeat(2049), TokenError::TooLong);
    let fat = with_claim("pad", json!("x".repeat(4000)));
    check("too long and signed", &fat, TokenError::TooLong);
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let mut nested = claims();
    nested.as_object_mut().unwrap().remove("tid");
    let nested = nested.to_string().replacen('{', &format!(r#"{{"tid":{deep},"#), 1);
    check("deep", &signed(&header().to_string(), &nested), TokenError::Malformed);
}
