//! Problem documents (RFC 9457): an [`ApiError`] in words, for one caller.

use actix_web::http::StatusCode;
use clinicx_types::{error::FieldError, id::RequestId, lang::Language};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{catalog::Catalog, error::ApiError};

/// The media type of a problem document.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    type_: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: String,
    code: &'a str,
    request_id: RequestId,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<FieldError>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed: Option<&'a [&'static str]>,
    #[serde(skip_serializing_if = "<[Uuid]>::is_empty")]
    conflicts: &'a [Uuid],
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

/// Writes the document. `instance` names the request and not its path, which can hold a patient's id.
pub(crate) fn write(
    error: &ApiError,
    catalog: &Catalog,
    language: Language,
    request_id: RequestId,
) -> Vec<u8> {
    let parts = error.parts();
    let (title, general) = catalog.words(parts.code, parts.status, language);
    // What an error says for itself is English; in other languages the catalog speaks.
    let own = parts.detail.as_deref().filter(|_| language == Language::English);
    let with_errors = parts.status == StatusCode::UNPROCESSABLE_ENTITY || !parts.fields.is_empty();
    let with_allowed = parts.code == "transition_refused" || !parts.allowed.is_empty();
    let document = Problem {
        type_: format!("/problems/{}", parts.code),
        title,
        status: parts.status.as_u16(),
        detail: own.unwrap_or(general),
        instance: format!("urn:uuid:{request_id}"),
        code: parts.code,
        request_id,
        errors: with_errors
            .then(|| parts.fields.iter().map(|field| in_words(field, catalog, language)).collect()),
        allowed: with_allowed.then_some(parts.allowed.as_slice()),
        conflicts: &parts.conflicts,
        members: &parts.members,
    };
    serde_json::to_vec(&document).unwrap_or_default()
}

fn in_words(field: &FieldError, catalog: &Catalog, language: Language) -> FieldError {
    let mut field = field.clone();
    let known = catalog.field(&field.code, language);
    if known.is_none() {
        tracing::error!(error.code = %field.code, language = language.tag(), "a field's code has no text");
    }
    // English words that nobody asked for are worse than general ones.
    if language != Language::English
        && let Some(text) = known.or_else(|| catalog.field("invalid", language))
    {
        text.clone_into(&mut field.detail);
    }
    field
}
