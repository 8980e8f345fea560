//! What every change of this module leaves: an audit row and an event, without the words that people wrote.

use clinicx_core::{PatientId, change};
use clinicx_persistence::{
    TenantScope, TenantTransaction,
    record::{Change, record},
};
use clinicx_types::module::EventType;
use sea_orm::JsonValue;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::error::DentalError;

/// Fields that people fill with words.
const WORDS: &[&str] = &["note", "reason", "title"];

/// What has been changed.
#[derive(Clone, Copy)]
pub(crate) struct Subject {
    pub(crate) event: EventType,
    pub(crate) aggregate: &'static str,
    pub(crate) id: Uuid,
    pub(crate) patient_id: Option<PatientId>,
}

/// Records that something was made.
pub(crate) async fn made(
    tx: &TenantTransaction,
    scope: &TenantScope,
    subject: Subject,
    thing: &impl Serialize,
) -> Result<(), DentalError> {
    leave(tx, scope, subject, None, Some(change::json(thing))).await
}

/// Records in what a thing has changed.
pub(crate) async fn changed(
    tx: &TenantTransaction,
    scope: &TenantScope,
    subject: Subject,
    before: &impl Serialize,
    after: &impl Serialize,
) -> Result<(), DentalError> {
    let (old, new) = change::difference(before, after);
    leave(tx, scope, subject, Some(old), Some(new)).await
}

async fn leave(
    tx: &TenantTransaction,
    scope: &TenantScope,
    subject: Subject,
    before: Option<JsonValue>,
    after: Option<JsonValue>,
) -> Result<(), DentalError> {
    let Subject { event, aggregate, id, patient_id } = subject;
    let mut payload = json!({ format!("{aggregate}_id"): id });
    if let (Some(patient_id), Some(fields)) = (patient_id, payload.as_object_mut()) {
        fields.insert("patient_id".to_owned(), json!(patient_id));
    }
    let status = after.as_ref().and_then(|after| after.get("status")).cloned();
    if let (Some(status), Some(fields)) = (status, payload.as_object_mut()) {
        fields.insert("status".to_owned(), status);
    }
    let change = Change {
        event,
        aggregate,
        aggregate_id: id,
        patient_id: patient_id.map(PatientId::uuid),
        before: change::masked(before, WORDS),
        after: change::masked(after, WORDS),
        payload,
    };
    Ok(record(tx, scope, change).await?)
}
