//! What a change of a patient leaves behind: a row for the audit and an event, without what identifies a person.
//!
//! Audit rows are never changed, and erasing a patient must be possible: so they name the fields that were
//! changed and show the values of those alone that identify nobody.

use clinicx_persistence::{
    TenantScope, TenantTransaction,
    record::{Change, record},
};
use clinicx_types::module::EventType;
use sea_orm::JsonValue;
use serde_json::json;

use super::dto::Patient;
use crate::{
    change::{self, MASK},
    error::CoreError,
};

/// Fields that the audit row has columns for, or that every change changes.
const LEFT_OUT: [&str; 5] = ["id", "mrn", "version", "created_at", "updated_at"];
/// Fields whose values identify nobody, at any depth.
const SHOWN: [&str; 12] = [
    "status",
    "gender",
    "deceased",
    "preferred_language",
    "guarantor_id",
    "blood_type",
    "no_known_allergies_at",
    "id",
    "system",
    "use",
    "rank",
    "opt_out",
];

/// Records that a patient was registered.
pub(super) async fn created(
    tx: &TenantTransaction,
    scope: &TenantScope,
    event: EventType,
    patient: &Patient,
) -> Result<(), CoreError> {
    write(tx, scope, event, patient, None, Some(change::json(patient))).await
}

/// Records that a patient was changed.
pub(super) async fn updated(
    tx: &TenantTransaction,
    scope: &TenantScope,
    event: EventType,
    (before, after): (&Patient, &Patient),
) -> Result<(), CoreError> {
    let (old, new) = change::difference(before, after);
    write(tx, scope, event, after, Some(old), Some(new)).await
}

async fn write(
    tx: &TenantTransaction,
    scope: &TenantScope,
    event: EventType,
    patient: &Patient,
    before: Option<JsonValue>,
    after: Option<JsonValue>,
) -> Result<(), CoreError> {
    let id = patient.id.uuid();
    let change = Change {
        event,
        aggregate: "patient",
        aggregate_id: id,
        patient_id: Some(id),
        before: before.map(masked),
        after: after.map(masked),
        payload: json!({ "patient_id": id, "version": patient.version, "status": patient.status }),
    };
    Ok(record(tx, scope, change).await?)
}

fn masked(fields: JsonValue) -> JsonValue {
    let JsonValue::Object(mut fields) = fields else { return fields };
    for field in LEFT_OUT {
        fields.remove(field);
    }
    mask_object(JsonValue::Object(fields))
}

fn mask_object(value: JsonValue) -> JsonValue {
    match value {
        JsonValue::Object(fields) => fields
            .into_iter()
            .map(|(field, value)| {
                let shown = SHOWN.contains(&field.as_str()) && !value.is_array();
                let value = if shown { value } else { mask(value) };
                (field, value)
            })
            .collect(),
        other => mask(other),
    }
}

fn mask(value: JsonValue) -> JsonValue {
    match value {
        JsonValue::Null => JsonValue::Null,
        JsonValue::Array(items) => items.into_iter().map(mask).collect(),
        object @ JsonValue::Object(_) => mask_object(object),
        _ => JsonValue::from(MASK),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_identifies_nobody_is_shown() {
        let fields = json!({
            "id": "1", "mrn": "123", "version": 2, "family_name": "Haddad", "middle_name": null, "gender": "female",
            "birth_date": "1980-05-17", "deceased": false, "phones": ["+49"], "emails": [],
            "telecoms": [{"system": "phone", "value": "+49", "value_raw": "0", "use": null, "rank": 1, "opt_out": true}],
            "identifiers": [{"id": "2", "system": "passport", "value": "A1"}],
            "notes": "text"
        });
        let expected = json!({
            "family_name": "***", "middle_name": null, "gender": "female", "birth_date": "***", "deceased": false,
            "phones": ["***"], "emails": [],
            "telecoms":
                [{"system": "phone", "value": "***", "value_raw": "***", "use": null, "rank": 1, "opt_out": true}],
            "identifiers": [{"id": "2", "system": "passport", "value": "***"}],
            "notes": "***"
        });
        assert_eq!(masked(fields), expected);
    }
}
