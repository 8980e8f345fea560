//! What the claims of a person become in a new account.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use clinicx_types::error::FieldError;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::settings::Provider;
use crate::{email::EmailAddress, full_name::FullName};

/// Returns the address that the issuer has verified, if it says so.
pub(super) fn verified_email(claims: &Map<String, Value>) -> Option<EmailAddress> {
    if claims.get("email_verified") != Some(&Value::Bool(true)) {
        return None;
    }
    claims.get("email").and_then(Value::as_str).and_then(|text| EmailAddress::parse(text).ok())
}

/// Returns an address for somebody without one: in a domain that nobody can have (RFC 6761), so that no mail goes there
/// and nobody proves to own it. An unverified address is not taken: its owner would be invited into somebody else's
/// account.
pub(super) fn placeholder_email(provider: &Provider, subject: &str) -> Option<EmailAddress> {
    let issuer = provider.settings.issuer.as_str();
    let digest = Sha256::new().chain_update(issuer).chain_update("\n").chain_update(subject).finalize();
    let short: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    EmailAddress::parse(&format!("{short}@{}.oidc.invalid", provider.name().trim_matches('-'))).ok()
}

/// Returns the person's name, or the best that there is.
pub(super) fn full_name(provider: &Provider, claims: &Map<String, Value>) -> Result<FullName, FieldError> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let both = text("given_name").zip(text("family_name")).map(|(given, family)| format!("{given} {family}"));
    [text("name").map(str::to_owned), both, text("preferred_username").map(str::to_owned)]
        .into_iter()
        .flatten()
        .find_map(|name| FullName::parse(&name).ok())
        .map_or_else(|| FullName::parse(&format!("User of {}", provider.name())), Ok)
}

/// Returns the left half of a digest in base64, as `at_hash` has it (OpenID Connect Core section 3.1.3.6).
pub(super) fn half_hash(digest: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest.get(..digest.len() / 2).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::oidc::settings::tests::settings;

    #[test]
    fn only_a_verified_address_is_an_address() {
        let check = |claims: Value, expected: Option<&str>| {
            let email = verified_email(claims.as_object().unwrap());
            assert_eq!(email.as_ref().map(EmailAddress::as_str), expected, "{claims}");
        };
        check(json!({"email": "ada@example.org", "email_verified": true}), Some("ada@example.org"));
        check(json!({"email": "ada@example.org"}), None);
        check(json!({"email": "ada@example.org", "email_verified": "true"}), None);
        check(json!({"email": "ada@example.org", "email_verified": false}), None);
        check(json!({"email": ["ada@example.org"], "email_verified": true}), None);
        check(json!({"email": "ada", "email_verified": true}), None);
    }

    #[test]
    fn everybody_gets_an_address_and_a_name() {
        let provider = Provider::check(settings(), false).unwrap();
        let one = placeholder_email(&provider, "1").unwrap();
        assert!(one.as_str().ends_with("@idp.oidc.invalid"));
        assert_ne!(one, placeholder_email(&provider, "2").unwrap());
        let name =
            |claims: Value| full_name(&provider, claims.as_object().unwrap()).unwrap().as_str().to_owned();
        assert_eq!(name(json!({"name": "Ada Byron"})), "Ada Byron");
        assert_eq!(name(json!({"name": "\u{202e}x", "given_name": "A", "family_name": "B"})), "A B");
        assert_eq!(name(json!({})), "User of idp");
    }
}
