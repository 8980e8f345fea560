//! Lists: which page, and of what.

use clinicx_types::{
    error::FieldError,
    page::{DEFAULT_LIMIT, MAX_LIMIT, PageRequest},
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{Extract, Incoming, Shape, text};
use crate::{cursor::Seal, error::ApiError};

/// A request for a page of a list: `limit`, `cursor`, `count`, and a filter of the list's own.
///
/// The filter is a struct with `#[serde(deny_unknown_fields)]`; a sort order is an enum field `sort` of it.
/// A cursor is good only with the tenant, the operation and the filter from which it came.
#[derive(Clone, Debug)]
pub struct List<F> {
    /// Which page.
    pub page: PageRequest,
    /// Which items.
    pub filter: F,
    pub(crate) seal: Seal,
}

impl<F: DeserializeOwned + JsonSchema> Extract for List<F> {
    fn describe(shape: &mut Shape) {
        shape.list = true;
        shape.query = Some(|generator| F::json_schema(generator));
    }

    fn extract(incoming: &Incoming) -> Result<Self, ApiError> {
        let mut pairs = text::Pairs::parse(incoming.http.query_string())?;
        let mut wrong = Vec::new();
        let limit = limit(&mut pairs).unwrap_or_else(|error| {
            wrong.push(error);
            DEFAULT_LIMIT
        });
        let count = count(&mut pairs).unwrap_or_else(|error| {
            wrong.push(error);
            false
        });
        let cursor = pairs.take_one("cursor").unwrap_or_else(|error| {
            wrong.push(error);
            None
        });
        if !wrong.is_empty() {
            return Err(ApiError::invalid(wrong));
        }
        let seal = Seal::new(&incoming.cx, &pairs.canonical());
        let filter = text::read(pairs)?;
        let mut page = PageRequest::first(limit).unwrap_or_default();
        page.count = count;
        page.after = cursor.map(|text| seal.open(&text)).transpose()?;
        Ok(Self { page, filter, seal })
    }
}

fn limit(pairs: &mut text::Pairs) -> Result<u16, FieldError> {
    let Some(text) = pairs.take_one("limit")? else { return Ok(DEFAULT_LIMIT) };
    text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
        FieldError::new("?limit", "out_of_range", format!("must be a number from 1 to {MAX_LIMIT}"))
    })
}

fn count(pairs: &mut text::Pairs) -> Result<bool, FieldError> {
    match pairs.take_one("count")?.as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(FieldError::new("?count", "unknown_value", "must be true or false")),
    }
}
