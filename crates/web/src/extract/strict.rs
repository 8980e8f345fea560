//! Reads structs from objects alone.
//!
//! What serde derives for a struct also takes an array, its items in the order of the fields: past the check for
//! unknown fields, and with another meaning as soon as a field is added. [`Strict`] wraps a deserializer, its
//! visitors, accesses and seeds, so that at every depth a struct is read as a map and as nothing else.
//!
//! It also keeps the names of members that are read as variants of an enum, which the path to an error does not have.
//!
//! What serde buffers first (`untagged`, `tag`, `flatten`) is out of its reach; inputs have none of these.

use std::{
    cell::{Cell, RefCell},
    fmt,
};

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

/// A deserializer, visitor, access or seed under the rule.
pub(super) struct Strict<'n, T>(pub(super) T, pub(super) &'n Names);

/// The names of the members on the way to where the reader stands that are variants of an enum.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Whether a member's name is being read.
    in_name: Cell<bool>,
    /// The name that was read last and is a variant of an enum.
    last: RefCell<Option<String>>,
    way: RefCell<Vec<String>>,
}

impl Names {
    /// Returns them from the outside in; after an error those on the way to it.
    pub(super) fn into_way(self) -> Vec<String> {
        self.way.into_inner()
    }

    /// Goes into the member whose name was read last, and tells whether that is on the way now.
    fn enter(&self) -> bool {
        let last = self.last.take();
        let is_named = last.is_some();
        self.way.borrow_mut().extend(last);
        is_named
    }

    fn leave(&self) {
        self.way.borrow_mut().pop();
    }
}

/// A visitor of a member's name that is a variant of an enum.
struct Name<'n, V>(V, &'n Names);

impl<'de, V: Visitor<'de>> Visitor<'de> for Name<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<V::Value, E> {
        self.1.last.replace(Some(name.to_owned()));
        self.0.visit_enum(name.into_deserializer())
    }
}

macro_rules! deserialize {
    ($($method:ident($($name:ident: $type:ty),*) => $inner:ident($($passed:ident),*);)+) => {$(
        fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$inner($($passed,)* Strict(visitor, self.1))
        }
    )+};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<'_, D> {
    type Error = D::Error;

    deserialize! {
        deserialize_any() => deserialize_any();
        deserialize_bool() => deserialize_bool();
        deserialize_i8() => deserialize_i8();
        deserialize_i16() => deserialize_i16();
        deserialize_i32() => deserialize_i32();
        deserialize_i64() => deserialize_i64();
        deserialize_i128() => deserialize_i128();
        deserialize_u8() => deserialize_u8();
        deserialize_u16() => deserialize_u16();
        deserialize_u32() => deserialize_u32();
        deserialize_u64() => deserialize_u64();
        deserialize_u128() => deserialize_u128();
        deserialize_f32() => deserialize_f32();
        deserialize_f64() => deserialize_f64();
        deserialize_char() => deserialize_char();
        deserialize_str() => deserialize_str();
        deserialize_string() => deserialize_string();
        deserialize_bytes() => deserialize_bytes();
        deserialize_byte_buf() => deserialize_byte_buf();
        deserialize_option() => deserialize_option();
        deserialize_unit() => deserialize_unit();
        deserialize_unit_struct(name: &'static str) => deserialize_unit_struct(name);
        deserialize_newtype_struct(name: &'static str) => deserialize_newtype_struct(name);
        deserialize_seq() => deserialize_seq();
        deserialize_tuple(length: usize) => deserialize_tuple(length);
        deserialize_tuple_struct(name: &'static str, length: usize) => deserialize_tuple_struct(name, length);
        deserialize_map() => deserialize_map();
        deserialize_struct(_name: &'static str, _fields: &'static [&'static str]) => deserialize_map();
        deserialize_identifier() => deserialize_identifier();
        deserialize_ignored_any() => deserialize_ignored_any();
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        if self.1.in_name.get() {
            return self.0.deserialize_str(Name(visitor, self.1));
        }
        self.0.deserialize_enum(name, variants, Strict(visitor, self.1))
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! visit {
    ($($method:ident($type:ty);)+) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.0.$method(value)
        }
    )+};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Strict<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    visit! {
        visit_bool(bool);
        visit_i8(i8);
        visit_i16(i16);
        visit_i32(i32);
        visit_i64(i64);
        visit_i128(i128);
        visit_u8(u8);
        visit_u16(u16);
        visit_u32(u32);
        visit_u64(u64);
        visit_u128(u128);
        visit_f32(f32);
        visit_f64(f64);
        visit_char(char);
        visit_str(&str);
        visit_borrowed_str(&'de str);
        visit_string(String);
        visit_bytes(&[u8]);
        visit_borrowed_bytes(&'de [u8]);
        visit_byte_buf(Vec<u8>);
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Strict(deserializer, self.1))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Strict(deserializer, self.1))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Strict(access, self.1))
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Strict(access, self.1))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Strict(access, self.1))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Strict<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Strict(deserializer, self.1))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Strict<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Strict(seed, self.1))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Strict<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.1.in_name.set(true);
        let name = self.0.next_key_seed(Strict(seed, self.1));
        self.1.in_name.set(false);
        name.inspect_err(|_| {
            self.1.enter();
        })
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let is_named = self.1.enter();
        let value = self.0.next_value_seed(Strict(seed, self.1))?;
        if is_named {
            self.1.leave();
        }
        Ok(value)
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, 'n, A: EnumAccess<'de>> EnumAccess<'de> for Strict<'n, A> {
    type Error = A::Error;
    type Variant = Strict<'n, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.0.variant_seed(Strict(seed, self.1))?;
        Ok((value, Strict(variant, self.1)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Strict<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Strict(seed, self.1))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(length, Strict(visitor, self.1))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        // As for a struct: an object, which is what a newtype variant around a map is.
        self.0.newtype_variant_seed(Map(Strict(visitor, self.1)))
    }
}

/// A seed that reads a map.
struct Map<V>(V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Map<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        deserializer.deserialize_map(self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Part {
        a: i32,
        b: Option<String>,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Whole {
        one: Option<Part>,
        many: Vec<Part>,
        named: BTreeMap<String, Part>,
        choice: Option<Choice>,
        pair: Option<(u8, String)>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Choice {
        Plain,
        Wrapped(Part),
        Members { a: u8 },
        Two(u8, u8),
    }

    fn read(body: &str) -> Result<Whole, String> {
        let mut source = serde_json::Deserializer::from_str(body);
        Whole::deserialize(Strict(&mut source, &Names::default())).map_err(|error| error.to_string())
    }

    #[test]
    fn objects_and_true_arrays_are_read() {
        let part = || Part { a: 1, b: Some("x".to_owned()) };
        let read = |body: &str| read(body).unwrap();
        assert_eq!(read(r#"{"one": {"a": 1, "b": "x"}}"#).one, Some(part()));
        assert_eq!(read(r#"{"many": [{"a": 1, "b": "x"}]}"#).many, [part()]);
        assert_eq!(read(r#"{"named": {"n": {"a": 1, "b": "x"}}}"#).named["n"], part());
        assert_eq!(read(r#"{"choice": "plain"}"#).choice, Some(Choice::Plain));
        assert_eq!(
            read(r#"{"choice": {"wrapped": {"a": 1, "b": "x"}}}"#).choice,
            Some(Choice::Wrapped(part()))
        );
        assert_eq!(read(r#"{"choice": {"members": {"a": 1}}}"#).choice, Some(Choice::Members { a: 1 }));
        assert_eq!(read(r#"{"choice": {"two": [1, 2]}}"#).choice, Some(Choice::Two(1, 2)));
        assert_eq!(read(r#"{"pair": [1, "x"]}"#).pair, Some((1, "x".to_owned())));
        assert_eq!(read(r#"{"one": null}"#), Whole::default());
    }

    #[test]
    fn an_array_is_no_struct_at_any_depth() {
        for body in [
            "[]",
            r#"[[1, "x"]]"#,
            r#"{"one": [1, "x"]}"#,
            r#"{"many": [[1, "x"]]}"#,
            r#"{"many": [{"a": 1}, [1, "x"]]}"#,
            r#"{"named": {"n": [1, "x"]}}"#,
            r#"{"choice": {"wrapped": [1, "x"]}}"#,
            r#"{"choice": {"members": [1]}}"#,
        ] {
            let error = read(body).unwrap_err();
            assert!(error.starts_with("invalid type: sequence, expected "), "{body}: {error}");
        }
    }
}
