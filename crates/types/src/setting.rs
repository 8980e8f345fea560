//! What an operator can set while the service runs: configurations of the platform and feature flags.
//!
//! A module declares them beside its rights; what nobody has declared can't be set. **Invariant:** none is a secret:
//! values are shown, logged in the audit with before and after, and kept in clear.

use std::{fmt::Debug, time::Duration};

use rust_decimal::Decimal;
use serde_json::{Value, json};

/// A switch that is on or off for each tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureFlag {
    /// Its name: `<area>.<what it does>`.
    pub key: &'static str,
    /// What is different when it is on.
    pub description: &'static str,
    /// Whether it is on as long as nobody has said anything.
    pub enabled: bool,
}

/// One value for the whole platform, with its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configuration<K> {
    /// Its name: `<area>.<what it is>`.
    pub key: &'static str,
    /// What it changes.
    pub description: &'static str,
    /// Its type, its bounds, and what it is as long as nobody has said anything.
    pub kind: K,
}

/// Why a value is not one of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ValueError {
    /// The stable reason.
    pub code: &'static str,
    /// What it must be.
    pub detail: String,
}

impl ValueError {
    fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// A type of configurations.
pub trait Kind: Debug + Send + Sync + 'static {
    /// What a program reads.
    type Value;

    /// The word for the type.
    const NAME: &'static str;

    /// Reads a value.
    ///
    /// # Errors
    /// [`ValueError`] when it is of another type or out of bounds.
    fn read(&self, value: &Value) -> Result<Self::Value, ValueError>;

    /// Returns what holds as long as nobody has said anything, as it is read and as it is written.
    fn fallback(&self) -> (Self::Value, Value);

    /// Returns the least and the most, where there are such.
    fn bounds(&self) -> (Option<Value>, Option<Value>);
}

/// A configuration whatever its type, for lists and for whoever sets one.
pub trait Declared: Debug + Send + Sync {
    /// Returns its name.
    fn key(&self) -> &'static str;
    /// Returns what it changes.
    fn description(&self) -> &'static str;
    /// Returns the word for its type.
    fn type_name(&self) -> &'static str;
    /// Returns what it is as long as nobody has said anything.
    fn fallback(&self) -> Value;
    /// Returns the least and the most, where there are such.
    fn bounds(&self) -> (Option<Value>, Option<Value>);
    /// Checks a value.
    ///
    /// # Errors
    /// [`ValueError`] when it is of another type or out of bounds.
    fn check(&self, value: &Value) -> Result<(), ValueError>;
}

impl<K: Kind> Declared for Configuration<K> {
    fn key(&self) -> &'static str {
        self.key
    }
    fn description(&self) -> &'static str {
        self.description
    }
    fn type_name(&self) -> &'static str {
        K::NAME
    }
    fn fallback(&self) -> Value {
        self.kind.fallback().1
    }
    fn bounds(&self) -> (Option<Value>, Option<Value>) {
        self.kind.bounds()
    }
    fn check(&self, value: &Value) -> Result<(), ValueError> {
        self.kind.read(value).map(drop)
    }
}

/// `true` or `false`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boolean {
    /// What holds as long as nobody has said anything.
    pub default: bool,
}

impl Kind for Boolean {
    type Value = bool;
    const NAME: &'static str = "boolean";

    fn read(&self, value: &Value) -> Result<bool, ValueError> {
        value.as_bool().ok_or_else(|| ValueError::new("wrong_type", "must be true or false"))
    }

    fn fallback(&self) -> (bool, Value) {
        (self.default, self.default.into())
    }

    fn bounds(&self) -> (Option<Value>, Option<Value>) {
        (None, None)
    }
}

/// A whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integer {
    /// What holds as long as nobody has said anything.
    pub default: i64,
    /// The least.
    pub min: i64,
    /// The most.
    pub max: i64,
}

impl Kind for Integer {
    type Value = i64;
    const NAME: &'static str = "integer";

    fn read(&self, value: &Value) -> Result<i64, ValueError> {
        let Self { min, max, .. } = self;
        let range = || format!("must be a whole number from {min} to {max}");
        if !value.is_i64() && !value.is_u64() {
            return Err(ValueError::new("wrong_type", range()));
        }
        let fits = value.as_i64().filter(|number| (*min..=*max).contains(number));
        fits.ok_or_else(|| ValueError::new("out_of_range", range()))
    }

    fn fallback(&self) -> (i64, Value) {
        (self.default, self.default.into())
    }

    fn bounds(&self) -> (Option<Value>, Option<Value>) {
        (Some(self.min.into()), Some(self.max.into()))
    }
}

/// A decimal, written as a text such as `"12.50"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecimalNumber {
    /// What holds as long as nobody has said anything.
    pub default: Decimal,
    /// The least.
    pub min: Decimal,
    /// The most.
    pub max: Decimal,
}

impl Kind for DecimalNumber {
    type Value = Decimal;
    const NAME: &'static str = "decimal";

    fn read(&self, value: &Value) -> Result<Decimal, ValueError> {
        let Self { min, max, .. } = self;
        let text = value
            .as_str()
            .ok_or_else(|| ValueError::new("wrong_type", "must be a decimal as a text such as \"12.50\""))?;
        let number = Decimal::from_str_exact(text)
            .map_err(|_| ValueError::new("malformed", "must be a plain decimal such as \"12.50\""))?;
        if (*min..=*max).contains(&number) {
            Ok(number)
        } else {
            Err(ValueError::new("out_of_range", format!("must be from {min} to {max}")))
        }
    }

    fn fallback(&self) -> (Decimal, Value) {
        (self.default, self.default.to_string().into())
    }

    fn bounds(&self) -> (Option<Value>, Option<Value>) {
        (Some(self.min.to_string().into()), Some(self.max.to_string().into()))
    }
}

/// A text without control characters other than line breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// What holds as long as nobody has said anything.
    pub default: &'static str,
    /// The most characters.
    pub max_chars: u16,
}

impl Kind for Text {
    type Value = String;
    const NAME: &'static str = "text";

    fn read(&self, value: &Value) -> Result<String, ValueError> {
        let text = value.as_str().ok_or_else(|| ValueError::new("wrong_type", "must be a text"))?;
        if text.chars().any(|c| c.is_control() && c != '\n') {
            return Err(ValueError::new(
                "control_character",
                "must have no control characters but line breaks",
            ));
        }
        if text.chars().count() > usize::from(self.max_chars) {
            let detail = format!("must have at most {} characters", self.max_chars);
            return Err(ValueError::new("too_long", detail));
        }
        Ok(text.to_owned())
    }

    fn fallback(&self) -> (String, Value) {
        (self.default.to_owned(), self.default.into())
    }

    fn bounds(&self) -> (Option<Value>, Option<Value>) {
        (None, Some(self.max_chars.into()))
    }
}

/// A length of time, written as a whole number and a unit: `250ms`, `30s`, `5m`, `2h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeSpan {
    /// What holds as long as nobody has said anything.
    pub default: Duration,
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
}

/// The units of a length of time, the longest first, each with its milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Kind for TimeSpan {
    type Value = Duration;
    const NAME: &'static str = "duration";

    fn read(&self, value: &Value) -> Result<Duration, ValueError> {
        let (min, max) = (written(self.min), written(self.max));
        let malformed =
            || ValueError::new("malformed", "must be a length of time such as 250ms, 30s, 5m, 2h or 7d");
        let text = value.as_str().ok_or_else(|| ValueError { code: "wrong_type", ..malformed() })?;
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or_else(malformed)?;
        let unit =
            UNITS.iter().find(|(name, _)| *name == unit).map(|(_, millis)| *millis).ok_or_else(malformed)?;
        let number: u64 = number.parse().map_err(|_| malformed())?;
        let span = number.checked_mul(unit).map(Duration::from_millis);
        span.filter(|span| (self.min..=self.max).contains(span))
            .ok_or_else(|| ValueError::new("out_of_range", format!("must be from {min} to {max}")))
    }

    fn fallback(&self) -> (Duration, Value) {
        (self.default, written(self.default).into())
    }

    fn bounds(&self) -> (Option<Value>, Option<Value>) {
        (Some(written(self.min).into()), Some(written(self.max).into()))
    }
}

/// Writes a length of time in the longest unit in which it is a whole number.
fn written(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let unit = UNITS.iter().find(|(_, unit)| millis > 0 && millis.is_multiple_of(*unit));
    unit.map_or_else(|| "0s".to_owned(), |(name, unit)| format!("{}{name}", millis / unit))
}

/// Any JSON of at most so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json {
    /// The most bytes.
    pub max_bytes: usize,
}

impl Kind for Json {
    type Value = Value;
    const NAME: &'static str = "json";

    fn read(&self, value: &Value) -> Result<Value, ValueError> {
        if value.to_string().len() > self.max_bytes {
            return Err(ValueError::new("too_long", format!("must have at most {} bytes", self.max_bytes)));
        }
        Ok(value.clone())
    }

    /// An empty object.
    fn fallback(&self) -> (Value, Value) {
        (json!({}), json!({}))
    }

    fn bounds(&self) -> (Option<Value>, Option<Value>) {
        (None, Some(self.max_bytes.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<K: Kind>(kind: &K, value: Value, expected: Result<K::Value, &str>)
    where
        K::Value: PartialEq + Debug,
    {
        assert_eq!(kind.read(&value).map_err(|error| error.code), expected, "{value}");
    }

    #[test]
    fn a_value_has_its_type_and_is_within_its_bounds() {
        let boolean = Boolean { default: false };
        check(&boolean, json!(true), Ok(true));
        check(&boolean, json!("true"), Err("wrong_type"));
        check(&boolean, Value::Null, Err("wrong_type"));
        let integer = Integer { default: 5, min: 1, max: 10 };
        check(&integer, json!(10), Ok(10));
        check(&integer, json!(11), Err("out_of_range"));
        check(&integer, json!(u64::MAX), Err("out_of_range"));
        check(&integer, json!(1.5), Err("wrong_type"));
        check(&integer, json!("5"), Err("wrong_type"));
        let decimal = DecimalNumber { default: Decimal::ONE, min: Decimal::ZERO, max: Decimal::TEN };
        check(&decimal, json!("2.50"), Ok(Decimal::new(250, 2)));
        check(&decimal, json!("10.01"), Err("out_of_range"));
        check(&decimal, json!("1e1"), Err("malformed"));
        check(&decimal, json!(2.5), Err("wrong_type"));
        let text = Text { default: "", max_chars: 3 };
        check(&text, json!("أبج"), Ok("أبج".to_owned()));
        check(&text, json!("abcd"), Err("too_long"));
        check(&text, json!("a\u{0}"), Err("control_character"));
        let json = Json { max_bytes: 8 };
        check(&json, json!([1, 2]), Ok(json!([1, 2])));
        check(&json, json!([1, 2, 3, 4]), Err("too_long"));
    }

    #[test]
    fn lengths_of_time_are_a_number_and_a_unit() {
        let span = TimeSpan {
            default: Duration::from_secs(120),
            min: Duration::from_millis(500),
            max: Duration::from_secs(86_400),
        };
        check(&span, json!("30s"), Ok(Duration::from_secs(30)));
        check(&span, json!("500ms"), Ok(Duration::from_millis(500)));
        check(&span, json!("24h"), Ok(Duration::from_secs(86_400)));
        check(&span, json!("1d"), Ok(Duration::from_secs(86_400)));
        check(&span, json!("2d"), Err("out_of_range"));
        check(&span, json!("0s"), Err("out_of_range"));
        check(&span, json!("99999999999999999999s"), Err("malformed"));
        check(&span, json!("18446744073709551615d"), Err("out_of_range"));
        for bad in ["", "s", "30", "30 s", "-1s", "1.5h", "1w", "٣s"] {
            check(&span, json!(bad), Err("malformed"));
        }
        check(&span, json!(30), Err("wrong_type"));
        assert_eq!(span.fallback().1, json!("2m"));
        assert_eq!(span.bounds(), (Some(json!("500ms")), Some(json!("1d"))));
    }
}
