//! Reads a query string into a struct, with the name of each parameter that is wrong.

use std::{collections::BTreeMap, fmt};

use actix_web::http::StatusCode;
use clinicx_types::error::FieldError;
use serde::{
    de::{
        self, DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use url::form_urlencoded;

use super::defect;
use crate::error::ApiError;

/// The parameters of a query string by name.
#[derive(Debug)]
pub(super) struct Pairs(BTreeMap<String, Vec<String>>);

impl Pairs {
    /// Splits and decodes a query string.
    pub(super) fn parse(query: &str) -> Result<Self, ApiError> {
        let mut pairs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            pairs.entry(name.into_owned()).or_default().push(value.into_owned());
        }
        let all = || pairs.iter().flat_map(|(name, values)| std::iter::once(name).chain(values));
        // The decoder puts U+FFFD in the place of bytes that are no UTF-8; one that was sent is encoded.
        let replaced = all().any(|text| text.contains('\u{fffd}'));
        if replaced && !query.contains('\u{fffd}') && !query.to_ascii_uppercase().contains("%EF%BF%BD") {
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "malformed_query"));
        }
        let nul: Vec<_> = pairs
            .iter()
            .filter(|(name, values)| name.contains('\0') || values.iter().any(|value| value.contains('\0')))
            .map(|(name, _)| {
                let name = name.replace('\0', "");
                FieldError::new(format!("?{name}"), "nul_character", "must not contain the character U+0000")
            })
            .collect();
        if nul.is_empty() { Ok(Self(pairs)) } else { Err(ApiError::invalid(nul)) }
    }

    /// Takes a parameter out that may be given once.
    pub(super) fn take_one(&mut self, name: &str) -> Result<Option<String>, FieldError> {
        let mut values = self.0.remove(name).unwrap_or_default();
        if values.len() > 1 {
            return Err(FieldError::new(format!("?{name}"), "duplicate", "is given more than once"));
        }
        Ok(values.pop())
    }

    /// Writes the parameters so that equal ones are equal and different ones differ.
    pub(super) fn canonical(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |text: &str| {
            bytes.extend_from_slice(text.len().to_string().as_bytes());
            bytes.push(b':');
            bytes.extend_from_slice(text.as_bytes());
        };
        for (name, values) in &self.0 {
            for value in values {
                put(name);
                put(value);
            }
        }
        bytes
    }
}

/// Reads the parameters into a struct.
pub(super) fn read<T: DeserializeOwned>(pairs: Pairs) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(Root(pairs)).map_err(|error| {
        let field = defect::in_query(error.path(), &error.inner().0);
        ApiError::invalid(vec![field])
    })
}

#[derive(Debug)]
struct TextError(String);

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TextError {}

impl de::Error for TextError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

struct Root(Pairs);

impl<'de> Deserializer<'de> for Root {
    type Error = TextError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        let entries = self.0.0.into_iter().map(|(name, values)| (name, Values(values)));
        visitor.visit_map(MapDeserializer::new(entries))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, TextError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The values of one parameter.
struct Values(Vec<String>);

impl Values {
    fn one(mut self) -> Result<String, TextError> {
        let last = self.0.pop().unwrap_or_default();
        if self.0.is_empty() { Ok(last) } else { Err(TextError::custom("is given more than once")) }
    }
}

impl<'de> IntoDeserializer<'de, TextError> for Values {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident $type:ty, $expected:literal;)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
            let text = self.one()?;
            let value: $type = text
                .parse()
                .map_err(|_| TextError::invalid_value(Unexpected::Other("text"), &$expected))?;
            visitor.$visit(value)
        }
    )+};
}

impl<'de> Deserializer<'de> for Values {
    type Error = TextError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_string(self.one()?)
    }

    parsed! {
        deserialize_bool visit_bool bool, "true or false";
        deserialize_i8 visit_i8 i8, "a whole number in range";
        deserialize_i16 visit_i16 i16, "a whole number in range";
        deserialize_i32 visit_i32 i32, "a whole number in range";
        deserialize_i64 visit_i64 i64, "a whole number in range";
        deserialize_u8 visit_u8 u8, "a whole number in range";
        deserialize_u16 visit_u16 u16, "a whole number in range";
        deserialize_u32 visit_u32 u32, "a whole number in range";
        deserialize_u64 visit_u64 u64, "a whole number in range";
        deserialize_f32 visit_f32 f32, "a number";
        deserialize_f64 visit_f64 f64, "a number";
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, TextError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_seq(SeqDeserializer::new(self.0.into_iter().map(|value| Self(vec![value]))))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TextError> {
        visitor.visit_enum(self.one()?.into_deserializer())
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Filter {
        q: Option<String>,
        age: Option<u8>,
        #[serde(default)]
        status: Vec<Status>,
        id: Option<clinicx_types::id::UserId>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Status {
        Open,
        Done,
    }

    #[test]
    fn parameters_fill_a_struct_or_are_named() {
        let read = |query: &str| Pairs::parse(query).and_then(super::read::<Filter>);
        let good = read("q=%D8%A3+b&age=7&status=open&status=done").unwrap();
        assert_eq!(good.q.as_deref(), Some("أ b"));
        assert_eq!((good.age, good.status), (Some(7), vec![Status::Open, Status::Done]));
        let check = |query: &str, pointer: &str, code: &str| {
            let error = read(query).unwrap_err();
            let field = error.parts().fields.first().cloned().unwrap();
            assert_eq!((field.pointer.as_str(), field.code.as_str()), (pointer, code), "{query}");
        };
        check("x=1", "?x", "unknown_field");
        check("age=x", "?age", "out_of_range");
        check("age=300", "?age", "out_of_range");
        check("q=1&q=2", "?q", "malformed");
        check("status=secret", "?status", "unknown_value");
        check("id=1", "?id", "malformed");
        check("q=%00", "?q", "nul_character");
        assert_eq!(read("q=%FF").unwrap_err().code(), "malformed_query");
        assert!(read("q=%EF%BF%BD").is_ok());
    }
}
