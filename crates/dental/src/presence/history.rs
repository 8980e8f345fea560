//! What became of a tooth in the course of time. Pure: no clock, no database.

use chrono::NaiveDate;
use uuid::Uuid;

use super::entity::Model;

/// Finds the events at which nothing stays of what was on a tooth before: it was gone, or something came in its place.
/// Takes the events of one tooth, oldest first. What is only said again is no loss.
pub(crate) fn losses(events: &[Model]) -> impl Iterator<Item = &Model> {
    let before = std::iter::once(None).chain(events.iter().map(Some));
    events.iter().zip(before).filter(|(event, before)| is_loss(event, *before)).map(|(event, _)| event)
}

/// Finds the losses of a tooth that is gone or replaced; none while a tooth of the patient's own is there.
pub(crate) fn losses_of_gone(events: &[Model]) -> Vec<&Model> {
    let there = events.last().is_none_or(|event| event.state.is_own_tooth());
    if there { Vec::new() } else { losses(events).collect() }
}

/// Tells whether an event came after something of the given day that was recorded under the given id.
pub(crate) fn is_after(event: &Model, on: NaiveDate, id: Uuid) -> bool {
    (event.effective_on, event.id.uuid()) > (on, id)
}

fn is_loss(event: &Model, before: Option<&Model>) -> bool {
    let said_again = event.treatment_id.is_none()
        && before.is_some_and(|before| {
            before.state == event.state || (before.state.is_gone() && event.state.is_gone())
        });
    !event.state.is_own_tooth() && !said_again
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use clinicx_core::PatientId;

    use super::*;
    use crate::{
        ToothPresenceEventId, TreatmentId,
        presence::{PresenceState, RecordStatus},
    };

    fn event(number: usize, state: PresenceState, treated: bool) -> Model {
        let id = Uuid::from_u128(u128::try_from(number).unwrap());
        Model {
            id: ToothPresenceEventId::new(id),
            version: 1,
            created_at: DateTime::<Utc>::UNIX_EPOCH,
            updated_at: DateTime::<Utc>::UNIX_EPOCH,
            patient_id: PatientId::new(Uuid::nil()),
            staff_id: None,
            note_sealed: None,
            tooth: "36".parse().unwrap(),
            state,
            effective_on: NaiveDate::default(),
            treatment_id: treated.then(|| TreatmentId::new(id)),
            status: RecordStatus::Recorded,
        }
    }

    #[test]
    fn what_is_said_again_is_no_loss() {
        use PresenceState as S;
        let check = |states: &[(S, bool)], expected: &[usize], gone: bool| {
            let events: Vec<Model> = states
                .iter()
                .enumerate()
                .map(|(number, (state, treated))| event(number, *state, *treated))
                .collect();
            let number = |found: &Model| events.iter().position(|one| one.id == found.id).unwrap();
            assert_eq!(losses(&events).map(number).collect::<Vec<_>>(), expected, "{states:?}");
            let counting = if gone { expected } else { &[] };
            let found = losses_of_gone(&events).into_iter().map(number);
            assert_eq!(found.collect::<Vec<_>>(), counting, "{states:?}");
        };
        check(&[], &[], false);
        check(&[(S::Present, false)], &[], false);
        check(&[(S::Present, false), (S::Extracted, true)], &[1], true);
        check(&[(S::Extracted, true), (S::Missing, false), (S::Implant, true)], &[0, 2], true);
        check(&[(S::Implant, false), (S::Implant, false)], &[0], true);
        check(&[(S::Implant, false), (S::Implant, true)], &[0, 1], true);
        check(&[(S::Missing, false), (S::Erupting, false)], &[0], false);
    }
}
