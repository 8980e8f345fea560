//! The table `installment_plans`.

use clinicx_core::PatientId;
use sea_orm::entity::prelude::*;

use super::dto::PlanStatus;
use crate::{InstallmentPlanId, InvoiceId};

/// One plan.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "installment_plans")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: InstallmentPlanId,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// Of which invoice.
    pub invoice_id: InvoiceId,
    /// For whom something was done.
    pub patient_id: PatientId,
    /// The invoice's currency.
    pub currency: String,
    /// The sum of the parts.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub total: Decimal,
    /// What of the invoice was paid or credited before.
    #[sea_orm(column_type = "Decimal(Some((19, 4)))")]
    pub allocated_before: Decimal,
    /// Where it stands: active or cancelled.
    pub status: PlanStatus,
}

impl ActiveModelBehavior for ActiveModel {}
