//! Cancelling an issued invoice.

use clinicx_core::{CoreError, change, validation};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantTransaction};
use sea_orm::{ActiveModelTrait, Set};

use super::{
    draft,
    dto::{CancelInvoice, Invoice},
    entity::ActiveModel,
    query::{self, THING},
    status::InvoiceStatus,
    trace,
};
use crate::{
    InvoiceId, charge_item,
    error::{BillingError, Result},
    event, input, installment_plan, ledger, sealed,
};

/// Cancels an issued invoice: what is not credited of it is taken off the account. Treatments on it can be billed
/// again, its number can't.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Stale`]; [`CoreError::RefusedTransition`] unless it is issued and not credited
/// as a whole; [`BillingError::MoneyAllocated`]; [`BillingError::Core`] when the database fails.
#[tracing::instrument(name = "billing.invoice.cancel", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn cancel(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    (id, expected): (InvoiceId, Option<i64>),
    input: CancelInvoice,
) -> Result<Invoice> {
    validation::check(&input)?;
    let row = query::locked(tx, id, None).await?;
    change::expect_version(THING, expected, row.version)?;
    if !row.status.is_open_to_money() {
        return Err(row.status.refused_to("cancel").into());
    }
    if row.credited == row.gross && !row.gross.is_zero() {
        // Nothing of it is left that could be taken back.
        let from = row.status.as_str();
        return Err(CoreError::RefusedTransition { from, action: "cancel", allowed: Vec::new() }.into());
    }
    if !row.allocated.is_zero() {
        return Err(BillingError::MoneyAllocated);
    }
    let before = draft::whole(tx, scope, cipher, row.clone()).await?;
    let left = input::stored(row.gross - row.credited, &row.currency)?;
    let reason =
        sealed::close_some(scope, cipher, (sealed::CANCELLATION, id.uuid()), input.reason.as_deref())?;
    let changed = ActiveModel {
        id: sea_orm::Unchanged(id),
        version: Set(row.version + 1),
        updated_at: Set(scope.now()),
        status: Set(InvoiceStatus::Cancelled),
        cancelled_at: Set(Some(scope.now())),
        cancellation_reason: Set(reason),
        ..Default::default()
    };
    let after = draft::whole(tx, scope, cipher, changed.update(tx).await?).await?;
    charge_item::free(tx, scope, id, &[]).await?;
    installment_plan::end(tx, scope, id).await?;
    let posting = ledger::Posting {
        account_id: row.account_id,
        patient_id: row.patient_id,
        kind: ledger::EntryKind::Cancellation,
        source_id: id.uuid(),
        amount: left,
        reference: row.number,
    };
    ledger::post(tx, scope, posting).await?;
    trace::write(tx, scope, event::INVOICE_CANCELLED, (Some(&before), &after)).await?;
    Ok(after)
}
