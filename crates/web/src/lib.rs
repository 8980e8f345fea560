//! The HTTP kit: what every operation of the service has in common, written once.
//!
//! A module describes its routes as an [`HttpModule`]: a list of [`Operation`]s, each with its path, its
//! permission, its answers and a handler. [`Api::new`] checks the whole list and the process does not start
//! when anything in it does not fit; [`Kit`] serves it. The OpenAPI document is made from the same list and
//! from the handlers' signatures, so that it can't say anything else than what runs.
//!
//! Around every handler the kit does, in this order: request id and tracing span, the head's size and the limit of
//! the caller's address, authentication, tenant (token, `X-Tenant-ID` and host must agree), the tenant's standing,
//! its modules, the permission, the tenant's rate, preconditions, the body, one of the tenant's slots. A handler takes what it needs as parameters ([`TenantCx`], [`Path`], [`Query`],
//! [`List`], [`Body`]) and returns a [`Reply`] or an [`ApiError`]; every domain error becomes one.
//!
//! **Invariant:** nothing here knows a domain, and no log line, metric or header that is made here carries a
//! query string, a path parameter, a body or a token.

mod admit;
pub mod api;
pub mod catalog;
pub mod context;
mod cors;
mod cursor;
mod deliver;
mod disclosure;
mod docs;
pub mod error;
pub mod extract;
pub mod gate;
mod headers;
mod idempotency;
pub mod kit;
mod limit;
pub mod module;
mod openapi;
pub mod operation;
mod problem;
pub mod reply;
mod seal;
mod serve;
mod stream;
mod telemetry;
mod transaction;

pub use api::{Api, ApiDefect, ApiInfo};
pub use catalog::Catalog;
pub use context::{CallerCx, Cx, TenantCx};
pub use cors::{Cors, CorsError};
pub use disclosure::{Disclosure, Trace};
pub use error::ApiError;
pub use extract::{Body, List, Path, Query};
pub use gate::{Caller, Denial, Gatekeeper, RequestOrigin, TenantEntry, TenantLimits};
pub use headers::harden;
pub use idempotency::KEPT_ANSWERS;
pub use kit::{Kit, KitOptions};
pub use limit::{LimitOptions, Rate, RateClass, SlotOptions};
pub use module::HttpModule;
pub use operation::{Access, Idempotency, IfMatch, Operation};
pub use reply::Reply;
