//! Where other modules hand over what they did.

use async_trait::async_trait;
use clinicx_core::{
    CoreError,
    charge::{Charge, ChargeSource, Charges, Withdrawal},
};
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_types::{error::FieldError, money::Money};
use rust_decimal::Decimal;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, Set,
    TryInsertResult, sea_query::LockType,
};

use super::{
    dto::ChargeItemStatus,
    entity::{ActiveModel, Column, Entity, Model},
    trace,
};
use crate::{ChargeItemId, event};

/// The longest words that a line of an invoice takes.
const MAX_DESCRIPTION: usize = 500;

/// Keeps what can be billed in the table `charge_items`, for tenants that have the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct BillingCharges;

#[async_trait]
impl Charges for BillingCharges {
    async fn charge(
        &self,
        tx: &TenantTransaction,
        scope: &TenantScope,
        charge: Charge,
    ) -> Result<(), CoreError> {
        check(&charge)?;
        let now = scope.now();
        let row = Model {
            id: ChargeItemId::new(scope.next_id()),
            version: 1,
            created_at: now,
            updated_at: now,
            source_kind: charge.source.kind.to_owned(),
            source_id: charge.source.id,
            patient_id: charge.patient_id,
            staff_id: charge.staff_id,
            code: charge.code,
            description: charge.description,
            quantity: charge.quantity,
            unit_price: charge.unit_price.map(Money::amount),
            currency: charge.unit_price.map(|price| price.currency().code().to_owned()),
            tax_rate: charge.tax_rate,
            performed_at: charge.performed_at,
            status: ChargeItemStatus::Open,
            invoice_id: None,
        };
        let insert = Entity::insert(row.clone().into_active_model().reset_all())
            .on_conflict_do_nothing_on([Column::SourceKind, Column::SourceId]);
        if !matches!(insert.exec_without_returning(tx).await?, TryInsertResult::Inserted(1)) {
            return Ok(());
        }
        trace::write(tx, scope, event::CHARGE_ITEM_CREATED, (None, row)).await?;
        Ok(())
    }

    async fn withdraw(
        &self,
        tx: &TenantTransaction,
        scope: &TenantScope,
        source: ChargeSource,
    ) -> Result<Withdrawal, CoreError> {
        let found = Entity::find()
            .filter(Column::SourceKind.eq(source.kind))
            .filter(Column::SourceId.eq(source.id))
            .lock(LockType::NoKeyUpdate)
            .one(tx)
            .await?;
        let Some(row) = found else { return Ok(Withdrawal::Withdrawn) };
        match row.status {
            ChargeItemStatus::Billed => return Ok(Withdrawal::Billed),
            ChargeItemStatus::Withdrawn => return Ok(Withdrawal::Withdrawn),
            ChargeItemStatus::Open => {}
        }
        let changed = ActiveModel {
            id: sea_orm::Unchanged(row.id),
            version: Set(row.version + 1),
            updated_at: Set(scope.now()),
            status: Set(ChargeItemStatus::Withdrawn),
            ..Default::default()
        };
        let after = changed.update(tx).await?;
        trace::write(tx, scope, event::CHARGE_ITEM_WITHDRAWN, (Some(row), after)).await?;
        Ok(Withdrawal::Withdrawn)
    }
}

/// Refuses what no line of an invoice could hold.
fn check(charge: &Charge) -> Result<(), CoreError> {
    let mut wrong = Vec::new();
    let mut refuse = |pointer: &str, detail: &str| {
        wrong.push(FieldError::new(pointer, "out_of_range", detail));
    };
    let quantity = charge.quantity.normalize();
    if quantity <= Decimal::ZERO || quantity.scale() > 4 || quantity >= Decimal::from(100_000_000) {
        refuse("/quantity", "must be above zero with at most 4 decimals");
    }
    let is_wrong =
        |price: Money| price.is_negative() || Money::rounded(price.amount(), price.currency()).is_err();
    if charge.unit_price.is_some_and(is_wrong) {
        refuse("/unit_price", "must not be negative");
    }
    let rates = Decimal::ZERO..=Decimal::ONE_HUNDRED;
    if charge.tax_rate.is_some_and(|rate| !rates.contains(&rate) || rate.normalize().scale() > 4) {
        refuse("/tax_rate", "must be 0 to 100 with at most 4 decimals");
    }
    if charge.description.trim().is_empty() || charge.description.chars().count() > MAX_DESCRIPTION {
        refuse("/description", "must have 1 to 500 characters");
    }
    if wrong.is_empty() { Ok(()) } else { Err(CoreError::Invalid(wrong)) }
}
