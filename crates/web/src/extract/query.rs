//! Parameters in the query string.

use clinicx_types::error::FieldError;
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::form_urlencoded;

use super::{Extract, Incoming, Shape, text};
use crate::{error::ApiError, operation::SchemaFn};

/// The query string as a struct with `#[serde(deny_unknown_fields)]`; a repeated parameter fills a `Vec`.
#[derive(Clone, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + JsonSchema> Extract for Query<T> {
    fn describe(shape: &mut Shape) {
        shape.query = Some(|generator| T::json_schema(generator));
    }

    fn extract(incoming: &Incoming) -> Result<Self, ApiError> {
        let pairs = text::Pairs::parse(incoming.http.query_string())?;
        text::read(pairs).map(Self)
    }
}

/// How long the text of a parameter may be, in characters, as its schema says.
pub(crate) struct Length {
    name: String,
    min: usize,
    max: usize,
}

/// Returns the parameters whose schema limits their length, so that the limit is kept and not only told.
pub(crate) fn lengths(schema: SchemaFn) -> Vec<Length> {
    let schema = schema(&mut SchemaGenerator::default());
    let members = schema.get("properties").and_then(Value::as_object);
    let bound = |member: &Value, name: &str| {
        member.get(name).and_then(Value::as_u64).and_then(|bound| usize::try_from(bound).ok())
    };
    let limited = members.into_iter().flatten().filter_map(|(name, member)| {
        let (min, max) = (bound(member, "minLength"), bound(member, "maxLength"));
        (min.is_some() || max.is_some()).then(|| Length {
            name: name.clone(),
            min: min.unwrap_or_default(),
            max: max.unwrap_or(usize::MAX),
        })
    });
    limited.collect()
}

/// Refuses a query string with a parameter that is too short or too long.
pub(crate) fn check_lengths(lengths: &[Length], query: &str) -> Result<(), ApiError> {
    if lengths.is_empty() {
        return Ok(());
    }
    let mut wrong = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let Some(length) = lengths.iter().find(|length| length.name == name) else { continue };
        let count = value.chars().count();
        if count > length.max {
            let detail = format!("must have at most {} characters", length.max);
            wrong.push(FieldError::new(format!("?{name}"), "too_long", detail));
        } else if count < length.min {
            let detail = format!("must have at least {} characters", length.min);
            wrong.push(FieldError::new(format!("?{name}"), "too_short", detail));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(ApiError::invalid(wrong)) }
}
