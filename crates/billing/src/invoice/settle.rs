//! Money that comes to an issued invoice or leaves it.

use clinicx_persistence::{TenantScope, TenantTransaction};
use rust_decimal::Decimal;
use sea_orm::{ActiveModelTrait, Set};

use super::{
    entity::{ActiveModel, Model},
    status::InvoiceStatus,
    trace,
};
use crate::error::Result;

/// By how much an invoice's sums change.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settlement {
    /// What is allocated more; below zero when it is less.
    pub(crate) allocated: Decimal,
    /// What is credited more.
    pub(crate) credited: Decimal,
}

/// Changes the sums of a locked invoice that was issued, and with them its state; leaves an audit row and an event.
pub(crate) async fn settle(
    tx: &TenantTransaction,
    scope: &TenantScope,
    row: &Model,
    by: Settlement,
) -> Result<Model> {
    let allocated = row.allocated + by.allocated;
    let credited = row.credited + by.credited;
    let changed = ActiveModel {
        id: sea_orm::Unchanged(row.id),
        version: Set(row.version + 1),
        updated_at: Set(scope.now()),
        status: Set(InvoiceStatus::of_due(row.gross - allocated - credited)),
        allocated: Set(allocated),
        credited: Set(credited),
        ..Default::default()
    };
    let after = changed.update(tx).await?;
    trace::settled(tx, scope, (row, &after)).await?;
    Ok(after)
}
