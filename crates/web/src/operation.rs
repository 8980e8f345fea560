//! One operation: a method on a path, who may call it, what it takes and what it answers.

use std::sync::Arc;

use actix_web::{Handler, http::Method};
use clinicx_types::permission::Permission;
use futures_util::future::LocalBoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use crate::{
    disclosure::Trace,
    error::ApiError,
    extract::{Arguments, Incoming, Shape},
    limit::RateClass,
    reply::Reply,
};

/// Writes the schema of a type.
pub(crate) type SchemaFn = fn(&mut SchemaGenerator) -> Schema;

/// Extracts the arguments and starts the handler.
pub(crate) type Endpoint = Arc<
    dyn Fn(&Incoming) -> Result<LocalBoxFuture<'static, Result<Reply, ApiError>>, ApiError> + Send + Sync,
>;

/// Who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without a token.
    Public,
    /// Whoever has a valid token.
    Authenticated,
    /// An operator of the platform.
    Operator,
    /// A user whose roles in the token's tenant have the permission.
    Tenant(Permission),
    /// Any user of the token's tenant.
    AnyTenantMember,
}

impl Access {
    pub(crate) fn needs_tenant(self) -> bool {
        matches!(self, Self::Tenant(_) | Self::AnyTenantMember)
    }

    /// Returns the word for it in the OpenAPI document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Authenticated => "authenticated",
            Self::Operator => "operator",
            Self::Tenant(permission) => permission.0,
            Self::AnyTenantMember => "tenant_member",
        }
    }
}

/// What an operation does with the header `Idempotency-Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotency {
    /// It takes none: the method is idempotent by itself.
    None,
    /// It takes one and answers a repetition with the first answer, sealed and for ten minutes only, because that
    /// holds tokens. The key belongs to whoever shows the same secret: the access token or, in a public operation,
    /// what the handler names in [`crate::Cx::perform_for`].
    Brief,
    /// It takes one and then answers a repetition with the first answer.
    Accepted,
    /// It refuses to work without one.
    Required,
}

/// What an operation does with the header `If-Match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// It takes none.
    None,
    /// It heeds one.
    Accepted,
    /// It refuses to work without one (428).
    Required,
}

/// What a successful answer holds.
#[derive(Clone, Copy)]
pub(crate) enum Content {
    Empty,
    Json(SchemaFn),
    Page(SchemaFn),
    Raw(&'static str),
}

/// An answer that an operation gives when it succeeds.
#[derive(Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content: Content,
}

/// A method on a path, described while the program starts.
#[must_use]
pub struct Operation {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) description: &'static str,
    pub(crate) access: Option<Access>,
    pub(crate) closed_to_grants: bool,
    pub(crate) idempotency: Idempotency,
    pub(crate) if_match: IfMatch,
    pub(crate) is_derived: bool,
    pub(crate) trace: Option<Trace>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) codes: Vec<&'static str>,
    pub(crate) path_schemas: Vec<(&'static str, Value)>,
    pub(crate) rate: Option<RateClass>,
    pub(crate) shape: Shape,
    pub(crate) endpoint: Option<Endpoint>,
}

impl Operation {
    /// Describes a GET; HEAD comes with it.
    pub fn get(path: &'static str, id: &'static str) -> Self {
        Self::new(Method::GET, path, id)
    }

    /// Describes a POST; it takes an `Idempotency-Key` unless it says otherwise.
    pub fn post(path: &'static str, id: &'static str) -> Self {
        Self { idempotency: Idempotency::Accepted, ..Self::new(Method::POST, path, id) }
    }

    /// Describes a PUT; it needs `If-Match` unless it says otherwise.
    pub fn put(path: &'static str, id: &'static str) -> Self {
        Self { if_match: IfMatch::Required, ..Self::new(Method::PUT, path, id) }
    }

    /// Describes a PATCH; it needs `If-Match` unless it says otherwise.
    pub fn patch(path: &'static str, id: &'static str) -> Self {
        Self { if_match: IfMatch::Required, ..Self::new(Method::PATCH, path, id) }
    }

    /// Describes a DELETE; it heeds `If-Match` unless it says otherwise.
    pub fn delete(path: &'static str, id: &'static str) -> Self {
        Self { if_match: IfMatch::Accepted, ..Self::new(Method::DELETE, path, id) }
    }

    /// Describes a POST that moves something into another state: it needs `If-Match`, and it may be refused
    /// with 409 `transition_refused`.
    pub fn transition(path: &'static str, id: &'static str) -> Self {
        Self { if_match: IfMatch::Required, ..Self::post(path, id) }.errors(&["transition_refused"])
    }

    fn new(method: Method, path: &'static str, id: &'static str) -> Self {
        Self {
            method,
            path,
            id,
            summary: "",
            description: "",
            access: None,
            closed_to_grants: false,
            idempotency: Idempotency::None,
            if_match: IfMatch::None,
            is_derived: false,
            trace: None,
            answers: Vec::new(),
            codes: Vec::new(),
            path_schemas: Vec::new(),
            rate: None,
            shape: Shape::default(),
            endpoint: None,
        }
    }

    /// Says in a few words what it does.
    pub fn summary(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    /// Says at length what it does, in Markdown.
    pub fn description(self, description: &'static str) -> Self {
        Self { description, ..self }
    }

    /// Says who may call it; there is no default.
    pub fn access(self, access: Access) -> Self {
        Self { access: Some(access), ..self }
    }

    /// Says that an operator whom a break-glass grant has let in may not call it, because what it does would outlive
    /// the grant: 403 `break_glass_restricted`.
    pub fn closed_to_grants(self) -> Self {
        Self { closed_to_grants: true, ..self }.errors(&["break_glass_restricted"])
    }

    /// Says what it does with `Idempotency-Key`.
    pub fn idempotency(self, idempotency: Idempotency) -> Self {
        Self { idempotency, ..self }
    }

    /// Says what it does with `If-Match`.
    pub fn if_match(self, if_match: IfMatch) -> Self {
        Self { if_match, ..self }
    }

    /// Says that its answer shows more than its version tells: sums of other rows, or what follows from the day. The
    /// version stays its ETag, for `If-Match`, but no client has the answer already because it has that one: a GET is
    /// never answered with 304.
    pub fn derived(self) -> Self {
        Self { is_derived: true, ..self }
    }

    /// Says that it shows patients' data, in this kind of record: each answer says whose by [`Reply::showing`] and
    /// leaves an audit row before it is given. Of a change, an answer leaves it for patients whom none of the changes
    /// concerns that its transaction has recorded: a change that changes nothing is a read.
    pub fn shows_patients(self, entity: &'static str) -> Self {
        Self { trace: Some(Trace::Patients(entity)), ..self }
    }

    /// Says that it shows no patient's data, and that a read of it leaves no row.
    pub fn shows_no_patient(self) -> Self {
        Self { trace: Some(Trace::Nothing), ..self }
    }

    /// Says that whoever looks at this kind of thing leaves an audit row.
    pub fn leaves_row(self, entity: &'static str) -> Self {
        Self { trace: Some(Trace::Look(entity)), ..self }
    }

    /// Says that it answers JSON of this type with this status.
    pub fn answers<T: JsonSchema>(self, status: u16) -> Self {
        self.answer(status, Content::Json(|generator| generator.subschema_for::<T>()))
    }

    /// Says that it answers 200 with a page of a list of this type.
    pub fn answers_page<T: JsonSchema>(self) -> Self {
        self.answer(200, Content::Page(|generator| generator.subschema_for::<T>()))
    }

    /// Says that it answers this status without content.
    pub fn answers_empty(self, status: u16) -> Self {
        self.answer(status, Content::Empty)
    }

    /// Says that it answers 200 with content of this media type.
    pub fn answers_content(self, media_type: &'static str) -> Self {
        self.answer(200, Content::Raw(media_type))
    }

    /// Names the codes with which it may refuse besides those that the kit itself gives.
    pub fn errors(mut self, codes: &[&'static str]) -> Self {
        self.codes.extend(codes);
        self
    }

    /// Says by which limit of its caller's address it is counted: by the one for log-ins when it needs no token and is
    /// no GET, by the general one otherwise, unless this says something else.
    pub fn rate(self, class: RateClass) -> Self {
        Self { rate: Some(class), ..self }
    }

    /// Gives the JSON Schema of a path parameter that is no UUID.
    pub fn path_param(mut self, name: &'static str, schema: Value) -> Self {
        self.path_schemas.push((name, schema));
        self
    }

    /// Says what runs: an `async fn` of up to six parameters that returns `Result<Reply, ApiError>`.
    pub fn handler<F, A>(mut self, handler: F) -> Self
    where
        F: Handler<A, Output = Result<Reply, ApiError>> + Send + Sync,
        A: Arguments + 'static,
    {
        self.shape = Shape::default();
        A::describe(&mut self.shape);
        self.endpoint = Some(Arc::new(move |incoming| {
            let arguments = A::extract(incoming)?;
            Ok(Box::pin(handler.call(arguments)))
        }));
        self
    }

    fn answer(mut self, status: u16, content: Content) -> Self {
        self.answers.push(Answer { status, content });
        self
    }
}
