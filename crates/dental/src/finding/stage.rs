//! The table `tooth_finding_stages`: since when a finding asks for treatment or is watched only; rows that are never
//! changed.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use clinicx_persistence::{TenantScope, TenantScoped, TenantTransaction};
use sea_orm::{IntoActiveModel, QueryFilter, QueryOrder, entity::prelude::*};

use super::code::FindingStatus;
use crate::{ToothFindingId, error::DentalError};

/// Where a finding stands from a day on, while it is there.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tooth_finding_stages")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// The finding.
    pub finding_id: ToothFindingId,
    /// Where it stands: active or watched.
    pub status: FindingStatus,
    /// Since which day.
    pub effective_on: Date,
}

impl ActiveModelBehavior for ActiveModel {}

/// Keeps where a finding stands from a day on.
pub(super) async fn begin(
    tx: &TenantTransaction,
    scope: &TenantScope,
    (finding_id, status): (ToothFindingId, FindingStatus),
    day: NaiveDate,
) -> Result<(), DentalError> {
    let row = Model { id: scope.next_id(), created_at: scope.now(), finding_id, status, effective_on: day };
    Entity::insert(row.into_active_model().reset_all()).exec_without_returning(tx).await?;
    Ok(())
}

/// Where findings stood as of the end of a day, if they were there.
pub(super) async fn as_of(
    db: &impl TenantScoped,
    findings: impl Iterator<Item = ToothFindingId>,
    day: NaiveDate,
) -> Result<BTreeMap<ToothFindingId, FindingStatus>, DentalError> {
    let rows = Entity::find()
        .filter(Column::FindingId.is_in(findings))
        .filter(Column::EffectiveOn.lte(day))
        .order_by_asc(Column::EffectiveOn)
        .order_by_asc(Column::Id)
        .all(db)
        .await?;
    // The last one of a finding stays.
    Ok(rows.into_iter().map(|row| (row.finding_id, row.status)).collect())
}
