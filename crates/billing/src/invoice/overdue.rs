//! Which invoices are overdue: by their own day, or by those of the open parts of an active installment plan.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use clinicx_core::local_time;
use clinicx_persistence::{TenantScope, TenantScoped};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect, sea_query::Expr};

use super::{
    entity::{Column, Entity, Model},
    status::InvoiceStatus,
};
use crate::{InvoiceId, error::Result};

/// What is paid comes to the earliest parts first. What was due before the plan and is due again, because money was
/// taken off, is none of its parts: the invoice's own day counts for it.
const LATE: &str = "invoices.status = 'issued' AND (EXISTS (
    SELECT 1
    FROM (SELECT part.due_on, plan.allocated_before, sum(part.amount) OVER (ORDER BY part.position) AS until
          FROM installment_plans AS plan
          JOIN installments AS part ON part.plan_id = plan.id
          WHERE plan.invoice_id = invoices.id AND plan.status = 'active') AS parts
    WHERE parts.due_on < $1 AND parts.until > invoices.allocated + invoices.credited - parts.allocated_before
) OR (invoices.due_on < $1 AND NOT EXISTS (
    SELECT 1
    FROM installment_plans AS plan
    WHERE plan.invoice_id = invoices.id AND plan.status = 'active'
        AND invoices.allocated + invoices.credited >= plan.allocated_before
)))";

/// The condition on `invoices` that one is overdue; it is never NULL.
pub(super) fn is_late(scope: &TenantScope) -> Expr {
    let today: NaiveDate = local_time::local_date(scope.now(), scope.time_zone);
    Expr::cust_with_values(LATE, [today])
}

/// Returns which of these are overdue.
pub(super) async fn among(
    db: &impl TenantScoped,
    scope: &TenantScope,
    rows: &[Model],
) -> Result<BTreeSet<InvoiceId>> {
    let issued = rows.iter().filter(|row| row.status == InvoiceStatus::Issued).map(|row| row.id);
    let ids: Vec<InvoiceId> = issued.collect();
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let query = Entity::find().filter(Column::Id.is_in(ids)).filter(is_late(scope));
    let late: Vec<InvoiceId> = query.select_only().column(Column::Id).into_tuple().all(db).await?;
    Ok(late.into_iter().collect())
}
