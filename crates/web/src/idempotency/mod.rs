//! `Idempotency-Key`: a repeated request gets the first answer.

pub(crate) mod platform;
pub(crate) mod tenant;

use actix_web::{
    HttpRequest,
    http::{
        StatusCode,
        header::{self, HeaderName},
    },
};
use clinicx_keys::Field;
use clinicx_types::{id::TenantId, name::TenantSlug};
use sea_orm::FromQueryResult;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    deliver::Rendered,
    error::ApiError,
    headers::{self, IDEMPOTENCY_REPLAYED},
    reply::{Content, Location, Reply},
    seal::{Sealer, mac},
};

/// The column of a tenant's table that holds its kept answers, sealed under the tenant's data key.
pub const KEPT_ANSWERS: Field = Field { table: "idempotency_keys", column: "body" };

/// How long an answer is kept, in seconds.
pub(crate) const KEPT_FOR_S: i64 = 24 * 60 * 60;

/// How long an answer is kept that holds tokens, in seconds: long enough for a client that lost it.
pub(crate) const KEPT_BRIEFLY_FOR_S: i64 = 10 * 60;

/// How many expired answers go with each that is kept: more than come, so that none pile up.
pub(crate) const EXPIRED_BATCH: i64 = 100;

/// Stands among the headers of a kept answer for the patients whom it shows; no header can have this name.
const SHOWN: &str = ":shown";

/// The key of a request, and what it was sent with.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) text: String,
    /// An HMAC: a body may hold a password, which a plain hash would let guess.
    pub(crate) request_hash: Vec<u8>,
    /// The tenant that the token names.
    pub(crate) tenant: Option<TenantId>,
    pub(crate) kept_for_s: i64,
    sealer: Sealer,
}

impl Key {
    pub(crate) fn new(
        master: &[u8; 32],
        tenant: Option<TenantId>,
        text: String,
        request: &HttpRequest,
        body: &[u8],
    ) -> Self {
        let scope = tenant.map(|id| id.uuid().into_bytes().to_vec()).unwrap_or_default();
        let parts = [
            request.method().as_str().as_bytes(),
            request.path().as_bytes(),
            request.query_string().as_bytes(),
            headers::text(request, &header::IF_MATCH).unwrap_or_default().as_bytes(),
            body,
        ];
        let request_hash = mac(&mac(master, &[b"idempotency request", &scope]), &parts).to_vec();
        let sealer = Sealer::derive(master, "idempotency answer", &[&scope]);
        Self { text, request_hash, tenant, kept_for_s: KEPT_FOR_S, sealer }
    }

    /// Makes it the key of an operation whose answer is kept briefly. What a public one does depends on the tenant
    /// that header or host name too, so that another one makes it another request.
    pub(crate) fn brief(self, master: &[u8; 32], claimed: Option<&TenantSlug>) -> Self {
        let slug = claimed.map_or("", TenantSlug::as_str);
        let parts: [&[u8]; 3] = [b"idempotency claim", &self.request_hash, slug.as_bytes()];
        Self { request_hash: mac(master, &parts).to_vec(), kept_for_s: KEPT_BRIEFLY_FOR_S, ..self }
    }

    /// Seals an answer for the row that keeps it.
    pub(crate) fn seal(&self, slot: &Slot<'_>, answer: &Rendered) -> Result<Vec<u8>, ApiError> {
        let kept = answer.headers.iter().filter(|(name, _)| *name != header::RETRY_AFTER);
        let mut headers: Vec<(&str, &str)> =
            kept.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let shown = answer.shown.as_ref().map(|shown| serde_json::to_string(shown).unwrap_or_default());
        headers.extend(shown.as_deref().map(|shown| (SHOWN, shown)));
        let mut plain = serde_json::to_vec(&headers).map_err(ApiError::internal)?;
        // JSON as it is written here has no line end of its own.
        plain.push(b'\n');
        plain.extend_from_slice(&answer.body);
        let place = slot.place(self, &self.request_hash, i32::from(answer.status.as_u16()));
        let sealed = self.sealer.seal(&plain, &place);
        sealed.ok_or_else(|| ApiError::internal("an answer is too long to be sealed"))
    }
}

/// Returns the principal that stands for whoever knows a secret: without the secret it can't be found.
pub(crate) fn holder(master: &[u8; 32], operation: &str, secret: &[&[u8]]) -> Uuid {
    let digest = mac(&mac(master, &[b"idempotency holder", operation.as_bytes()]), secret);
    Uuid::from_bytes(digest.first_chunk().copied().unwrap_or_default())
}

/// Where an answer is kept: the row of a key. A sealed answer opens in its own row only.
pub(crate) struct Slot<'a> {
    pub(crate) principal: Uuid,
    pub(crate) operation: &'a str,
}

impl Slot<'_> {
    fn place(&self, key: &Key, request_hash: &[u8], status: i32) -> [u8; 32] {
        let principal = self.principal.as_bytes();
        digest(&[
            principal,
            self.operation.as_bytes(),
            key.text.as_bytes(),
            request_hash,
            &status.to_be_bytes(),
        ])
    }
}

/// A row of a key; without a status the first request still runs.
#[derive(Clone, FromQueryResult)]
pub(crate) struct Kept {
    operation: String,
    request_hash: Vec<u8>,
    status: Option<i32>,
    body: Option<Vec<u8>>,
}

impl Kept {
    /// Returns the first answer, when this is the same request.
    ///
    /// An answer that does not open, because the kit's key has changed since or the row was tampered with, is
    /// refused as lost: without it nobody knows what was done, and doing it again could do it twice.
    pub(crate) fn answer(self, key: &Key, principal: Uuid) -> Result<Reply, ApiError> {
        let is_same = self.request_hash == key.request_hash;
        let reused = || ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused");
        let Some(status) = self.status else { return Err(if is_same { in_progress() } else { reused() }) };
        let slot = Slot { principal, operation: &self.operation };
        let place = slot.place(key, &self.request_hash, status);
        let plain = self.body.and_then(|sealed| key.sealer.open(&sealed, &place)).ok_or_else(lost)?;
        if !is_same {
            return Err(reused());
        }
        let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.ok_or_else(lost)?;
        let mut parts = plain.splitn(2, |byte| *byte == b'\n');
        let headers: Option<Vec<(String, String)>> =
            parts.next().and_then(|headers| serde_json::from_slice(headers).ok());
        let (headers, body) = headers.zip(parts.next()).ok_or_else(lost)?;
        let mut reply = Reply::no_content().with_status(status).with_header(IDEMPOTENCY_REPLAYED, "true");
        let mut media_type = None;
        for (name, value) in headers {
            match name.as_str() {
                "etag" => reply.etag = Some(value),
                "location" => reply.location = Some(Location::Complete(value)),
                "content-type" => media_type = Some(value),
                SHOWN => reply.shown = serde_json::from_str(&value).ok(),
                other => {
                    if let Ok(name) = other.parse::<HeaderName>() {
                        reply = reply.with_header(name, value);
                    }
                }
            }
        }
        if let Some(media_type) = media_type {
            reply.content = Content::Typed(media_type, body.to_vec().into());
        }
        Ok(reply)
    }
}

/// Makes the answer to a request whose first answer can't be read any more.
fn lost() -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "idempotency_answer_lost")
}

/// Tells whether a refusal would be the same when the request came again, so that it is worth keeping.
pub(crate) fn is_lasting(error: &ApiError) -> bool {
    matches!(error.status().as_u16(), 404 | 409 | 410 | 412 | 422)
}

/// Makes the answer to a request whose first sending still runs.
pub(crate) fn in_progress() -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "idempotency_in_progress").retry_after_s(1)
}

/// Returns the SHA-256 of parts, each with its length before it.
pub(crate) fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_string().as_bytes());
        hash.update(b":");
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const CLINIC: TenantId = TenantId::new(Uuid::from_u128(1));
    const OTHER_CLINIC: TenantId = TenantId::new(Uuid::from_u128(2));
    const SLOT: Slot<'_> = Slot { principal: Uuid::from_u128(3), operation: "create_room" };

    fn key_of(master: u8, tenant: Option<TenantId>, uri: &str, body: &str) -> Key {
        let request = TestRequest::post().uri(uri).to_http_request();
        Key::new(&[master; 32], tenant, "k".to_owned(), &request, body.as_bytes())
    }

    fn key(uri: &str, body: &str) -> Key {
        key_of(7, Some(CLINIC), uri, body)
    }

    fn first() -> (Rendered, Kept) {
        let answer = Reply::created("/rooms/1", &serde_json::json!({"version": 1, "notes": "Secret\nnotes"}));
        let answer = Rendered::reply(&answer, "/api").unwrap();
        let key = key("/rooms", "{}");
        let kept = Kept {
            operation: SLOT.operation.to_owned(),
            status: Some(i32::from(answer.status.as_u16())),
            body: Some(key.seal(&SLOT, &answer).unwrap()),
            request_hash: key.request_hash,
        };
        (answer, kept)
    }

    #[test]
    fn the_first_answer_comes_again_only_for_the_same_request() {
        let (first, kept) = first();
        let again = kept.clone().answer(&key("/rooms", "{}"), SLOT.principal).unwrap();
        let again = Rendered::reply(&again, "/api").unwrap();
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        assert_eq!(again.header(&header::ETAG), Some("\"1\""));
        assert_eq!(again.header(&header::LOCATION), Some("/api/rooms/1"));
        assert_eq!(again.header(&header::CONTENT_TYPE), first.header(&header::CONTENT_TYPE));
        assert_eq!(again.header(&IDEMPOTENCY_REPLAYED), Some("true"));
        for other in [key("/rooms", "{ }"), key("/rooms?x", "{}"), key("/room", "s{}")] {
            assert_eq!(
                kept.clone().answer(&other, SLOT.principal).unwrap_err().code(),
                "idempotency_key_reused"
            );
        }
        let running = Kept { status: None, ..kept };
        let refused = running.answer(&key("/rooms", "{}"), SLOT.principal).unwrap_err();
        assert_eq!(refused.code(), "idempotency_in_progress");
    }

    #[test]
    fn a_kept_answer_can_be_read_in_its_own_row_only() {
        let (_, kept) = first();
        let sealed = kept.body.clone().unwrap();
        for word in ["Secret", "notes", "version", "/rooms"] {
            assert!(!sealed.windows(word.len()).any(|part| part == word.as_bytes()), "{word}");
        }
        let same = key("/rooms", "{}");
        let lost = |kept: &Kept, key: &Key, principal: Uuid| {
            assert_eq!(kept.clone().answer(key, principal).unwrap_err().code(), "idempotency_answer_lost");
        };
        lost(&kept, &key_of(8, Some(CLINIC), "/rooms", "{}"), SLOT.principal);
        lost(&kept, &key_of(7, Some(OTHER_CLINIC), "/rooms", "{}"), SLOT.principal);
        lost(&kept, &key_of(7, None, "/rooms", "{}"), SLOT.principal);
        lost(&kept, &Key { text: "other".to_owned(), ..same.clone() }, SLOT.principal);
        lost(&kept, &same, Uuid::from_u128(4));
        lost(&Kept { operation: "delete_room".to_owned(), ..kept.clone() }, &same, SLOT.principal);
        lost(&Kept { status: Some(200), ..kept.clone() }, &same, SLOT.principal);
        lost(&Kept { body: None, ..kept.clone() }, &same, SLOT.principal);
        lost(&Kept { body: Some(b"{\"version\": 1}".to_vec()), ..kept.clone() }, &same, SLOT.principal);
        lost(&Kept { request_hash: key("/rooms", "{ }").request_hash, ..kept }, &same, SLOT.principal);
    }

    #[test]
    fn the_hash_of_a_request_needs_the_key_and_the_tenant() {
        let hash = |master, tenant| key_of(master, tenant, "/rooms", "{}").request_hash;
        let hashes = [hash(7, Some(CLINIC)), hash(7, Some(OTHER_CLINIC)), hash(7, None), hash(8, None)];
        let different: std::collections::BTreeSet<_> = hashes.iter().collect();
        assert_eq!(different.len(), hashes.len());
        assert_eq!(hash(7, Some(CLINIC)), hashes[0]);
    }

    #[test]
    fn a_secret_has_its_own_place_in_each_operation() {
        let at = |master: u8, operation: &str, secret: &[&[u8]]| holder(&[master; 32], operation, secret);
        let places = [
            at(7, "login", &[b"a", b"bc"]),
            at(7, "login", &[b"ab", b"c"]),
            at(7, "login", &[b"abc"]),
            at(7, "refresh", &[b"abc"]),
            at(8, "login", &[b"abc"]),
        ];
        let different: std::collections::BTreeSet<_> = places.iter().collect();
        assert_eq!(different.len(), places.len());
        assert_eq!(at(7, "login", &[b"abc"]), places[2]);
    }

    #[test]
    fn a_public_request_for_another_tenant_is_another_one() {
        let hash = |slug: Option<&str>| {
            let slug = slug.map(|slug| TenantSlug::parse(slug).unwrap());
            key_of(7, None, "/login", "{}").brief(&[7; 32], slug.as_ref()).request_hash
        };
        assert_eq!(hash(Some("one")), hash(Some("one")));
        assert_ne!(hash(Some("one")), hash(Some("two")));
        assert_ne!(hash(Some("one")), hash(None));
    }
}
