//! Reading invoices, and locking them.

use std::collections::BTreeMap;

use clinicx_core::{change, paging};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantScoped, TenantTransaction};
use clinicx_types::page::{Page, PageRequest};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::LockType,
};

use super::{
    dto::{Invoice, InvoiceFilter, InvoiceLine, TaxLine},
    entity::{Column, Entity, Model},
    line, overdue,
    status::InvoiceStatus,
    tax,
};
use crate::{
    InvoiceId,
    error::{BillingError, Result},
    input::shown,
    sealed,
};

pub(super) const THING: &str = "invoice";

/// Looks for an invoice.
///
/// # Errors
/// [`BillingError::Core`] when a sealed value can't be opened or the database fails.
pub async fn find(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    id: InvoiceId,
) -> Result<Option<Invoice>> {
    match Entity::find_by_id(id).one(db).await? {
        Some(row) => Ok(assembled(db, scope, cipher, vec![row]).await?.pop()),
        None => Ok(None),
    }
}

/// Returns an invoice.
///
/// # Errors
/// As [`find`], and [`CoreError::NotFound`](clinicx_core::CoreError::NotFound).
pub async fn get(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    id: InvoiceId,
) -> Result<Invoice> {
    find(db, scope, cipher, id).await?.ok_or_else(|| BillingError::not_found(THING))
}

/// Lists invoices in the order in which they were drafted.
///
/// # Errors
/// As [`find`], and [`CoreError::Invalid`](clinicx_core::CoreError::Invalid) when the cursor is none of this list's.
pub async fn list(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    filter: &InvoiceFilter,
    page: &PageRequest,
) -> Result<Page<Invoice>> {
    let mut query = Entity::find();
    if let Some(patient) = filter.patient_id {
        query = query.filter(Column::PatientId.eq(patient));
    }
    if let Some(account) = filter.account_id {
        query = query.filter(Column::AccountId.eq(account));
    }
    if !filter.statuses.is_empty() {
        query = query.filter(Column::Status.is_in(filter.statuses.iter().copied()));
    }
    if let Some(wanted) = filter.overdue {
        let late = Condition::all().add(overdue::is_late(scope));
        query = query.filter(if wanted { late } else { late.not() });
    }
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [id] = paging::parts(key)?;
        query = query.filter(Column::Id.gt(paging::part::<InvoiceId>(id)?));
    }
    let rows = query.order_by_asc(Column::Id).limit(u64::from(page.limit()) + 1).all(db).await?;
    let rows = Page::from_rows(rows, page, total, |row| vec![row.id.to_string()]);
    let items = assembled(db, scope, cipher, rows.items).await?;
    Ok(Page { items, next: rows.next, total: rows.total })
}

/// Locks an invoice until the transaction ends; other rows may still refer to it.
pub(crate) async fn locked(tx: &TenantTransaction, id: InvoiceId, expected: Option<i64>) -> Result<Model> {
    let found = Entity::find_by_id(id).lock(LockType::NoKeyUpdate).one(tx).await?;
    let row = found.ok_or_else(|| BillingError::not_found(THING))?;
    change::expect_version(THING, expected, row.version)?;
    Ok(row)
}

/// Locks invoices in the order of their ids; those that are not there are missing from the answer.
pub(crate) async fn locked_many(
    tx: &TenantTransaction,
    ids: &[InvoiceId],
) -> Result<BTreeMap<InvoiceId, Model>> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = Entity::find()
        .filter(Column::Id.is_in(ids.iter().copied()))
        .order_by_asc(Column::Id)
        .lock(LockType::NoKeyUpdate)
        .all(tx)
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

pub(crate) async fn lines_of(db: &impl TenantScoped, ids: &[InvoiceId]) -> Result<Vec<line::Model>> {
    let query = line::Entity::find().filter(line::Column::InvoiceId.is_in(ids.iter().copied()));
    Ok(query.order_by_asc(line::Column::Position).all(db).await?)
}

pub(crate) async fn taxes_of(db: &impl TenantScoped, ids: &[InvoiceId]) -> Result<Vec<tax::Model>> {
    let query = tax::Entity::find().filter(tax::Column::InvoiceId.is_in(ids.iter().copied()));
    Ok(query.order_by_asc(tax::Column::Rate).all(db).await?)
}

/// Puts invoices together from their rows.
pub(super) async fn assembled(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    rows: Vec<Model>,
) -> Result<Vec<Invoice>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<InvoiceId> = rows.iter().map(|row| row.id).collect();
    let mut lines: BTreeMap<InvoiceId, Vec<line::Model>> = BTreeMap::new();
    for line in lines_of(db, &ids).await? {
        lines.entry(line.invoice_id).or_default().push(line);
    }
    let mut taxes: BTreeMap<InvoiceId, Vec<tax::Model>> = BTreeMap::new();
    for tax in taxes_of(db, &ids).await? {
        taxes.entry(tax.invoice_id).or_default().push(tax);
    }
    let late = overdue::among(db, scope, &rows).await?;
    let whole = |row: Model| {
        let is_late = late.contains(&row.id);
        let lines = lines.remove(&row.id).unwrap_or_default();
        let taxes = taxes.remove(&row.id).unwrap_or_default();
        let whole = assemble(scope, cipher, row, (&lines, &taxes))?;
        Ok(Invoice { overdue: is_late, ..whole })
    };
    rows.into_iter().map(whole).collect()
}

/// Puts an invoice together from its own rows, which do not tell whether it is overdue; a draft never is.
pub(super) fn assemble(
    scope: &TenantScope,
    cipher: &FieldCipher,
    row: Model,
    (lines, taxes): (&[line::Model], &[tax::Model]),
) -> Result<Invoice> {
    let id = row.id.uuid();
    let words =
        |field, words: &Option<Vec<u8>>| sealed::open_some(scope, cipher, (field, id), words.as_deref());
    let recipient = words(sealed::RECIPIENT, &row.recipient)?;
    let amount = |amount| shown(amount, &row.currency);
    let due = row.due();
    let is_issued = row.status == InvoiceStatus::Issued;
    let lines =
        lines.iter().map(|line| shown_line(scope, cipher, line, &row.currency)).collect::<Result<_>>()?;
    Ok(Invoice {
        id: row.id,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
        status: row.status,
        patient_id: row.patient_id,
        account_id: row.account_id,
        lines,
        taxes: taxes.iter().map(|tax| shown_tax(tax, &row.currency)).collect(),
        discount: amount(row.discount),
        discount_percent: row.discount_percent.map(|percent| percent.normalize().to_string()),
        net: amount(row.net),
        tax: amount(row.tax),
        gross: amount(row.gross),
        allocated: amount(row.allocated),
        credited: amount(row.credited),
        due: amount(due),
        partly_paid: is_issued && due < row.gross,
        overdue: false,
        issued_at: row.issued_at,
        issued_on: row.issued_on,
        due_on: row.due_on,
        cancelled_at: row.cancelled_at,
        cancellation_reason: words(sealed::CANCELLATION, &row.cancellation_reason)?,
        recipient: recipient.and_then(|text| serde_json::from_str(&text).ok()),
        note: words(sealed::INVOICE_NOTE, &row.note)?,
        issuer: row.issuer.and_then(|issuer| serde_json::from_value(issuer).ok()),
        number: row.number,
        currency: row.currency,
    })
}

fn shown_line(
    scope: &TenantScope,
    cipher: &FieldCipher,
    line: &line::Model,
    currency: &str,
) -> Result<InvoiceLine> {
    Ok(InvoiceLine {
        id: line.id,
        description: sealed::open(scope, cipher, (sealed::LINE, line.id.uuid()), &line.description)?,
        quantity: line.quantity.normalize().to_string(),
        unit_price: shown(line.unit_price, currency),
        discount: shown(line.discount, currency),
        discount_percent: line.discount_percent.map(|percent| percent.normalize().to_string()),
        header_discount: shown(line.header_discount, currency),
        net: shown(line.net, currency),
        tax_rate: line.tax_rate.normalize().to_string(),
        charge_item_id: line.charge_item_id,
        performed_on: line.performed_on,
        staff_id: line.staff_id,
        service_id: line.service_id,
        code: line.code.clone(),
        credited_quantity: line.credited_quantity.normalize().to_string(),
    })
}

fn shown_tax(tax: &tax::Model, currency: &str) -> TaxLine {
    TaxLine {
        rate: tax.rate.normalize().to_string(),
        net: shown(tax.net, currency),
        tax: shown(tax.tax, currency),
    }
}
