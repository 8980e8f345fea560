//! Reading what can be billed, and putting it on an invoice.

use clinicx_core::{PatientId, paging};
use clinicx_persistence::{TenantScope, TenantScoped, TenantTransaction};
use clinicx_types::page::{Page, PageRequest};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Select, Set, sea_query::LockType,
};
use uuid::Uuid;

use super::{
    dto::{ChargeItem, ChargeItemFilter, ChargeItemStatus},
    entity::{ActiveModel, Column, Entity, Model},
    trace,
};
use crate::{
    ChargeItemId, InvoiceId,
    error::{BillingError, Result},
    event,
};

const THING: &str = "charge item";
/// The kind of source that lines name by its own id.
pub(crate) const TREATMENT: &str = "treatment";

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

/// What lines name: treatments, or whatever a module has handed over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named {
    pub(crate) treatments: Vec<Uuid>,
    pub(crate) items: Vec<ChargeItemId>,
}

/// Puts what was done for a patient on an invoice and returns the items; they stay locked.
///
/// What nobody handed over, or was done for another patient, is missing from the answer. Those that stand on the
/// same invoice already are taken as they are. Each of the others leaves an audit row and an event.
///
/// # Errors
/// [`BillingError::AlreadyBilled`] when one stands on another invoice or was withdrawn.
pub(crate) async fn bill(
    tx: &TenantTransaction,
    scope: &TenantScope,
    (invoice, patient): (InvoiceId, PatientId),
    named: Named,
) -> Result<Vec<Model>> {
    if named.treatments.is_empty() && named.items.is_empty() {
        return Ok(Vec::new());
    }
    let treatments =
        Condition::all().add(Column::SourceKind.eq(TREATMENT)).add(Column::SourceId.is_in(named.treatments));
    let rows = Entity::find()
        .filter(Condition::any().add(treatments).add(Column::Id.is_in(named.items)))
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
    for row in rows.iter().filter(|row| row.invoice_id.is_none()) {
        let changed = ActiveModel {
            status: Set(ChargeItemStatus::Billed),
            invoice_id: Set(Some(invoice)),
            ..next(scope, row)
        };
        let after = changed.update(tx).await?;
        trace::write(tx, scope, event::CHARGE_ITEM_BILLED, (Some(row.clone()), after)).await?;
    }
    Ok(rows)
}

/// Takes what stands on an invoice off it again, but for what is kept.
pub(crate) async fn free(
    tx: &TenantTransaction,
    scope: &TenantScope,
    invoice: InvoiceId,
    kept: &[ChargeItemId],
) -> Result<()> {
    let mut query = Entity::find();
    if !kept.is_empty() {
        query = query.filter(Column::Id.is_not_in(kept.iter().copied()));
    }
    take_off(tx, scope, (invoice, query)).await
}

/// Takes what is credited in full off its invoice, so that it can be billed anew or withdrawn.
pub(crate) async fn free_credited(
    tx: &TenantTransaction,
    scope: &TenantScope,
    invoice: InvoiceId,
    credited: &[ChargeItemId],
) -> Result<()> {
    if credited.is_empty() {
        return Ok(());
    }
    let query = Entity::find().filter(Column::Id.is_in(credited.iter().copied()));
    take_off(tx, scope, (invoice, query)).await
}

/// Takes what is found off the invoice; each leaves an audit row and an event.
async fn take_off(
    tx: &TenantTransaction,
    scope: &TenantScope,
    (invoice, query): (InvoiceId, Select<Entity>),
) -> Result<()> {
    let query = query.filter(Column::InvoiceId.eq(invoice)).order_by_asc(Column::Id);
    for row in query.lock(LockType::NoKeyUpdate).all(tx).await? {
        let changed =
            ActiveModel { status: Set(ChargeItemStatus::Open), invoice_id: Set(None), ..next(scope, &row) };
        let after = changed.update(tx).await?;
        trace::write(tx, scope, event::CHARGE_ITEM_FREED, (Some(row), after)).await?;
    }
    Ok(())
}

fn next(scope: &TenantScope, row: &Model) -> ActiveModel {
    ActiveModel {
        id: sea_orm::Unchanged(row.id),
        version: Set(row.version + 1),
        updated_at: Set(scope.now()),
        ..Default::default()
    }
}
