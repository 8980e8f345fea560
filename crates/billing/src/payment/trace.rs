//! The trace of a payment: amounts, ids and states, and none of the words.

use std::collections::BTreeSet;

use clinicx_core::change::{difference, json, masked};
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_types::module::EventType;
use serde_json::json;

use super::dto::{AllocationShare, Payment};
use crate::{InvoiceId, change::Trace, error::Result};

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
        payload: json!({ "status": after.status, "account_id": after.account_id, "method": after.method,
            "invoice_ids": invoices(before, after) }),
    };
    trace.write(tx, scope).await
}

/// The invoices to which money of the payment came, or which it left.
fn invoices(before: Option<&Payment>, after: &Payment) -> BTreeSet<InvoiceId> {
    let old = before.map(|payment| payment.allocations.as_slice()).unwrap_or_default();
    let only = |these: &[AllocationShare], others: &[AllocationShare]| {
        let moved: Vec<InvoiceId> =
            these.iter().filter(|share| !others.contains(share)).map(|share| share.invoice_id).collect();
        moved
    };
    only(old, &after.allocations).into_iter().chain(only(&after.allocations, old)).collect()
}
