//! Access tokens: JSON Web Tokens (RFC 7519) in the profile of RFC 9068, signed with HMAC-SHA-256.
//!
//! The crate `jsonwebtoken` makes and checks the signature, and nothing else: what a header and the claims may
//! be is checked here, because it lets pass a token without `aud` or `iss`, an `iss` that is a list, any `typ`,
//! an unknown `crit` and an `exp` in the year 500 billion.

use std::{fmt, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use clinicx_types::id::{SessionId, TenantId, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{error::IdentityError, key::TokenKey};

/// Who issues the tokens.
pub const ISSUER: &str = "clinicx";
/// For whom they are.
pub const AUDIENCE: &str = "clinicx-api";
/// The media type of an access token (RFC 9068 section 2.1).
const TYPE: &str = "at+jwt";
const ALGORITHM: &str = "HS256";

/// The longest life of an access token.
pub const MAX_ACCESS_TTL: Duration = Duration::from_secs(15 * 60);
/// The longest token that is looked at, in bytes; ours have about 400.
const MAX_TOKEN_BYTES: usize = 2048;
/// By how much the clocks of two processes may differ, in seconds.
const CLOCK_LEEWAY_S: i64 = 5;
/// The characters of 32 bytes in base64 without padding.
const SIGNATURE_CHARS: usize = 43;

/// What a valid access token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenClaims {
    /// The user.
    pub user_id: UserId,
    /// The log-in to which it belongs; it decides whether the token still counts.
    pub session_id: SessionId,
    /// The tenant; `None` for a platform operator.
    pub tenant: Option<TenantId>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// Why a text is no valid access token. For logs and counters; a caller is told nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is longer than any of our tokens.
    #[error("the token is too long")]
    TooLong,
    /// It has not three parts of base64, or they are not the JSON that we write.
    #[error("the token is malformed")]
    Malformed,
    /// It names another algorithm than HS256.
    #[error("the token names another algorithm")]
    Algorithm,
    /// It is a token for something else.
    #[error("the token is of another type")]
    Type,
    /// It names another key.
    #[error("the token names another key")]
    Key,
    /// Its signature is not ours.
    #[error("the token's signature is wrong")]
    Signature,
    /// Somebody else issued it.
    #[error("the token has another issuer")]
    Issuer,
    /// It is meant for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// It says that it was made later than now, or counts only from later on.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// Its life is longer than any that we give.
    #[error("the token's lifetime is too long")]
    Lifetime,
    /// The session of the token has ended, or is another than the token says.
    #[error("the token's session has ended")]
    Session,
}

/// Exactly what our header has. Another field (`jku`, `jwk`, `x5u`, `crit`, …) makes a token no token of ours.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

/// The claims. Unknown ones are allowed, so that a newer process can add one while an older still runs.
#[derive(Serialize, Deserialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    sid: &'a str,
    #[serde(default, borrow, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    tid: Option<&'a str>,
    iat: i64,
    nbf: i64,
    exp: i64,
}

/// Reads a field that may be missing and must not be null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de str>, D::Error> {
    <&str>::deserialize(deserializer).map(Some)
}

/// Makes and checks access tokens.
pub struct TokenSigner {
    signing: EncodingKey,
    checking: DecodingKey,
    key_id: String,
    ttl_s: i64,
}

impl TokenSigner {
    /// Makes one; a `ttl` above [`MAX_ACCESS_TTL`] is cut to it.
    pub fn new(key: &TokenKey, ttl: Duration) -> Self {
        Self {
            signing: EncodingKey::from_secret(key.bytes()),
            checking: DecodingKey::from_secret(key.bytes()),
            key_id: key.id(),
            ttl_s: i64::try_from(ttl.min(MAX_ACCESS_TTL).as_secs()).unwrap_or_default().max(1),
        }
    }

    /// Returns how long a token lives, in seconds.
    pub fn ttl_s(&self) -> i64 {
        self.ttl_s
    }

    /// Makes a token.
    ///
    /// # Errors
    /// [`IdentityError::Crypto`] when it can't be signed.
    pub fn issue(
        &self,
        user_id: UserId,
        session_id: SessionId,
        tenant: Option<TenantId>,
        now: DateTime<Utc>,
    ) -> Result<String, IdentityError> {
        let iat = now.timestamp();
        let (sub, sid) = (user_id.to_string(), session_id.to_string());
        let tid = tenant.map(|tenant| tenant.to_string());
        let header = Header { alg: ALGORITHM, typ: TYPE, kid: &self.key_id };
        let claims = Claims {
            iss: ISSUER,
            aud: AUDIENCE,
            sub: &sub,
            sid: &sid,
            tid: tid.as_deref(),
            iat,
            nbf: iat,
            exp: iat.saturating_add(self.ttl_s),
        };
        let message = format!("{}.{}", encode(&header)?, encode(&claims)?);
        let signature = crypto::sign(message.as_bytes(), &self.signing, Algorithm::HS256);
        let signature = signature.map_err(|_| IdentityError::Crypto("sign a token"))?;
        Ok(format!("{message}.{signature}"))
    }

    /// Checks a token; nothing in it is believed before its signature was found right.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<TokenClaims, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(TokenError::Malformed)?;
        if claims.contains('.') {
            return Err(TokenError::Malformed);
        }
        let header = decode(header)?;
        let header: Header<'_> = object(&header)?;
        if header.alg != ALGORITHM {
            return Err(TokenError::Algorithm);
        }
        if header.typ != TYPE {
            return Err(TokenError::Type);
        }
        if header.kid != self.key_id {
            return Err(TokenError::Key);
        }
        let right = signature.len() == SIGNATURE_CHARS
            && crypto::verify(signature, message.as_bytes(), &self.checking, Algorithm::HS256)
                .unwrap_or(false);
        if !right {
            return Err(TokenError::Signature);
        }
        let claims = decode(claims)?;
        check_claims(&object(&claims)?, now.timestamp())
    }
}

impl fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSigner")
            .field("key_id", &self.key_id)
            .field("ttl_s", &self.ttl_s)
            .finish_non_exhaustive()
    }
}

fn check_claims(claims: &Claims<'_>, now: i64) -> Result<TokenClaims, TokenError> {
    if claims.iss != ISSUER {
        return Err(TokenError::Issuer);
    }
    if claims.aud != AUDIENCE {
        return Err(TokenError::Audience);
    }
    let soon = now.saturating_add(CLOCK_LEEWAY_S);
    if claims.iat > soon || claims.nbf > soon {
        return Err(TokenError::NotYetValid);
    }
    if claims.exp <= now {
        return Err(TokenError::Expired);
    }
    let longest = i64::try_from(MAX_ACCESS_TTL.as_secs()).unwrap_or_default();
    let lifetime = claims.exp.checked_sub(claims.iat).ok_or(TokenError::Lifetime)?;
    if !(1..=longest).contains(&lifetime) {
        return Err(TokenError::Lifetime);
    }
    Ok(TokenClaims {
        user_id: identifier(claims.sub)?,
        session_id: identifier(claims.sid)?,
        tenant: claims.tid.map(identifier).transpose()?,
        expires_at: DateTime::from_timestamp(claims.exp, 0).ok_or(TokenError::Lifetime)?,
    })
}

/// Reads an id in the one form that we write it in.
fn identifier<T: std::str::FromStr + fmt::Display>(text: &str) -> Result<T, TokenError> {
    text.parse::<T>().ok().filter(|id| id.to_string() == text).ok_or(TokenError::Malformed)
}

fn encode(part: &impl Serialize) -> Result<String, IdentityError> {
    let json = serde_json::to_vec(part).map_err(|_| IdentityError::Crypto("write a token"))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(json))
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)
}

/// Reads a JSON object; serde would read a list as one too.
fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, TokenError> {
    if !json.starts_with(b"{") {
        return Err(TokenError::Malformed);
    }
    serde_json::from_slice(json).map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their own ids")]
mod tests;
