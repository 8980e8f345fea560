//! Reads serde's messages, so that a caller learns where and what, without its own values in the answer.

use clinicx_types::error::FieldError;
use serde_path_to_error::{Path, Segment};

/// Turns a path into a JSON Pointer (RFC 6901). The path does not know the names of members that are variants of an enum;
/// they are handed in beside it, from the outside in.
pub(super) fn pointer(path: &Path, names: &[String]) -> String {
    let (mut text, mut names) = (String::new(), names.iter());
    for segment in path {
        match segment {
            Segment::Seq { index } => push(&mut text, &index.to_string()),
            Segment::Map { key } => push(&mut text, key),
            Segment::Enum { variant } => push(&mut text, variant),
            Segment::Unknown => {
                if let Some(name) = names.next() {
                    push(&mut text, name);
                }
            }
        }
    }
    text
}

/// Appends a member's name to a JSON Pointer.
pub(super) fn push(pointer: &mut String, name: &str) {
    pointer.push('/');
    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
}

/// What a message says: the code, the words, and the member that it names below the path, if it does.
pub(super) struct Defect<'a> {
    pub(super) code: &'static str,
    pub(super) detail: String,
    pub(super) member: Option<&'a str>,
}

/// Reads a message of serde or of a type's own `Deserialize`.
pub(super) fn read(message: &str) -> Defect<'_> {
    let quoted = |prefix: &str| message.strip_prefix(prefix).and_then(|rest| rest.split('`').next());
    let expected = || message.rsplit_once(", expected ").map(|(_, rest)| rest.trim_end());
    let must_be = |code: &'static str| {
        let detail = expected()
            .and_then(in_json)
            .map_or_else(|| "is not acceptable".to_owned(), |what| format!("must be {what}"));
        Defect { code, detail, member: None }
    };
    if let Some(name) = quoted("missing field `") {
        Defect { code: "required", detail: "is required".to_owned(), member: Some(name) }
    } else if let Some(name) = quoted("duplicate field `") {
        Defect { code: "duplicate", detail: "is given more than once".to_owned(), member: Some(name) }
    } else if message.starts_with("unknown field `") {
        let known = expected().map(|what| format!(", expected {what}")).unwrap_or_default();
        Defect { code: "unknown_field", detail: format!("is not known here{known}"), member: None }
    } else if message.starts_with("unknown variant `") {
        must_be("unknown_value")
    } else if message.starts_with("invalid type: ") {
        must_be("wrong_type")
    } else if message.starts_with("invalid value: ") {
        must_be("out_of_range")
    } else if message.starts_with("invalid length ") {
        must_be("wrong_length")
    } else {
        // A type of our own says what it wants and never repeats the value; of others that is not known.
        let own = message.starts_with("must ") || message.starts_with("is ");
        let detail = if own { message } else { "does not have the right form" };
        Defect { code: "malformed", detail: detail.to_owned(), member: None }
    }
}

/// Says in the words of JSON what serde's own visitors expect in those of Rust; `None` for what would name a type.
fn in_json(expected: &str) -> Option<&str> {
    let words = match expected {
        "a boolean" => "true or false",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number in range",
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "a whole number from 0 on, in range",
        "f32" | "f64" => "a number",
        "a sequence" => "an array",
        "a map" => "an object",
        "unit" => "null",
        "option" => "a value or null",
        "string or map" => "one of the known words",
        _ => match expected.split_once(' ') {
            Some(("struct", _)) => "an object",
            Some(("enum", _)) => "one of the known words",
            Some(("tuple", _)) => "an array",
            Some(("a", rest)) if rest.starts_with("nonzero ") => "a whole number in range, not 0",
            Some(("unit" | "variant", _)) => return None,
            _ if expected.contains("::") => return None,
            _ => expected,
        },
    };
    Some(words)
}

/// Makes the error of a wrong member of a JSON body.
pub(super) fn in_body(path: &Path, names: &[String], message: &str) -> FieldError {
    let defect = read(message);
    let mut place = pointer(path, names);
    if let Some(member) = defect.member {
        push(&mut place, member);
    }
    FieldError::new(place, defect.code, defect.detail)
}

/// Makes the error of a wrong parameter of the query string.
pub(super) fn in_query(path: &Path, message: &str) -> FieldError {
    let defect = read(message);
    let name = path
        .iter()
        .find_map(|segment| match segment {
            Segment::Map { key } => Some(key.as_str()),
            _ => None,
        })
        .or(defect.member)
        .unwrap_or_default();
    FieldError::new(format!("?{name}"), defect.code, defect.detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_said_in_the_words_of_json() {
        let check = |message: &str, detail: &str| assert_eq!(read(message).detail, detail, "{message}");
        check("invalid type: string \"x\", expected i16", "must be a whole number in range");
        check("invalid value: integer `300`, expected u8", "must be a whole number from 0 on, in range");
        check("invalid type: map, expected a boolean", "must be true or false");
        check("invalid type: sequence, expected struct CreatePatient", "must be an object");
        check("invalid type: integer `1`, expected a sequence", "must be an array");
        check("invalid type: integer `1`, expected string or map", "must be one of the known words");
        check("invalid type: null, expected enum Gender", "must be one of the known words");
        check("invalid type: null, expected tuple struct Id", "must be an array");
        check("invalid type: null, expected variant identifier", "is not acceptable");
        check("invalid type: null, expected a::b::C", "is not acceptable");
        check("invalid type: null, expected a UUID string", "must be a UUID string");
        check("unknown variant `x`, expected `a` or `b`", "must be `a` or `b`");
    }
}
