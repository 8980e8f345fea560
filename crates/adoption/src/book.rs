//! What is known of a clinic's rows while it is moved: which key has become which id, what was written, what is taken.
//!
//! It is kept in memory for one clinic at a time: some 200 bytes a row, and twice that for an appointment.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clinicx_core::{
    intake::{Incoming, Lane, Span, Thing},
    room::entity::RoomKind,
};
use clinicx_types::id::TenantId;
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::report::Misfit;

/// A row of an old table: what it would become, and its key.
pub(crate) type Place = (Thing, String);

/// The SHA-256 of what is shown of a row.
pub(crate) type Hash = [u8; 32];

/// What is known of one row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Its id here.
    pub(crate) id: Uuid,
    /// The hash of what was written; none while that is not known.
    pub(crate) hash: Option<Hash>,
    /// Whether there may be a row of it.
    pub(crate) may_be_there: bool,
    /// Whether it fits.
    pub(crate) fits: bool,
    /// What rows that refer to it need to know.
    pub(crate) note: Note,
}

/// What rows that refer to a row need to know of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Note {
    /// Nothing.
    #[default]
    Nothing,
    /// What kind of room it is.
    Room(RoomKind),
    /// How long a service takes, and its buffers, in minutes.
    Service { duration: i32, before: i32, after: i32 },
}

/// What a row takes, to be given back when it changes.
#[derive(Clone, Debug, Default)]
struct Taken {
    unique: Vec<(&'static str, String)>,
    spans: Vec<Span>,
}

/// What is known of a clinic's rows.
#[derive(Debug, Default)]
pub(crate) struct Book {
    rows: HashMap<Place, Known>,
    unique: HashMap<(Thing, &'static str, String), Place>,
    lanes: HashMap<Lane, BTreeMap<i64, Vec<(Span, Place)>>>,
    taken: HashMap<Place, Taken>,
    /// Who refers to a row.
    children: HashMap<Place, BTreeSet<Place>>,
    /// What does not fit, and why.
    pub(crate) misfits: BTreeMap<Place, BTreeSet<Misfit>>,
}

/// The longest span of a lane: an appointment of a day with its buffers, in microseconds. Working hours are shorter.
const LONGEST: i64 = 32 * 3600 * 1_000_000;

impl Book {
    /// Begins with what was kept of earlier rounds.
    pub(crate) fn of(kept: Vec<(Place, Uuid, Option<Hash>)>) -> Self {
        let known = |(place, id, hash)| (place, Known { id, hash, may_be_there: true, ..Known::default() });
        Self { rows: kept.into_iter().map(known).collect(), ..Self::default() }
    }

    /// Returns what is known of a row.
    pub(crate) fn find(&self, place: &Place) -> Option<&Known> {
        self.rows.get(place)
    }

    /// Returns all keys of one kind.
    pub(crate) fn keys(&self, thing: Thing) -> impl Iterator<Item = &String> {
        self.rows.keys().filter(move |place| place.0 == thing).map(|place| &place.1)
    }

    /// Returns the rows of one kind that fit, with their hashes.
    pub(crate) fn fitting(&self, thing: Thing) -> impl Iterator<Item = (&String, Uuid, Hash)> {
        self.rows
            .iter()
            .filter(move |(place, known)| place.0 == thing && known.fits)
            .filter_map(|(place, known)| Some((&place.1, known.id, known.hash?)))
    }

    /// Returns the id of a row; one that has none gets one that depends on the clinic, the table, the key and the time
    /// at which it was made, and sorts by that time.
    pub(crate) fn id(&mut self, tenant: TenantId, place: &Place, made_at_ms: i64) -> Uuid {
        let known = self
            .rows
            .entry(place.clone())
            .or_insert_with(|| Known { id: derived_id(tenant, place, made_at_ms), ..Known::default() });
        known.id
    }

    /// Notes what a row has come to; the caller knows it by its id already.
    pub(crate) fn fits(&mut self, place: &Place, note: Note) {
        if let Some(known) = self.rows.get_mut(place) {
            (known.fits, known.note) = (true, note);
        }
        self.misfits.remove(place);
    }

    /// Notes that a row does not fit.
    pub(crate) fn does_not_fit(&mut self, place: &Place, reasons: BTreeSet<Misfit>) {
        if let Some(known) = self.rows.get_mut(place) {
            known.fits = false;
        }
        self.misfits.insert(place.clone(), reasons);
    }

    /// Notes that a row is about to be written.
    pub(crate) fn begins(&mut self, place: &Place) {
        if let Some(known) = self.rows.get_mut(place) {
            (known.hash, known.may_be_there) = (None, true);
        }
    }

    /// Notes that a row was written.
    pub(crate) fn written(&mut self, place: &Place, hash: Hash) {
        if let Some(known) = self.rows.get_mut(place) {
            known.hash = Some(hash);
        }
    }

    /// Notes that nothing is there of a row any more.
    pub(crate) fn gone(&mut self, place: &Place) {
        if let Some(known) = self.rows.get_mut(place) {
            (known.hash, known.may_be_there) = (None, false);
        }
    }

    /// Forgets a row that is not in the old table any more.
    pub(crate) fn forget(&mut self, place: &Place) {
        self.rows.remove(place);
    }

    /// Notes that a row refers to another, whether that is there or not.
    pub(crate) fn refers(&mut self, child: &Place, parent: Place) {
        self.children.entry(parent).or_default().insert(child.clone());
    }

    /// Returns the rows that refer to a row.
    pub(crate) fn children(&self, parent: &Place) -> impl Iterator<Item = &Place> {
        self.children.get(parent).into_iter().flatten()
    }

    /// Gives back all that is taken, for a round that reads everything.
    pub(crate) fn release_all(&mut self) {
        self.unique.clear();
        self.lanes.clear();
        self.taken.clear();
        self.children.clear();
        self.misfits.clear();
        for known in self.rows.values_mut() {
            known.fits = false;
        }
    }

    /// Gives back what a row has taken.
    pub(crate) fn release(&mut self, place: &Place) {
        let Some(taken) = self.taken.remove(place) else { return };
        for (field, value) in taken.unique {
            self.unique.remove(&(place.0, field, value));
        }
        for span in taken.spans {
            if let Some(at) = self.lanes.get_mut(&span.lane).and_then(|lane| lane.get_mut(&span.from)) {
                at.retain(|(_, owner)| owner != place);
            }
        }
    }

    /// Returns the field of a row that another has the value of already.
    pub(crate) fn taken_by_another(&self, place: &Place, row: &Incoming) -> Option<&'static str> {
        let is_another = |(field, value): &(&'static str, String)| {
            self.unique.get(&(place.0, *field, value.clone())).is_some_and(|owner| owner != place)
        };
        row.unique().iter().find(|one| is_another(one)).map(|(field, _)| *field)
    }

    /// Tells whether a row wants time that another has.
    pub(crate) fn overlaps(&self, place: &Place, row: &Incoming) -> bool {
        row.spans().iter().any(|span| {
            let Some(lane) = self.lanes.get(&span.lane) else { return false };
            let near = lane.range(span.from.saturating_sub(LONGEST)..span.until);
            near.flat_map(|(_, spans)| spans).any(|(other, owner)| owner != place && other.meets(span))
        })
    }

    /// Takes for a row what it wants.
    pub(crate) fn claim(&mut self, place: &Place, row: &Incoming) {
        let taken = Taken { unique: row.unique(), spans: row.spans() };
        if taken.unique.is_empty() && taken.spans.is_empty() {
            return;
        }
        for (field, value) in &taken.unique {
            self.unique.insert((place.0, field, value.clone()), place.clone());
        }
        for span in &taken.spans {
            let lane = self.lanes.entry(span.lane).or_default();
            lane.entry(span.from).or_default().push((*span, place.clone()));
        }
        self.taken.insert(place.clone(), taken);
    }
}

/// Makes a UUIDv7 of the time at which a row was made and of what names it.
fn derived_id(tenant: TenantId, (thing, key): &Place, made_at_ms: i64) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(tenant.uuid().as_bytes());
    hash.update(thing.table().as_bytes());
    hash.update([0]);
    hash.update(key.as_bytes());
    let mut random = [0; 10];
    for (to, from) in random.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    Builder::from_unix_timestamp_millis(u64::try_from(made_at_ms).unwrap_or_default(), &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_depend_on_what_names_the_row_and_sort_by_its_time() {
        let tenant = TenantId::new(Uuid::from_u128(1));
        let id = |thing, key: &str, at| derived_id(tenant, &(thing, key.to_owned()), at);
        assert_eq!(id(Thing::Patient, "1", 5), id(Thing::Patient, "1", 5));
        assert_ne!(id(Thing::Patient, "1", 5), id(Thing::Staff, "1", 5));
        assert_ne!(id(Thing::Patient, "1", 5), id(Thing::Patient, "2", 5));
        assert!(id(Thing::Patient, "1", 5) < id(Thing::Patient, "1", 6));
        assert_eq!(id(Thing::Patient, "1", 5).get_version_num(), 7);
        assert_ne!(
            id(Thing::Patient, "1", 5),
            derived_id(TenantId::new(Uuid::from_u128(2)), &(Thing::Patient, "1".to_owned()), 5)
        );
    }
}
