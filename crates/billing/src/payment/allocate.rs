//! Where a payment's money goes, and how it comes back.

use std::collections::{BTreeMap, BTreeSet};

use clinicx_core::validation;
use clinicx_keys::FieldCipher;
use clinicx_persistence::{Failure, FailureKind, TenantScope, TenantTransaction};
use clinicx_types::{error::FieldError, money::Currency};
use rust_decimal::Decimal;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Set,
    sea_query::LockType,
};

use super::{
    allocation,
    dto::{AllocationReason, AllocationShare, CreateAllocations, Payment, ReleaseAllocation},
    entity::{ActiveModel, Column, Entity, Model},
    query,
    status::PaymentStatus,
    trace,
};
use crate::{
    AccountId, InvoiceId, PaymentId,
    error::{BillingError, Result},
    event, input,
    invoice::{self, Settlement},
};

/// How much goes to which invoice, in the order in which it was said.
pub(super) type Wishes = Vec<(InvoiceId, Decimal)>;

/// Allocates unapplied money of a payment to invoices of its account.
///
/// # Errors
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound);
/// [`CoreError::Invalid`](clinicx_core::CoreError::Invalid), also for an invoice that is not there, of another account
/// or in another currency; [`CoreError::RefusedTransition`](clinicx_core::CoreError::RefusedTransition) unless the
/// payment is completed and the invoices are issued; [`BillingError::OverAllocation`]; [`BillingError::Core`] when the
/// database fails.
#[tracing::instrument(name = "billing.payment.allocate", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn allocate(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    id: PaymentId,
    input: CreateAllocations,
) -> Result<Payment> {
    validation::check(&input)?;
    let row = query::locked(tx, id, None).await?;
    if row.status != PaymentStatus::Completed {
        return Err(row.status.refused_to("allocate").into());
    }
    let before = query::whole(tx, scope, cipher, row.clone()).await?;
    let currency = input::currency(&row.currency, "/currency")?;
    let CreateAllocations { invoice_id, amount, mut allocations } = input;
    let single = invoice_id.is_some();
    match (invoice_id, amount) {
        (Some(invoice_id), Some(amount)) => allocations.insert(0, AllocationShare { invoice_id, amount }),
        (Some(_), None) => return Err(BillingError::invalid("/amount", "required", "is required")),
        (None, Some(_)) => return Err(BillingError::invalid("/invoice_id", "required", "is required")),
        (None, None) if allocations.is_empty() => {
            return Err(BillingError::invalid("/invoice_id", "required", "is required"));
        }
        (None, None) => {}
    }
    let at = |index: usize, field: &str| match (single, index) {
        (true, 0) => format!("/{field}"),
        (true, index) => format!("/allocations/{}/{field}", index - 1),
        (false, index) => format!("/allocations/{index}/{field}"),
    };
    let wishes = wishes(currency, &allocations, at)?;
    let sum: Decimal = wishes.iter().map(|(_, amount)| amount).sum();
    if sum > row.unapplied() {
        return Err(BillingError::OverAllocation { thing: "payment" });
    }
    let invoices = invoices(tx, (row.account_id, currency), &wishes, at).await?;
    put(tx, scope, id, (&wishes, &invoices)).await?;
    let after = moved(tx, scope, &row, sum).await?;
    let after = query::whole(tx, scope, cipher, after).await?;
    trace::write(tx, scope, event::PAYMENT_ALLOCATED, (Some(&before), &after)).await?;
    Ok(after)
}

/// Takes money of a payment off an invoice again; it becomes unapplied credit.
///
/// # Errors
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound); [`CoreError::Invalid`](clinicx_core::CoreError::Invalid);
/// [`BillingError::OverAllocation`] when there is less on the invoice; [`BillingError::Core`] when the database fails.
#[tracing::instrument(name = "billing.payment.release", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn release(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    id: PaymentId,
    input: ReleaseAllocation,
) -> Result<Payment> {
    let row = query::locked(tx, id, None).await?;
    let before = query::whole(tx, scope, cipher, row.clone()).await?;
    let currency = input::currency(&row.currency, "/currency")?;
    let wanted = match &input.amount {
        Some(text) => Some(input::positive_amount(text, currency, "/amount")?.amount()),
        None => None,
    };
    let locked = invoice::locked_many(tx, &[input.invoice_id]).await?;
    let shares = query::shares_of(tx, &[id.uuid()]).await?;
    let there = shares.iter().find(|share| share.invoice_id == input.invoice_id).map(|share| share.amount);
    let (Some(there), Some(invoice)) = (there, locked.get(&input.invoice_id)) else {
        let detail = "must be an invoice to which something of the payment is allocated";
        return Err(BillingError::invalid("/invoice_id", "not_found", detail));
    };
    let amount = wanted.unwrap_or(there);
    if amount > there {
        return Err(BillingError::OverAllocation { thing: "allocation" });
    }
    take_off(tx, scope, id, (invoice, amount, AllocationReason::Release)).await?;
    let after = moved(tx, scope, &row, -amount).await?;
    let after = query::whole(tx, scope, cipher, after).await?;
    trace::write(tx, scope, event::PAYMENT_RELEASED, (Some(&before), &after)).await?;
    Ok(after)
}

/// Takes so much of a locked payment off its invoices, the latest first, and returns how much that was.
pub(super) async fn release_latest(
    tx: &TenantTransaction,
    scope: &TenantScope,
    payment: PaymentId,
    (wanted, reason): (Decimal, AllocationReason),
) -> Result<Decimal> {
    if wanted <= Decimal::ZERO {
        return Ok(Decimal::ZERO);
    }
    let ids: Vec<InvoiceId> =
        query::shares_of(tx, &[payment.uuid()]).await?.iter().map(|share| share.invoice_id).collect();
    let mut invoices = invoice::locked_many(tx, &ids).await?;
    // Read again under the locks; whatever adds to them holds the payment's.
    let mut left = wanted;
    for share in query::shares_of(tx, &[payment.uuid()]).await? {
        let amount = share.amount.min(left);
        let Some(row) = invoices.remove(&share.invoice_id).filter(|_| amount > Decimal::ZERO) else {
            continue;
        };
        take_off(tx, scope, payment, (&row, amount, reason)).await?;
        left -= amount;
    }
    Ok(wanted - left)
}

/// Locks the payments of which something is on an invoice, in the order of their ids.
pub(crate) async fn lock_those_on(
    tx: &TenantTransaction,
    invoice: InvoiceId,
) -> Result<BTreeMap<PaymentId, Model>> {
    let ids: Vec<PaymentId> =
        query::shares_on(tx, invoice).await?.iter().map(|share| share.payment_id).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let query = Entity::find().filter(Column::Id.is_in(ids)).order_by_asc(Column::Id);
    let rows = query.lock(LockType::NoKeyUpdate).all(tx).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// Makes so much of what is on a locked invoice unapplied credit of its payments, the latest first; each leaves an
/// audit row and an event. The invoice's own sums are for the caller to change.
pub(crate) async fn release_excess(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    (invoice, excess): (InvoiceId, Decimal),
    payments: BTreeMap<PaymentId, Model>,
) -> Result<()> {
    let mut left = excess;
    for share in query::shares_on(tx, invoice).await? {
        let amount = share.amount.min(left);
        if amount <= Decimal::ZERO {
            break;
        }
        // One that came in between is locked by nobody here: the whole is tried again.
        let payment = payments.get(&share.payment_id).ok_or_else(try_again)?;
        let before = query::whole(tx, scope, cipher, payment.clone()).await?;
        enter(tx, scope, (share.payment_id, invoice), (-amount, AllocationReason::CreditNote)).await?;
        let after = moved(tx, scope, payment, -amount).await?;
        let after = query::whole(tx, scope, cipher, after).await?;
        trace::write(tx, scope, event::PAYMENT_RELEASED, (Some(&before), &after)).await?;
        left -= amount;
    }
    Ok(())
}

/// Reads how much goes where.
pub(super) fn wishes(
    currency: Currency,
    shares: &[AllocationShare],
    at: impl Fn(usize, &str) -> String,
) -> Result<Wishes> {
    let (mut wishes, mut wrong, mut seen) = (Vec::with_capacity(shares.len()), Vec::new(), BTreeSet::new());
    for (index, share) in shares.iter().enumerate() {
        if !seen.insert(share.invoice_id) {
            let pointer = at(index, "invoice_id");
            wrong.push(FieldError::new(pointer, "duplicate", "must not be given twice"));
        }
        match input::positive_amount(&share.amount, currency, &at(index, "amount")) {
            Ok(amount) => wishes.push((share.invoice_id, amount.amount())),
            Err(error) => wrong.push(error),
        }
    }
    if wrong.is_empty() { Ok(wishes) } else { Err(wrong.into()) }
}

/// Locks the invoices to which money goes and refuses those to which it can't.
pub(super) async fn invoices(
    tx: &TenantTransaction,
    (account, currency): (AccountId, Currency),
    wishes: &Wishes,
    at: impl Fn(usize, &str) -> String,
) -> Result<BTreeMap<InvoiceId, invoice::entity::Model>> {
    let ids: Vec<InvoiceId> = wishes.iter().map(|(id, _)| *id).collect();
    let rows = invoice::locked_many(tx, &ids).await?;
    let mut wrong = Vec::new();
    for (index, (id, _)) in wishes.iter().enumerate() {
        let pointer = at(index, "invoice_id");
        match rows.get(id) {
            None => wrong.push(FieldError::new(pointer, "not_found", "must be an invoice of this clinic")),
            Some(row) if row.currency != currency.code() => {
                let detail = "must be in the same currency";
                wrong.push(FieldError::new(pointer, "currency_mismatch", detail));
            }
            Some(row) if row.account_id != account => {
                let detail = "must be paid from the account of the payment";
                wrong.push(FieldError::new(pointer, "other_account", detail));
            }
            Some(_) => {}
        }
    }
    if !wrong.is_empty() {
        return Err(wrong.into());
    }
    for (id, amount) in wishes {
        let Some(row) = rows.get(id) else { continue };
        if !row.status.is_open_to_money() {
            return Err(row.status.refused_to("pay").into());
        }
        if *amount > row.due() {
            return Err(BillingError::OverAllocation { thing: "invoice" });
        }
    }
    Ok(rows)
}

/// Puts money on locked invoices.
pub(super) async fn put(
    tx: &TenantTransaction,
    scope: &TenantScope,
    payment: PaymentId,
    (wishes, invoices): (&Wishes, &BTreeMap<InvoiceId, invoice::entity::Model>),
) -> Result<()> {
    for (id, amount) in wishes {
        let Some(row) = invoices.get(id) else { continue };
        let by = Settlement { allocated: *amount, ..Settlement::default() };
        invoice::settle(tx, scope, row, by).await?;
        enter(tx, scope, (payment, *id), (*amount, AllocationReason::Allocation)).await?;
    }
    Ok(())
}

/// Takes money off a locked invoice.
async fn take_off(
    tx: &TenantTransaction,
    scope: &TenantScope,
    payment: PaymentId,
    (invoice, amount, reason): (&invoice::entity::Model, Decimal, AllocationReason),
) -> Result<()> {
    let by = Settlement { allocated: -amount, ..Settlement::default() };
    invoice::settle(tx, scope, invoice, by).await?;
    enter(tx, scope, (payment, invoice.id), (-amount, reason)).await
}

async fn enter(
    tx: &TenantTransaction,
    scope: &TenantScope,
    (payment_id, invoice_id): (PaymentId, InvoiceId),
    (amount, reason): (Decimal, AllocationReason),
) -> Result<()> {
    let row = allocation::Model {
        id: scope.next_id(),
        created_at: scope.now(),
        payment_id,
        invoice_id,
        amount,
        reason,
    };
    allocation::Entity::insert(row.into_active_model().reset_all()).exec_without_returning(tx).await?;
    Ok(())
}

/// Changes what of a locked payment is on invoices.
async fn moved(tx: &TenantTransaction, scope: &TenantScope, row: &Model, by: Decimal) -> Result<Model> {
    let changed = ActiveModel {
        id: sea_orm::Unchanged(row.id),
        version: Set(row.version + 1),
        updated_at: Set(scope.now()),
        allocated: Set(row.allocated + by),
        ..Default::default()
    };
    Ok(changed.update(tx).await?)
}

fn try_again() -> BillingError {
    Failure { kind: FailureKind::Retry, sqlstate: None, constraint: None }.into()
}
