//! Reading credit notes.

use std::collections::BTreeMap;

use clinicx_core::paging;
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantScoped};
use clinicx_types::page::{Page, PageRequest};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{
    dto::{CreditNote, CreditNoteLine},
    entity::{Column, Entity, Model},
    line, tax,
};
use crate::{
    CreditNoteId, InvoiceId,
    error::{BillingError, Result},
    input::shown,
    invoice::{self, TaxLine},
    sealed,
};

const THING: &str = "credit note";

/// Looks for a credit note.
///
/// # Errors
/// [`BillingError::Core`] when a sealed value can't be opened or the database fails.
pub async fn find(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    id: CreditNoteId,
) -> Result<Option<CreditNote>> {
    match Entity::find_by_id(id).one(db).await? {
        Some(row) => Ok(assembled(db, scope, cipher, vec![row]).await?.pop()),
        None => Ok(None),
    }
}

/// Returns a credit note.
///
/// # Errors
/// As [`find`], and [`CoreError::NotFound`](clinicx_core::CoreError::NotFound).
pub async fn get(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    id: CreditNoteId,
) -> Result<CreditNote> {
    find(db, scope, cipher, id).await?.ok_or_else(|| BillingError::not_found(THING))
}

/// Lists the credit notes of an invoice, the oldest first.
///
/// # Errors
/// As [`get`], and [`CoreError::Invalid`](clinicx_core::CoreError::Invalid) when the cursor is none of this list's.
pub async fn list(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    of: InvoiceId,
    page: &PageRequest,
) -> Result<Page<CreditNote>> {
    invoice::get(db, scope, cipher, of).await?;
    let mut query = Entity::find().filter(Column::InvoiceId.eq(of));
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [id] = paging::parts(key)?;
        query = query.filter(Column::Id.gt(paging::part::<CreditNoteId>(id)?));
    }
    let rows = query.order_by_asc(Column::Id).limit(u64::from(page.limit()) + 1).all(db).await?;
    let rows = Page::from_rows(rows, page, total, |row| vec![row.id.to_string()]);
    Ok(Page { items: assembled(db, scope, cipher, rows.items).await?, next: rows.next, total: rows.total })
}

async fn assembled(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    rows: Vec<Model>,
) -> Result<Vec<CreditNote>> {
    let ids: Vec<CreditNoteId> = rows.iter().map(|row| row.id).collect();
    let lines = line::Entity::find().filter(line::Column::CreditNoteId.is_in(ids.iter().copied()));
    let mut lines_of: BTreeMap<CreditNoteId, Vec<line::Model>> = BTreeMap::new();
    for line in lines.order_by_asc(line::Column::Id).all(db).await? {
        lines_of.entry(line.credit_note_id).or_default().push(line);
    }
    let taxes = tax::Entity::find().filter(tax::Column::CreditNoteId.is_in(ids.iter().copied()));
    let mut taxes_of: BTreeMap<CreditNoteId, Vec<tax::Model>> = BTreeMap::new();
    for tax in taxes.order_by_asc(tax::Column::Rate).all(db).await? {
        taxes_of.entry(tax.credit_note_id).or_default().push(tax);
    }
    let whole = |row: Model| {
        let lines = lines_of.remove(&row.id).unwrap_or_default();
        let taxes = taxes_of.remove(&row.id).unwrap_or_default();
        assemble(scope, cipher, row, (lines, taxes))
    };
    rows.into_iter().map(whole).collect()
}

pub(super) fn assemble(
    scope: &TenantScope,
    cipher: &FieldCipher,
    row: Model,
    (lines, taxes): (Vec<line::Model>, Vec<tax::Model>),
) -> Result<CreditNote> {
    let currency = &row.currency;
    let line = |line: line::Model| CreditNoteLine {
        invoice_line_id: line.invoice_line_id,
        quantity: line.quantity.normalize().to_string(),
        net: shown(line.net, currency),
        tax_rate: line.tax_rate.normalize().to_string(),
    };
    let tax = |tax: tax::Model| TaxLine {
        rate: tax.rate.normalize().to_string(),
        net: shown(tax.net, currency),
        tax: shown(tax.tax, currency),
    };
    Ok(CreditNote {
        id: row.id,
        version: 1,
        created_at: row.created_at,
        updated_at: row.created_at,
        invoice_id: row.invoice_id,
        account_id: row.account_id,
        patient_id: row.patient_id,
        number: row.number,
        lines: lines.into_iter().map(line).collect(),
        taxes: taxes.into_iter().map(tax).collect(),
        net: shown(row.net, currency),
        tax: shown(row.tax, currency),
        gross: shown(row.gross, currency),
        issued_at: row.issued_at,
        issued_on: row.issued_on,
        reason: sealed::open(scope, cipher, (sealed::CREDIT_REASON, row.id.uuid()), &row.reason)?,
        currency: row.currency,
    })
}
