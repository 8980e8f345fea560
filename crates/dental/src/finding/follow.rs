//! Resolves what was found on teeth that are gone or replaced by now, and takes that back when they turn out to be there.
//! What a treatment resolved is there again when the treatment was an error.

use std::collections::BTreeMap;

use clinicx_core::PatientId;
use clinicx_persistence::{TenantScope, TenantTransaction};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder};

use super::{
    code::FindingStatus,
    entity::{Column, Entity, Model},
    service::write,
};
use crate::{
    TreatmentId,
    error::DentalError,
    presence::{self, entity::Model as Event},
    reference,
    tooth::Tooth,
};

/// Brings a patient's findings up to date with what became of their teeth. The caller holds the chart's lock.
pub(crate) async fn follow_teeth(
    tx: &TenantTransaction,
    scope: &TenantScope,
    patient_id: PatientId,
) -> Result<(), DentalError> {
    let rows = Entity::find()
        .filter(Column::PatientId.eq(patient_id))
        .filter(
            Condition::any()
                .add(Column::Status.is_in(FindingStatus::OPEN))
                .add(Column::ResolvedByPresenceId.is_not_null()),
        )
        .filter(Column::Status.ne(FindingStatus::EnteredInError))
        .order_by_asc(Column::Id)
        .all(tx)
        .await?;
    if rows.is_empty() {
        return Ok(());
    }
    let history = presence::history(tx, patient_id, reference::today(scope)).await?;
    for row in rows {
        let loss = loss_of(&row, &history);
        if loss.map(|event| event.id) == row.resolved_by_presence_id {
            continue;
        }
        let after = loss.map_or_else(|| row.reopened(), |event| row.lost(event));
        write(tx, scope, row, after).await?;
    }
    Ok(())
}

/// Finds the loss that took a finding along.
pub(super) fn loss_of<'a>(row: &Model, history: &'a BTreeMap<Tooth, Vec<Event>>) -> Option<&'a Event> {
    let events = history.get(&row.tooth).map(Vec::as_slice).unwrap_or_default();
    presence::losses(events).find(|event| presence::is_after(event, row.onset_on, row.id.uuid()))
}

/// Takes back what a treatment has resolved. The caller holds the chart's lock.
pub(crate) async fn reopen_of_treatment(
    tx: &TenantTransaction,
    scope: &TenantScope,
    treatment_id: TreatmentId,
) -> Result<(), DentalError> {
    let rows = Entity::find()
        .filter(Column::ResolvedByTreatmentId.eq(treatment_id))
        .filter(Column::Status.eq(FindingStatus::Resolved))
        .order_by_asc(Column::Id)
        .all(tx)
        .await?;
    for row in rows {
        let after = row.reopened();
        write(tx, scope, row, after).await?;
    }
    Ok(())
}
