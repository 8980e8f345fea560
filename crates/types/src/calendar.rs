//! Dates and instants as callers write them: RFC 3339, the years 0001 to 9999.
//!
//! What chrono reads by itself goes on to the year 262142 and back before the first, which no answer could write
//! down in the same form again.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, Utc};
use serde::{Deserialize, Deserializer};

/// The text is no date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a date such as 2026-05-17, from 0001-01-01 to 9999-12-31")]
pub struct DayError;

/// The text is no instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an instant such as 2026-05-17T09:00:00+02:00, from 0001 to 9999; in a query string + is written %2B"
)]
pub struct InstantError;

/// Tells whether a date can be written with four digits of the year.
pub fn is_common(day: NaiveDate) -> bool {
    (1..=9999).contains(&day.year())
}

/// Reads a date: exactly `YYYY-MM-DD`.
///
/// # Errors
/// [`DayError`].
pub fn day(text: &str) -> Result<NaiveDate, DayError> {
    let digits =
        |(at, byte): (usize, u8)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
    if text.len() != 10 || !text.bytes().enumerate().all(digits) {
        return Err(DayError);
    }
    text.parse().ok().filter(|day| is_common(*day)).ok_or(DayError)
}

/// Reads an instant with its offset; both its own date and that in UTC are in the years 0001 to 9999, and its second
/// is none of 60: a leap second has no place of its own in PostgreSQL.
///
/// # Errors
/// [`InstantError`].
pub fn instant(text: &str) -> Result<DateTime<FixedOffset>, InstantError> {
    let instant = DateTime::parse_from_rfc3339(text).map_err(|_| InstantError)?;
    let common = is_common(instant.naive_local().date()) && is_common(instant.naive_utc().date());
    if common && instant.timestamp_subsec_nanos() < 1_000_000_000 { Ok(instant) } else { Err(InstantError) }
}

/// Reads an optional date, for serde's `deserialize_with`.
///
/// # Errors
/// What is no date.
pub fn optional_day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NaiveDate>, D::Error> {
    Ok(Option::<Day>::deserialize(deserializer)?.map(|day| day.0))
}

/// Reads a date that can be cleared (RFC 7396), for serde's `deserialize_with`: `null` is `Some(None)`.
///
/// # Errors
/// What is no date.
pub fn nullable_day<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<NaiveDate>>, D::Error> {
    optional_day(deserializer).map(Some)
}

/// Reads an optional instant, for serde's `deserialize_with`.
///
/// # Errors
/// What is no instant.
pub fn optional_instant<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    Ok(optional_instant_with_offset(deserializer)?.map(|instant| instant.with_timezone(&Utc)))
}

/// Reads an optional instant and keeps its offset, for serde's `deserialize_with`.
///
/// # Errors
/// What is no instant.
pub fn optional_instant_with_offset<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DateTime<FixedOffset>>, D::Error> {
    Ok(Option::<Instant>::deserialize(deserializer)?.map(|instant| instant.0))
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Day(NaiveDate);

impl TryFrom<String> for Day {
    type Error = DayError;
    fn try_from(text: String) -> Result<Self, DayError> {
        day(&text).map(Self)
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Instant(DateTime<FixedOffset>);

impl TryFrom<String> for Instant {
    type Error = InstantError;
    fn try_from(text: String) -> Result<Self, InstantError> {
        instant(&text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_four_digits_of_the_year() {
        for good in ["0001-01-01", "1980-05-17", "2000-02-29", "9999-12-31"] {
            assert_eq!(day(good).map(|day| day.to_string()).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "0000-01-01",
            "-001-01-01",
            "-0001-01-01",
            "10000-01-01",
            "+262142-12-31",
            "+2026-05-17",
            "2026-5-17",
            "2026-02-30",
            "2026-05-17T00:00:00Z",
            "20260517",
            " 2026-05-17",
            "٢٠٢٦-٠٥-١٧",
        ] {
            assert_eq!(day(bad), Err(DayError), "{bad}");
        }
    }

    #[test]
    fn instants_are_in_the_same_years_in_their_zone_and_in_utc() {
        for good in ["0001-01-01T00:00:00Z", "2026-05-17T09:00:00.5+02:00", "9999-12-31T23:59:59Z"] {
            assert!(instant(good).is_ok(), "{good}");
        }
        for bad in [
            "2026-05-17",
            "2026-05-17T09:00:00",
            "2026-05-17T09:00:00 02:00",
            "0000-12-31T23:59:59Z",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-01:00",
            "2026-12-31T23:59:60Z",
            "10000-01-01T00:00:00Z",
            "+262142-12-31T23:59:59Z",
            "-0001-01-01T00:00:00Z",
        ] {
            assert_eq!(instant(bad), Err(InstantError), "{bad}");
        }
    }
}
