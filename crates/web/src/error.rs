//! Why a request is refused, before it is put into words for one caller.

use std::{error::Error, fmt};

use actix_web::http::{Method, StatusCode};
use clinicx_persistence::{Failure, FailureKind};
use clinicx_types::error::{DomainError, ErrorKind, FieldError};
use sea_orm::DbErr;
use serde_json::{Map, Value};
use uuid::Uuid;

/// A refusal or failure that becomes a problem document (RFC 9457).
///
/// Every [`DomainError`] converts into one, so that `?` is all that a handler needs.
#[derive(Clone)]
pub struct ApiError(Box<Parts>);

#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) detail: Option<String>,
    pub(crate) fields: Vec<FieldError>,
    pub(crate) allowed: Vec<&'static str>,
    pub(crate) conflicts: Vec<Uuid>,
    pub(crate) members: Map<String, Value>,
    pub(crate) retry_after_s: Option<u32>,
    pub(crate) methods: Vec<Method>,
    pub(crate) token_refused: bool,
    pub(crate) close: bool,
    pub(crate) failure: Option<FailureKind>,
    pub(crate) cause: Option<String>,
}

impl ApiError {
    /// Makes one with a status and a stable code in snake_case; its words come from the catalog.
    pub fn new(status: StatusCode, code: &'static str) -> Self {
        let retry_after_s = match status {
            StatusCode::TOO_MANY_REQUESTS => Some(10),
            // Trying again configures nothing.
            StatusCode::SERVICE_UNAVAILABLE if code.ends_with("not_configured") => None,
            StatusCode::SERVICE_UNAVAILABLE => Some(2),
            _ => None,
        };
        Self(Box::new(Parts {
            status,
            code,
            detail: None,
            fields: Vec::new(),
            allowed: Vec::new(),
            conflicts: Vec::new(),
            members: Map::new(),
            retry_after_s,
            methods: Vec::new(),
            token_refused: false,
            close: false,
            failure: None,
            cause: None,
        }))
    }

    /// The thing does not exist, or the actor may not know that it does: always the same answer.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found")
    }

    /// Parts of the input have a wrong meaning.
    pub fn invalid(fields: Vec<FieldError>) -> Self {
        let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid");
        error.0.fields = fields;
        error
    }

    /// One part of the input has a wrong meaning.
    pub fn invalid_field(
        pointer: impl Into<String>,
        code: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self::invalid(vec![FieldError::new(pointer, code, detail)])
    }

    /// Something that is needed is away; a later try can succeed.
    pub fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable")
    }

    /// A defect. The cause is logged and never answered; it must not carry a row's values.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal").caused_by(cause)
    }

    /// Reads a database error by its SQLSTATE; for domain operations their own error says it better.
    pub fn database(error: &DbErr) -> Self {
        Self::failure(&Failure::of(error))
    }

    /// Says what a database failure means when no rule of a domain explains it better.
    pub fn failure(failure: &Failure) -> Self {
        let mut error = Self::new(status_of(failure.error_kind()), failure.code()).caused_by(failure);
        error.0.failure = Some(failure.kind);
        error
    }

    /// Says in a sentence what is wrong; no SQL, no schema name, no patient data.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Says after how many seconds another try makes sense.
    #[must_use]
    pub fn retry_after_s(mut self, seconds: u32) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// Adds a member of its own to the problem document, such as the list that a choice is made from.
    #[must_use]
    pub fn member(mut self, name: &'static str, value: Value) -> Self {
        self.0.members.insert(name.to_owned(), value);
        self
    }

    /// Notes the cause for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: impl fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Returns the stable code.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// Returns the kind of database failure behind it, if there is one.
    pub fn failure_kind(&self) -> Option<FailureKind> {
        self.0.failure
    }

    pub(crate) fn invalid_cursor(field: FieldError) -> Self {
        let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_cursor");
        error.0.fields.push(field);
        error
    }

    pub(crate) fn method_not_allowed(methods: Vec<Method>) -> Self {
        let mut error = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed");
        error.0.methods = methods;
        error
    }

    pub(crate) fn closing(mut self) -> Self {
        self.0.close = true;
        self
    }

    /// Notes that a token was shown and refused, for `WWW-Authenticate`.
    pub(crate) fn about_token(mut self) -> Self {
        self.0.token_refused = self.0.status == StatusCode::UNAUTHORIZED;
        self
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.0
    }
}

/// Maps a kind of domain error to its status; the only place that does.
fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Gone => StatusCode::GONE,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Stale => StatusCode::PRECONDITION_FAILED,
        ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::Throttled => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl<E: DomainError> From<E> for ApiError {
    fn from(error: E) -> Self {
        let kind = error.kind();
        let mut answer = Self::new(status_of(kind), error.code());
        if kind != ErrorKind::Internal {
            answer.0.detail = Some(error.detail());
        }
        answer.0.fields = error.fields();
        answer.0.allowed = error.allowed();
        answer.0.conflicts = error.conflicts();
        answer.0.failure = failure_behind(&error);
        answer.0.cause = Some(chain(&error));
        answer
    }
}

fn failure_behind(error: &(dyn Error + 'static)) -> Option<FailureKind> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(failure) = current.downcast_ref::<Failure>() {
            return Some(failure.kind);
        }
        next = current.source();
    }
    None
}

/// Joins the messages of an error and its sources.
///
/// The display texts of domain errors carry facts and no row values; those of other crates' errors may, so that
/// the chain ends before the first one that is not known to be safe.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(current) = next {
        if current.is::<DbErr>() {
            break;
        }
        text.push_str(": ");
        text.push_str(&current.to_string());
        next = current.source();
    }
    text
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiError")
            .field("status", &self.0.status.as_u16())
            .field("code", &self.0.code)
            .field("cause", &self.0.cause)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0.code, self.0.status.as_u16())
    }
}
