//! The trace of what can be billed.

use clinicx_core::change::{difference, json};
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_types::module::EventType;
use sea_orm::DbErr;
use serde_json::json;

use super::{dto::ChargeItem, entity::Model};
use crate::change::Trace;

/// Writes the trace of a change.
pub(super) async fn write(
    tx: &TenantTransaction,
    scope: &TenantScope,
    event: EventType,
    (before, after): (Option<Model>, Model),
) -> Result<(), DbErr> {
    let after = ChargeItem::from(after);
    let (old, new) = match before.map(ChargeItem::from) {
        Some(before) => {
            let (old, new) = difference(&before, &after);
            (Some(old), new)
        }
        None => (None, json(&after)),
    };
    let trace = Trace {
        event,
        aggregate: ("charge_item", after.id.uuid()),
        patient_id: Some(after.patient_id.uuid()),
        before: old,
        after: Some(new),
        payload: json!({ "source_kind": after.source_kind, "source_id": after.source_id,
            "status": after.status, "invoice_id": after.invoice_id }),
    };
    trace.record(tx, scope).await
}
