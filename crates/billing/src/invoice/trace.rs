//! The trace of an invoice: amounts, ids and states, and none of the words.

use clinicx_core::change::{MASK, difference, json};
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_types::module::EventType;
use sea_orm::JsonValue;
use serde_json::json;

use super::{dto::Invoice, entity::Model, status::InvoiceStatus};
use crate::{change::Trace, error::Result, event, input::shown};

/// Writes the trace of a change.
pub(super) async fn write(
    tx: &TenantTransaction,
    scope: &TenantScope,
    event: EventType,
    (before, after): (Option<&Invoice>, &Invoice),
) -> Result<()> {
    let (old, new) = match before {
        Some(before) => {
            let (old, new) = difference(&wordless(before), &wordless(after));
            (Some(old), new)
        }
        None => (None, wordless(after)),
    };
    let trace = Trace {
        event,
        aggregate: ("invoice", after.id.uuid()),
        patient_id: Some(after.patient_id.uuid()),
        before: old,
        after: Some(new),
        payload: json!({ "number": after.number, "status": after.status, "account_id": after.account_id }),
    };
    trace.write(tx, scope).await
}

/// Writes the trace of money that came to an issued invoice or left it.
pub(super) async fn settled(
    tx: &TenantTransaction,
    scope: &TenantScope,
    (before, after): (&Model, &Model),
) -> Result<()> {
    let event = match (before.status, after.status) {
        (InvoiceStatus::Issued, InvoiceStatus::Balanced) => event::INVOICE_BALANCED,
        (InvoiceStatus::Balanced, InvoiceStatus::Issued) => event::INVOICE_REOPENED,
        _ => event::INVOICE_SETTLED,
    };
    let (old, new) = difference(&sums(before), &sums(after));
    let trace = Trace {
        event,
        aggregate: ("invoice", after.id.uuid()),
        patient_id: Some(after.patient_id.uuid()),
        before: Some(old),
        after: Some(new),
        payload: json!({ "number": after.number, "status": after.status, "account_id": after.account_id }),
    };
    trace.write(tx, scope).await
}

fn sums(row: &Model) -> JsonValue {
    let amount = |amount| shown(amount, &row.currency);
    json!({ "version": row.version, "updated_at": row.updated_at, "status": row.status,
        "allocated": amount(row.allocated), "credited": amount(row.credited), "due": amount(row.due()) })
}

/// Returns an invoice as JSON with its words hidden.
fn wordless(invoice: &Invoice) -> JsonValue {
    let mut state = json(invoice);
    for field in ["note", "recipient", "issuer", "cancellation_reason"] {
        mask(state.get_mut(field));
    }
    for line in state.get_mut("lines").and_then(JsonValue::as_array_mut).into_iter().flatten() {
        mask(line.get_mut("description"));
    }
    state
}

fn mask(value: Option<&mut JsonValue>) {
    if let Some(value) = value.filter(|value| !value.is_null()) {
        *value = MASK.into();
    }
}
