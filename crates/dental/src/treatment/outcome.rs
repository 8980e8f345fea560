//! What a treatment asks of its teeth, and what it makes of them.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use clinicx_persistence::{TenantScope, TenantTransaction};

use super::entity::Model;
use crate::{
    error::DentalError,
    presence::{self, Cause, PresenceState, entity::Model as PresenceEvent},
    procedure_code::Effect,
    tooth::Tooth,
};

/// Refuses work on teeth that are gone unless it fills gaps, and an implant where a tooth still stands. Of a tooth of
/// which nothing is known anything may be true.
pub(super) fn require_teeth(
    effect: Option<Effect>,
    teeth: &[Tooth],
    known: &BTreeMap<Tooth, PresenceEvent>,
) -> Result<(), DentalError> {
    let those = |wanted: fn(PresenceState) -> bool| -> Vec<Tooth> {
        let is = |tooth: &&Tooth| known.get(tooth).is_some_and(|event| wanted(event.state));
        teeth.iter().filter(is).copied().collect()
    };
    if !effect.is_some_and(Effect::fills_gaps) {
        let gone = those(PresenceState::is_gone);
        return if gone.is_empty() { Ok(()) } else { Err(DentalError::ToothGone { teeth: gone }) };
    }
    let standing =
        if effect == Some(Effect::Implant) { those(PresenceState::is_own_tooth) } else { Vec::new() };
    if standing.is_empty() { Ok(()) } else { Err(DentalError::ToothPresent { teeth: standing }) }
}

/// Tells whether an open treatment can no longer be done because a tooth of it is gone.
pub(super) fn is_pointless(row: &Model, known: &BTreeMap<Tooth, PresenceEvent>) -> bool {
    let gone = |tooth: &Tooth| known.get(tooth).is_some_and(|event| event.state.is_gone());
    !row.effect.is_some_and(Effect::fills_gaps) && row.tooth_list().iter().any(gone)
}

/// Records what a completed treatment makes of its teeth.
pub(super) async fn record(
    tx: &TenantTransaction,
    scope: &TenantScope,
    row: &Model,
    known: &BTreeMap<Tooth, PresenceEvent>,
    day: NaiveDate,
) -> Result<(), DentalError> {
    let state = match row.effect {
        Some(Effect::Extraction) => PresenceState::Extracted,
        Some(Effect::Implant) => PresenceState::Implant,
        Some(Effect::Pontic) => PresenceState::Pontic,
        Some(Effect::Prosthesis) | None => return Ok(()),
    };
    let cause = Cause { staff_id: row.staff_id, treatment_id: Some(row.id) };
    for tooth in row.tooth_list() {
        let gone = known.get(&tooth).is_some_and(|event| event.state.is_gone());
        // A bridge stands on the teeth that are there.
        if (state != PresenceState::Pontic || gone) && state.is_possible_for(tooth) {
            presence::record_effect(tx, scope, (row.patient_id, tooth), (state, day), cause).await?;
        }
    }
    Ok(())
}
