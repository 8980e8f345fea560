//! Which other sites' pages may use the API from a browser (the CORS protocol of the Fetch standard).

use actix_web::{
    HttpRequest,
    http::{
        Method,
        header::{self, HeaderName},
    },
};
use url::{Origin, Url};

use crate::{deliver, headers};

/// What a page may send besides what every page may.
const ALLOWED_HEADERS: &str = "Authorization, Content-Type, Accept, Accept-Language, If-Match, If-None-Match, \
     Idempotency-Key, X-Tenant-ID, X-Request-ID";
/// What a page may read besides what every page may.
const EXPOSED_HEADERS: &str = "ETag, Location, Retry-After, X-Request-ID, Content-Language, \
     Idempotency-Replayed, RateLimit, RateLimit-Policy, WWW-Authenticate";

/// Why a list of origins can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CorsError {
    /// The text is no origin.
    #[error(
        "{0:?} is no origin; write scheme, host and port if it is not the usual one, as in https://app.example"
    )]
    NoOrigin(String),
    /// Credentials with every origin: a browser would refuse it, and so would everybody who is asked.
    #[error("credentials can't be allowed to every origin; name the origins instead of *")]
    CredentialsForAll,
}

/// The sites whose pages may use the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// `None` is every site.
    origins: Option<Vec<String>>,
    credentials: bool,
    max_age_s: u64,
}

impl Cors {
    /// Makes the policy from origins such as `https://app.example`, or from `*` alone for every site.
    ///
    /// # Errors
    /// [`CorsError`].
    pub fn new(origins: &[String], credentials: bool, max_age_s: u64) -> Result<Self, CorsError> {
        if origins.iter().any(|origin| origin == "*") {
            return match credentials {
                true => Err(CorsError::CredentialsForAll),
                false => Ok(Self { origins: None, credentials, max_age_s }),
            };
        }
        let origins = origins.iter().map(|text| origin(text)).collect::<Result<_, _>>()?;
        Ok(Self { origins: Some(origins), credentials, max_age_s })
    }

    /// Returns the headers of an answer to whoever sent the request.
    pub(crate) fn answer(&self, request: &HttpRequest) -> Vec<(HeaderName, String)> {
        let mut headers = Vec::new();
        if self.origins.is_some() {
            headers.push((header::VARY, header::ORIGIN.to_string()));
        }
        if let Some(origin) = self.allowed(request) {
            self.allow(origin, &mut headers);
            headers.push((header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS.to_owned()));
        }
        headers
    }

    /// Returns what a browser that asks before a request is told besides; nothing when the request asks nothing or
    /// its page may not.
    pub(crate) fn preflight(&self, request: &HttpRequest, methods: &[Method]) -> Vec<(HeaderName, String)> {
        let asks = *request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !asks || self.allowed(request).is_none() {
            return Vec::new();
        }
        vec![
            (header::ACCESS_CONTROL_ALLOW_METHODS, deliver::allow(methods)),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS.to_owned()),
            (header::ACCESS_CONTROL_MAX_AGE, self.max_age_s.to_string()),
        ]
    }

    fn allow(&self, origin: String, headers: &mut Vec<(HeaderName, String)>) {
        headers.push((header::ACCESS_CONTROL_ALLOW_ORIGIN, origin));
        if self.credentials {
            headers.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true".to_owned()));
        }
    }

    /// Returns the origin to name in the answer when the page that sent the request may use the API.
    fn allowed(&self, request: &HttpRequest) -> Option<String> {
        let given = headers::text(request, &header::ORIGIN)?;
        match &self.origins {
            None => Some("*".to_owned()),
            Some(origins) => origins.iter().find(|origin| *origin == given).cloned(),
        }
    }
}

/// Brings an origin into the form in which browsers send it.
fn origin(text: &str) -> Result<String, CorsError> {
    let wrong = || CorsError::NoOrigin(text.to_owned());
    let url = Url::parse(text).map_err(|_| wrong())?;
    let bare = !text.contains('*')
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    match url.origin() {
        origin @ Origin::Tuple(..) if bare && matches!(url.scheme(), "http" | "https") => {
            Ok(origin.ascii_serialization())
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_brought_into_the_form_of_browsers() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(origin(text).ok().as_deref(), expected, "{text}");
        };
        check("https://app.example", Some("https://app.example"));
        check("https://APP.example:443/", Some("https://app.example"));
        check("http://localhost:3000", Some("http://localhost:3000"));
        check("app.example", None);
        check("https://app.example/path", None);
        check("https://user@app.example", None);
        check("https://*.example", None);
        check("file:///tmp", None);
        check("null", None);
        check("", None);
    }

    #[test]
    fn credentials_go_to_named_origins_only() {
        let all = ["*".to_owned()];
        assert_eq!(Cors::new(&all, true, 1), Err(CorsError::CredentialsForAll));
        assert!(Cors::new(&all, false, 1).is_ok());
    }
}
