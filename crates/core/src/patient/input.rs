//! The lists in what callers say about a patient.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use validator::{Validate, ValidateEmail, ValidationError};

use super::code::{AddressUse, TelecomUse};
use crate::{
    folding,
    validation::{one_line, refusal},
};

/// The most characters of a telephone number as it was typed.
const MAX_PHONE: usize = 50;
/// The most characters of an e-mail address (RFC 5321).
const MAX_EMAIL: usize = 254;

/// A telephone number: a text, or an object that says more about it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Validate)]
#[validate(schema(function = is_phone))]
pub struct PhoneInput {
    /// The number as it was typed: at most 50 characters, at least one digit.
    pub value: String,
    /// What it is used for.
    #[serde(rename = "use")]
    pub usage: Option<TelecomUse>,
    /// Its place: 1 is tried first; its place in the list unless said.
    #[validate(range(min = 1, max = 99))]
    pub rank: Option<i16>,
    /// Whether the person wants no reminders there.
    pub opt_out: Option<bool>,
}

/// An e-mail address: a text, or an object that says more about it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Validate)]
#[validate(schema(function = is_email))]
pub struct EmailInput {
    /// The address as it was typed, at most 254 characters.
    pub value: String,
    /// What it is used for.
    #[serde(rename = "use")]
    pub usage: Option<TelecomUse>,
    /// Its place: 1 is tried first; its place in the list unless said.
    #[validate(range(min = 1, max = 99))]
    pub rank: Option<i16>,
    /// Whether the person wants no reminders there.
    pub opt_out: Option<bool>,
}

/// An address; at least one of its parts is given.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
#[validate(schema(function = has_part))]
pub struct AddressInput {
    /// What it is used for.
    #[serde(rename = "use")]
    pub usage: Option<AddressUse>,
    /// Street and number.
    #[validate(length(max = 200), custom(function = one_line))]
    pub line1: Option<String>,
    /// What else stands on the envelope.
    #[validate(length(max = 200), custom(function = one_line))]
    pub line2: Option<String>,
    /// City.
    #[validate(length(max = 100), custom(function = one_line))]
    pub city: Option<String>,
    /// State, province or district.
    #[validate(length(max = 100), custom(function = one_line))]
    pub state: Option<String>,
    /// Postal code.
    #[validate(length(max = 20), custom(function = one_line))]
    pub postal_code: Option<String>,
    /// Country, ISO 3166-1 alpha-2 such as `SY`.
    #[validate(custom(function = is_country))]
    pub country: Option<String>,
}

/// An identifier that somebody else gave to the patient.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct IdentifierInput {
    /// Who gave it: a URI or a short name, without `|`.
    #[validate(length(max = 200), custom(function = one_line), custom(function = identifier_system))]
    pub system: String,
    /// The identifier.
    #[validate(length(max = 100), custom(function = one_line), custom(function = identifier_value))]
    pub value: String,
}

/// Somebody to call.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct EmergencyContactInput {
    /// Who.
    #[validate(length(max = 200), custom(function = one_line))]
    pub name: String,
    /// What the person is to the patient.
    #[validate(length(max = 100), custom(function = one_line))]
    pub relationship: Option<String>,
    /// The telephone number as it was typed.
    #[validate(length(max = 50), custom(function = one_line), custom(function = has_digit))]
    pub phone: Option<String>,
}

/// The long form of a telephone number or an e-mail address.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TelecomObject {
    value: String,
    #[serde(rename = "use")]
    usage: Option<TelecomUse>,
    rank: Option<i16>,
    opt_out: Option<bool>,
}

/// Either form, for the schema alone.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(
    dead_code,
    reason = "only its schema is used: the deriving of serde would name no cause in its error"
)]
enum TelecomForms {
    Text(String),
    Object(TelecomObject),
}

struct TelecomVisitor;

impl<'de> Visitor<'de> for TelecomVisitor {
    type Value = TelecomObject;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or an object with value and perhaps use, rank, opt_out")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<TelecomObject, E> {
        Ok(TelecomObject { value: text.to_owned(), usage: None, rank: None, opt_out: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TelecomObject, A::Error> {
        TelecomObject::deserialize(MapAccessDeserializer::new(map))
    }
}

macro_rules! telecom_input {
    ($($type:ident),+) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let TelecomObject { value, usage, rank, opt_out } = deserializer.deserialize_any(TelecomVisitor)?;
                Ok(Self { value, usage, rank, opt_out })
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                TelecomForms::schema_name()
            }
            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                TelecomForms::json_schema(generator)
            }
        }

        impl From<&str> for $type {
            fn from(value: &str) -> Self {
                Self { value: value.to_owned(), ..Self::default() }
            }
        }
    )+};
}

telecom_input!(PhoneInput, EmailInput);

macro_rules! quiet {
    ($($type:ident),+) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($type)).finish_non_exhaustive()
            }
        }
    )+};
}

quiet!(PhoneInput, EmailInput, AddressInput, IdentifierInput, EmergencyContactInput);

fn has_digit(text: &str) -> Result<(), ValidationError> {
    if folding::ascii_digits(text).bytes().any(|b| b.is_ascii_digit()) {
        Ok(())
    } else {
        Err(refusal("no_digit", "must have at least one digit"))
    }
}

/// About the whole input and not its `value`, because a number given as a text has none to point at.
fn is_phone(phone: &PhoneInput) -> Result<(), ValidationError> {
    if phone.value.chars().count() > MAX_PHONE {
        return Err(refusal("too_long", "must have at most 50 characters"));
    }
    one_line(&phone.value)?;
    has_digit(&phone.value)
}

/// About the whole input, as [`is_phone`].
fn is_email(email: &EmailInput) -> Result<(), ValidationError> {
    let text = email.value.trim();
    if text.chars().count() <= MAX_EMAIL && text.validate_email() {
        Ok(())
    } else {
        Err(refusal("malformed_email", "must be an e-mail address"))
    }
}

fn is_country(text: &str) -> Result<(), ValidationError> {
    if text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic()) {
        Ok(())
    } else {
        Err(refusal("malformed_country", "must be a country of ISO 3166-1 in two letters such as \"SY\""))
    }
}

fn identifier_system(text: &str) -> Result<(), ValidationError> {
    if text.contains('|') { Err(refusal("malformed_system", "must not have a |")) } else { Ok(()) }
}

fn identifier_value(text: &str) -> Result<(), ValidationError> {
    if folding::identifier(text).is_empty() {
        Err(refusal("no_letter_or_digit", "must have at least one letter or digit"))
    } else {
        Ok(())
    }
}

fn has_part(address: &AddressInput) -> Result<(), ValidationError> {
    let AddressInput { usage: _, line1, line2, city, state, postal_code, country } = address;
    if [line1, line2, city, state, postal_code, country].into_iter().any(Option::is_some) {
        Ok(())
    } else {
        Err(refusal("empty", "must have at least one part of an address"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{CoreError, validation};

    #[test]
    fn a_telecom_is_a_text_or_an_object() {
        let check = |body: serde_json::Value, expected: Result<PhoneInput, &str>| {
            let read = serde_json::from_value::<PhoneInput>(body.clone()).map_err(|error| error.to_string());
            match (read, expected) {
                (Ok(read), Ok(expected)) => assert!(read == expected, "{body}"),
                (Err(read), Err(part)) => assert!(read.contains(part), "{body}: {read}"),
                (read, expected) => panic!("{body}: {read:?} is not {expected:?}"),
            }
        };
        check(json!("0171"), Ok(PhoneInput::from("0171")));
        let long = PhoneInput {
            value: "0171".to_owned(),
            usage: Some(TelecomUse::Mobile),
            rank: Some(2),
            opt_out: Some(true),
        };
        check(json!({"value": "0171", "use": "mobile", "rank": 2, "opt_out": true}), Ok(long));
        check(json!({"value": "0171", "note": "x"}), Err("unknown field `note`"));
        check(json!({"use": "home"}), Err("missing field `value`"));
        check(json!(171), Err("a text, or an object"));
        check(json!(null), Err("a text, or an object"));
    }

    #[test]
    fn wrong_parts_are_named() {
        let check = |input: &dyn Fn() -> Result<(), CoreError>, expected: &[(&str, &str)]| {
            let Err(CoreError::Invalid(fields)) = input() else { panic!("{expected:?} was accepted") };
            let found: Vec<_> = fields.iter().map(|f| (f.pointer.as_str(), f.code.as_str())).collect();
            assert_eq!(found, expected);
        };
        check(&|| validation::check(&PhoneInput::from("none")), &[("", "no_digit")]);
        check(&|| validation::check(&EmailInput::from("a@")), &[("", "malformed_email")]);
        check(&|| validation::check(&AddressInput::default()), &[("", "empty")]);
        let address = AddressInput { country: Some("Syria".to_owned()), ..AddressInput::default() };
        check(&|| validation::check(&address), &[("/country", "malformed_country")]);
        let identifier = IdentifierInput { system: "a|b".to_owned(), value: "--".to_owned() };
        check(
            &|| validation::check(&identifier),
            &[("/system", "malformed_system"), ("/value", "no_letter_or_digit")],
        );
    }
}
