//! Tokens of an issuer: JSON Web Signatures in compact form, read strictly.
//!
//! The crate `jsonwebtoken` checks signatures and nothing else; what a header and the claims may be is checked here.
//! `jku`, `x5u`, `jwk` and `x5c` are read by nobody: a key is only ever one that the issuer's own key set has.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::{
    json,
    key::{Family, MAX_KEY_ID_BYTES, VerifyingKey},
    refusal::Refusal,
    settings::Provider,
};

/// The longest token that is looked at, in bytes; providers that put a person's groups in stay below.
pub(crate) const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// By how much the clocks of an issuer and of this machine may differ, in seconds.
pub(crate) const CLOCK_LEEWAY_S: i64 = 60;
/// The longest subject (OpenID Connect Core section 2).
const MAX_SUBJECT_BYTES: usize = 255;
/// Parts of a header that change what a token is; no token that is taken here has one.
const FOREIGN_PARTS: [&str; 5] = ["crit", "b64", "zip", "enc", "cty"];

/// A token of which nothing is believed yet.
pub(crate) struct Unverified<'a> {
    /// The header and the claims as they were signed.
    pub(crate) message: &'a str,
    signature: &'a str,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

/// The claims of a token whose signature was found right.
pub(crate) struct Verified {
    pub(crate) header_type: Option<String>,
    pub(crate) claims: Map<String, Value>,
}

/// What every token says.
#[derive(Clone, Debug)]
pub(crate) struct Basics {
    pub(crate) subject: String,
    pub(crate) issued_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
}

/// Tells whether a bearer token is one that an issuer may have signed: this service's own name HS256, which no issuer
/// may.
pub(crate) fn is_foreign(token: &str) -> bool {
    let header = token.split('.').next().unwrap_or_default();
    if header.len() > MAX_TOKEN_BYTES {
        return false;
    }
    let header = BASE64_URL_SAFE_NO_PAD.decode(header).ok().and_then(|bytes| json::object(&bytes));
    let name = header.as_ref().and_then(|header| header.get("alg")).and_then(Value::as_str);
    name.is_some_and(|name| Family::algorithm(name).is_some())
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    pub(crate) fn read(token: &'a str) -> Result<Self, Refusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::TooLong);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::Malformed);
        };
        let message = token.get(..header.len() + 1 + claims.len()).ok_or(Refusal::Malformed)?;
        let object = |part: &str| {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)?;
            json::object(&bytes).ok_or(Refusal::Malformed)
        };
        Ok(Self { message, signature, header: object(header)?, claims: object(claims)? })
    }

    /// Returns the issuer that it names, to look for the one whose key must have signed it.
    pub(crate) fn issuer(&self) -> Result<&str, Refusal> {
        self.claims.get("iss").and_then(Value::as_str).ok_or(Refusal::Issuer)
    }

    /// Returns the algorithm and the name of the key, when its header is one that the provider may write.
    pub(crate) fn key(&self, provider: &Provider) -> Result<(Algorithm, &str), Refusal> {
        let text = |name: &str| self.header.get(name).and_then(Value::as_str);
        let algorithm = text("alg").and_then(Family::algorithm).ok_or(Refusal::Algorithm)?;
        if algorithm.0 != provider.family || !provider.algorithms.contains(&algorithm.1) {
            return Err(Refusal::Algorithm);
        }
        if FOREIGN_PARTS.iter().any(|part| self.header.contains_key(*part)) {
            return Err(Refusal::Critical);
        }
        let id = text("kid").filter(|id| (1..=MAX_KEY_ID_BYTES).contains(&id.len()));
        Ok((algorithm.1, id.ok_or(Refusal::Key)?))
    }

    /// Checks the signature.
    pub(crate) fn verify(self, key: &VerifyingKey, algorithm: Algorithm) -> Result<Verified, Refusal> {
        if !key.verify(self.message, self.signature, algorithm) {
            return Err(Refusal::Signature);
        }
        let header_type = match self.header.get("typ") {
            None => None,
            Some(Value::String(text)) => Some(text.to_ascii_lowercase()),
            Some(_) => return Err(Refusal::Type),
        };
        Ok(Verified { header_type, claims: self.claims })
    }
}

impl Verified {
    /// Checks what an access token and an ID token have in common.
    fn basics(&self, provider: &Provider, now: i64) -> Result<Basics, Refusal> {
        if self.text("iss")? != Some(provider.settings.issuer.as_str()) {
            return Err(Refusal::Issuer);
        }
        let subject = self.text("sub")?.ok_or(Refusal::Claims)?;
        let visible = subject.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if subject.trim().is_empty() || subject.len() > MAX_SUBJECT_BYTES || !visible {
            return Err(Refusal::Claims);
        }
        let expires = self.time("exp")?.ok_or(Refusal::Claims)?;
        let issued = self.time("iat")?.ok_or(Refusal::Claims)?;
        let begins = self.time("nbf")?.unwrap_or(issued);
        let soon = now.saturating_add(CLOCK_LEEWAY_S);
        if issued > soon || begins > soon {
            return Err(Refusal::NotYetValid);
        }
        if expires <= now.saturating_sub(CLOCK_LEEWAY_S) {
            return Err(Refusal::Expired);
        }
        let longest = seconds(provider.settings.max_token_lifetime);
        let lifetime = expires.checked_sub(issued).ok_or(Refusal::Lifetime)?;
        if !(1..=longest).contains(&lifetime) {
            return Err(Refusal::Lifetime);
        }
        let instant = |seconds| DateTime::from_timestamp(seconds, 0).ok_or(Refusal::Lifetime);
        Ok(Basics { subject: subject.to_owned(), issued_at: instant(issued)?, expires_at: instant(expires)? })
    }

    /// Checks the claims of an access token that somebody bears (RFC 9068 section 4).
    pub(crate) fn access_token(&self, provider: &Provider, now: i64) -> Result<Basics, Refusal> {
        match self.header_type.as_deref() {
            Some("at+jwt" | "application/at+jwt" | "jwt") => {}
            _ => return Err(Refusal::Type),
        }
        // What only other tokens have: an ID token answers a nonce and vouches for a code or an access token, a
        // log-out token reports events. Keycloak and Cognito say it outright.
        let others = ["nonce", "at_hash", "c_hash", "s_hash", "events"];
        let kinds = [("typ", "Bearer"), ("token_use", "access")];
        if others.iter().any(|name| self.claims.contains_key(*name))
            || kinds.iter().any(|(name, kind)| self.claims.get(*name).is_some_and(|is| is != kind))
        {
            return Err(Refusal::Type);
        }
        // Whoever bears such a token must also show the key to which it is bound (RFC 9449, RFC 8705).
        if self.claims.contains_key("cnf") {
            return Err(Refusal::Bound);
        }
        let basics = self.basics(provider, now)?;
        let audiences = self.audiences()?;
        if !audiences.iter().any(|audience| provider.settings.audiences.iter().any(|own| own == audience)) {
            return Err(Refusal::Audience);
        }
        for name in ["azp", "client_id"] {
            if let Some(party) = self.text(name)? {
                let named = provider.settings.authorized_parties.iter().any(|known| known == party);
                if !named && party != provider.settings.client_id {
                    return Err(Refusal::Party);
                }
            }
        }
        Ok(basics)
    }

    /// Checks the claims of the ID token of a log-in (OpenID Connect Core section 3.1.3.7).
    pub(crate) fn id_token(&self, provider: &Provider, nonce: &str, now: i64) -> Result<Basics, Refusal> {
        if !matches!(self.header_type.as_deref(), None | Some("jwt")) {
            return Err(Refusal::Type);
        }
        let kinds = [("typ", "ID"), ("token_use", "id")];
        if self.claims.contains_key("events")
            || kinds.iter().any(|(name, kind)| self.claims.get(*name).is_some_and(|is| is != kind))
        {
            return Err(Refusal::Type);
        }
        let basics = self.basics(provider, now)?;
        let settings = &provider.settings;
        let audiences = self.audiences()?;
        let known = |audience: &&str| {
            *audience == settings.client_id || settings.audiences.iter().any(|own| own == audience)
        };
        if !audiences.contains(&settings.client_id.as_str()) || !audiences.iter().all(known) {
            return Err(Refusal::Audience);
        }
        match self.text("azp")? {
            Some(party) if party == settings.client_id => {}
            None if audiences.len() == 1 => {}
            _ => return Err(Refusal::Party),
        }
        if self.text("nonce")? != Some(nonce) {
            return Err(Refusal::Nonce);
        }
        Ok(basics)
    }

    /// Returns a claim that is a text or missing.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.claims.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Refusal::Claims),
        }
    }

    /// Returns a time in whole seconds; no fraction, no text, nothing that a calendar does not have.
    fn time(&self, name: &str) -> Result<Option<i64>, Refusal> {
        match self.claims.get(name) {
            None => Ok(None),
            Some(value) => value.as_i64().filter(|seconds| *seconds >= 0).map(Some).ok_or(Refusal::Claims),
        }
    }

    /// Returns whom the token is for: one text, or a list of texts with at least one (RFC 7519 section 4.1.3).
    fn audiences(&self) -> Result<Vec<&str>, Refusal> {
        match self.claims.get("aud") {
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(list)) if !list.is_empty() => {
                list.iter().map(|one| one.as_str().ok_or(Refusal::Audience)).collect()
            }
            _ => Err(Refusal::Audience),
        }
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
