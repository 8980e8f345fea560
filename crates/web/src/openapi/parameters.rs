//! Parameters in the path, the query string and the headers.

use actix_web::http::Method;
use clinicx_types::page::{DEFAULT_LIMIT, MAX_LIMIT};
use serde_json::{Value, json};

use super::schemas::Schemas;
use crate::{
    api::{self, Checked},
    operation::{Access, Content, Idempotency, IfMatch},
};

/// Returns the parameters of an operation.
pub(super) fn of(checked: &Checked, schemas: &mut Schemas) -> Vec<Value> {
    let mut list: Vec<Value> = api::parameters(&checked.full_path)
        .into_iter()
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": path_schema(checked, name)}))
        .collect();
    if let Some(schema) = checked.shape.query {
        for (name, schema, required) in schemas.members(schema) {
            list.push(query(&name, without_null(schema), required));
        }
    }
    if checked.shape.list {
        let limit = json!({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT});
        list.push(described(query("limit", limit, false), "How many items the page may hold."));
        let cursor = json!({"type": "string", "maxLength": 4096});
        let words = "The `next_cursor` of the page before, from the same list with the same filter.";
        list.push(described(query("cursor", cursor, false), words));
        let count = json!({"type": "boolean", "default": false});
        list.push(described(
            query("count", count, false),
            "Whether `total` is wanted; it costs reading them all.",
        ));
    }
    list.extend(headers(checked));
    list
}

fn headers(checked: &Checked) -> Vec<Value> {
    let mut list = Vec::new();
    let words = match checked.access {
        Access::Public if checked.method == Method::GET => None,
        Access::Public => Some("The slug of the tenant that is meant; it must agree with body and host."),
        _ => Some("The slug of the token's tenant; when given it must agree with the token."),
    };
    if let Some(words) = words {
        let schema = json!({"type": "string", "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "maxLength": 40});
        list.push(described(header("X-Tenant-ID", schema, false), words));
    }
    if checked.idempotency != Idempotency::None {
        let schema = json!({"type": "string", "pattern": "^[!-~]{1,255}$"});
        let words = match checked.idempotency {
            Idempotency::Brief => {
                "A repetition with the same key and the same request gets the first answer again, for ten minutes."
            }
            _ => {
                "A repetition with the same key and the same request gets the first answer again, for 24 hours."
            }
        };
        let required = checked.idempotency == Idempotency::Required;
        list.push(described(header("Idempotency-Key", schema, required), words));
    }
    if checked.if_match != IfMatch::None {
        let schema = json!({"type": "string", "pattern": "^(\\*|\"[0-9]{1,18}\")$"});
        let required = checked.if_match == IfMatch::Required;
        list.push(described(header("If-Match", schema, required), "The `ETag` that was read, or `*`."));
    }
    if may_be_known(checked) {
        let schema = json!({"type": "string"});
        let words = "The `ETag` that is known already; when it is still right the answer is 304.";
        list.push(described(header("If-None-Match", schema, false), words));
    }
    list
}

/// Tells whether an operation can answer that the client has it already.
pub(super) fn may_be_known(checked: &Checked) -> bool {
    let whole = |content| matches!(content, Content::Json(_) | Content::Raw(_));
    checked.method == Method::GET
        && !checked.is_derived
        && checked.answers.iter().any(|answer| whole(answer.content))
}

fn path_schema(checked: &Checked, name: &str) -> Value {
    let own = checked.path_schemas.iter().find(|(other, _)| *other == name).map(|(_, schema)| schema.clone());
    own.unwrap_or_else(|| match name {
        "id" => json!({"type": "string", "format": "uuid"}),
        _ if name.ends_with("_id") => json!({"type": "string", "format": "uuid"}),
        _ => json!({"type": "string", "minLength": 1}),
    })
}

fn query(name: &str, schema: Value, required: bool) -> Value {
    let mut parameter = json!({"name": name, "in": "query", "required": required});
    let mut schema = schema;
    if let (Some(parameter), Some(members)) = (parameter.as_object_mut(), schema.as_object_mut()) {
        if let Some(words) = members.remove("description") {
            parameter.insert("description".to_owned(), words);
        }
        parameter.insert("schema".to_owned(), schema);
    }
    parameter
}

fn header(name: &str, schema: Value, required: bool) -> Value {
    json!({"name": name, "in": "header", "required": required, "schema": schema})
}

fn described(mut parameter: Value, words: &str) -> Value {
    if let Some(members) = parameter.as_object_mut() {
        members.insert("description".to_owned(), words.into());
    }
    parameter
}

/// Takes `null` out of a schema: a query string can't say it, an absent parameter stands for it.
fn without_null(mut schema: Value) -> Value {
    let Some(members) = schema.as_object_mut() else { return schema };
    if members.get("default").is_some_and(Value::is_null) {
        members.remove("default");
    }
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            members.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = members.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    for name in ["anyOf", "oneOf"] {
        let Some(Value::Array(choices)) = members.get_mut(name) else { continue };
        choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
        if let [only] = choices.as_slice() {
            let only = only.clone();
            members.remove(name);
            if let Value::Object(inner) = only {
                for (name, value) in inner {
                    members.entry(name).or_insert(value);
                }
            }
        }
    }
    schema
}
