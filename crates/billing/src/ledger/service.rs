//! Adding to the ledger and reading it.

use chrono::{DateTime, Utc};
use clinicx_core::{PatientId, local_time, paging};
use clinicx_persistence::{TenantScope, TenantScoped, TenantTransaction};
use clinicx_types::{
    money::Money,
    page::{Page, PageRequest},
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use uuid::Uuid;

use super::{
    dto::{Entry, EntryKind, LedgerFilter},
    entity::{Column, Entity, Model},
};
use crate::{AccountId, LedgerEntryId, account, error::Result};

/// What moves an account.
pub(crate) struct Posting {
    pub(crate) account_id: AccountId,
    pub(crate) patient_id: PatientId,
    pub(crate) kind: EntryKind,
    pub(crate) source_id: Uuid,
    /// How much, not below zero; the kind says in which direction.
    pub(crate) amount: Money,
    pub(crate) reference: Option<String>,
}

/// Adds a movement; nothing moves nothing.
pub(crate) async fn post(tx: &TenantTransaction, scope: &TenantScope, posting: Posting) -> Result<()> {
    if posting.amount.is_zero() {
        return Ok(());
    }
    let amount = posting.amount.amount();
    let now = scope.now();
    let row = Model {
        id: LedgerEntryId::new(scope.next_id()),
        created_at: now,
        account_id: posting.account_id,
        patient_id: posting.patient_id,
        kind: posting.kind,
        source_id: posting.source_id,
        amount: match posting.kind {
            EntryKind::Invoice | EntryKind::Refund | EntryKind::Void => amount,
            EntryKind::CreditNote | EntryKind::Cancellation | EntryKind::Payment => -amount,
        },
        currency: posting.amount.currency().code().to_owned(),
        occurred_at: now,
        reference: posting.reference,
    };
    Entity::insert(row.into_active_model().reset_all()).exec_without_returning(tx).await?;
    Ok(())
}

/// Lists the movements of an account, the oldest first.
///
/// # Errors
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound) when there is no such account;
/// [`CoreError::Invalid`](clinicx_core::CoreError::Invalid) when the cursor is none of this list's;
/// [`BillingError::Core`](crate::BillingError::Core) when the database fails.
pub async fn list(
    db: &impl TenantScoped,
    scope: &TenantScope,
    account: AccountId,
    filter: &LedgerFilter,
    page: &PageRequest,
) -> Result<Page<Entry>> {
    account::get(db, scope, account).await?;
    let mut query = Entity::find().filter(Column::AccountId.eq(account));
    if let Some(from) = filter.from.and_then(|day| local_time::start_of_day(day, scope.time_zone)) {
        query = query.filter(Column::OccurredAt.gte(from));
    }
    if let Some((_, end)) = filter.to.and_then(|day| local_time::day_bounds(day, scope.time_zone)) {
        query = query.filter(Column::OccurredAt.lt(end));
    }
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [occurred_at, id] = paging::parts(key)?;
        let (occurred_at, id): (DateTime<Utc>, LedgerEntryId) =
            (paging::part(occurred_at)?, paging::part(id)?);
        let after = paging::after([Column::OccurredAt, Column::Id], [occurred_at.into(), id.into()]);
        query = query.filter(after);
    }
    let rows = query
        .order_by_asc(Column::OccurredAt)
        .order_by_asc(Column::Id)
        .limit(u64::from(page.limit()) + 1)
        .all(db)
        .await?;
    let key = |row: &Model| vec![row.occurred_at.to_rfc3339(), row.id.to_string()];
    Ok(Page::from_rows(rows, page, total, key).map(Entry::from))
}
