//! JSON as tokens have it: no name twice in one object, whatever the depth.
//!
//! Two readers of `{"sub":"a","sub":"b"}` may see two different subjects (RFC 7515 section 4 lets a reader take the
//! last one); such a text is refused.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads one JSON object and nothing else; `None` for every other text.
pub(crate) fn object(json: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice::<Unique>(json).ok()?.0 {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

/// A value whose objects have each name once.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Unique)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without a repeated name")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("no number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(value)) = seq.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let Unique(value) = entries.next_value()?;
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("a repeated name"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::object;

    #[test]
    fn an_object_with_each_name_once_is_read() {
        let read = object(br#"{"a":1,"b":{"a":[true,null,-1.5,"x"]}}"#).unwrap();
        assert_eq!(
            serde_json::Value::Object(read),
            serde_json::json!({"a": 1, "b": {"a": [true, null, -1.5, "x"]}})
        );
    }

    #[test]
    fn what_two_readers_may_read_differently_is_refused() {
        let deep = format!("{}{}", r#"{"a":"#.repeat(200), "}".repeat(200));
        for bad in [
            r#"{"sub":"a","sub":"b"}"#,
            r#"{"a":{"sub":1,"sub":1}}"#,
            r#"{"a":[{"x":1,"\u0078":2}]}"#,
            r#"[{"a":1}]"#,
            r#""a""#,
            r#"{"a":1} x"#,
            r#"{"a":1}{"a":1}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":1,}"#,
            "\u{feff}{}",
            "",
            &deep,
        ] {
            assert!(object(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(object(b"{\"a\":\"\xff\"}").is_none());
    }
}
