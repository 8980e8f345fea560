//! Reading what can be billed, and putting it on an invoice.

use std::collections::BTreeMap;

use clinicx_core::{PatientId, paging};
use clinicx_persistence::{TenantScope, TenantScoped, TenantTransaction};
use clinicx_types::page::{Page, PageRequest};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, raw_sql,
    sea_query::LockType,
};
use uuid::Uuid;

use super::{
    dto::{ChargeItem, ChargeItemFilter, ChargeItemStatus},
    entity::{Column, Entity, Model},
};
use crate::{
    ChargeItemId, InvoiceId,
    error::{BillingError, Result},
};

const THING: &str = "charge item";

/// Looks for something that can be billed.
///
/// # Errors
/// [`BillingError::Core`] when the database fails.
pub async fn find(
    db: &impl TenantScoped,
    _scope: &TenantScope,
    id: ChargeItemId,
) -> Result<Option<ChargeItem>> {
    Ok(Entity::find_by_id(id).one(db).await?.map(ChargeItem::from))
}

/// Returns something that can be billed.
///
/// # Errors
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound); [`BillingError::Core`] when the database fails.
pub async fn get(db: &impl TenantScoped, scope: &TenantScope, id: ChargeItemId) -> Result<ChargeItem> {
    find(db, scope, id).await?.ok_or_else(|| BillingError::not_found(THING))
}

/// Lists what can be billed or was, in the order in which it was handed over.
///
/// # Errors
/// [`CoreError::Invalid`](clinicx_core::CoreError::Invalid) when the cursor is none of this list's;
/// [`BillingError::Core`] when the database fails.
pub async fn list(
    db: &impl TenantScoped,
    _scope: &TenantScope,
    filter: &ChargeItemFilter,
    page: &PageRequest,
) -> Result<Page<ChargeItem>> {
    let mut query = Entity::find();
    if let Some(patient) = filter.patient_id {
        query = query.filter(Column::PatientId.eq(patient));
    }
    if let Some(status) = filter.status {
        query = query.filter(Column::Status.eq(status));
    }
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [id] = paging::parts(key)?;
        query = query.filter(Column::Id.gt(paging::part::<ChargeItemId>(id)?));
    }
    let rows = query.order_by_asc(Column::Id).limit(u64::from(page.limit()) + 1).all(db).await?;
    Ok(Page::from_rows(rows, page, total, |row| vec![row.id.to_string()]).map(ChargeItem::from))
}

/// Puts a patient's treatments on an invoice and returns their items by treatment; they stay locked.
///
/// Treatments that nobody handed over, or another patient's, are missing from the answer. Those that stand on the
/// same invoice already are taken as they are.
///
/// # Errors
/// [`BillingError::AlreadyBilled`] when one stands on another invoice or was withdrawn.
pub(crate) async fn bill(
    tx: &TenantTransaction,
    scope: &TenantScope,
    (invoice, patient): (InvoiceId, PatientId),
    treatments: &[Uuid],
) -> Result<BTreeMap<Uuid, Model>> {
    if treatments.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = Entity::find()
        .filter(Column::SourceKind.eq("treatment"))
        .filter(Column::SourceId.is_in(treatments.iter().copied()))
        .filter(Column::PatientId.eq(patient))
        .order_by_asc(Column::Id)
        .lock(LockType::NoKeyUpdate)
        .all(tx)
        .await?;
    let is_taken = |row: &&Model| {
        row.status == ChargeItemStatus::Withdrawn || row.invoice_id.is_some_and(|other| other != invoice)
    };
    if rows.iter().any(|row| is_taken(&row)) {
        let invoices = rows.iter().filter(is_taken).filter_map(|row| row.invoice_id.map(InvoiceId::uuid));
        return Err(BillingError::AlreadyBilled { invoices: invoices.collect() });
    }
    let open: Vec<Uuid> =
        rows.iter().filter(|row| row.invoice_id.is_none()).map(|row| row.id.uuid()).collect();
    let (id, now) = (invoice.uuid(), scope.now());
    if !open.is_empty() {
        let statement = raw_sql!(
            Postgres,
            r#"UPDATE charge_items
               SET status = 'billed', invoice_id = {id}, version = version + 1, updated_at = {now}
               WHERE id IN ({..open})"#
        );
        tx.execute_raw(statement).await?;
    }
    Ok(rows.into_iter().map(|row| (row.source_id, row)).collect())
}

/// Takes what stands on an invoice off it again, but for what is kept.
pub(crate) async fn free(
    tx: &TenantTransaction,
    scope: &TenantScope,
    invoice: InvoiceId,
    kept: &[ChargeItemId],
) -> Result<()> {
    let mut query = Entity::find().filter(Column::InvoiceId.eq(invoice));
    if !kept.is_empty() {
        query = query.filter(Column::Id.is_not_in(kept.iter().copied()));
    }
    let rows = query.order_by_asc(Column::Id).lock(LockType::NoKeyUpdate).all(tx).await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id.uuid()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let now = scope.now();
    let statement = raw_sql!(
        Postgres,
        r#"UPDATE charge_items
           SET status = 'open', invoice_id = NULL, version = version + 1, updated_at = {now}
           WHERE id IN ({..ids})"#
    );
    tx.execute_raw(statement).await?;
    Ok(())
}
