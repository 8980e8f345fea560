//! What a handler takes from the request, each part checked before the handler runs.

mod body;
mod defect;
mod json;
mod list;
mod path;
mod query;
mod strict;
mod text;

use actix_web::{HttpRequest, web::Bytes};

pub use self::{body::Body, list::List, path::Path, query::Query};
pub(crate) use self::{
    body::refuse_content,
    query::{Length, check_lengths, lengths},
};
use crate::{context::Cx, error::ApiError, operation::SchemaFn};

/// A request whose body has been read.
pub struct Incoming {
    pub(crate) cx: Cx,
    pub(crate) http: HttpRequest,
    pub(crate) body: Bytes,
}

/// What the parameters of a handler ask for; it decides what the OpenAPI document says.
#[derive(Clone, Default)]
pub struct Shape {
    pub(crate) needs_caller: bool,
    pub(crate) needs_tenant: bool,
    pub(crate) path: bool,
    pub(crate) query: Option<SchemaFn>,
    pub(crate) list: bool,
    pub(crate) body: Option<SchemaFn>,
}

/// One parameter of a handler.
pub trait Extract: Sized {
    /// Notes what it asks for.
    fn describe(shape: &mut Shape);

    /// Takes it from the request.
    ///
    /// # Errors
    /// The refusal of a request that does not have it in the right form.
    fn extract(incoming: &Incoming) -> Result<Self, ApiError>;
}

/// All parameters of a handler.
pub trait Arguments: Sized {
    /// Notes what they ask for.
    fn describe(shape: &mut Shape);

    /// Takes them from the request, from left to right.
    ///
    /// # Errors
    /// The refusal of the first one that is not right.
    fn extract(incoming: &Incoming) -> Result<Self, ApiError>;
}

macro_rules! arguments {
    ($($name:ident)*) => {
        impl<$($name: Extract),*> Arguments for ($($name,)*) {
            fn describe(_shape: &mut Shape) {
                $($name::describe(_shape);)*
            }
            fn extract(_incoming: &Incoming) -> Result<Self, ApiError> {
                Ok(($($name::extract(_incoming)?,)*))
            }
        }
    };
}

arguments!();
arguments!(A);
arguments!(A B);
arguments!(A B C);
arguments!(A B C D);
arguments!(A B C D E);
arguments!(A B C D E F);
