//! Giving money back.

use clinicx_core::{
    change::{json, masked},
    validation,
};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantTransaction};
use rust_decimal::Decimal;
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel, Set};
use serde_json::json;

use super::{
    allocate,
    dto::{AllocationReason, CreateRefund, Refund},
    entity::ActiveModel,
    query, refunds,
    status::PaymentStatus,
    trace,
};
use crate::{
    PaymentId, RefundId,
    change::Trace,
    error::{BillingError, Result},
    event, input, ledger, sealed,
};

/// Gives money of a payment back: first what is on no invoice, then what is on the latest ones, which are due again.
///
/// # Errors
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound); [`CoreError::Invalid`](clinicx_core::CoreError::Invalid);
/// [`CoreError::RefusedTransition`](clinicx_core::CoreError::RefusedTransition) unless the payment is completed;
/// [`BillingError::OverRefund`]; [`BillingError::Core`] when the database fails.
#[tracing::instrument(name = "billing.payment.refund", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn refund(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    of: PaymentId,
    input: CreateRefund,
) -> Result<Refund> {
    validation::check(&input)?;
    let payment = query::locked(tx, of, None).await?;
    if payment.status != PaymentStatus::Completed {
        return Err(payment.status.refused_to("refund").into());
    }
    let currency = input::currency(&payment.currency, "/currency")?;
    let amount = input::positive_amount(&input.amount, currency, "/amount")?;
    if amount.amount() > payment.amount - payment.refunded {
        return Err(BillingError::OverRefund);
    }
    // The state before is put together before anything of it is released.
    let before = query::whole(tx, scope, cipher, payment.clone()).await?;
    let beyond = amount.amount() - payment.unapplied();
    let taken = allocate::release_latest(tx, scope, of, (beyond, AllocationReason::Refund)).await?;
    let now = scope.now();
    let changed = ActiveModel {
        id: sea_orm::Unchanged(of),
        version: Set(payment.version + 1),
        updated_at: Set(now),
        allocated: Set(payment.allocated - taken),
        refunded: Set(payment.refunded + amount.amount()),
        ..Default::default()
    };
    let after = query::whole(tx, scope, cipher, changed.update(tx).await?).await?;
    trace::write(tx, scope, event::PAYMENT_REFUNDED, (Some(&before), &after)).await?;
    let id = RefundId::new(scope.next_id());
    let row = refunds::Model {
        id,
        created_at: now,
        payment_id: of,
        account_id: payment.account_id,
        patient_id: payment.patient_id,
        amount: amount.amount(),
        currency: payment.currency.clone(),
        method: input.method.unwrap_or(payment.method),
        refunded_at: now,
        reason: sealed::close(scope, cipher, (sealed::REFUND_REASON, id.uuid()), input.reason.trim())?,
    };
    refunds::Entity::insert(row.clone().into_active_model().reset_all()).exec_without_returning(tx).await?;
    let posting = ledger::Posting {
        account_id: payment.account_id,
        patient_id: payment.patient_id,
        kind: ledger::EntryKind::Refund,
        source_id: id.uuid(),
        amount,
        reference: None,
    };
    ledger::post(tx, scope, posting).await?;
    let made = query::shown_refund(scope, cipher, row)?;
    let trace = Trace {
        event: event::REFUND_CREATED,
        aggregate: ("refund", id.uuid()),
        patient_id: Some(payment.patient_id.uuid()),
        before: None,
        after: masked(Some(json(&made)), &["reason"]),
        payload: json!({ "payment_id": of, "account_id": payment.account_id, "releases": taken > Decimal::ZERO }),
    };
    trace.write(tx, scope).await?;
    Ok(made)
}
