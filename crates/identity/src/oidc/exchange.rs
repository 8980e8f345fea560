//! A code exchanged for the issuer's tokens, and the ID token read.

use jsonwebtoken::Algorithm;
use reqwest::{RequestBuilder, header};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256, Sha384, Sha512};
use url::{Url, form_urlencoded};

use super::{
    fetch::{self, FetchError},
    flow::Flow,
    issuer::{Issuer, Metadata},
    json,
    profile::half_hash,
    refusal::Refusal,
    token::{Basics, Unverified},
};
use crate::error::IdentityError;

/// What an issuer gives for a code.
pub(super) struct IssuerTokens {
    id_token: String,
    access_token: String,
}

/// Exchanges a code. The outer error is the issuer's absence, the inner one its refusal.
pub(super) async fn redeem(
    issuer: &Issuer,
    metadata: &Metadata,
    code: &str,
    flow: &Flow,
) -> Result<Result<IssuerTokens, Refusal>, IdentityError> {
    let endpoint = metadata.token_endpoint.clone().ok_or(IdentityError::IssuerUnavailable)?;
    let request = token_request(issuer, endpoint, metadata.secret_in_body, code, flow);
    let answer = fetch::send(request).await.and_then(|answer| match answer.status.as_u16() {
        200 => Ok(Some(answer.body)),
        400..=499 => Ok(None),
        status => Err(FetchError::Status(status)),
    });
    fetch::count(issuer.provider().name(), "token", &answer);
    let body = answer.map_err(|error| {
        tracing::warn!(provider = issuer.provider().name(), %error, "the issuer could not be asked for tokens");
        IdentityError::IssuerUnavailable
    })?;
    Ok(body.as_deref().and_then(tokens).ok_or(Refusal::Code))
}

/// Writes the request for tokens, with the client's secret where the issuer wants it.
fn token_request(
    issuer: &Issuer,
    endpoint: Url,
    secret_in_body: bool,
    code: &str,
    flow: &Flow,
) -> RequestBuilder {
    let settings = &issuer.provider().settings;
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", code)
        .append_pair("redirect_uri", &flow.redirect_uri)
        .append_pair("code_verifier", &flow.verifier);
    let mut request = issuer.client().post(endpoint);
    match &settings.client_secret {
        Some(secret) if secret_in_body => {
            form.append_pair("client_id", &settings.client_id).append_pair("client_secret", secret);
        }
        // Both are encoded as in a form first (RFC 6749 section 2.3.1).
        Some(secret) => request = request.basic_auth(encoded(&settings.client_id), Some(encoded(secret))),
        None => {
            form.append_pair("client_id", &settings.client_id);
        }
    }
    request
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .body(form.finish())
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn tokens(body: &[u8]) -> Option<IssuerTokens> {
    let answer = json::object(body)?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
    let bearer = text("token_type")?.eq_ignore_ascii_case("bearer");
    let found = IssuerTokens { id_token: text("id_token")?, access_token: text("access_token")? };
    bearer.then_some(found)
}

/// Checks the ID token that came for a code.
pub(super) async fn id_token(
    issuer: &Issuer,
    tokens: &IssuerTokens,
    nonce: &str,
    now: i64,
) -> Result<Result<(Basics, Map<String, Value>), Refusal>, IdentityError> {
    let provider = issuer.provider();
    let unverified = match Unverified::read(&tokens.id_token) {
        Ok(unverified) => unverified,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let (algorithm, key_id) = match unverified.key(provider) {
        Ok((algorithm, key_id)) => (algorithm, key_id.to_owned()),
        Err(refusal) => return Ok(Err(refusal)),
    };
    let loaded = issuer.with_key(&key_id).await.map_err(|_| IdentityError::IssuerUnavailable)?;
    let checked = loaded.keys.get(&key_id).ok_or(Refusal::Key).and_then(|key| {
        let verified = unverified.verify(key, algorithm)?;
        let basics = verified.id_token(provider, nonce, now)?;
        let hash = verified.text("at_hash")?;
        if hash.is_some_and(|hash| hash != access_token_hash(&tokens.access_token, algorithm)) {
            return Err(Refusal::Claims);
        }
        Ok((basics, verified.claims))
    });
    Ok(checked)
}

/// Returns what an ID token vouches for an access token with.
fn access_token_hash(token: &str, algorithm: Algorithm) -> String {
    match algorithm {
        Algorithm::RS384 | Algorithm::PS384 | Algorithm::ES384 => half_hash(&Sha384::digest(token)),
        Algorithm::RS512 | Algorithm::PS512 | Algorithm::EdDSA => half_hash(&Sha512::digest(token)),
        _ => half_hash(&Sha256::digest(token)),
    }
}
