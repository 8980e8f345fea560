//! A payment that was under way arrives or does not; one that had arrived is voided.

use clinicx_core::validation;
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantTransaction};
use rust_decimal::Decimal;
use sea_orm::{ActiveModelTrait, Set};

use super::{
    allocate,
    dto::{AllocationReason, Payment, VoidPayment},
    entity::{ActiveModel, Model},
    query,
    status::PaymentStatus,
    trace,
};
use crate::{
    PaymentId,
    error::{BillingError, Result},
    event, input, ledger, sealed,
};

/// Says that a payment that was under way has arrived: from now on it counts.
///
/// # Errors
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound); [`CoreError::Stale`](clinicx_core::CoreError::Stale);
/// [`CoreError::RefusedTransition`](clinicx_core::CoreError::RefusedTransition) unless it was under way;
/// [`BillingError::Core`] when the database fails.
#[tracing::instrument(name = "billing.payment.complete", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn complete(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    (id, expected): (PaymentId, Option<i64>),
) -> Result<Payment> {
    let row = query::locked(tx, id, expected).await?;
    if row.status != PaymentStatus::Pending {
        return Err(row.status.refused_to("complete").into());
    }
    post(tx, scope, &row, ledger::EntryKind::Payment).await?;
    let changed = ActiveModel { status: Set(PaymentStatus::Completed), ..next(scope, &row) };
    written(tx, scope, cipher, (row, changed, event::PAYMENT_COMPLETED)).await
}

/// Says that a payment that was under way did not arrive.
///
/// # Errors
/// As [`complete`].
#[tracing::instrument(name = "billing.payment.fail", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn fail(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    (id, expected): (PaymentId, Option<i64>),
) -> Result<Payment> {
    let row = query::locked(tx, id, expected).await?;
    if row.status != PaymentStatus::Pending {
        return Err(row.status.refused_to("fail").into());
    }
    let changed = ActiveModel { status: Set(PaymentStatus::Failed), ..next(scope, &row) };
    written(tx, scope, cipher, (row, changed, event::PAYMENT_FAILED)).await
}

/// Voids a payment that had arrived: what it paid is due again.
///
/// # Errors
/// As [`complete`], unless it had arrived; [`BillingError::Refunded`].
#[tracing::instrument(name = "billing.payment.void", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn void(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    (id, expected): (PaymentId, Option<i64>),
    input: VoidPayment,
) -> Result<Payment> {
    validation::check(&input)?;
    let row = query::locked(tx, id, expected).await?;
    if row.status != PaymentStatus::Completed {
        return Err(row.status.refused_to("void").into());
    }
    if row.refunded > Decimal::ZERO {
        return Err(BillingError::Refunded);
    }
    // The state before is put together before anything of it is released.
    let before = query::whole(tx, scope, cipher, row.clone()).await?;
    allocate::release_latest(tx, scope, id, (row.allocated, AllocationReason::Void)).await?;
    post(tx, scope, &row, ledger::EntryKind::Void).await?;
    let reason = input.reason.as_deref();
    let changed = ActiveModel {
        status: Set(PaymentStatus::Voided),
        allocated: Set(Decimal::ZERO),
        voided_at: Set(Some(scope.now())),
        void_reason: Set(sealed::close_some(scope, cipher, (sealed::VOID_REASON, id.uuid()), reason)?),
        ..next(scope, &row)
    };
    let after = query::whole(tx, scope, cipher, changed.update(tx).await?).await?;
    trace::write(tx, scope, event::PAYMENT_VOIDED, (Some(&before), &after)).await?;
    Ok(after)
}

fn next(scope: &TenantScope, row: &Model) -> ActiveModel {
    ActiveModel {
        id: sea_orm::Unchanged(row.id),
        version: Set(row.version + 1),
        updated_at: Set(scope.now()),
        ..Default::default()
    }
}

async fn post(
    tx: &TenantTransaction,
    scope: &TenantScope,
    row: &Model,
    kind: ledger::EntryKind,
) -> Result<()> {
    let posting = ledger::Posting {
        account_id: row.account_id,
        patient_id: row.patient_id,
        kind,
        source_id: row.id.uuid(),
        amount: input::stored(row.amount, &row.currency)?,
        reference: None,
    };
    ledger::post(tx, scope, posting).await
}

async fn written(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    (row, changed, event): (Model, ActiveModel, clinicx_types::module::EventType),
) -> Result<Payment> {
    let before = query::whole(tx, scope, cipher, row).await?;
    let after = query::whole(tx, scope, cipher, changed.update(tx).await?).await?;
    trace::write(tx, scope, event, (Some(&before), &after)).await?;
    Ok(after)
}
