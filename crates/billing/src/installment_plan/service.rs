//! Operations on installment plans.

use std::collections::BTreeMap;

use clinicx_core::{
    CoreError,
    change::{self, json},
    local_time, paging, validation,
};
use clinicx_persistence::{FailureKind, TenantScope, TenantScoped, TenantTransaction};
use clinicx_types::{
    error::FieldError,
    page::{Page, PageRequest},
};
use rust_decimal::Decimal;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Set, sea_query::LockType,
};
use serde_json::json;

use super::{
    dto::{CreateInstallmentPlan, Installment, InstallmentPlan, PlanStatus},
    entity::{ActiveModel, Column, Entity, Model},
    installment,
};
use crate::{
    InstallmentPlanId, InvoiceId,
    change::Trace,
    error::{BillingError, Result},
    event, input, invoice, split,
};

const THING: &str = "installment plan";

/// Splits what is due of an issued invoice into parts.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Invalid`]; [`CoreError::RefusedTransition`] unless the invoice is issued;
/// [`BillingError::NothingDue`]; [`BillingError::PlanActive`]; [`BillingError::Core`] when the database fails.
#[tracing::instrument(name = "billing.installment_plan.create", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn create(
    tx: &TenantTransaction,
    scope: &TenantScope,
    of: InvoiceId,
    input: CreateInstallmentPlan,
) -> Result<InstallmentPlan> {
    validation::check(&input)?;
    let bill = invoice::locked(tx, of, None).await?;
    if !bill.status.is_open_to_money() {
        return Err(bill.status.refused_to("split").into());
    }
    let due = input::stored(bill.due(), &bill.currency)?;
    if due.is_zero() {
        return Err(BillingError::NothingDue);
    }
    if bill.issued_on.is_some_and(|day| input.first_due_on < day) {
        let detail = "must not be before the day of issue";
        return Err(BillingError::invalid("/first_due_on", "too_early", detail));
    }
    let too_small = || BillingError::invalid("/count", "out_of_range", "must leave something for each part");
    let parts = split::equally(due, input.count).map_err(|_| too_small())?;
    if parts.iter().any(|part| part.is_zero()) {
        return Err(too_small());
    }
    let now = scope.now();
    let row = Model {
        id: InstallmentPlanId::new(scope.next_id()),
        version: 1,
        created_at: now,
        updated_at: now,
        invoice_id: of,
        patient_id: bill.patient_id,
        currency: bill.currency.clone(),
        total: due.amount(),
        allocated_before: bill.allocated + bill.credited,
        status: PlanStatus::Active,
    };
    Entity::insert(row.clone().into_active_model().reset_all()).exec_without_returning(tx).await.map_err(
        |error| match clinicx_persistence::Failure::of(&error) {
            failure if failure.kind == FailureKind::Unique => BillingError::PlanActive,
            failure => failure.into(),
        },
    )?;
    let mut rows = Vec::with_capacity(parts.len());
    for (times, part) in (0_u16..).zip(&parts) {
        let due_on = input
            .interval
            .after(input.first_due_on, times)
            .filter(|day| clinicx_types::calendar::is_common(*day));
        rows.push(installment::Model {
            id: scope.next_id(),
            created_at: now,
            plan_id: row.id,
            position: i32::from(times) + 1,
            due_on: due_on.ok_or_else(|| {
                FieldError::new(
                    "/first_due_on",
                    "out_of_range",
                    "must let the last part be due before the year 10000",
                )
            })?,
            amount: part.amount(),
        });
    }
    let all = rows.iter().cloned().map(|row| row.into_active_model().reset_all());
    installment::Entity::insert_many(all).exec_without_returning(tx).await?;
    let plan = assemble(scope, row, rows, &bill);
    traced(tx, scope, (None, &plan)).await?;
    Ok(plan)
}

/// Returns an installment plan.
///
/// # Errors
/// [`CoreError::NotFound`]; [`BillingError::Core`] when the database fails.
pub async fn get(
    db: &impl TenantScoped,
    scope: &TenantScope,
    id: InstallmentPlanId,
) -> Result<InstallmentPlan> {
    let row = Entity::find_by_id(id).one(db).await?.ok_or_else(|| BillingError::not_found(THING))?;
    whole(db, scope, row).await
}

/// Lists the plans of an invoice, the oldest first.
///
/// # Errors
/// [`CoreError::NotFound`] when there is no such invoice; [`CoreError::Invalid`] when the cursor is none of this list's;
/// [`BillingError::Core`] when the database fails.
pub async fn list(
    db: &impl TenantScoped,
    scope: &TenantScope,
    of: InvoiceId,
    page: &PageRequest,
) -> Result<(invoice::entity::Model, Page<InstallmentPlan>)> {
    let bill = invoice::entity::Entity::find_by_id(of).one(db).await?;
    let bill = bill.ok_or_else(|| BillingError::not_found("invoice"))?;
    let mut query = Entity::find().filter(Column::InvoiceId.eq(of));
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [id] = paging::parts(key)?;
        query = query.filter(Column::Id.gt(paging::part::<InstallmentPlanId>(id)?));
    }
    let rows = query.order_by_asc(Column::Id).limit(u64::from(page.limit()) + 1).all(db).await?;
    let rows = Page::from_rows(rows, page, total, |row| vec![row.id.to_string()]);
    let ids: Vec<InstallmentPlanId> = rows.items.iter().map(|row| row.id).collect();
    let parts = installment::Entity::find().filter(installment::Column::PlanId.is_in(ids));
    let mut parts_of: BTreeMap<InstallmentPlanId, Vec<installment::Model>> = BTreeMap::new();
    for part in parts.order_by_asc(installment::Column::Position).all(db).await? {
        parts_of.entry(part.plan_id).or_default().push(part);
    }
    let plans = rows.map(|row| {
        let parts = parts_of.remove(&row.id).unwrap_or_default();
        assemble(scope, row, parts, &bill)
    });
    Ok((bill, plans))
}

/// Gives an active plan up.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Stale`]; [`CoreError::RefusedTransition`] unless it is active;
/// [`BillingError::Core`] when the database fails.
#[tracing::instrument(name = "billing.installment_plan.cancel", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn cancel(
    tx: &TenantTransaction,
    scope: &TenantScope,
    (id, expected): (InstallmentPlanId, Option<i64>),
) -> Result<InstallmentPlan> {
    let found = Entity::find_by_id(id).lock(LockType::NoKeyUpdate).one(tx).await?;
    let row = found.ok_or_else(|| BillingError::not_found(THING))?;
    change::expect_version(THING, expected, row.version)?;
    let status = whole(tx, scope, row.clone()).await?.status;
    if status != PlanStatus::Active {
        let from = status.as_str();
        return Err(CoreError::RefusedTransition { from, action: "cancel", allowed: Vec::new() }.into());
    }
    give_up(tx, scope, row).await
}

/// Gives up the active plan of an invoice that is not asked for any more.
pub(crate) async fn end(tx: &TenantTransaction, scope: &TenantScope, of: InvoiceId) -> Result<()> {
    let found = Entity::find()
        .filter(Column::InvoiceId.eq(of))
        .filter(Column::Status.eq(PlanStatus::Active))
        .lock(LockType::NoKeyUpdate)
        .one(tx)
        .await?;
    if let Some(row) = found {
        give_up(tx, scope, row).await?;
    }
    Ok(())
}

async fn give_up(tx: &TenantTransaction, scope: &TenantScope, row: Model) -> Result<InstallmentPlan> {
    let before = whole(tx, scope, row.clone()).await?;
    let changed = ActiveModel {
        id: sea_orm::Unchanged(row.id),
        version: Set(row.version + 1),
        updated_at: Set(scope.now()),
        status: Set(PlanStatus::Cancelled),
        ..Default::default()
    };
    let after = whole(tx, scope, changed.update(tx).await?).await?;
    traced(tx, scope, (Some(&before), &after)).await?;
    Ok(after)
}

async fn whole(db: &impl TenantScoped, scope: &TenantScope, row: Model) -> Result<InstallmentPlan> {
    let parts = installment::Entity::find()
        .filter(installment::Column::PlanId.eq(row.id))
        .order_by_asc(installment::Column::Position)
        .all(db)
        .await?;
    let bill = invoice::entity::Entity::find_by_id(row.invoice_id).one(db).await?;
    let bill = bill.ok_or_else(|| BillingError::not_found("invoice"))?;
    Ok(assemble(scope, row, parts, &bill))
}

fn assemble(
    scope: &TenantScope,
    row: Model,
    parts: Vec<installment::Model>,
    bill: &invoice::entity::Model,
) -> InstallmentPlan {
    let today = local_time::local_date(scope.now(), scope.time_zone);
    let status = match row.status {
        PlanStatus::Active if bill.due().is_zero() => PlanStatus::Completed,
        status => status,
    };
    let mut paid = (bill.allocated + bill.credited - row.allocated_before).max(Decimal::ZERO);
    let part = |part: installment::Model| {
        let share = paid.min(part.amount);
        paid -= share;
        Installment {
            position: part.position,
            due_on: part.due_on,
            amount: input::shown(part.amount, &row.currency),
            paid: input::shown(share, &row.currency),
            overdue: status == PlanStatus::Active && share < part.amount && part.due_on < today,
        }
    };
    let installments = parts.into_iter().map(part).collect();
    InstallmentPlan {
        id: row.id,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
        invoice_id: row.invoice_id,
        patient_id: row.patient_id,
        total: input::shown(row.total, &row.currency),
        status,
        installments,
        currency: row.currency,
    }
}

async fn traced(
    tx: &TenantTransaction,
    scope: &TenantScope,
    (before, after): (Option<&InstallmentPlan>, &InstallmentPlan),
) -> Result<()> {
    let (event, old, new) = match before {
        None => (event::INSTALLMENT_PLAN_CREATED, None, json(after)),
        Some(before) => {
            let (old, new) = change::difference(before, after);
            (event::INSTALLMENT_PLAN_CANCELLED, Some(old), new)
        }
    };
    let trace = Trace {
        event,
        aggregate: ("installment_plan", after.id.uuid()),
        patient_id: Some(after.patient_id.uuid()),
        before: old,
        after: Some(new),
        payload: json!({ "invoice_id": after.invoice_id, "status": after.status }),
    };
    trace.write(tx, scope).await
}
