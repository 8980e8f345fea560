//! What every change of a row has in common: its version, and its trace.

use clinicx_persistence::Failure;
use sea_orm::{DbErr, JsonValue};
use serde::Serialize;

use crate::error::CoreError;

/// Refuses to change a row that is not the one that the caller has read; `None` means any version.
pub fn expect_version(thing: &'static str, expected: Option<i64>, found: i64) -> Result<(), CoreError> {
    match expected {
        Some(version) if version != found => Err(CoreError::Stale { thing }),
        _ => Ok(()),
    }
}

/// Names the rule behind a refusal of the database; `None` from `rule` leaves it a failure.
pub fn refused(error: &DbErr, rule: impl FnOnce(&Failure) -> Option<CoreError>) -> CoreError {
    let failure = Failure::of(error);
    rule(&failure).unwrap_or(CoreError::Database(failure))
}

/// Returns a thing as JSON, for its trace.
pub fn json(thing: &impl Serialize) -> JsonValue {
    serde_json::to_value(thing).unwrap_or_default()
}

/// Stands in an audit row for a value that must not be kept there.
pub const MASK: &str = "***";

/// Hides the values of fields that people fill with words: an audit row is never changed, and what is said of a
/// person must be erasable. That they were filled or changed still shows.
pub fn masked(mut state: Option<JsonValue>, fields: &[&str]) -> Option<JsonValue> {
    for field in fields {
        let value = state.as_mut().and_then(|state| state.get_mut(*field)).filter(|value| !value.is_null());
        if let Some(value) = value {
            *value = MASK.into();
        }
    }
    state
}

/// Returns the fields in which two states of a thing differ, as they were and as they are.
pub fn difference(before: &impl Serialize, after: &impl Serialize) -> (JsonValue, JsonValue) {
    match (json(before), json(after)) {
        (JsonValue::Object(mut old), JsonValue::Object(mut new)) => {
            let same: Vec<String> = old
                .iter()
                .filter(|(field, value)| new.get(field.as_str()) == Some(*value))
                .map(|(field, _)| field.clone())
                .collect();
            for field in same {
                old.remove(&field);
                new.remove(&field);
            }
            (JsonValue::Object(old), JsonValue::Object(new))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{difference, masked};

    #[test]
    fn masked_fields_show_only_that_they_are_filled() {
        let state = Some(json!({"reason": "words", "comment": null, "start": "10:00"}));
        let expected = Some(json!({"reason": "***", "comment": null, "start": "10:00"}));
        assert_eq!(masked(state, &["reason", "comment", "absent"]), expected);
        assert_eq!(masked(None, &["reason"]), None);
    }

    #[test]
    fn a_difference_holds_the_changed_fields_alone() {
        let (before, after) =
            difference(&json!({"a": 1, "b": null, "c": [1]}), &json!({"a": 1, "b": 2, "c": [1]}));
        assert_eq!((before, after), (json!({"b": null}), json!({"b": 2})));
    }
}
