//! Flags what is planned on teeth that are gone by now, and takes the flag back when they turn out to be there.

use clinicx_core::PatientId;
use clinicx_persistence::{TenantScope, TenantTransaction};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, Set, Unchanged};

use super::{
    dto::Treatment,
    entity::{ActiveModel, Column, Entity},
    outcome,
    status::{Flag, Status},
    subject,
};
use crate::{error::DentalError, event, presence, reference, trace, treatment_plan};

/// Brings the flags of a patient's open treatments up to date. The caller holds the chart's lock.
pub(crate) async fn refresh(
    tx: &TenantTransaction,
    scope: &TenantScope,
    patient_id: PatientId,
) -> Result<(), DentalError> {
    let open = Entity::find()
        .filter(Column::PatientId.eq(patient_id))
        .filter(Column::Status.is_in(Status::OPEN))
        .order_by_asc(Column::Id)
        .all(tx)
        .await?;
    if open.is_empty() {
        return Ok(());
    }
    let known = presence::as_of(tx, patient_id, reference::today(scope)).await?;
    for row in open {
        let state = |tooth: &_| known.get(tooth).map(|event| event.state);
        let flag = outcome::is_pointless(&row, state).then_some(Flag::ToothGone);
        if flag == row.flag {
            continue;
        }
        let changed = ActiveModel {
            id: Unchanged(row.id),
            version: Set(row.version + 1),
            updated_at: Set(scope.now()),
            flag: Set(flag),
            ..Default::default()
        };
        let after = changed.update(tx).await?;
        let (old, new) =
            (Treatment::of(row.clone(), (None, None)), Treatment::of(after.clone(), (None, None)));
        trace::changed(tx, scope, subject(&after, event::TREATMENT_UPDATED), &old, &new).await?;
        treatment_plan::follow(tx, scope, (&row, &after)).await?;
    }
    Ok(())
}
