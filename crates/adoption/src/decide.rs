//! Decides of one row of the old tables: what it becomes, or why it does not fit.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use clinicx_core::{
    CoreError,
    intake::{self, Incoming, Thing},
    local_time,
    room::entity::RoomKind,
};
use clinicx_keys::FieldCipher;
use clinicx_persistence::TenantScope;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    book::{Book, Note, Place as Row},
    error::AdoptionError,
    legacy::Wanted,
    mapping::{OnOverlap, TableMapping},
    report::Misfit,
    target::{self, Field, Kind, Place},
};

/// How often another value is taken in place of one that was made and is taken.
const ATTEMPTS: u32 = 20;

/// A row has no key.
pub(crate) const NO_KEY: &str = "no_key";
/// Another row of the clinic has the same key.
pub(crate) const DUPLICATE_KEY: &str = "duplicate_key";

/// What becomes of a row.
pub(crate) enum Decision {
    /// It fits.
    Fits(Box<Incoming>, Note),
    /// It does not.
    Misfit(BTreeSet<Misfit>),
    /// It refers to a row of the same table that was not read yet.
    Later,
}

/// Whether a row that refers to one not yet read may wait for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// It may.
    Wait,
    /// There is nothing more to come.
    Decide,
}

/// Who decides, and by what.
pub(crate) struct Judge<'a> {
    pub(crate) scope: &'a TenantScope,
    pub(crate) cipher: &'a FieldCipher,
    pub(crate) on_overlap: OnOverlap,
    /// When the adoption began: rows without times of their own were made then.
    pub(crate) began_at: DateTime<Utc>,
}

impl Judge<'_> {
    /// Decides. What the row wants of time and of unique values is claimed when it fits.
    pub(crate) fn decide(
        &self,
        book: &mut Book,
        (place, table): (&Row, &TableMapping),
        values: &[Option<String>],
        patience: Patience,
    ) -> Result<Decision, AdoptionError> {
        let mut draft = Draft::new(self);
        for ((name, source), value) in table.columns.iter().zip(values) {
            let Some(field) = target::fields(place.0).iter().find(|field| field.name == *name) else {
                continue;
            };
            // An empty text is how old systems say that there is nothing.
            let Some(value) = value.clone().filter(|text| !text.trim().is_empty()) else { continue };
            match source.translated(value) {
                Ok(value) => draft.set(book, place, field, &value, patience),
                Err(_) => {
                    draft.seen.insert(field.name);
                    draft.wrong(name, "unknown_value");
                }
            }
        }
        if draft.waits {
            return Ok(Decision::Later);
        }
        for field in target::fields(place.0).iter().filter(|field| field.required) {
            if !draft.seen.contains(field.name) {
                draft.wrong(field.name, "missing");
            }
        }
        if place.0 == Thing::Appointment {
            draft.add_service();
        }
        if !draft.misfits.is_empty() {
            return Ok(Decision::Misfit(draft.misfits));
        }
        let (created, updated) = draft.times();
        let id = book.id(self.scope.tenant_id, place, created.timestamp_millis());
        let origin = intake::Origin { id, created_at: created, updated_at: updated };
        let (parent, fields) = (draft.parent, draft.into_fields());
        match intake::take_in(place.0, (self.scope, self.cipher), origin, fields) {
            Ok(incoming) => Ok(self.admit(book, place, incoming, parent)),
            Err(CoreError::Invalid(wrong)) => {
                let misfit = |one: clinicx_types::error::FieldError| {
                    Misfit::new(one.pointer.trim_start_matches('/'), &one.code)
                };
                Ok(Decision::Misfit(wrong.into_iter().map(misfit).collect()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Looks at what stands between rows.
    fn admit(&self, book: &mut Book, place: &Row, mut row: Incoming, parent: Option<Note>) -> Decision {
        let one = |field: &str, rule: &str| Decision::Misfit(BTreeSet::from([Misfit::new(field, rule)]));
        if let (Incoming::Room(room), Some(Note::Room(kind))) = (&row, parent)
            && !room.kind.fits_into(kind)
        {
            return one("parent", "wrong_kind");
        }
        book.release(place);
        let mut attempt = 1;
        while let Some(field) = book.taken_by_another(place, &row) {
            // A record number that was drawn is drawn again, as it is for patients who are registered here.
            if attempt > ATTEMPTS || !row.remake(field, attempt) {
                return one(field, "taken");
            }
            attempt += 1;
        }
        if book.overlaps(place, &row) {
            if place.0 != Thing::Appointment || self.on_overlap == OnOverlap::Leave {
                return one("", "overlaps");
            }
            row.overbook();
        }
        book.claim(place, &row);
        let note = match &row {
            Incoming::Room(row) => Note::Room(row.kind),
            Incoming::Service(row) => Note::Service {
                duration: row.duration_minutes,
                before: row.buffer_before_minutes,
                after: row.buffer_after_minutes,
            },
            _ => Note::Nothing,
        };
        Decision::Fits(Box::new(row), note)
    }
}

/// A row in the making.
struct Draft<'a> {
    judge: &'a Judge<'a>,
    fields: Map<String, Value>,
    misfits: BTreeSet<Misfit>,
    seen: BTreeSet<&'static str>,
    created_at: Option<DateTime<Utc>>,
    updated_at: Option<DateTime<Utc>>,
    identifiers: [Map<String, Value>; 2],
    parent: Option<Note>,
    service: Option<Note>,
    waits: bool,
}

impl<'a> Draft<'a> {
    fn new(judge: &'a Judge<'a>) -> Self {
        Self {
            judge,
            fields: Map::new(),
            misfits: BTreeSet::new(),
            seen: BTreeSet::new(),
            created_at: None,
            updated_at: None,
            identifiers: [Map::new(), Map::new()],
            parent: None,
            service: None,
            waits: false,
        }
    }

    fn wrong(&mut self, field: &str, rule: &str) {
        self.misfits.insert(Misfit::new(field, rule));
    }

    fn set(&mut self, book: &mut Book, place: &Row, field: &'static Field, text: &str, patience: Patience) {
        self.seen.insert(field.name);
        let value = match field.kind {
            Kind::Text => Some(json!(text)),
            Kind::Flag => flag(text).map(Value::from),
            Kind::Number => number(text).map(Value::from),
            Kind::Day => Some(json!(day(text))),
            Kind::Instant => Some(json!(instant(text))),
            Kind::Words => Some(
                text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(Value::from).collect(),
            ),
            Kind::Key(thing) => {
                let Some(id) = self.reference(book, place, field, (thing, text), patience) else { return };
                Some(json!(id))
            }
        };
        let Some(value) = value else { return self.wrong(field.name, "malformed") };
        self.put(field, value);
    }

    fn put(&mut self, field: &'static Field, value: Value) {
        match field.place {
            Place::Own(name) => {
                self.fields.insert(name.to_owned(), value);
            }
            Place::Entry(list) => {
                let list = self.fields.entry(list).or_insert_with(|| json!([]));
                if let Some(list) = list.as_array_mut() {
                    list.push(value);
                }
            }
            Place::Part(list, part) => {
                let list = self.fields.entry(list).or_insert_with(|| json!([{}]));
                if let Some(first) = list.get_mut(0).and_then(Value::as_object_mut) {
                    first.insert(part.to_owned(), value);
                }
            }
            Place::Identifier(at, part) => {
                if let Some(identifier) = self.identifiers.get_mut(at) {
                    identifier.insert(part.to_owned(), value);
                }
            }
            Place::CreatedAt => self.created_at = self.time(field.name, &value),
            Place::UpdatedAt => self.updated_at = self.time(field.name, &value),
        }
    }

    /// Reads when a row was made or changed; local times are those of the clinic.
    fn time(&mut self, name: &str, value: &Value) -> Option<DateTime<Utc>> {
        let text = value.as_str().unwrap_or_default();
        let zone = Some(self.judge.scope.time_zone);
        let read = local_time::parse(text, "").and_then(|time| time.instant(zone, ""));
        read.map_err(|error| self.wrong(name, &error.code)).ok()
    }

    /// Looks up the row that a key names.
    fn reference(
        &mut self,
        book: &mut Book,
        place: &Row,
        field: &Field,
        (thing, key): (Thing, &str),
        patience: Patience,
    ) -> Option<Uuid> {
        let parent = (thing, key.to_owned());
        if &parent == place {
            self.wrong(field.name, "self");
            return None;
        }
        book.refers(place, parent.clone());
        match book.find(&parent).filter(|known| known.fits) {
            Some(known) => {
                match (thing, known.note) {
                    (Thing::Room, Note::Room(RoomKind::Site)) if place.0 == Thing::Appointment => {
                        self.wrong(field.name, "not_bookable");
                        return None;
                    }
                    (Thing::Room, note) => self.parent = Some(note),
                    (Thing::Service, note) => self.service = Some(note),
                    _ => {}
                }
                Some(known.id)
            }
            None if thing == place.0 && patience == Patience::Wait => {
                self.waits = true;
                None
            }
            None => {
                self.wrong(field.name, "orphan");
                None
            }
        }
    }

    /// Gives an appointment what its service says of it.
    fn add_service(&mut self) {
        let Some(Note::Service { duration, before, after }) = self.service else {
            if !self.seen.contains("end") && !self.seen.contains("duration_minutes") {
                self.wrong("end", "missing");
            }
            return;
        };
        if !self.seen.contains("end") && !self.seen.contains("duration_minutes") {
            self.fields.insert("duration_minutes".to_owned(), json!(duration));
        }
        self.fields.insert("buffer_before_minutes".to_owned(), json!(before));
        self.fields.insert("buffer_after_minutes".to_owned(), json!(after));
    }

    fn times(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        let created = self.created_at.unwrap_or(self.judge.began_at);
        (created, self.updated_at.unwrap_or(created).max(created))
    }

    fn into_fields(mut self) -> Value {
        // A system alone is the same for every row and means nothing without a value.
        let identifiers: Vec<Value> = self
            .identifiers
            .into_iter()
            .filter(|identifier| identifier.contains_key("value"))
            .map(Value::Object)
            .collect();
        if !identifiers.is_empty() {
            self.fields.insert("identifiers".to_owned(), Value::Array(identifiers));
        }
        Value::Object(self.fields)
    }
}

fn flag(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "1" | "on" => Some(true),
        "false" | "f" | "no" | "n" | "0" | "off" => Some(false),
        _ => None,
    }
}

fn number(text: &str) -> Option<i64> {
    let text = text.trim();
    // A column of decimals shows whole numbers with zeros behind.
    let whole = text
        .split_once('.')
        .map_or(text, |(whole, rest)| if rest.bytes().all(|digit| digit == b'0') { whole } else { text });
    whole.parse().ok()
}

/// Leaves a time of day away that a timestamp has.
fn day(text: &str) -> &str {
    let text = text.trim();
    match text.as_bytes().get(10) {
        Some(b' ' | b'T') => text.get(..10).unwrap_or(text),
        _ => text,
    }
}

/// Writes a timestamp of PostgreSQL's as RFC 3339 does: `2026-01-05 09:00:00+00` is `2026-01-05T09:00:00+00:00`.
fn instant(text: &str) -> String {
    let mut text = text.trim().to_owned();
    if text.as_bytes().get(10) == Some(&b' ') {
        text.replace_range(10..11, "T");
    }
    let short_offset = text.len() > 13
        && text.as_bytes().get(text.len() - 3).is_some_and(|sign| matches!(sign, b'+' | b'-'));
    if short_offset {
        text.push_str(":00");
    }
    text
}

/// Returns the rows that may fit now although they did not. One without a key of its own can't be read alone.
pub(crate) fn again(book: &Book) -> Vec<Row> {
    let can_be_named = |reasons: &BTreeSet<Misfit>| {
        reasons.iter().all(|one| !matches!(one.rule.as_str(), NO_KEY | DUPLICATE_KEY))
    };
    book.misfits.iter().filter(|(_, reasons)| can_be_named(reasons)).map(|(row, _)| row.clone()).collect()
}

/// Adds keys to those that are wanted.
pub(crate) fn add(wanted: &mut std::collections::BTreeMap<Thing, Wanted>, (thing, key): Row) {
    match wanted.entry(thing).or_insert_with(|| Wanted::Keys(BTreeSet::new())) {
        Wanted::All => {}
        Wanted::Keys(keys) => {
            keys.insert(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_postgres_are_understood() {
        assert_eq!(instant("2026-01-05 09:00:00+00"), "2026-01-05T09:00:00+00:00");
        assert_eq!(instant("2026-01-05 09:00:00.25"), "2026-01-05T09:00:00.25");
        assert_eq!(instant("2026-01-05T09:00:00+02:00"), "2026-01-05T09:00:00+02:00");
        assert_eq!(instant("infinity"), "infinity");
        assert_eq!(day("1980-05-17 00:00:00"), "1980-05-17");
        assert_eq!(day("1980"), "1980");
        assert_eq!(
            (number("30"), number("30.00"), number("30.5"), number("x")),
            (Some(30), Some(30), None, None)
        );
        assert_eq!((flag("T"), flag("0"), flag("maybe")), (Some(true), Some(false), None));
    }
}
