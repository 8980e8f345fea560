//! Reads JSON strictly: syntax first (400), then meaning (422), with a pointer to each wrong member.

use actix_web::http::StatusCode;
use clinicx_types::error::FieldError;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value, error::Category};
use validator::{Validate, ValidationError, ValidationErrors, ValidationErrorsKind};

use super::{
    defect,
    strict::{Names, Strict},
};
use crate::error::ApiError;

/// How deep arrays and objects may nest.
const MAX_DEPTH: usize = 32;

/// Reads a value and checks its validation rules.
pub(super) fn read<T: DeserializeOwned + Validate>(body: &[u8]) -> Result<T, ApiError> {
    check_syntax(body)?;
    let mut source = serde_json::Deserializer::from_slice(body);
    let names = Names::default();
    let read = serde_path_to_error::deserialize(Strict(&mut source, &names));
    let names = names.into_way();
    let value: T = read.map_err(|error| {
        let inner = error.inner();
        let message = inner.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(text, _)| text);
        match inner.classify() {
            Category::Data => ApiError::invalid(vec![defect::in_body(error.path(), &names, message)]),
            // JSON knows numbers of any size.
            Category::Syntax if message == "number out of range" => {
                let place = defect::pointer(error.path(), &names);
                ApiError::invalid_field(place, "out_of_range", "must be a smaller number")
            }
            Category::Syntax | Category::Io | Category::Eof => not_json(inner),
        }
    })?;
    refuse_nul(body)?;
    value.validate().map_err(|errors| {
        let mut fields = Vec::new();
        flatten(&errors, "", &mut fields);
        fields.sort_by(|one, other| (&one.pointer, &one.code).cmp(&(&other.pointer, &other.code)));
        ApiError::invalid(fields)
    })?;
    Ok(value)
}

/// Checks that a body says nothing.
pub(super) fn read_nothing(body: &[u8]) -> Result<(), ApiError> {
    check_syntax(body)?;
    match serde_json::from_slice::<Map<String, Value>>(body) {
        Ok(members) if members.is_empty() => Ok(()),
        Ok(members) => Err(ApiError::invalid(
            members
                .keys()
                .map(|name| {
                    let mut pointer = String::new();
                    defect::push(&mut pointer, name);
                    FieldError::new(pointer, "unknown_field", "is not known here, there are no fields")
                })
                .collect(),
        )),
        Err(_) => Err(ApiError::invalid_field("", "wrong_type", "must be an empty object")),
    }
}

/// Makes the answer to what is no JSON.
pub(super) fn malformed(detail: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "malformed_json").detail(detail)
}

fn not_json(error: &serde_json::Error) -> ApiError {
    malformed(&format!("the body is not JSON: see line {}, column {}", error.line(), error.column()))
}

fn check_syntax(body: &[u8]) -> Result<(), ApiError> {
    std::str::from_utf8(body).map_err(|_| malformed("the body is not UTF-8"))?;
    if depth(body) > MAX_DEPTH {
        return Err(malformed("the body nests too deep"));
    }
    serde_json::from_slice::<IgnoredAny>(body).map(|_| ()).map_err(|error| not_json(&error))
}

/// Counts how deep brackets nest outside of strings.
fn depth(body: &[u8]) -> usize {
    let (mut now, mut most, mut in_string, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                now = now.saturating_add(1);
                most = most.max(now);
            }
            b'}' | b']' if !in_string => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// Refuses the one character that JSON has and PostgreSQL's text has not.
fn refuse_nul(body: &[u8]) -> Result<(), ApiError> {
    if !body.windows(6).any(|window| window == b"\\u0000") {
        return Ok(());
    }
    let value: Value = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
    let mut fields = Vec::new();
    find_nul(&value, String::new(), &mut fields);
    if fields.is_empty() { Ok(()) } else { Err(ApiError::invalid(fields)) }
}

fn find_nul(value: &Value, pointer: String, found: &mut Vec<FieldError>) {
    match value {
        Value::String(text) if text.contains('\0') => {
            found.push(FieldError::new(pointer, "nul_character", "must not contain the character U+0000"));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                find_nul(item, format!("{pointer}/{index}"), found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                let mut place = pointer.clone();
                defect::push(&mut place, name);
                if name.contains('\0') {
                    found.push(FieldError::new(
                        pointer.clone(),
                        "nul_character",
                        "must not name such a member",
                    ));
                }
                find_nul(member, place, found);
            }
        }
        _ => {}
    }
}

fn flatten(errors: &ValidationErrors, place: &str, fields: &mut Vec<FieldError>) {
    for (name, kind) in errors.errors() {
        let mut pointer = place.to_owned();
        if name != "__all__" {
            defect::push(&mut pointer, name);
        }
        match kind {
            ValidationErrorsKind::Struct(inner) => flatten(inner, &pointer, fields),
            ValidationErrorsKind::List(items) => {
                for (index, inner) in items {
                    flatten(inner, &format!("{pointer}/{index}"), fields);
                }
            }
            ValidationErrorsKind::Field(list) => {
                fields.extend(list.iter().map(|error| FieldError::new(&pointer, code(error), words(error))));
            }
        }
    }
}

fn code(error: &ValidationError) -> String {
    match error.code.as_ref() {
        "length" => "wrong_length".to_owned(),
        "range" => "out_of_range".to_owned(),
        "regex" | "email" | "url" => "malformed".to_owned(),
        other => other.to_owned(),
    }
}

/// Puts a rule into words; the value itself, which stands among the parameters too, is left out.
fn words(error: &ValidationError) -> String {
    if let Some(message) = &error.message {
        return message.clone().into_owned();
    }
    let limit = |name: &str| error.params.get(name).map(Value::to_string);
    let bounds = match (limit("min"), limit("max"), limit("equal")) {
        (_, _, Some(equal)) => format!("exactly {equal}"),
        (Some(min), Some(max), _) => format!("from {min} to {max}"),
        (Some(min), None, _) => format!("at least {min}"),
        (None, Some(max), _) => format!("at most {max}"),
        (None, None, None) => String::new(),
    };
    match error.code.as_ref() {
        "length" => format!("must have a length of {bounds}"),
        "range" => format!("must be {bounds}"),
        "email" => "must be an e-mail address".to_owned(),
        "url" => "must be a URL".to_owned(),
        "regex" => "does not have the right form".to_owned(),
        "required" => "is required".to_owned(),
        _ => "is not acceptable".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, JsonSchema, Validate)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[validate(length(min = 1, max = 3))]
        name: String,
        #[serde(default)]
        #[validate(nested)]
        parts: Vec<Inner>,
    }

    #[derive(Debug, Deserialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
    #[serde(rename_all = "snake_case")]
    enum Site {
        Inner,
        OuterLeft,
    }

    #[derive(Debug, Deserialize, JsonSchema, Validate)]
    #[serde(deny_unknown_fields)]
    struct Sites {
        at: Vec<BTreeMap<Site, BTreeMap<Site, Inner>>>,
        #[serde(default)]
        by_name: BTreeMap<String, BTreeMap<Site, u8>>,
    }

    #[derive(Debug, Deserialize, JsonSchema, Validate)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[validate(range(min = 1, max = 9))]
        size: u8,
    }

    #[test]
    fn each_defect_has_its_status_code_and_pointer() {
        let check = |body: &str, status: u16, expected: &[(&str, &str)]| {
            let error = read::<Outer>(body.as_bytes()).map(|_| ()).unwrap_err();
            let parts = error.parts();
            assert_eq!(parts.status.as_u16(), status, "{body}");
            let found: Vec<_> = parts.fields.iter().map(|f| (f.pointer.as_str(), f.code.as_str())).collect();
            assert_eq!(found, expected, "{body}");
            let told = format!("{:?}{:?}", parts.fields, parts.detail);
            assert!(!told.contains("secret"), "{told}");
        };
        check("{", 400, &[]);
        check("{} x", 400, &[]);
        check(r#"{"secret": 1, "#, 400, &[]);
        check(r#"{"name": "\ud800"}"#, 400, &[]);
        check(&"[".repeat(200), 400, &[]);
        check("[]", 422, &[("", "wrong_type")]);
        check(r#"["a", []]"#, 422, &[("", "wrong_type")]);
        check(r#"{"name": "a", "parts": [{"size": 1}, [1]]}"#, 422, &[("/parts/1", "wrong_type")]);
        check("7", 422, &[("", "wrong_type")]);
        check("{}", 422, &[("/name", "required")]);
        check(r#"{"name": "a", "name": "b"}"#, 422, &[("/name", "duplicate")]);
        check(r#"{"name": "a", "a/b": "secret"}"#, 422, &[("/a~1b", "unknown_field")]);
        check(r#"{"name": {"secret": 1}}"#, 422, &[("/name", "wrong_type")]);
        check(
            r#"{"name": "a", "parts": [{"size": 1}, {"size": "secret"}]}"#,
            422,
            &[("/parts/1/size", "wrong_type")],
        );
        check(r#"{"name": "a", "parts": [{"size": 300}]}"#, 422, &[("/parts/0/size", "out_of_range")]);
        check(r#"{"name": "a", "parts": [{"size": 1e999}]}"#, 422, &[("/parts/0/size", "out_of_range")]);
        let long = format!(r#"{{"name": {}}}"#, "9".repeat(500));
        check(&long, 422, &[("/name", "out_of_range")]);
        check(r#"{"name": "a\u0000"}"#, 422, &[("/name", "nul_character")]);
        check(
            r#"{"name": "secret", "parts": [{"size": 1}, {"size": 0}, {"size": 10}]}"#,
            422,
            &[
                ("/name", "wrong_length"),
                ("/parts/1/size", "out_of_range"),
                ("/parts/2/size", "out_of_range"),
            ],
        );
    }

    #[test]
    fn a_pointer_has_the_names_that_are_words_of_a_list() {
        let check = |body: &str, pointer: &str, code: &str| {
            let error = read::<Sites>(body.as_bytes()).map(|_| ()).unwrap_err();
            let parts = error.parts();
            let found: Vec<_> = parts.fields.iter().map(|f| (f.pointer.as_str(), f.code.as_str())).collect();
            assert_eq!(found, [(pointer, code)], "{body}");
        };
        let at = |members: &str| format!(r#"{{"at": [{{}}, {members}]}}"#);
        check(&at(r#"{"inner": {"outer_left": {"x": 1}}}"#), "/at/1/inner/outer_left/x", "unknown_field");
        check(
            &at(r#"{"inner": {"inner": {"size": 1}}, "outer_left": {"inner": {"size": "a"}}}"#),
            "/at/1/outer_left/inner/size",
            "wrong_type",
        );
        check(
            &at(r#"{"inner": {"inner": {"size": 1}}, "elsewhere": {}}"#),
            "/at/1/elsewhere",
            "unknown_value",
        );
        check(&at(r#"{"inner": 1}"#), "/at/1/inner", "wrong_type");
        check(r#"{"at": [], "by_name": {"a": {"inner": 300}}}"#, "/by_name/a/inner", "out_of_range");
        let good = r#"{"at": [{"inner": {"outer_left": {"size": 3}}}], "by_name": {"a": {"inner": 3}}}"#;
        let good = read::<Sites>(good.as_bytes()).unwrap();
        assert_eq!(
            (good.at[0][&Site::Inner][&Site::OuterLeft].size, good.by_name["a"][&Site::Inner]),
            (3, 3)
        );
    }

    #[test]
    fn nesting_is_counted_outside_of_strings() {
        assert_eq!(depth(br#"{"a": ["[[[[", "\"[[["]}"#), 2);
    }
}
