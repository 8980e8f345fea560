//! The fields that can be mapped, and where each stands in what a row is made of.

use clinicx_core::intake::Thing;

/// How the text that a query returns is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As it is.
    Text,
    /// Yes or no.
    Flag,
    /// A whole number.
    Number,
    /// A time; without an offset it is one of the clinic.
    Instant,
    /// A date; a time of day behind it is left away.
    Day,
    /// Words with commas between.
    Words,
    /// The key of a row of another table, or of this one.
    Key(Thing),
}

/// Where a value stands in what a row is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A field of its own.
    Own(&'static str),
    /// An entry of a list of texts.
    Entry(&'static str),
    /// A part of the first entry of a list of sections.
    Part(&'static str, &'static str),
    /// The system, or the value, of one of the identifiers.
    Identifier(usize, &'static str),
    /// When the row was made.
    CreatedAt,
    /// When the row was last changed.
    UpdatedAt,
}

/// A field that can be mapped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) place: Place,
    pub(crate) required: bool,
}

/// Returns the fields of a table.
pub(crate) fn fields(thing: Thing) -> &'static [Field] {
    match thing {
        Thing::Staff => STAFF,
        Thing::Room => ROOMS,
        Thing::Service => SERVICES,
        Thing::Patient => PATIENTS,
        Thing::WorkingHours => WORKING_HOURS,
        Thing::TimeOff => TIME_OFF,
        Thing::Appointment => APPOINTMENTS,
    }
}

const fn own(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, place: Place::Own(name), required: false }
}

const fn text(name: &'static str) -> Field {
    own(name, Kind::Text)
}

const fn at(name: &'static str, kind: Kind, place: Place) -> Field {
    Field { name, kind, place, required: false }
}

const fn needed(field: Field) -> Field {
    Field { required: true, ..field }
}

const fn part(name: &'static str, list: &'static str, part: &'static str) -> Field {
    at(name, Kind::Text, Place::Part(list, part))
}

const CREATED: Field = at("created_at", Kind::Instant, Place::CreatedAt);
const UPDATED: Field = at("updated_at", Kind::Instant, Place::UpdatedAt);

const STAFF: &[Field] = &[
    needed(text("family_name")),
    needed(text("given_name")),
    needed(own("roles", Kind::Words)),
    text("specialty"),
    text("licence_number"),
    text("colour"),
    own("active", Kind::Flag),
    CREATED,
    UPDATED,
];

const ROOMS: &[Field] = &[
    needed(text("name")),
    needed(text("kind")),
    at("parent", Kind::Key(Thing::Room), Place::Own("parent_id")),
    text("time_zone"),
    own("active", Kind::Flag),
    CREATED,
    UPDATED,
];

const SERVICES: &[Field] = &[
    needed(text("code")),
    needed(text("name")),
    needed(own("duration_minutes", Kind::Number)),
    own("buffer_before_minutes", Kind::Number),
    own("buffer_after_minutes", Kind::Number),
    own("needs_chair", Kind::Flag),
    own("bookable_online", Kind::Flag),
    text("price"),
    text("currency"),
    text("tax_rate"),
    own("active", Kind::Flag),
    CREATED,
    UPDATED,
];

const PATIENTS: &[Field] = &[
    text("mrn"),
    text("status"),
    needed(text("family_name")),
    needed(text("given_name")),
    text("middle_name"),
    text("usual_name"),
    text("original_script_name"),
    text("gender"),
    own("birth_date", Kind::Day),
    own("deceased", Kind::Flag),
    own("deceased_on", Kind::Day),
    text("preferred_language"),
    at("guarantor", Kind::Key(Thing::Patient), Place::Own("guarantor_id")),
    text("blood_type"),
    text("notes"),
    at("phone_1", Kind::Text, Place::Entry("phones")),
    at("phone_2", Kind::Text, Place::Entry("phones")),
    at("phone_3", Kind::Text, Place::Entry("phones")),
    at("email_1", Kind::Text, Place::Entry("emails")),
    at("email_2", Kind::Text, Place::Entry("emails")),
    part("address_line1", "addresses", "line1"),
    part("address_line2", "addresses", "line2"),
    part("address_city", "addresses", "city"),
    part("address_state", "addresses", "state"),
    part("address_postal_code", "addresses", "postal_code"),
    part("address_country", "addresses", "country"),
    at("identifier_1_system", Kind::Text, Place::Identifier(0, "system")),
    at("identifier_1", Kind::Text, Place::Identifier(0, "value")),
    at("identifier_2_system", Kind::Text, Place::Identifier(1, "system")),
    at("identifier_2", Kind::Text, Place::Identifier(1, "value")),
    part("emergency_contact_name", "emergency_contacts", "name"),
    part("emergency_contact_relationship", "emergency_contacts", "relationship"),
    part("emergency_contact_phone", "emergency_contacts", "phone"),
    CREATED,
    UPDATED,
];

const WORKING_HOURS: &[Field] = &[
    needed(at("staff", Kind::Key(Thing::Staff), Place::Own("staff_id"))),
    needed(own("weekday", Kind::Number)),
    needed(text("starts")),
    needed(text("ends")),
    text("time_zone"),
    own("valid_from", Kind::Day),
    own("valid_until", Kind::Day),
    CREATED,
    UPDATED,
];

const TIME_OFF: &[Field] = &[
    needed(at("staff", Kind::Key(Thing::Staff), Place::Own("staff_id"))),
    needed(own("start", Kind::Instant)),
    needed(own("end", Kind::Instant)),
    text("reason"),
    CREATED,
    UPDATED,
];

const APPOINTMENTS: &[Field] = &[
    needed(at("patient", Kind::Key(Thing::Patient), Place::Own("patient_id"))),
    needed(at("staff", Kind::Key(Thing::Staff), Place::Own("staff_id"))),
    at("room", Kind::Key(Thing::Room), Place::Own("room_id")),
    at("service", Kind::Key(Thing::Service), Place::Own("service_id")),
    needed(own("start", Kind::Instant)),
    own("end", Kind::Instant),
    own("duration_minutes", Kind::Number),
    text("time_zone"),
    text("status"),
    own("priority", Kind::Number),
    text("reason"),
    text("comment"),
    text("cancellation_reason"),
    own("overbook", Kind::Flag),
    CREATED,
    UPDATED,
];
