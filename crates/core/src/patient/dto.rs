//! What callers say and hear about patients.
//!
//! `Debug` of these types shows ids and nothing that identifies a person: they end up in logs and panics.

use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use clinicx_types::calendar;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use validator::Validate;

use super::{
    code::{AddressUse, BloodType, Gender, PatientStatus, TelecomSystem, TelecomUse},
    input::{AddressInput, EmailInput, EmergencyContactInput, IdentifierInput, PhoneInput},
    partial_date::PartialDate,
};
use crate::{
    PatientId,
    patch_field::{nullable, present},
    validation::{language_tag, many_lines, one_line},
};

/// A patient's record.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Patient {
    /// Which patient.
    pub id: PatientId,
    /// Raised by every change; the ETag.
    pub version: i64,
    /// When the record was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// The medical record number, given by the service.
    pub mrn: String,
    /// Where the record stands.
    pub status: PatientStatus,
    /// The official family name.
    pub family_name: String,
    /// The official given name.
    pub given_name: String,
    /// Further official names.
    pub middle_name: Option<String>,
    /// The name the person goes by.
    pub usual_name: Option<String>,
    /// The name as the person's own script writes it.
    pub original_script_name: Option<String>,
    /// Administrative gender.
    pub gender: Gender,
    /// The birth date, as exactly as it is known.
    pub birth_date: Option<PartialDate>,
    /// Whether the person has died.
    pub deceased: bool,
    /// When the person died.
    pub deceased_on: Option<NaiveDate>,
    /// The language that the person prefers, BCP 47.
    pub preferred_language: Option<String>,
    /// The patient who pays.
    pub guarantor_id: Option<PatientId>,
    /// The blood type.
    pub blood_type: Option<BloodType>,
    /// When somebody stated that no allergies are known.
    pub no_known_allergies_at: Option<DateTime<Utc>>,
    /// Notes.
    pub notes: Option<String>,
    /// The telephone numbers in their order: E.164, or as typed where a number could not be understood.
    pub phones: Vec<String>,
    /// The e-mail addresses in their order.
    pub emails: Vec<String>,
    /// Telephone numbers and e-mail addresses with all that is known about them.
    pub telecoms: Vec<Telecom>,
    /// The addresses in their order.
    pub addresses: Vec<Address>,
    /// The identifiers that others have given.
    pub identifiers: Vec<Identifier>,
    /// Whom to call, in their order.
    pub emergency_contacts: Vec<EmergencyContact>,
}

/// A patient in a list.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PatientSummary {
    /// Which patient.
    pub id: PatientId,
    /// Raised by every change.
    pub version: i64,
    /// When the record was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// The medical record number.
    pub mrn: String,
    /// Where the record stands.
    pub status: PatientStatus,
    /// The official family name.
    pub family_name: String,
    /// The official given name.
    pub given_name: String,
    /// Further official names.
    pub middle_name: Option<String>,
    /// The name the person goes by.
    pub usual_name: Option<String>,
    /// The name as the person's own script writes it.
    pub original_script_name: Option<String>,
    /// Administrative gender.
    pub gender: Gender,
    /// The birth date, as exactly as it is known.
    pub birth_date: Option<PartialDate>,
    /// Whether the person has died.
    pub deceased: bool,
    /// The telephone numbers in their order.
    pub phones: Vec<String>,
    /// The e-mail addresses in their order.
    pub emails: Vec<String>,
}

/// A telephone number or an e-mail address.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Telecom {
    /// Telephone or e-mail.
    pub system: TelecomSystem,
    /// E.164 where the number could be understood; e-mail in lower case.
    pub value: String,
    /// What was typed.
    pub value_raw: String,
    /// What it is used for.
    #[serde(rename = "use")]
    pub usage: Option<TelecomUse>,
    /// Its place among its kind: 1 is tried first.
    pub rank: i16,
    /// Whether the person wants no reminders there.
    pub opt_out: bool,
}

/// An address.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Address {
    /// What it is used for.
    #[serde(rename = "use")]
    pub usage: Option<AddressUse>,
    /// Street and number.
    pub line1: Option<String>,
    /// What else stands on the envelope.
    pub line2: Option<String>,
    /// City.
    pub city: Option<String>,
    /// State, province or district.
    pub state: Option<String>,
    /// Postal code.
    pub postal_code: Option<String>,
    /// Country, ISO 3166-1 alpha-2.
    pub country: Option<String>,
}

/// An identifier that somebody else gave to the patient.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Identifier {
    /// Which identifier.
    pub id: Uuid,
    /// Who gave it.
    pub system: String,
    /// The identifier.
    pub value: String,
}

/// Somebody to call.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EmergencyContact {
    /// Who.
    pub name: String,
    /// What the person is to the patient.
    pub relationship: Option<String>,
    /// The telephone number: E.164 where it could be understood.
    pub phone: Option<String>,
}

/// A new patient; everything but the two names has a default.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct CreatePatient {
    /// The official family name.
    #[validate(length(max = 200), custom(function = one_line))]
    pub family_name: String,
    /// The official given name.
    #[validate(length(max = 200), custom(function = one_line))]
    pub given_name: String,
    /// Further official names.
    #[validate(length(max = 200), custom(function = one_line))]
    pub middle_name: Option<String>,
    /// The name the person goes by.
    #[validate(length(max = 200), custom(function = one_line))]
    pub usual_name: Option<String>,
    /// The name as the person's own script writes it.
    #[validate(length(max = 200), custom(function = one_line))]
    pub original_script_name: Option<String>,
    /// Administrative gender; `unknown` unless said.
    #[serde(default)]
    pub gender: Option<Gender>,
    /// The birth date, as exactly as it is known.
    pub birth_date: Option<PartialDate>,
    /// Whether the person has died; yes when `deceased_on` is there.
    pub deceased: Option<bool>,
    /// When the person died.
    #[serde(default, deserialize_with = "calendar::optional_day")]
    pub deceased_on: Option<NaiveDate>,
    /// The language that the person prefers, BCP 47.
    #[validate(length(max = 35), custom(function = language_tag))]
    pub preferred_language: Option<String>,
    /// The patient who pays.
    pub guarantor_id: Option<PatientId>,
    /// The blood type.
    pub blood_type: Option<BloodType>,
    /// Notes.
    #[validate(length(max = 10_000), custom(function = many_lines))]
    pub notes: Option<String>,
    /// Telephone numbers, the first to be tried first.
    #[serde(default)]
    #[validate(length(max = 20), nested)]
    pub phones: Vec<PhoneInput>,
    /// E-mail addresses, the first to be tried first.
    #[serde(default)]
    #[validate(length(max = 20), nested)]
    pub emails: Vec<EmailInput>,
    /// Addresses, the most important first.
    #[serde(default)]
    #[validate(length(max = 20), nested)]
    pub addresses: Vec<AddressInput>,
    /// Identifiers that others have given.
    #[serde(default)]
    #[validate(length(max = 20), nested)]
    pub identifiers: Vec<IdentifierInput>,
    /// Whom to call, the first to be tried first.
    #[serde(default)]
    #[validate(length(max = 20), nested)]
    pub emergency_contacts: Vec<EmergencyContactInput>,
}

/// A change of a patient: an absent field stays as it is, `null` clears it, a list replaces the list.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct UpdatePatient {
    /// `active` or `inactive`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PatientStatus")]
    pub status: Option<PatientStatus>,
    /// The official family name.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    #[validate(length(max = 200), custom(function = one_line))]
    pub family_name: Option<String>,
    /// The official given name.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    #[validate(length(max = 200), custom(function = one_line))]
    pub given_name: Option<String>,
    /// Further official names.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[validate(length(max = 200), custom(function = one_line))]
    pub middle_name: Option<Option<String>>,
    /// The name the person goes by.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[validate(length(max = 200), custom(function = one_line))]
    pub usual_name: Option<Option<String>>,
    /// The name as the person's own script writes it.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[validate(length(max = 200), custom(function = one_line))]
    pub original_script_name: Option<Option<String>>,
    /// Administrative gender; `null` means `unknown`.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    pub gender: Option<Option<Gender>>,
    /// The birth date, as exactly as it is known.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    pub birth_date: Option<Option<PartialDate>>,
    /// Whether the person has died.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub deceased: Option<bool>,
    /// When the person died.
    #[serde(default, deserialize_with = "calendar::nullable_day", skip_serializing_if = "Option::is_none")]
    pub deceased_on: Option<Option<NaiveDate>>,
    /// The language that the person prefers, BCP 47.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[validate(length(max = 35), custom(function = language_tag))]
    pub preferred_language: Option<Option<String>>,
    /// The patient who pays.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    pub guarantor_id: Option<Option<PatientId>>,
    /// The blood type.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    pub blood_type: Option<Option<BloodType>>,
    /// Notes.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[validate(length(max = 10_000), custom(function = many_lines))]
    pub notes: Option<Option<String>>,
    /// All telephone numbers. Use and opt-out of a number that stays are kept unless given anew.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[validate(length(max = 20), nested)]
    pub phones: Option<Option<Vec<PhoneInput>>>,
    /// All e-mail addresses. Use and opt-out of an address that stays are kept unless given anew.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[validate(length(max = 20), nested)]
    pub emails: Option<Option<Vec<EmailInput>>>,
    /// All addresses.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[validate(length(max = 20), nested)]
    pub addresses: Option<Option<Vec<AddressInput>>>,
    /// All identifiers; one that is missing here is made void.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[validate(length(max = 20), nested)]
    pub identifiers: Option<Option<Vec<IdentifierInput>>>,
    /// Everybody to call.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[validate(length(max = 20), nested)]
    pub emergency_contacts: Option<Option<Vec<EmergencyContactInput>>>,
}

/// Which state of a patient's record is to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Which patient.
    pub id: PatientId,
    /// The version that the caller has read; `None` means whatever is there.
    pub expected: Option<i64>,
}

/// Which patients a list holds; an absent field asks for all. Merged, erased and mistaken records are left out
/// unless their status is asked for.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PatientFilter {
    /// What was typed into the search: names, a record number, last digits of a telephone number, an identifier
    /// or a birth date.
    pub q: Option<String>,
    /// The last digits of a telephone number, at least four, or the whole number.
    pub phone: Option<String>,
    /// The birth date: a day, a month or a year.
    pub birth_date: Option<PartialDate>,
    /// An identifier: `system|value`, or the value alone.
    pub identifier: Option<String>,
    /// The state of the record.
    pub status: Option<PatientStatus>,
    /// Whether only those are wanted who match `q`, and nobody whose name resembles it.
    pub exact: bool,
}

/// The order of a list of patients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PatientSort {
    /// By family and given name.
    #[default]
    #[serde(rename = "name")]
    Name,
    /// By family and given name, the last first.
    #[serde(rename = "-name")]
    NameDescending,
    /// By the time they were registered.
    #[serde(rename = "created_at")]
    CreatedAt,
    /// By the time they were registered, the newest first.
    #[serde(rename = "-created_at")]
    CreatedAtDescending,
}

impl PatientSort {
    /// Returns the word for it in a query.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::NameDescending => "-name",
            Self::CreatedAt => "created_at",
            Self::CreatedAtDescending => "-created_at",
        }
    }
}

macro_rules! quiet {
    ($($type:ident { $($field:ident),* }),+ $(,)?) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($type))$(.field(stringify!($field), &self.$field))*.finish_non_exhaustive()
            }
        }
    )+};
}

quiet! {
    Patient { id, version, status },
    PatientSummary { id, version, status },
    Telecom { system, rank },
    Address { usage },
    Identifier { id },
    EmergencyContact {},
    CreatePatient {},
    UpdatePatient {},
    PatientFilter { status },
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_schema_asks_for_two_names_and_admits_no_unknown_field() {
        let schema = serde_json::to_value(schemars::schema_for!(CreatePatient)).unwrap();
        assert_eq!(schema["required"], json!(["family_name", "given_name"]));
        assert_eq!(schema["additionalProperties"], json!(false));
        assert_eq!(schema["properties"]["phones"]["items"]["anyOf"][0], json!({"type": "string"}));
        let schema = serde_json::to_value(schemars::schema_for!(UpdatePatient)).unwrap();
        assert_eq!(schema.get("required"), None);
        assert_eq!(schema["additionalProperties"], json!(false));
    }

    #[test]
    fn a_patch_tells_absent_from_null() {
        let patch: UpdatePatient = serde_json::from_value(json!({"notes": null, "usual_name": "A"})).unwrap();
        assert_eq!(
            (patch.notes, patch.usual_name, patch.middle_name),
            (Some(None), Some(Some("A".to_owned())), None)
        );
        for refused in [json!({"family_name": null}), json!({"status": null}), json!({"nickname": "x"})] {
            assert!(serde_json::from_value::<UpdatePatient>(refused).is_err());
        }
    }

    #[test]
    fn debug_names_nobody() {
        let input = CreatePatient { family_name: "Haddad".to_owned(), ..CreatePatient::default() };
        assert_eq!(format!("{input:?}"), "CreatePatient { .. }");
        let filter = PatientFilter { q: Some("Haddad".to_owned()), ..PatientFilter::default() };
        assert_eq!(format!("{filter:?}"), "PatientFilter { status: None, .. }");
    }
}
