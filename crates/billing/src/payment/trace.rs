//! The trace of a payment: amounts, ids and states, and none of the words.

use clinicx_core::change::{difference, json, masked};
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_types::module::EventType;
use serde_json::json;

use super::dto::Payment;
use crate::{change::Trace, error::Result};

/// Fields that people fill with words.
const WORDS: &[&str] = &["reference", "note", "void_reason"];

/// Writes the trace of a change.
pub(super) async fn write(
    tx: &TenantTransaction,
    scope: &TenantScope,
    event: EventType,
    (before, after): (Option<&Payment>, &Payment),
) -> Result<()> {
    let (old, new) = match before {
        Some(before) => {
            let (old, new) = difference(before, after);
            (Some(old), new)
        }
        None => (None, json(after)),
    };
    let trace = Trace {
        event,
        aggregate: ("payment", after.id.uuid()),
        patient_id: Some(after.patient_id.uuid()),
        before: masked(old, WORDS),
        after: masked(Some(new), WORDS),
        payload: json!({ "status": after.status, "account_id": after.account_id, "method": after.method }),
    };
    trace.write(tx, scope).await
}
