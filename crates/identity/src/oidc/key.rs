//! The public keys of an issuer (RFC 7517): only those that may check a signature, and safely.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde_json::{Map, Value};

use super::json;

/// The most keys of one issuer; nobody has more.
const MAX_KEYS: usize = 100;
/// The longest name of a key, in bytes.
pub(crate) const MAX_KEY_ID_BYTES: usize = 256;
/// The bits of an RSA modulus (NIST SP 800-131A; the upper end bounds the work of a check).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// The bytes of an RSA exponent: 3 to 65537 and some more.
const MAX_EXPONENT_BYTES: usize = 4;

/// A family of keys; an issuer signs with keys of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Family {
    /// Reads the name of an algorithm, exactly as RFC 7518 and RFC 8037 write it.
    pub(crate) fn algorithm(name: &str) -> Option<(Self, Algorithm)> {
        Some(match name {
            "RS256" => (Self::Rsa, Algorithm::RS256),
            "RS384" => (Self::Rsa, Algorithm::RS384),
            "RS512" => (Self::Rsa, Algorithm::RS512),
            "PS256" => (Self::Rsa, Algorithm::PS256),
            "PS384" => (Self::Rsa, Algorithm::PS384),
            "PS512" => (Self::Rsa, Algorithm::PS512),
            "ES256" => (Self::P256, Algorithm::ES256),
            "ES384" => (Self::P384, Algorithm::ES384),
            "EdDSA" => (Self::Ed25519, Algorithm::EdDSA),
            _ => return None,
        })
    }
}

/// A key that checks signatures of one issuer.
pub(crate) struct VerifyingKey {
    key: DecodingKey,
    /// The one algorithm that the issuer gives it, if it says.
    only: Option<Algorithm>,
    signature_bytes: usize,
}

impl VerifyingKey {
    /// Tells whether the signature is right; one in another length or in another spelling of base64 is not.
    pub(crate) fn verify(&self, message: &str, signature: &str, algorithm: Algorithm) -> bool {
        let fits = self.only.is_none_or(|only| only == algorithm);
        let length = BASE64_URL_SAFE_NO_PAD.decode(signature).map(|bytes| bytes.len());
        fits && length == Ok(self.signature_bytes)
            && crypto::verify(signature, message.as_bytes(), &self.key, algorithm).unwrap_or(false)
    }
}

/// The usable keys of an issuer by their names.
#[derive(Default)]
pub(crate) struct KeySet(BTreeMap<String, VerifyingKey>);

impl KeySet {
    /// Reads a key set; keys that are of another family, for another use, too weak or without a name are left out,
    /// and so are all that share a name. `None` for what is no key set.
    pub(crate) fn parse(text: &[u8], family: Family) -> Option<Self> {
        let set = json::object(text)?;
        let list = set.get("keys")?.as_array()?;
        if list.len() > MAX_KEYS {
            return None;
        }
        let (mut keys, mut seen) = (BTreeMap::new(), BTreeSet::new());
        for jwk in list.iter().filter_map(Value::as_object) {
            let Some(id) = text_of(jwk, "kid").filter(|id| (1..=MAX_KEY_ID_BYTES).contains(&id.len())) else {
                continue;
            };
            let Some(key) = read(jwk, family) else { continue };
            if seen.insert(id) {
                keys.insert(id.to_owned(), key);
            } else {
                keys.remove(id);
            }
        }
        Some(Self(keys))
    }

    pub(crate) fn get(&self, id: &str) -> Option<&VerifyingKey> {
        self.0.get(id)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

fn text_of<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    jwk.get(name).and_then(Value::as_str)
}

/// Reads one key of the family.
fn read(jwk: &Map<String, Value>, family: Family) -> Option<VerifyingKey> {
    let signs = jwk.get("use").is_none_or(|purpose| purpose == "sig");
    let verifies = jwk.get("key_ops").is_none_or(|list| {
        list.as_array().is_some_and(|list| list.iter().any(|operation| operation == "verify"))
    });
    // A private key that somebody published signs whatever its finders like.
    if !signs || !verifies || jwk.contains_key("d") {
        return None;
    }
    let only = match jwk.get("alg") {
        None => None,
        Some(name) => {
            let (of, algorithm) = Family::algorithm(name.as_str()?)?;
            (of == family).then_some(Some(algorithm))?
        }
    };
    let bytes = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(text_of(jwk, name)?).ok();
    let kind = (text_of(jwk, "kty")?, text_of(jwk, "crv"));
    let (key, signature_bytes) = match (family, kind) {
        (Family::Rsa, ("RSA", _)) => rsa(&bytes("n")?, &bytes("e")?)?,
        (Family::P256, ("EC", Some("P-256"))) => (point(jwk, bytes, 32)?, 64),
        (Family::P384, ("EC", Some("P-384"))) => (point(jwk, bytes, 48)?, 96),
        (Family::Ed25519, ("OKP", Some("Ed25519"))) if bytes("x")?.len() == 32 => {
            (DecodingKey::from_ed_components(text_of(jwk, "x")?).ok()?, 64)
        }
        _ => return None,
    };
    Some(VerifyingKey { key, only, signature_bytes })
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<(DecodingKey, usize)> {
    let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
    let bits = 8 * modulus.len() - usize::try_from(modulus.first()?.leading_zeros()).ok()?;
    let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    let good = RSA_BITS.contains(&bits)
        && odd(modulus)
        && odd(exponent)
        && exponent.len() <= MAX_EXPONENT_BYTES
        && exponent != [1];
    good.then(|| (DecodingKey::from_rsa_raw_components(modulus, exponent), bits.div_ceil(8)))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn point(
    jwk: &Map<String, Value>,
    bytes: impl Fn(&str) -> Option<Vec<u8>>,
    length: usize,
) -> Option<DecodingKey> {
    let whole = bytes("x")?.len() == length && bytes("y")?.len() == length;
    whole.then(|| DecodingKey::from_ec_components(text_of(jwk, "x")?, text_of(jwk, "y")?).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(family: Family, keys: Value) -> Vec<String> {
        let text = serde_json::to_vec(&json!({ "keys": keys })).unwrap();
        KeySet::parse(&text, family).unwrap().0.into_keys().collect()
    }

    fn modulus(bytes: usize) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(vec![0xff_u8; bytes])
    }

    #[test]
    fn only_keys_that_safely_check_signatures_are_taken() {
        let good = json!({"kty": "RSA", "kid": "good", "n": modulus(256), "e": "AQAB"});
        let with = |changes: Value| {
            let mut key = good.clone();
            for (name, value) in changes.as_object().unwrap() {
                key[name] = value.clone();
            }
            key
        };
        let check = |changes: Value, taken: bool| {
            assert_eq!(!names(Family::Rsa, json!([with(changes.clone())])).is_empty(), taken, "{changes}");
        };
        check(json!({}), true);
        check(json!({"use": "sig", "alg": "RS256", "key_ops": ["verify"]}), true);
        check(json!({"alg": "PS512"}), true);
        for weak in [
            json!({"n": modulus(255)}),
            json!({"n": modulus(128)}),
            json!({"n": modulus(2048)}),
            json!({"n": ""}),
            json!({"n": BASE64_URL_SAFE_NO_PAD.encode(vec![0xfe_u8; 256])}),
            json!({"e": "AQ"}),
            json!({"e": "AAE"}),
            json!({"e": "AAAA"}),
            json!({"e": modulus(9)}),
            json!({"use": "enc"}),
            json!({"use": ["sig"]}),
            json!({"key_ops": ["encrypt"]}),
            json!({"alg": "RSA-OAEP"}),
            json!({"alg": "HS256"}),
            json!({"alg": "ES256"}),
            json!({"alg": null}),
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"kty": "rsa"}),
            json!({"d": "AQAB"}),
            json!({"kid": ""}),
            json!({"kid": 7}),
            json!({"kid": "x".repeat(300)}),
        ] {
            check(weak, false);
        }
        assert!(names(Family::P256, json!([good])).is_empty());
    }

    #[test]
    fn keys_that_share_a_name_are_left_out() {
        let key = |id: &str| json!({"kty": "RSA", "kid": id, "n": modulus(256), "e": "AQAB"});
        assert_eq!(names(Family::Rsa, json!([key("a"), key("b"), key("a"), key("a")])), ["b"]);
    }

    #[test]
    fn what_is_no_key_set_is_none() {
        let many = json!({"keys": vec![json!({}); 101]}).to_string();
        for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, &many] {
            assert!(KeySet::parse(bad.as_bytes(), Family::Rsa).is_none(), "{bad}");
        }
    }
}
