//! What a treatment asks of its teeth, and what it makes of them.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use clinicx_persistence::{TenantScope, TenantTransaction};

use super::entity::Model;
use crate::{
    error::DentalError,
    presence::{self, Cause, PresenceState, entity::Model as PresenceEvent},
    procedure_code::{Category, Effect},
    tooth::Tooth,
};

/// Refuses implants and bridges for deciduous teeth: there is no tooth of which they could become one.
pub(super) fn require_permanent(
    effect: Option<Effect>,
    teeth: &[Tooth],
    pointer: &str,
) -> Result<(), DentalError> {
    let state = match effect {
        Some(Effect::Implant) => PresenceState::Implant,
        Some(Effect::Pontic) => PresenceState::Pontic,
        Some(Effect::Extraction | Effect::Prosthesis) | None => return Ok(()),
    };
    if teeth.iter().all(|tooth| state.is_possible_for(*tooth)) {
        return Ok(());
    }
    Err(DentalError::invalid(pointer, "not_of_tooth", "must be permanent for this procedure"))
}

/// Refuses work inside of roots where an implant or a pontic is: it has none.
pub(super) fn require_roots(
    category: Category,
    teeth: &[Tooth],
    known: &BTreeMap<Tooth, PresenceEvent>,
    pointer: &str,
) -> Result<(), DentalError> {
    let replaced = |tooth: &Tooth| known.get(tooth).is_some_and(|event| event.state.is_replacement());
    if category != Category::Endodontic || !teeth.iter().any(replaced) {
        return Ok(());
    }
    let detail = "must be a tooth of the patient's own for this procedure";
    Err(DentalError::invalid(pointer, "not_of_tooth", detail))
}

/// Refuses work on teeth that are gone unless it fills gaps, work inside of roots where none are any more, and an implant
/// where a tooth still stands. Of a tooth of which nothing is known anything may be true.
pub(super) fn require_teeth(
    (category, effect): (Category, Option<Effect>),
    teeth: &[Tooth],
    known: &BTreeMap<Tooth, PresenceEvent>,
) -> Result<(), DentalError> {
    let those = |wanted: &dyn Fn(PresenceState) -> bool| -> Vec<Tooth> {
        let is = |tooth: &&Tooth| known.get(tooth).is_some_and(|event| wanted(event.state));
        teeth.iter().filter(is).copied().collect()
    };
    if !effect.is_some_and(Effect::fills_gaps) {
        let gone = those(&|state| is_out_of_reach(category, state));
        return if gone.is_empty() { Ok(()) } else { Err(DentalError::ToothGone { teeth: gone }) };
    }
    let standing =
        if effect == Some(Effect::Implant) { those(&PresenceState::is_own_tooth) } else { Vec::new() };
    if standing.is_empty() { Ok(()) } else { Err(DentalError::ToothPresent { teeth: standing }) }
}

/// Tells whether an open treatment can no longer be done because a tooth of it is gone.
pub(crate) fn is_pointless(row: &Model, state: impl Fn(&Tooth) -> Option<PresenceState>) -> bool {
    let gone = |tooth: &Tooth| state(tooth).is_some_and(|state| is_out_of_reach(row.category, state));
    !row.effect.is_some_and(Effect::fills_gaps) && row.tooth_list().iter().any(gone)
}

/// Tells whether there is nothing on which such work could be done.
fn is_out_of_reach(category: Category, state: PresenceState) -> bool {
    state.is_gone() || (category == Category::Endodontic && state.is_replacement())
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
