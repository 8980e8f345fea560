//! Every status that an operation can answer, with its codes.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{parameters, schemas::Schemas};
use crate::{
    api::Checked,
    catalog::Catalog,
    operation::{Access, Answer, Content, Idempotency, IfMatch},
};

/// Returns the codes with which an operation can refuse, by status.
pub(super) fn codes(checked: &Checked, catalog: &Catalog) -> BTreeMap<u16, BTreeSet<&'static str>> {
    let mut list = vec![
        "throttled",
        "internal",
        "unavailable",
        "try_again",
        "timeout",
        "uri_too_long",
        "headers_too_large",
    ];
    let mut add = |when: bool, codes: &[&'static str]| {
        if when {
            list.extend(codes);
        }
    };
    let access = checked.access;
    let writes = checked.method != Method::GET;
    add(access == Access::Public, &["malformed_header"]);
    add(
        access != Access::Public,
        &[
            "unauthenticated",
            "invalid_token",
            "tenant_mismatch",
            "tenant_suspended",
            "tenant_gone",
            "account_not_linked",
            "no_membership",
            "issuer_unavailable",
            "invalid",
        ],
    );
    add(
        matches!(access, Access::Tenant(_) | Access::Operator | Access::AnyTenantMember),
        &["permission_denied"],
    );
    add(access == Access::Operator, &["not_configured"]);
    add(access.needs_tenant(), &["tenant_suspended", "tenant_maintenance", "tenant_upgrade_required"]);
    add(access.needs_tenant() && writes, &["conflict", "invalid_value", "maintenance"]);
    add(checked.tenant_module.is_some(), &["module_not_enabled"]);
    add(checked.shape.path, &["not_found"]);
    add(checked.shape.query.is_some(), &["malformed_query", "invalid"]);
    add(checked.shape.list, &["invalid_cursor"]);
    add(
        writes,
        &[
            "malformed",
            "malformed_json",
            "request_timeout",
            "payload_too_large",
            "unsupported_media_type",
            "invalid",
        ],
    );
    add(checked.if_match != IfMatch::None, &["malformed_header", "version_mismatch"]);
    add(checked.if_match == IfMatch::Required, &["precondition_required"]);
    let kept =
        ["malformed_header", "idempotency_in_progress", "idempotency_answer_lost", "idempotency_key_reused"];
    add(checked.idempotency != Idempotency::None, &kept);
    add(checked.idempotency == Idempotency::Required, &["idempotency_key_required"]);
    add(true, &checked.codes);
    let mut by_status: BTreeMap<u16, BTreeSet<&'static str>> = BTreeMap::new();
    for code in list {
        let status = catalog.status(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        by_status.entry(status.as_u16()).or_default().insert(code);
    }
    by_status
}

/// The problem responses of all operations, each written once: many refuse with the same codes.
#[derive(Default)]
pub(super) struct Problems(BTreeMap<(u16, BTreeSet<&'static str>), String>);

impl Problems {
    /// Returns a reference to the response of a status with these codes.
    fn reference(&mut self, status: u16, codes: BTreeSet<&'static str>) -> Value {
        let number = self.0.keys().filter(|(known, _)| *known == status).count() + 1;
        let name = self.0.entry((status, codes)).or_insert_with(|| format!("Problem{status}_{number}"));
        json!({"$ref": format!("#/components/responses/{name}")})
    }

    /// Returns them for `components/responses`.
    pub(super) fn finish(self) -> Map<String, Value> {
        self.0.into_iter().map(|((status, codes), name)| (name, problem(status, &codes))).collect()
    }
}

/// Returns the responses of an operation.
pub(super) fn of(
    checked: &Checked,
    catalog: &Catalog,
    schemas: &mut Schemas,
    problems: &mut Problems,
) -> Value {
    let mut responses = Map::new();
    for answer in &checked.answers {
        responses.insert(answer.status.to_string(), success(answer, schemas));
    }
    if parameters::may_be_known(checked) {
        responses.insert("304".to_owned(), json!({"description": "What the client has is still right."}));
    }
    for (status, codes) in codes(checked, catalog) {
        // A status page may use such a status for its own report; a problem looks the same from outside.
        let name = status.to_string();
        if responses.contains_key(&name) {
            continue;
        }
        responses.insert(name, problems.reference(status, codes));
    }
    Value::Object(responses)
}

fn success(answer: &Answer, schemas: &mut Schemas) -> Value {
    let words = StatusCode::from_u16(answer.status).ok().and_then(|status| status.canonical_reason());
    let mut response =
        json!({"description": words.unwrap_or("Done"), "headers": {"X-Request-Id": request_id()}});
    let content = match answer.content {
        Content::Empty => None,
        Content::Json(schema) => Some(json!({"application/json": {"schema": schemas.output(schema)}})),
        Content::Page(schema) => {
            let item = schemas.output(schema);
            Some(json!({"application/json": {"schema": page(&item)}}))
        }
        Content::Raw(media_type) => Some(
            json!({media_type.split(';').next().unwrap_or(media_type).trim(): {"schema": {"type": "string"}}}),
        ),
    };
    let mut set = |path: &str, name: &str, value: Value| {
        let place = if path.is_empty() { Some(&mut response) } else { response.get_mut(path) };
        if let Some(members) = place.and_then(Value::as_object_mut) {
            members.insert(name.to_owned(), value);
        }
    };
    if let Some(content) = content {
        set("", "content", content);
    }
    if matches!(answer.content, Content::Json(_)) {
        let words = "The version of the resource, when the answer is one.";
        set("headers", "ETag", json!({"description": words, "schema": {"type": "string"}}));
    }
    if matches!(answer.status, 201 | 202) {
        let schema = json!({"type": "string", "format": "uri-reference"});
        set("headers", "Location", json!({"description": "Where it is found.", "schema": schema}));
    }
    response
}

fn page(item: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["items", "next_cursor"],
        "properties": {
            "items": {"type": "array", "items": item},
            "next_cursor": {"type": ["string", "null"], "description": "Where the next page starts; null on the last."},
            "total": {"type": "integer", "minimum": 0, "description": "Only with `count=true`."},
        },
    })
}

fn problem(status: u16, codes: &BTreeSet<&'static str>) -> Value {
    let mut headers = Map::new();
    headers.insert("X-Request-Id".to_owned(), request_id());
    headers.insert(
        "Content-Language".to_owned(),
        json!({"schema": {"type": "string", "enum": ["en", "ar", "de"]}}),
    );
    if status == 401 {
        headers.insert("WWW-Authenticate".to_owned(), json!({"schema": {"type": "string"}}));
    }
    if matches!(status, 429 | 503) {
        headers.insert("Retry-After".to_owned(), json!({"schema": {"type": "integer", "minimum": 0}}));
    }
    if status == 429 {
        for name in ["RateLimit", "RateLimit-Policy"] {
            let words = "The tenant's rate, as of the IETF's draft on RateLimit header fields.";
            headers.insert(name.to_owned(), json!({"description": words, "schema": {"type": "string"}}));
        }
    }
    let listed = codes.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(", ");
    json!({
        "description": listed,
        "headers": headers,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        "x-codes": codes,
    })
}

fn request_id() -> Value {
    json!({"schema": {"type": "string", "format": "uuid"}})
}
