//! Reads serde's messages, so that a caller learns where and what, without its own values in the answer.

use clinicx_types::error::FieldError;
use serde_path_to_error::{Path, Segment};

/// Turns a path into a JSON Pointer (RFC 6901).
pub(super) fn pointer(path: &Path) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => push(&mut text, &index.to_string()),
            Segment::Map { key } => push(&mut text, key),
            Segment::Enum { variant } => push(&mut text, variant),
            Segment::Unknown => {}
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
        let detail =
            expected().map_or_else(|| "is not acceptable".to_owned(), |what| format!("must be {what}"));
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

/// Makes the error of a wrong member of a JSON body.
pub(super) fn in_body(path: &Path, message: &str) -> FieldError {
    let defect = read(message);
    let mut place = pointer(path);
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
