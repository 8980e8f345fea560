//! The table `installments`.

use sea_orm::entity::prelude::*;

use crate::InstallmentPlanId;

/// One part.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "installments")]
pub struct Model {
    /// Which row.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// Of which plan.
    pub plan_id: InstallmentPlanId,
    /// Its place, from 1.
    pub position: i32,
    /// When it is due.
    pub due_on: Date,
    /// How much.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub amount: Decimal,
}

impl ActiveModelBehavior for ActiveModel {}
