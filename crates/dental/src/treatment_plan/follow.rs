//! Lets plans follow their treatments: what a plan says of a treatment is part of the plan, and its version rises with
//! it. What was shown to a patient of a draft is not what stands there any more, and has to be shown again.

use chrono::{DateTime, Utc};
use clinicx_persistence::{TenantScope, TenantTransaction};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set, Unchanged,
    sea_query::LockType,
};
use serde::Serialize;

use super::{
    entity::{ActiveModel, Column, Entity, Model},
    item, service,
    status::PlanStatus,
};
use crate::{
    TreatmentId,
    error::DentalError,
    event,
    reference::shown,
    trace,
    treatment::{self, entity::Model as Treatment},
};

/// What a plan says of a treatment that can change.
#[derive(PartialEq, Eq, Serialize)]
struct Line {
    treatment_id: TreatmentId,
    price: Option<String>,
    status: treatment::Status,
    flag: Option<treatment::Flag>,
}

impl Line {
    /// The line of a treatment; a price that was accepted stays.
    fn of(row: &Treatment, plan: &Model, item: &item::Model) -> Self {
        let is_accepted = plan.accepted_at.is_some() && item.accepted_tax_rate.is_some();
        let price = if is_accepted { item.accepted_price } else { row.price };
        let price = price.map(|price| shown(price, row.currency.as_deref().unwrap_or(&plan.currency)));
        Self { treatment_id: row.id, price, status: row.status, flag: row.flag }
    }

    /// Tells whether the patient was shown something else than this.
    fn withdraws(&self, before: &Self) -> bool {
        (&self.price, self.status) != (&before.price, before.status)
    }
}

/// What the audit keeps of a plan that has followed a treatment.
#[derive(Serialize)]
struct Followed {
    presented_at: Option<DateTime<Utc>>,
    items: [Line; 1],
}

/// Raises the version of every plan that says something else of a treatment now, takes back that a draft was shown when
/// its price or its state is another, and completes an accepted plan when nothing of it is left to be done. Leaves an
/// audit row and an event for each. The caller holds the chart's lock.
pub(crate) async fn follow(
    tx: &TenantTransaction,
    scope: &TenantScope,
    (before, after): (&Treatment, &Treatment),
) -> Result<(), DentalError> {
    let items = item::Entity::find().filter(item::Column::TreatmentId.eq(after.id)).all(tx).await?;
    if items.is_empty() {
        return Ok(());
    }
    let plans = Entity::find()
        .filter(Column::Id.is_in(items.iter().map(|item| item.plan_id)))
        .order_by_asc(Column::Id)
        .lock(LockType::NoKeyUpdate)
        .all(tx)
        .await?;
    for plan in plans {
        let is_last = plan.status == PlanStatus::Active && !after.status.is_open();
        if is_last && service::complete(tx, scope, plan.id).await? {
            continue;
        }
        let Some(item) = items.iter().find(|item| item.plan_id == plan.id) else { continue };
        let (old, new) = (Line::of(before, &plan, item), Line::of(after, &plan, item));
        if old != new {
            write(tx, scope, plan, (old, new)).await?;
        }
    }
    Ok(())
}

async fn write(
    tx: &TenantTransaction,
    scope: &TenantScope,
    plan: Model,
    (old, new): (Line, Line),
) -> Result<(), DentalError> {
    let is_withdrawn = plan.status == PlanStatus::Draft && new.withdraws(&old);
    let presented_at = plan.presented_at.filter(|_| !is_withdrawn);
    let changed = ActiveModel {
        id: Unchanged(plan.id),
        version: Set(plan.version + 1),
        updated_at: Set(scope.now()),
        presented_at: Set(presented_at),
        ..Default::default()
    };
    let after = changed.update(tx).await?;
    let subject = service::subject(&after, event::TREATMENT_PLAN_UPDATED);
    let (old, new) =
        (Followed { presented_at: plan.presented_at, items: [old] }, Followed { presented_at, items: [new] });
    trace::changed(tx, scope, subject, &old, &new).await
}
