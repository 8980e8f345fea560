//! How a domain error presents itself to whoever answers the caller.

use uuid::Uuid;

/// What kind of refusal or failure an error is; the web crate alone maps it to a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The thing does not exist, or the actor may not know that it does.
    NotFound,
    /// The thing existed and was merged, erased or ended.
    Gone,
    /// The state of things or a uniqueness rule stands against it.
    Conflict,
    /// The thing has changed since the caller read it.
    Stale,
    /// The input has the right form and the wrong meaning.
    Invalid,
    /// The caller is not known.
    Unauthenticated,
    /// The caller is known and may not.
    Forbidden,
    /// The caller asked too often.
    Throttled,
    /// Something that is needed is away; a later try can succeed.
    Unavailable,
    /// The work did not end in its time.
    Timeout,
    /// A defect: nothing that the caller did.
    Internal,
}

/// One part of the input that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct FieldError {
    /// Where it stands: a JSON Pointer (RFC 6901) into the body, or `?name` for a query parameter.
    pub pointer: String,
    /// A stable, machine-readable reason in snake_case.
    pub code: String,
    /// What is wrong, in words that carry no patient data.
    pub detail: String,
}

impl FieldError {
    /// Makes one from its three parts.
    pub fn new(pointer: impl Into<String>, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code: code.into(), detail: detail.into() }
    }
}

/// What every error of a domain crate can say about itself to the outside.
///
/// Nothing here may carry SQL, a schema name, another tenant's id or patient data.
pub trait DomainError: std::error::Error + Send + Sync + 'static {
    /// Returns the kind, which decides the status.
    fn kind(&self) -> ErrorKind;

    /// Returns the stable code in snake_case that clients branch on, such as `slot_taken`.
    fn code(&self) -> &'static str;

    /// Returns a sentence for the caller.
    fn detail(&self) -> String {
        self.to_string()
    }

    /// Returns the wrong parts of the input, for [`ErrorKind::Invalid`].
    fn fields(&self) -> Vec<FieldError> {
        Vec::new()
    }

    /// Returns the states that could be reached instead, for a refused transition.
    fn allowed(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Returns the ids of the actor's own things that stand against it.
    fn conflicts(&self) -> Vec<Uuid> {
        Vec::new()
    }
}
