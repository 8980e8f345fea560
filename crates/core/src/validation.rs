//! Checks of input that every operation makes, whoever calls it, and their errors as JSON Pointers.

use std::borrow::Cow;

use clinicx_types::error::FieldError;
use validator::{Validate, ValidationError, ValidationErrors, ValidationErrorsKind};

use crate::{error::CoreError, folding};

/// Checks an input.
///
/// # Errors
/// [`CoreError::Invalid`] with one entry for each wrong part.
pub fn check(input: &impl Validate) -> Result<(), CoreError> {
    input.validate().map_err(|errors| CoreError::Invalid(field_errors(&errors)))
}

/// Lists the errors of a check, sorted by where they stand.
pub fn field_errors(errors: &ValidationErrors) -> Vec<FieldError> {
    let mut list = Vec::new();
    collect(errors, "", &mut list);
    list.sort_by(|one, other| one.pointer.cmp(&other.pointer));
    list
}

/// Accepts text of one line: something to see in it, no control characters.
///
/// # Errors
/// `blank` or `control_character`.
pub fn one_line(text: &str) -> Result<(), ValidationError> {
    if folding::tidy(text).chars().all(folding::is_invisible) {
        return Err(refusal("blank", "must not be blank"));
    }
    if text.chars().any(char::is_control) {
        return Err(refusal("control_character", "must have no control characters"));
    }
    Ok(())
}

/// Accepts text of many lines: no control characters but line breaks and tabs.
///
/// # Errors
/// `control_character`.
pub fn many_lines(text: &str) -> Result<(), ValidationError> {
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(refusal("control_character", "must have no control characters but line breaks and tabs"));
    }
    Ok(())
}

/// Accepts a language tag (BCP 47).
///
/// # Errors
/// `malformed_language`.
pub fn language_tag(text: &str) -> Result<(), ValidationError> {
    oxilangtag::LanguageTag::parse(text).map(|_| ()).map_err(|_| {
        refusal("malformed_language", "must be a BCP 47 language tag such as \"ar\" or \"de-AT\"")
    })
}

/// Makes a validation error from its code and its words.
pub fn refusal(code: &'static str, detail: &'static str) -> ValidationError {
    ValidationError::new(code).with_message(Cow::Borrowed(detail))
}

fn collect(errors: &ValidationErrors, at: &str, list: &mut Vec<FieldError>) {
    for (field, kind) in errors.errors() {
        // A rule about the whole object stands under a name of its own.
        let pointer = if field == "__all__" { at.to_owned() } else { format!("{at}/{field}") };
        match kind {
            ValidationErrorsKind::Struct(inner) => collect(inner, &pointer, list),
            ValidationErrorsKind::List(items) => {
                for (index, inner) in items {
                    collect(inner, &format!("{pointer}/{index}"), list);
                }
            }
            ValidationErrorsKind::Field(refusals) => {
                list.extend(
                    refusals.iter().map(|one| FieldError::new(pointer.as_str(), code(one), detail(one))),
                );
            }
        }
    }
}

fn code(error: &ValidationError) -> String {
    match error.code.as_ref() {
        "length" if exceeds(error) => "too_long".to_owned(),
        "length" => "too_short".to_owned(),
        "range" => "out_of_range".to_owned(),
        "email" => "malformed_email".to_owned(),
        other => other.to_owned(),
    }
}

/// Tells whether a `length` error comes from too much rather than too little; the only length above the
/// minimum that can be refused is one above the maximum.
fn exceeds(error: &ValidationError) -> bool {
    let number = |name: &str| error.params.get(name).and_then(serde_json::Value::as_u64);
    let length = error.params.get("value").map_or(0, |value| match value {
        serde_json::Value::String(text) => u64::try_from(text.chars().count()).unwrap_or(u64::MAX),
        serde_json::Value::Array(items) => u64::try_from(items.len()).unwrap_or(u64::MAX),
        _ => 0,
    });
    number("max").is_some_and(|max| length > max)
}

fn detail(error: &ValidationError) -> String {
    if let Some(message) = &error.message {
        return message.clone().into_owned();
    }
    // The refused value stands in the parameters too; it is never repeated.
    let bound = |name: &str| error.params.get(name).map(ToString::to_string);
    match (error.code.as_ref(), bound("min"), bound("max")) {
        ("length", Some(min), Some(max)) => format!("must have {min} to {max} characters or entries"),
        ("length", None, Some(max)) => format!("must have at most {max} characters or entries"),
        ("length", Some(min), None) => format!("must have at least {min} characters or entries"),
        ("range", Some(min), Some(max)) => format!("must be {min} to {max}"),
        ("range", Some(min), None) => format!("must be at least {min}"),
        ("range", None, Some(max)) => format!("must be at most {max}"),
        ("email", ..) => "must be an e-mail address".to_owned(),
        _ => "is not acceptable".to_owned(),
    }
}
