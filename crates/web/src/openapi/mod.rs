//! The OpenAPI 3.1 document, made from the operations that are served.

mod answers;
mod parameters;
mod schemas;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::{
    api::{ApiInfo, Checked},
    catalog::Catalog,
    operation::Access,
};
use schemas::Schemas;

/// Writes the document.
pub(crate) fn document(
    info: &ApiInfo,
    tags: &[(&'static str, &'static str)],
    operations: &[Arc<Checked>],
    catalog: &Catalog,
) -> Value {
    let mut schemas = Schemas::new();
    let mut problems = answers::Problems::default();
    let mut paths: Map<String, Value> = Map::new();
    for checked in operations {
        let item = operation(checked, catalog, &mut schemas, &mut problems);
        let path = paths.entry(checked.full_path.clone()).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(checked.method.as_str().to_ascii_lowercase(), item);
        }
    }
    let mut components = schemas.finish();
    components.insert("Problem".to_owned(), problem_schema());
    json!({
        "openapi": "3.1.0",
        "info": {"title": info.title, "version": info.version, "description": info.description},
        "servers": [{"url": "/"}],
        "tags": tags.iter().map(|(name, description)| json!({"name": name, "description": description}))
            .collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": problems.finish(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The access token that `POST /api/v1/auth/login` answers; it names the tenant.",
                },
            },
        },
    })
}

fn operation(
    checked: &Checked,
    catalog: &Catalog,
    schemas: &mut Schemas,
    problems: &mut answers::Problems,
) -> Value {
    let mut item = Map::new();
    let mut set = |name: &str, value: Value| {
        item.insert(name.to_owned(), value);
    };
    set("operationId", checked.id.into());
    set("tags", json!([checked.tag]));
    if !checked.summary.is_empty() {
        set("summary", checked.summary.into());
    }
    if !checked.description.is_empty() {
        set("description", checked.description.into());
    }
    set("parameters", parameters::of(checked, schemas).into());
    if let Some(schema) = checked.shape.body {
        let schema = schemas.input(schema);
        let required = schemas.needs_members(&schema);
        set(
            "requestBody",
            json!({"required": required, "content": {"application/json": {"schema": schema}}}),
        );
    }
    set("responses", answers::of(checked, catalog, schemas, problems));
    set("security", if checked.access == Access::Public { json!([]) } else { json!([{"bearer": []}]) });
    set("x-permission", checked.access.as_str().into());
    if let Some(module) = checked.tenant_module {
        set("x-module", module.into());
    }
    let codes: Vec<_> = answers::codes(checked, catalog).into_values().flatten().collect();
    set("x-codes", codes.into());
    Value::Object(item)
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "title": "Problem",
        "description": "What went wrong (RFC 9457). `code` is stable; `title` and `detail` follow Accept-Language.",
        "required": ["type", "title", "status", "detail", "instance", "code", "request_id"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string"},
            "instance": {"type": "string", "format": "uri"},
            "code": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"},
            "request_id": {"type": "string", "format": "uuid"},
            "errors": {
                "type": "array",
                "description": "The wrong parts of the input, with 422.",
                "items": {
                    "type": "object",
                    "required": ["pointer", "code", "detail"],
                    "properties": {
                        "pointer": {
                            "type": "string",
                            "description": "A JSON Pointer into the body, or `?name` for a query parameter.",
                        },
                        "code": {"type": "string"},
                        "detail": {"type": "string"},
                    },
                },
            },
            "allowed": {
                "type": "array",
                "description": "The states that can be reached instead, when a transition was refused.",
                "items": {"type": "string"},
            },
            "conflicts": {
                "type": "array",
                "description": "The ids of what stands against it.",
                "items": {"type": "string", "format": "uuid"},
            },
        },
    })
}
