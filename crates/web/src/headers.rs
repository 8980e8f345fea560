//! Headers that are read before anything else, and those that every answer has.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use actix_web::{
    HttpRequest,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
};
use clinicx_types::{
    clock::IdSource,
    id::RequestId,
    lang::Language,
    name::{NameError, TenantSlug},
};
use uuid::Uuid;

use crate::{error::ApiError, kit::KitOptions, limit::Standing};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const TENANT_ID: HeaderName = HeaderName::from_static("x-tenant-id");
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(crate) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(crate) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
pub(crate) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Puts the headers on an answer that keep browsers from doing more with it than they should; one that is there
/// already stays.
pub fn harden(headers: &mut HeaderMap) {
    const DEFAULTS: [(HeaderName, HeaderValue); 7] = [
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
        ),
        (
            HeaderName::from_static("permissions-policy"),
            HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
        ),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    ];
    for (name, value) in DEFAULTS {
        if !headers.contains_key(&name) {
            headers.insert(name, value);
        }
    }
}

/// Refuses a head that is larger than it may be. What is larger than the HTTP server itself takes never comes here.
pub(crate) fn check_size(request: &HttpRequest, options: &KitOptions) -> Result<(), ApiError> {
    let url = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if url > options.url_limit_bytes {
        return Err(ApiError::new(StatusCode::URI_TOO_LONG, "uri_too_long").closing());
    }
    let fields = request.headers().iter();
    let sizes = fields.map(|(name, value)| name.as_str().len().saturating_add(value.len()).saturating_add(4));
    let (count, bytes) = sizes.fold((0_usize, 0_usize), |(count, bytes), size| {
        (count.saturating_add(1), bytes.saturating_add(size))
    });
    if count > options.header_limit_count || bytes > options.header_limit_bytes {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(ApiError::new(status, "headers_too_large").closing());
    }
    Ok(())
}

/// Returns the header fields of the IETF's draft "RateLimit header fields for HTTP" for a tenant's rate.
pub(crate) fn rate_limit(standing: Standing) -> [(HeaderName, String); 2] {
    let Standing { burst, window_s, remaining, reset_s } = standing;
    [
        (RATE_LIMIT_POLICY, format!("\"tenant\";q={burst};w={window_s}")),
        (RATE_LIMIT, format!("\"tenant\";r={remaining};t={reset_s}")),
    ]
}

/// Takes over the caller's request id when it is a UUID, else makes one.
pub(crate) fn request_id(request: &HttpRequest, ids: &dyn IdSource) -> RequestId {
    let given = text(request, &REQUEST_ID).and_then(|value| Uuid::parse_str(value).ok());
    RequestId::new(given.unwrap_or_else(|| ids.next()))
}

pub(crate) fn language(request: &HttpRequest) -> Language {
    text(request, &header::ACCEPT_LANGUAGE).map(Language::negotiate).unwrap_or_default()
}

/// Returns where the request came from. What a proxy says is believed only of those proxies that are trusted: from
/// the last hop of `X-Forwarded-For` back to the first that is none of them. Behind a hop that can't be read
/// nothing is believed, and the trusted proxy before it counts.
pub(crate) fn source(request: &HttpRequest, trusted: &[IpAddr]) -> Option<IpAddr> {
    let mut nearest = request.peer_addr()?.ip().to_canonical();
    let values: Vec<_> = request.headers().get_all("x-forwarded-for").collect();
    let mut hops = values.into_iter().rev().flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    while trusted.contains(&nearest) {
        match hops.next().and_then(|hop| address(std::str::from_utf8(hop).ok()?.trim())) {
            Some(hop) => nearest = hop,
            None => break,
        }
    }
    Some(nearest)
}

/// Reads an address as proxies write it: alone, in brackets, with a port.
fn address(hop: &str) -> Option<IpAddr> {
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    hop.parse().ok().or_else(bracketed).or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

/// Returns the bearer token.
pub(crate) fn bearer(request: &HttpRequest) -> Option<&str> {
    let (scheme, token) = text(request, &header::AUTHORIZATION)?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// What a request says about its tenant besides the token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    None,
    Tenant(TenantSlug),
    /// The named header can name no tenant, or header and host differ.
    Malformed(&'static str),
}

/// Reads the header `X-Tenant-ID` and the host's subdomain under the base domain.
pub(crate) fn claimed_tenant(request: &HttpRequest, base_domain: Option<&str>) -> Claim {
    let by_host = match base_domain.and_then(|base| subdomain(host(request)?, base)).transpose() {
        Ok(by_host) => by_host,
        Err(_) => return Claim::Malformed("Host"),
    };
    let mut headers = request.headers().get_all(&TENANT_ID);
    let Some(value) = headers.next() else {
        return by_host.map_or(Claim::None, Claim::Tenant);
    };
    let slug = value.to_str().map_err(|_| NameError::Empty).and_then(TenantSlug::parse);
    match (slug, by_host, headers.next()) {
        (Ok(slug), None, None) => Claim::Tenant(slug),
        (Ok(slug), Some(host), None) if slug == host => Claim::Tenant(slug),
        _ => Claim::Malformed("X-Tenant-ID"),
    }
}

fn host(request: &HttpRequest) -> Option<&str> {
    request.uri().host().or_else(|| {
        let host = text(request, &header::HOST)?;
        Some(host.rsplit_once(':').map_or(host, |(name, _)| name))
    })
}

/// Returns the tenant that a host name names, or why what stands before the base domain can name none. The base
/// domain itself and a reserved word such as `www` name nothing.
fn subdomain(host: &str, base: &str) -> Option<Result<TenantSlug, NameError>> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let label = host.strip_suffix(&base.to_ascii_lowercase())?.strip_suffix('.')?;
    match TenantSlug::parse(label) {
        Err(NameError::Reserved) => None,
        parsed => Some(parsed),
    }
}

/// Is the version of nothing; what nobody has set yet has version 0.
const NO_VERSION: i64 = -1;

/// Reads `If-Match`: `None` without the header and for `*`.
///
/// A weak or unknown tag matches nothing (RFC 9110 section 13.1.1), which is what [`NO_VERSION`] does too. Of several
/// the latest counts: versions only rise, so that no other can be the present one.
pub(crate) fn expected_version(request: &HttpRequest) -> Result<Precondition, ApiError> {
    let values: Vec<_> = request.headers().get_all(header::IF_MATCH).collect();
    if values.is_empty() {
        return Ok(Precondition::Absent);
    }
    let mut latest = NO_VERSION;
    for value in values {
        let value = value.to_str().map_err(|_| malformed("If-Match"))?.trim();
        if value == "*" {
            return Ok(Precondition::Any);
        }
        for tag in value.split(',').map(str::trim) {
            let (weak, opaque) = tag.strip_prefix("W/").map_or((false, tag), |rest| (true, rest));
            let inner = opaque.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let inner = inner.filter(|inner| !inner.contains('"')).ok_or_else(|| malformed("If-Match"))?;
            let version = inner.parse::<i64>().unwrap_or(NO_VERSION);
            if !weak && inner.bytes().all(|byte| byte.is_ascii_digit()) {
                latest = latest.max(version);
            }
        }
    }
    Ok(Precondition::Version(latest))
}

/// What `If-Match` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precondition {
    Absent,
    Any,
    Version(i64),
}

/// Tells whether `If-None-Match` names the tag (by weak comparison, RFC 9110 section 13.1.2).
pub(crate) fn has_current(request: &HttpRequest, etag: &str) -> bool {
    let values = request.headers().get_all(header::IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).any(|tag| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag == "*" || tag == etag
    })
}

/// Reads `Idempotency-Key`: 1 to 255 visible ASCII characters.
pub(crate) fn idempotency_key(request: &HttpRequest) -> Result<Option<&str>, ApiError> {
    let mut values = request.headers().get_all(&IDEMPOTENCY_KEY);
    let Some(value) = values.next() else { return Ok(None) };
    let visible =
        |key: &&str| (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    match (value.to_str().ok().filter(visible), values.next()) {
        (Some(key), None) => Ok(Some(key)),
        _ => Err(malformed("Idempotency-Key")),
    }
}

/// Makes the answer to a header that can't be read.
pub(crate) fn malformed(name: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "malformed_header")
        .detail(format!("the header {name} is malformed"))
}

/// Returns a header's text.
pub(crate) fn text<'a>(request: &'a HttpRequest, name: &HeaderName) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn if_match_is_read_strictly() {
        let check = |value: &str, expected: Option<Precondition>| {
            let request = TestRequest::default().insert_header((header::IF_MATCH, value)).to_http_request();
            assert_eq!(expected_version(&request).ok(), expected, "{value}");
        };
        check("*", Some(Precondition::Any));
        check("\"3\"", Some(Precondition::Version(3)));
        check("\"3\", \"7\"", Some(Precondition::Version(7)));
        check("W/\"3\"", Some(Precondition::Version(NO_VERSION)));
        check("\"0\"", Some(Precondition::Version(0)));
        check("\"abc\"", Some(Precondition::Version(NO_VERSION)));
        check("\"99999999999999999999\"", Some(Precondition::Version(NO_VERSION)));
        check("3", None);
        check("\"3", None);
        check("", None);
    }

    #[test]
    fn header_and_host_must_name_the_same_tenant() {
        let check = |header: Option<&str>, host: &str, expected: Claim| {
            let mut request = TestRequest::default().insert_header((header::HOST, host));
            if let Some(value) = header {
                request = request.insert_header((TENANT_ID, value));
            }
            assert_eq!(
                claimed_tenant(&request.to_http_request(), Some("example.org")),
                expected,
                "{header:?} {host}"
            );
        };
        let tenant = |slug: &str| Claim::Tenant(TenantSlug::parse(slug).unwrap());
        check(None, "localhost:8080", Claim::None);
        check(None, "clinic1.example.org:8080", tenant("clinic1"));
        check(None, "www.example.org", Claim::None);
        check(None, "a.b.example.org", Claim::Malformed("Host"));
        check(None, "UP_.example.org", Claim::Malformed("Host"));
        check(Some("clinic1"), "a.clinic1.example.org", Claim::Malformed("Host"));
        check(None, "clinic1example.org", Claim::None);
        check(Some("clinic1"), "localhost", tenant("clinic1"));
        check(Some("clinic1"), "CLINIC1.example.org", tenant("clinic1"));
        check(Some("clinic2"), "clinic1.example.org", Claim::Malformed("X-Tenant-ID"));
        check(Some("No Slug"), "localhost", Claim::Malformed("X-Tenant-ID"));
    }

    #[test]
    fn a_forwarded_address_counts_only_from_a_trusted_proxy() {
        let check = |peer: &str, forwarded: &str, expected: &str| {
            let request = TestRequest::default()
                .peer_addr(peer.parse().unwrap())
                .insert_header(("x-forwarded-for", forwarded))
                .to_http_request();
            let trusted = ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
            assert_eq!(source(&request, &trusted), Some(expected.parse().unwrap()), "{peer} {forwarded}");
        };
        check("192.0.2.7:1", "198.51.100.1", "192.0.2.7");
        check("10.0.0.1:1", "203.0.113.9, 198.51.100.1, 10.0.0.2", "198.51.100.1");
        check("10.0.0.1:1", "198.51.100.1:4711", "198.51.100.1");
        check("10.0.0.1:1", "[2001:db8::7]:4711, 10.0.0.2:80", "2001:db8::7");
        check("10.0.0.1:1", "[2001:db8::7]", "2001:db8::7");
        check("10.0.0.1:1", "::ffff:198.51.100.1", "198.51.100.1");
        check("[::ffff:10.0.0.1]:1", "198.51.100.1", "198.51.100.1");
        check("10.0.0.1:1", "10.0.0.2", "10.0.0.2");
        // What stands before an unreadable hop may be the client's own invention.
        check("10.0.0.1:1", "rubbish", "10.0.0.1");
        check("10.0.0.1:1", "203.0.113.9, rubbish", "10.0.0.1");
        check("10.0.0.1:1", "203.0.113.9, unknown, 10.0.0.2", "10.0.0.2");
        check("10.0.0.1:1", "203.0.113.9, , 10.0.0.2", "10.0.0.2");
        check("10.0.0.1:1", "", "10.0.0.1");
    }

    #[test]
    fn the_hops_of_several_headers_are_one_list() {
        let request = TestRequest::default()
            .peer_addr("10.0.0.1:1".parse().unwrap())
            .append_header(("x-forwarded-for", "203.0.113.9, 198.51.100.1"))
            .append_header(("x-forwarded-for", "10.0.0.1"))
            .to_http_request();
        let trusted = ["10.0.0.1".parse().unwrap()];
        assert_eq!(source(&request, &trusted), Some("198.51.100.1".parse().unwrap()));
    }
}
