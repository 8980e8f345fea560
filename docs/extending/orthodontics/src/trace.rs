//! What every change of this module leaves in its own transaction: an audit row and an event.

use clinicx_core::{CoreError, PatientId};
use clinicx_persistence::{
    TenantScope, TenantTransaction,
    record::{Change, record},
};
use clinicx_types::module::EventType;
use sea_orm::JsonValue;
use serde_json::json;

pub(crate) async fn leave(
    tx: &TenantTransaction,
    scope: &TenantScope,
    event: EventType,
    patient_id: PatientId,
    (aggregate, before, after): (&'static str, Option<JsonValue>, JsonValue),
) -> Result<(), CoreError> {
    let id = after.get("id").cloned().unwrap_or_default();
    let change = Change {
        event,
        aggregate,
        aggregate_id: serde_json::from_value(id.clone()).unwrap_or_default(),
        patient_id: Some(patient_id.uuid()),
        before,
        after: Some(after),
        payload: json!({ "id": id, "patient_id": patient_id }),
    };
    Ok(record(tx, scope, change).await?)
}
