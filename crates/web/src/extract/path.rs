//! Parameters in the path.

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use serde::de::DeserializeOwned;

use super::{Extract, Incoming, Shape};
use crate::error::ApiError;

/// The parameters of the path: one value (`Path<PatientId>`), or a tuple in the order of the template.
///
/// What does not parse names nothing, so that it is answered 404 `not_found` as an id is that nobody has; only the
/// detail can't say what there is none of.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + 'static> Extract for Path<T> {
    fn describe(shape: &mut Shape) {
        shape.path = true;
    }

    fn extract(incoming: &Incoming) -> Result<Self, ApiError> {
        parse(&incoming.http).map(Self)
    }
}

fn parse<T: DeserializeOwned + 'static>(request: &HttpRequest) -> Result<T, ApiError> {
    // A percent-encoded NUL is no part of any name, and PostgreSQL would not take it.
    if request.match_info().iter().any(|(_, value)| value.contains('\0') || value.contains("%00")) {
        return Err(ApiError::not_found());
    }
    let parsed = web::Path::<T>::from_request(request, &mut Payload::None).into_inner();
    parsed.map(web::Path::into_inner).map_err(|_| ApiError::not_found())
}
