//! JSON Schemas of inputs and outputs, in one list of components.

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};

use crate::operation::SchemaFn;

const PREFIX: &str = "#/components/schemas/";

/// Collects schemas. What a type accepts and what it answers can differ (a default makes a member optional in
/// one direction only), which is why there are two generators.
pub(super) struct Schemas {
    inputs: SchemaGenerator,
    outputs: SchemaGenerator,
}

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            inputs: settings().for_deserialize().into_generator(),
            outputs: settings().for_serialize().into_generator(),
        }
    }

    /// Returns the schema of a body.
    pub(super) fn input(&mut self, schema: SchemaFn) -> Value {
        let mut value = schema(&mut self.inputs).to_value();
        mark_as_input(&mut value);
        value
    }

    /// Returns the schema of an answer.
    pub(super) fn output(&mut self, schema: SchemaFn) -> Value {
        schema(&mut self.outputs).to_value()
    }

    /// Returns the members of a struct of query parameters: name, schema, whether it must be given.
    pub(super) fn members(&mut self, schema: SchemaFn) -> Vec<(String, Value, bool)> {
        let schema: Schema = schema(&mut self.inputs);
        let required = strings(schema.get("required"));
        let members = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        members
            .into_iter()
            .map(|(name, mut member)| {
                mark_as_input(&mut member);
                let needed = required.contains(&name);
                (name, member, needed)
            })
            .collect()
    }

    /// Tells whether `{}` is not enough for a schema, directly or behind its reference.
    pub(super) fn needs_members(&self, schema: &Value) -> bool {
        let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix(PREFIX));
        let name = name.map(|name| name.strip_suffix(INPUT_MARK).unwrap_or(name));
        let schema = name.and_then(|name| self.inputs.definitions().get(name)).unwrap_or(schema);
        !strings(schema.get("required")).is_empty()
            || schema.get("oneOf").is_some()
            || schema.get("anyOf").is_some()
    }

    /// Returns the components: answers under the names of their types, inputs with [`INPUT_MARK`] behind it.
    pub(super) fn finish(mut self) -> Map<String, Value> {
        let mut all = self.outputs.take_definitions(true);
        for (name, mut schema) in self.inputs.take_definitions(true) {
            mark_as_input(&mut schema);
            all.insert(format!("{name}{INPUT_MARK}"), schema);
        }
        all
    }
}

/// Put behind the names of inputs.
const INPUT_MARK: &str = "Input";

/// Makes references in an input's schema point to inputs, and takes out defaults that are `null`: an absent member
/// of a PATCH leaves things as they are, and most can't be `null` at all.
fn mark_as_input(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.retain(|name, value| name != "default" || !value.is_null());
            for (name, value) in members {
                match value {
                    Value::String(path) if name == "$ref" && path.starts_with(PREFIX) => {
                        path.push_str(INPUT_MARK)
                    }
                    other => mark_as_input(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mark_as_input),
        _ => {}
    }
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}
