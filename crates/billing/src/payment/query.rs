//! Reading payments, and locking them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clinicx_core::{change, paging};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantScoped, TenantTransaction};
use clinicx_types::page::{Page, PageRequest};
use rust_decimal::Decimal;
use sea_orm::{
    ColumnTrait, EntityTrait, FromQueryResult, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait, raw_sql,
    sea_query::{ExprTrait, LockType},
};
use uuid::Uuid;

use super::{
    allocation,
    dto::{Allocation, AllocationShare, Payment, PaymentFilter, Refund},
    entity::{Column, Entity, Model},
    refunds,
};
use crate::{
    InvoiceId, PaymentId, RefundId,
    error::{BillingError, Result},
    input::shown,
    sealed,
};

const THING: &str = "payment";

/// What of a payment is on an invoice.
#[derive(Clone, Debug, FromQueryResult)]
pub(super) struct Share {
    pub(super) payment_id: PaymentId,
    pub(super) invoice_id: InvoiceId,
    pub(super) amount: Decimal,
    pub(super) last_at: DateTime<Utc>,
}

/// Looks for a payment.
///
/// # Errors
/// [`BillingError::Core`] when a sealed value can't be opened or the database fails.
pub async fn find(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    id: PaymentId,
) -> Result<Option<Payment>> {
    match Entity::find_by_id(id).one(db).await? {
        Some(row) => whole(db, scope, cipher, row).await.map(Some),
        None => Ok(None),
    }
}

/// Returns a payment.
///
/// # Errors
/// As [`find`], and [`CoreError::NotFound`](clinicx_core::CoreError::NotFound).
pub async fn get(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    id: PaymentId,
) -> Result<Payment> {
    find(db, scope, cipher, id).await?.ok_or_else(|| BillingError::not_found(THING))
}

/// Lists payments in the order in which they were recorded.
///
/// # Errors
/// As [`find`], and [`CoreError::Invalid`](clinicx_core::CoreError::Invalid) when the cursor is none of this list's.
pub async fn list(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    filter: &PaymentFilter,
    page: &PageRequest,
) -> Result<Page<Payment>> {
    let mut query = Entity::find();
    if let Some(patient) = filter.patient_id {
        query = query.filter(Column::PatientId.eq(patient));
    }
    if let Some(account) = filter.account_id {
        query = query.filter(Column::AccountId.eq(account));
    }
    if let Some(status) = filter.status {
        query = query.filter(Column::Status.eq(status));
    }
    if let Some(method) = filter.method {
        query = query.filter(Column::Method.eq(method));
    }
    if let Some(invoice) = filter.invoice_id {
        let there = allocation::Entity::find()
            .select_only()
            .column(allocation::Column::PaymentId)
            .filter(allocation::Column::InvoiceId.eq(invoice))
            .group_by(allocation::Column::PaymentId)
            .having(allocation::Column::Amount.sum().gt(Decimal::ZERO));
        query = query.filter(Column::Id.in_subquery(there.into_query()));
    }
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [id] = paging::parts(key)?;
        query = query.filter(Column::Id.gt(paging::part::<PaymentId>(id)?));
    }
    let rows = query.order_by_asc(Column::Id).limit(u64::from(page.limit()) + 1).all(db).await?;
    let rows = Page::from_rows(rows, page, total, |row| vec![row.id.to_string()]);
    let ids: Vec<Uuid> = rows.items.iter().map(|row| row.id.uuid()).collect();
    let mut shares: BTreeMap<PaymentId, Vec<Share>> = BTreeMap::new();
    for share in shares_of(db, &ids).await? {
        shares.entry(share.payment_id).or_default().push(share);
    }
    let one = |row: Model| {
        let shares = shares.remove(&row.id).unwrap_or_default();
        assemble(scope, cipher, row, shares)
    };
    let items: Result<Vec<Payment>> = rows.items.into_iter().map(one).collect();
    Ok(Page { items: items?, next: rows.next, total: rows.total })
}

/// Lists what happened to a payment's money, the oldest first.
///
/// # Errors
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound) when there is no such payment;
/// [`CoreError::Invalid`](clinicx_core::CoreError::Invalid) when the cursor is none of this list's;
/// [`BillingError::Core`] when the database fails.
pub async fn list_allocations(
    db: &impl TenantScoped,
    _scope: &TenantScope,
    of: PaymentId,
    page: &PageRequest,
) -> Result<(Model, Page<Allocation>)> {
    let payment = Entity::find_by_id(of).one(db).await?.ok_or_else(|| BillingError::not_found(THING))?;
    let mut query = allocation::Entity::find().filter(allocation::Column::PaymentId.eq(of));
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [id] = paging::parts(key)?;
        query = query.filter(allocation::Column::Id.gt(paging::part::<Uuid>(id)?));
    }
    let query = query.order_by_asc(allocation::Column::Id).limit(u64::from(page.limit()) + 1);
    let rows = Page::from_rows(query.all(db).await?, page, total, |row| vec![row.id.to_string()]);
    let one = |row: allocation::Model| Allocation {
        id: row.id,
        created_at: row.created_at,
        payment_id: row.payment_id,
        invoice_id: row.invoice_id,
        amount: shown(row.amount, &payment.currency),
        reason: row.reason,
    };
    let page = rows.map(one);
    Ok((payment, page))
}

/// Lists what was given back of a payment, the oldest first.
///
/// # Errors
/// As [`list_allocations`]; [`BillingError::Core`] when a sealed value can't be opened.
pub async fn list_refunds(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    of: PaymentId,
    page: &PageRequest,
) -> Result<(Model, Page<Refund>)> {
    let payment = Entity::find_by_id(of).one(db).await?.ok_or_else(|| BillingError::not_found(THING))?;
    let mut query = refunds::Entity::find().filter(refunds::Column::PaymentId.eq(of));
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [id] = paging::parts(key)?;
        query = query.filter(refunds::Column::Id.gt(paging::part::<RefundId>(id)?));
    }
    let query = query.order_by_asc(refunds::Column::Id).limit(u64::from(page.limit()) + 1);
    let rows = Page::from_rows(query.all(db).await?, page, total, |row| vec![row.id.to_string()]);
    let items: Result<Vec<Refund>> =
        rows.items.into_iter().map(|row| shown_refund(scope, cipher, row)).collect();
    Ok((payment, Page { items: items?, next: rows.next, total: rows.total }))
}

/// Returns something that was given back of a payment.
///
/// # Errors
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound); [`BillingError::Core`] when a sealed value can't be
/// opened or the database fails.
pub async fn get_refund(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    id: RefundId,
) -> Result<Refund> {
    let row =
        refunds::Entity::find_by_id(id).one(db).await?.ok_or_else(|| BillingError::not_found("refund"))?;
    shown_refund(scope, cipher, row)
}

pub(super) fn shown_refund(scope: &TenantScope, cipher: &FieldCipher, row: refunds::Model) -> Result<Refund> {
    Ok(Refund {
        id: row.id,
        version: 1,
        created_at: row.created_at,
        updated_at: row.created_at,
        payment_id: row.payment_id,
        account_id: row.account_id,
        patient_id: row.patient_id,
        amount: shown(row.amount, &row.currency),
        method: row.method,
        refunded_at: row.refunded_at,
        reason: sealed::open(scope, cipher, (sealed::REFUND_REASON, row.id.uuid()), &row.reason)?,
        currency: row.currency,
    })
}

/// Locks a payment until the transaction ends; other rows may still refer to it.
pub(super) async fn locked(tx: &TenantTransaction, id: PaymentId, expected: Option<i64>) -> Result<Model> {
    let found = Entity::find_by_id(id).lock(LockType::NoKeyUpdate).one(tx).await?;
    let row = found.ok_or_else(|| BillingError::not_found(THING))?;
    change::expect_version(THING, expected, row.version)?;
    Ok(row)
}

/// Returns what of payments is on which invoices now, the latest first.
pub(super) async fn shares_of(db: &impl TenantScoped, payments: &[Uuid]) -> Result<Vec<Share>> {
    if payments.is_empty() {
        return Ok(Vec::new());
    }
    let payments = payments.to_vec();
    let statement = raw_sql!(
        Postgres,
        r#"SELECT payment_id, invoice_id, sum(amount) AS amount, max(created_at) AS last_at
           FROM payment_allocations
           WHERE payment_id IN ({..payments})
           GROUP BY payment_id, invoice_id
           HAVING sum(amount) > 0
           ORDER BY last_at DESC, invoice_id DESC"#
    );
    Ok(Share::find_by_statement(statement).all(db).await?)
}

/// Returns what of which payments is on an invoice now, the latest first.
pub(super) async fn shares_on(db: &impl TenantScoped, invoice: InvoiceId) -> Result<Vec<Share>> {
    let statement = raw_sql!(
        Postgres,
        r#"SELECT payment_id, invoice_id, sum(amount) AS amount, max(created_at) AS last_at
           FROM payment_allocations
           WHERE invoice_id = {invoice}
           GROUP BY payment_id, invoice_id
           HAVING sum(amount) > 0
           ORDER BY last_at DESC, payment_id DESC"#
    );
    Ok(Share::find_by_statement(statement).all(db).await?)
}

/// Puts a payment together.
pub(super) async fn whole(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    row: Model,
) -> Result<Payment> {
    let shares = shares_of(db, &[row.id.uuid()]).await?;
    assemble(scope, cipher, row, shares)
}

fn assemble(
    scope: &TenantScope,
    cipher: &FieldCipher,
    row: Model,
    mut shares: Vec<Share>,
) -> Result<Payment> {
    let id = row.id.uuid();
    let words =
        |field, words: &Option<Vec<u8>>| sealed::open_some(scope, cipher, (field, id), words.as_deref());
    shares.sort_by_key(|share| (share.last_at, share.invoice_id));
    let share = |share: Share| AllocationShare {
        invoice_id: share.invoice_id,
        amount: shown(share.amount, &row.currency),
    };
    Ok(Payment {
        id: row.id,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
        patient_id: row.patient_id,
        account_id: row.account_id,
        amount: shown(row.amount, &row.currency),
        method: row.method,
        status: row.status,
        received_at: row.received_at,
        allocated: shown(row.allocated, &row.currency),
        refunded: shown(row.refunded, &row.currency),
        unapplied: shown(row.unapplied(), &row.currency),
        allocations: shares.into_iter().map(share).collect(),
        reference: words(sealed::REFERENCE, &row.reference)?,
        note: words(sealed::PAYMENT_NOTE, &row.note)?,
        voided_at: row.voided_at,
        void_reason: words(sealed::VOID_REASON, &row.void_reason)?,
        currency: row.currency,
    })
}
