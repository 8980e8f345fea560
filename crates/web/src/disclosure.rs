//! The audit rows of reads: what an operation says of itself, what its answer says, and the wait for the row.
//!
//! **Invariant:** an answer of an operation that leaves a row is given when the gatekeeper has taken the row, and
//! not before; when it can't, the answer is 503.

use std::{collections::BTreeSet, net::IpAddr};

use clinicx_persistence::Actor;
use clinicx_types::id::{BreakGlassGrantId, RequestId, SessionId, TenantId};
use url::form_urlencoded;
use uuid::Uuid;

use crate::{
    api::Checked,
    context,
    error::ApiError,
    extract::Incoming,
    gate::Caller,
    headers::IDEMPOTENCY_REPLAYED,
    operation::{Access, Idempotency},
    reply::Reply,
};

/// The most filters that are named in a row, and how long a name may be; more than any operation has.
const MAX_FILTERS: usize = 32;
const MAX_NAME_BYTES: usize = 40;

/// What an operation leaves in the audit beside the rows of its own transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// Nothing: it shows no patient's data, or it is a change, whose transaction has its own row.
    ///
    /// An answer of a change that shows a patient whom no recorded change concerns leaves a row all the same.
    Nothing,
    /// A row that names the patients whom the answer shows, who are of this kind of record: `patient`, `appointment`.
    /// A change leaves it for those whom none of its own rows concerns.
    Patients(&'static str),
    /// A row that says that somebody has looked at this kind of thing.
    Look(&'static str),
}

/// A read, as it is left in the audit before its answer is given.
#[derive(Clone, Debug)]
pub struct Disclosure {
    /// What was done, such as `patient.read`.
    pub action: String,
    /// The kind of thing.
    pub entity: &'static str,
    /// Which one; `None` for a list.
    pub entity_id: Option<Uuid>,
    /// The patients whom the answer shows; `None` when it is not about patients.
    pub patients: Option<Vec<Uuid>>,
    /// Whether the answer is a list.
    pub is_list: bool,
    /// The operation.
    pub operation: &'static str,
    /// The names of the filters that were used, never their values.
    pub filters: Vec<String>,
    /// Who asked.
    pub actor: Actor,
    /// The log-in from which the request came.
    pub session_id: Option<SessionId>,
    /// The grant under which an operator asked.
    pub grant_id: Option<BreakGlassGrantId>,
    /// The tenant whose data it is.
    pub tenant_id: Option<TenantId>,
    /// The request.
    pub request_id: RequestId,
    /// Where it came from.
    pub source: Option<IpAddr>,
}

/// Says what an operation leaves when it does not say so itself; `None` where it must.
///
/// A change leaves its row in its own transaction. A read inside a tenant has to say whether it shows patients.
pub(crate) fn default_of(is_read: bool, access: Access) -> Option<Trace> {
    match access {
        Access::Tenant(_) | Access::AnyTenantMember if is_read => None,
        Access::Operator if is_read => Some(Trace::Look("platform")),
        _ => Some(Trace::Nothing),
    }
}

/// What a row says was done, to what, and whom the answer has shown.
struct Look {
    action: String,
    entity: &'static str,
    entity_id: Option<Uuid>,
    patients: Option<Vec<Uuid>>,
}

/// Leaves the row of a handler's answer and gives the answer back; without the row there is none.
pub(crate) async fn leave(incoming: &Incoming, reply: Reply) -> Result<Reply, ApiError> {
    let request = &incoming.cx.0;
    let Some(caller) = request.caller.as_ref().filter(|_| reply.status.is_success()) else {
        return Ok(reply);
    };
    let operation = &request.operation;
    let id = entity_id(incoming);
    let Some(look) = look(operation, id, &reply)?.or_else(|| look_under_grant(operation, id, caller, &reply))
    else {
        return Ok(reply);
    };
    let disclosure = Disclosure {
        action: look.action,
        entity: look.entity,
        entity_id: look.entity_id,
        patients: look.patients,
        is_list: operation.shape.list,
        operation: operation.id,
        filters: filters(operation, incoming.http.query_string()),
        actor: context::actor(caller),
        session_id: caller.session_id,
        grant_id: caller.grant_id,
        tenant_id: reply.concerns.or(caller.tenant_id),
        request_id: request.request_id,
        source: request.source,
    };
    request.kit.gatekeeper().disclosed(disclosure).await.map(|()| reply)
}

/// Works out what an answer leaves.
fn look(operation: &Checked, id: Option<Uuid>, reply: &Reply) -> Result<Option<Look>, ApiError> {
    let seen = |entity: &'static str, entity_id: Option<Uuid>, patients: Option<Vec<Uuid>>| {
        let action = format!("{entity}.{}", if operation.shape.list { "listed" } else { "read" });
        Some(Look { action, entity, entity_id, patients })
    };
    if is_repeated(operation, reply) {
        // The first answer's row was its change's; whoever gets the answer again has seen it again.
        let (action, patients) = ("answer.repeated".to_owned(), reply.shown.clone());
        return Ok(Some(Look { action, entity: "operation", entity_id: id, patients }));
    }
    if matches!(operation.trace, Trace::Patients(_)) && reply.shown.is_none() {
        return Err(ApiError::internal("the answer does not say which patients it shows"));
    }
    if is_read(&operation.method, operation.idempotency) {
        return Ok(match operation.trace {
            Trace::Nothing => None,
            Trace::Patients(entity) | Trace::Look(entity) => seen(entity, id, reply.shown.clone()),
        });
    }
    let unrecorded = reply.unrecorded();
    Ok(match (operation.trace, unrecorded.as_slice()) {
        (Trace::Look(entity), _) => seen(entity, id, reply.shown.clone()),
        (Trace::Nothing | Trace::Patients(_), []) => None,
        (Trace::Patients(entity), _) => seen(entity, id, Some(unrecorded)),
        (Trace::Nothing, [one]) => seen("patient", Some(*one), Some(unrecorded)),
        (Trace::Nothing, _) => seen("patient", None, Some(unrecorded)),
    })
}

/// An operator in a tenant leaves a row of whatever is looked at, people or not.
fn look_under_grant(operation: &Checked, id: Option<Uuid>, caller: &Caller, reply: &Reply) -> Option<Look> {
    let leaves_nothing = caller.grant_id.is_some() && reply.recorded.is_empty();
    leaves_nothing.then(|| Look {
        action: format!("operation.{}", if operation.shape.list { "listed" } else { "read" }),
        entity: "operation",
        entity_id: id,
        patients: None,
    })
}

/// Tells whether an operation is a read.
pub(crate) fn is_read(method: &actix_web::http::Method, idempotency: Idempotency) -> bool {
    *method == actix_web::http::Method::GET && idempotency == Idempotency::None
}

/// Tells whether an answer is a kept one; tokens that are given again are no patient's data.
fn is_repeated(operation: &Checked, reply: &Reply) -> bool {
    let counts = operation.access.needs_tenant() || operation.access == Access::Operator;
    counts && reply.headers.iter().any(|(name, _)| *name == IDEMPOTENCY_REPLAYED)
}

fn entity_id(incoming: &Incoming) -> Option<Uuid> {
    incoming.http.match_info().get("id").and_then(|text| Uuid::parse_str(text).ok())
}

/// Returns the names in the query string. The handler has refused names that the operation does not know.
fn filters(operation: &Checked, query: &str) -> Vec<String> {
    if operation.is_open_to_any_query() {
        return Vec::new();
    }
    let is_name = |name: &str| {
        (1..=MAX_NAME_BYTES).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name.into_owned());
    let names: BTreeSet<String> = names.filter(|name| is_name(name)).collect();
    names.into_iter().take(MAX_FILTERS).collect()
}
