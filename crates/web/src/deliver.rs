//! The last step: an answer as bytes and headers.

use actix_web::{
    HttpResponse,
    http::{
        ConnectionType, StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    web::Bytes,
};
use clinicx_types::{id::RequestId, lang::Language};
use futures_util::StreamExt;

use crate::{
    catalog::Catalog,
    error::ApiError,
    headers, problem,
    reply::{Content, Location, Reply},
    stream::Flow,
};

/// An answer as it is sent, and as it is kept for a repeated request.
#[derive(Clone, Debug)]
pub(crate) struct Rendered {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) body: Bytes,
    /// What comes instead of the body, bit by bit; never kept.
    pub(crate) flow: Option<Flow>,
    pub(crate) close: bool,
    /// Its ETag does not tell all that it shows.
    pub(crate) is_derived: bool,
    /// The patients whom it shows; kept beside the answer, never sent.
    pub(crate) shown: Option<Vec<uuid::Uuid>>,
}

impl Rendered {
    /// Renders an answer of an operation that is mounted at `base`.
    pub(crate) fn reply(reply: &Reply, base: &str) -> Result<Self, ApiError> {
        let mut headers = reply.headers.clone();
        if let Some(etag) = &reply.etag {
            headers.push((header::ETAG, etag.clone()));
        }
        match &reply.location {
            Some(Location::BelowBase(path)) => headers.push((header::LOCATION, format!("{base}{path}"))),
            Some(Location::Complete(path)) => headers.push((header::LOCATION, path.clone())),
            None => {}
        }
        let (body, flow) = match &reply.content {
            Content::Empty => (Bytes::new(), None),
            Content::Typed(media_type, bytes) => {
                headers.push((header::CONTENT_TYPE, media_type.clone()));
                (bytes.clone(), None)
            }
            Content::Flowing(media_type, flow) => {
                headers.push((header::CONTENT_TYPE, media_type.clone()));
                (Bytes::new(), Some(flow.clone()))
            }
            Content::Broken(cause) => return Err(ApiError::internal(cause)),
        };
        let (status, shown) = (reply.status, reply.shown.clone());
        Ok(Self { status, headers, body, flow, close: false, is_derived: false, shown })
    }

    /// Renders a refusal as a problem document.
    pub(crate) fn error(
        error: &ApiError,
        catalog: &Catalog,
        language: Language,
        request_id: RequestId,
    ) -> Self {
        let parts = error.parts();
        let mut headers = vec![
            (header::CONTENT_TYPE, problem::MEDIA_TYPE.to_owned()),
            (header::CONTENT_LANGUAGE, language.tag().to_owned()),
            (header::VARY, header::ACCEPT_LANGUAGE.to_string()),
        ];
        if let Some(seconds) = parts.retry_after_s {
            headers.push((header::RETRY_AFTER, seconds.to_string()));
        }
        if parts.status == StatusCode::UNAUTHORIZED {
            let reason = if parts.token_refused { ", error=\"invalid_token\"" } else { "" };
            headers.push((header::WWW_AUTHENTICATE, format!("Bearer realm=\"clinicx\"{reason}")));
        }
        if !parts.methods.is_empty() {
            headers.push((header::ALLOW, allow(&parts.methods)));
        }
        let body = problem::write(error, catalog, language, request_id).into();
        let (status, close) = (parts.status, parts.close);
        Self { status, headers, body, flow: None, close, is_derived: false, shown: None }
    }

    /// Turns a full answer into 304: the client has it already.
    pub(crate) fn not_modified(mut self) -> Self {
        self.status = StatusCode::NOT_MODIFIED;
        self.headers.retain(|(name, _)| name != header::CONTENT_TYPE);
        self.body = Bytes::new();
        self
    }

    /// Leaves the content away, as an answer to HEAD does: what flows would otherwise be read to its end.
    pub(crate) fn without_flow(self) -> Self {
        Self { flow: None, ..self }
    }

    /// Returns a header's value.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Makes the response, with the headers that every answer has.
    pub(crate) fn into_response(
        self,
        request_id: RequestId,
        common: &[(HeaderName, String)],
    ) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        for (name, value) in &self.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.insert_header((name.clone(), value));
            }
        }
        for (name, value) in common {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.append_header((name.clone(), value));
            }
        }
        response.insert_header((headers::REQUEST_ID, request_id.to_string()));
        let mut response = match self.flow.and_then(|flow| flow.take()) {
            Some(flow) => response.streaming(flow.map(Ok::<_, std::convert::Infallible>)),
            None if self.body.is_empty() => response.finish(),
            None => response.body(self.body),
        };
        headers::harden(response.headers_mut());
        if self.close {
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
        response
    }
}

/// Writes methods down for `Allow`.
pub(crate) fn allow(methods: &[actix_web::http::Method]) -> String {
    methods.iter().map(actix_web::http::Method::as_str).collect::<Vec<_>>().join(", ")
}
