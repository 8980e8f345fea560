//! The JSON body.

use actix_web::http::{StatusCode, header};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use validator::Validate;

use super::{Extract, Incoming, Shape, json};
use crate::error::ApiError;

/// The body as JSON: a struct with `#[serde(deny_unknown_fields)]` whose validation rules hold.
///
/// An empty body stands for `{}`, where that is enough.
#[derive(Clone, Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned + JsonSchema + Validate> Extract for Body<T> {
    fn describe(shape: &mut Shape) {
        shape.body = Some(|generator| generator.subschema_for::<T>());
    }

    fn extract(incoming: &Incoming) -> Result<Self, ApiError> {
        let body = incoming.body.trim_ascii();
        if body.is_empty() {
            let nothing = json::read(b"{}").ok();
            return nothing.map(Self).ok_or_else(|| json::malformed("the body is empty"));
        }
        check_content_type(incoming)?;
        json::read(body).map(Self)
    }
}

/// Refuses content of an operation that takes none; `{}` is as good as nothing.
pub(crate) fn refuse_content(incoming: &Incoming) -> Result<(), ApiError> {
    let body = incoming.body.trim_ascii();
    if body.is_empty() {
        return Ok(());
    }
    check_content_type(incoming)?;
    json::read_nothing(body)
}

fn check_content_type(incoming: &Incoming) -> Result<(), ApiError> {
    let headers = incoming.http.headers();
    let is_json =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            let mut parts = value.split(';').map(str::trim);
            let essence = parts.next().unwrap_or_default();
            let utf8 = |part: &str| match part.split_once('=') {
                Some((name, charset)) if name.eq_ignore_ascii_case("charset") => {
                    charset.trim_matches('"').eq_ignore_ascii_case("utf-8")
                }
                _ => true,
            };
            essence.eq_ignore_ascii_case("application/json") && parts.all(utf8)
        });
    let encoded = headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if is_json && !encoded {
        Ok(())
    } else {
        Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"))
    }
}
