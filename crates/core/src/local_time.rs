//! Wall-clock times in a time zone, on the days on which clocks change too.
//!
//! Everything here is pure: no clock, no database.

use chrono::{DateTime, Days, FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};
use clinicx_types::{calendar, error::FieldError};

use crate::error::CoreError;

/// Why a local time is not one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocalTimeError {
    /// The clocks were put forward over it.
    #[error("does not exist in that time zone, because the clocks are put forward over it")]
    DoesNotExist,
    /// The clocks were put back over it, so that it happens twice.
    #[error("happens twice in that time zone; say which one is meant by its offset, {first} or {second}")]
    Ambiguous {
        /// The offset when it happens first.
        first: FixedOffset,
        /// The offset when it happens again.
        second: FixedOffset,
    },
}

impl LocalTimeError {
    /// Returns the stable code of this reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DoesNotExist => "local_time_does_not_exist",
            Self::Ambiguous { .. } => "local_time_ambiguous",
        }
    }
}

/// A time as a caller writes it: an instant, or what a clock on the wall shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WallTime {
    /// An instant, written with its offset (RFC 3339).
    Instant(DateTime<Utc>),
    /// A local time; it needs a time zone.
    Local(NaiveDateTime),
}

impl WallTime {
    /// Reads RFC 3339 (`2026-03-01T09:00:00+01:00`) or a local time (`2026-03-01T09:00`); `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(instant) = calendar::instant(text) {
            return whole_micros(instant.with_timezone(&Utc)).map(Self::Instant);
        }
        // chrono would read years of any length and hours of one digit.
        calendar::day(text.get(..10)?).ok()?;
        let clock = |(at, byte): (usize, u8)| if at == 2 { byte == b':' } else { byte.is_ascii_digit() };
        text.get(11..16)?.bytes().enumerate().all(clock).then_some(())?;
        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
            .into_iter()
            .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
            .and_then(|local| whole_micros(local.and_utc()))
            .map(|instant| Self::Local(instant.naive_utc()))
    }

    /// Returns the instant; a local time is one of `zone`.
    ///
    /// # Errors
    /// [`FieldError`] at `pointer`: `time_zone_required`, `local_time_does_not_exist`, `local_time_ambiguous`.
    pub fn instant(self, zone: Option<Tz>, pointer: &str) -> Result<DateTime<Utc>, FieldError> {
        match (self, zone) {
            (Self::Instant(instant), _) => Ok(instant),
            (Self::Local(local), Some(zone)) => resolve(local, zone)
                .map_err(|error| FieldError::new(pointer, error.code(), error.to_string())),
            (Self::Local(_), None) => Err(FieldError::new(
                "/time_zone",
                "time_zone_required",
                "is needed beside a time without an offset",
            )),
        }
    }
}

/// Cuts an instant to PostgreSQL's microseconds; a leap second becomes the second after it.
fn whole_micros(instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
    // chrono keeps a second of 60 as more than a whole one; PostgreSQL would make the next minute of it.
    let is_leap = instant.timestamp_subsec_nanos() >= 1_000_000_000;
    if is_leap { None } else { DateTime::from_timestamp_micros(instant.timestamp_micros()) }
}

/// Reads a time that a caller wrote.
///
/// # Errors
/// [`FieldError`] at `pointer`: `malformed_time`.
pub fn parse(text: &str, pointer: &str) -> Result<WallTime, FieldError> {
    WallTime::parse(text).ok_or_else(|| {
        let detail =
            "must be a time such as \"2026-03-01T09:00:00+01:00\", or without an offset beside a time_zone";
        FieldError::new(pointer, "malformed_time", detail)
    })
}

/// Reads the name of an IANA time zone.
///
/// # Errors
/// [`FieldError`] at `pointer`: `unknown_time_zone`.
pub fn parse_zone(text: &str, pointer: &str) -> Result<Tz, FieldError> {
    text.parse().map_err(|_| {
        FieldError::new(
            pointer,
            "unknown_time_zone",
            "must be the name of an IANA time zone such as \"Asia/Damascus\"",
        )
    })
}

/// Reads the name of an IANA time zone at `/time_zone`, if there is one.
///
/// # Errors
/// [`CoreError::Invalid`]: `unknown_time_zone`.
pub fn optional_zone(text: Option<&str>) -> Result<Option<Tz>, CoreError> {
    let zone = text.map(|text| parse_zone(text, "/time_zone")).transpose();
    zone.map_err(|error| CoreError::Invalid(vec![error]))
}

/// Returns the one instant at which clocks in `zone` show `local`.
///
/// # Errors
/// [`LocalTimeError`] when there is none, or two.
pub fn resolve(local: NaiveDateTime, zone: Tz) -> Result<DateTime<Utc>, LocalTimeError> {
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(time) => Ok(time.with_timezone(&Utc)),
        MappedLocalTime::Ambiguous(one, other) => {
            let (first, second) = if one <= other { (one, other) } else { (other, one) };
            Err(LocalTimeError::Ambiguous { first: first.offset().fix(), second: second.offset().fix() })
        }
        MappedLocalTime::None => Err(LocalTimeError::DoesNotExist),
    }
}

/// Returns the first instant at which clocks in `zone` show `local` or, where they skip it, a later time.
pub fn first_instant(local: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(time) => Some(time.with_timezone(&Utc)),
        MappedLocalTime::Ambiguous(one, other) => Some(one.min(other).with_timezone(&Utc)),
        MappedLocalTime::None => end_of_gap(local, zone),
    }
}

/// Returns the last instant at which clocks in `zone` show `local` or, where they skip it, a later time.
pub fn last_instant(local: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(time) => Some(time.with_timezone(&Utc)),
        MappedLocalTime::Ambiguous(one, other) => Some(one.max(other).with_timezone(&Utc)),
        MappedLocalTime::None => end_of_gap(local, zone),
    }
}

fn end_of_gap(local: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    GapInfo::new(&local, &zone)?.end.map(|time| time.with_timezone(&Utc))
}

/// Returns the first instant of a date in `zone`, also where its midnight is skipped or happens twice.
///
/// The start of a date that is skipped as a whole (Apia, 2011-12-30) is the start of the date after it.
pub fn start_of_day(date: NaiveDate, zone: Tz) -> Option<DateTime<Utc>> {
    first_instant(date.and_hms_opt(0, 0, 0)?, zone)
}

/// Returns the first instant of a date in `zone` and that of the date after it; `None` at a calendar's end.
pub fn day_bounds(date: NaiveDate, zone: Tz) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let next = date.checked_add_days(Days::new(1))?;
    Some((start_of_day(date, zone)?, start_of_day(next, zone)?))
}

/// Returns the date that calendars in `zone` show at an instant.
pub fn local_date(instant: DateTime<Utc>, zone: Tz) -> NaiveDate {
    instant.with_timezone(&zone).date_naive()
}

/// Writes an instant with the offset that `zone` has then.
pub fn with_offset(instant: DateTime<Utc>, zone: Tz) -> DateTime<FixedOffset> {
    instant.with_timezone(&zone).fixed_offset()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn local_times_are_one_instant_or_are_refused() {
        let check = |zone: &str, local: &str, expected: Result<&str, &str>| {
            let Some(WallTime::Local(local)) = WallTime::parse(local) else {
                panic!("{local} is a local time")
            };
            let found = resolve(local, zone.parse().unwrap()).map_err(|error| error.code());
            assert_eq!(found, expected.map(instant), "{zone} {local}");
        };
        check("Europe/Berlin", "2026-03-29T01:59", Ok("2026-03-29T00:59:00Z"));
        check("Europe/Berlin", "2026-03-29T02:00", Err("local_time_does_not_exist"));
        check("Europe/Berlin", "2026-03-29T02:59:59", Err("local_time_does_not_exist"));
        check("Europe/Berlin", "2026-03-29T03:00", Ok("2026-03-29T01:00:00Z"));
        check("Europe/Berlin", "2026-10-25T01:59", Ok("2026-10-24T23:59:00Z"));
        check("Europe/Berlin", "2026-10-25T02:00", Err("local_time_ambiguous"));
        check("Europe/Berlin", "2026-10-25T02:59", Err("local_time_ambiguous"));
        check("Europe/Berlin", "2026-10-25T03:00", Ok("2026-10-25T02:00:00Z"));
        check("Asia/Beirut", "2026-03-29T00:00", Err("local_time_does_not_exist"));
        check("Asia/Damascus", "2026-03-29T00:00", Ok("2026-03-28T21:00:00Z"));
        check("Australia/Lord_Howe", "2026-10-04T02:15", Err("local_time_does_not_exist"));
        check("Australia/Lord_Howe", "2026-04-05T01:45", Err("local_time_ambiguous"));
        check("Asia/Kathmandu", "2026-01-01T00:00", Ok("2025-12-31T18:15:00Z"));
        check("UTC", "2026-01-01T00:00", Ok("2026-01-01T00:00:00Z"));
    }

    #[test]
    fn ambiguous_times_name_both_offsets() {
        let local = "2026-10-25T02:30:00".parse().unwrap();
        let error = resolve(local, chrono_tz::Europe::Berlin).unwrap_err();
        assert!(error.to_string().contains("+02:00 or +01:00"), "{error}");
    }

    #[test]
    fn a_day_starts_at_the_first_instant_of_its_date() {
        let check = |zone: &str, date: &str, start: &str, minutes: i64| {
            let (from, until) = day_bounds(date.parse().unwrap(), zone.parse().unwrap()).unwrap();
            assert_eq!(from, instant(start), "{zone} {date}");
            assert_eq!((until - from).num_minutes(), minutes, "length of {zone} {date}");
        };
        check("Europe/Berlin", "2026-06-01", "2026-05-31T22:00:00Z", 1440);
        check("Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00Z", 1380);
        check("Europe/Berlin", "2026-10-25", "2026-10-24T22:00:00Z", 1500);
        // Midnight is skipped: the day starts at 01:00.
        check("Asia/Beirut", "2026-03-29", "2026-03-28T22:00:00Z", 1380);
        check("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z", 1380);
        check("Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00Z", 1380);
        check("America/Santiago", "2026-09-06", "2026-09-06T04:00:00Z", 1380);
        check("Asia/Tehran", "2022-03-22", "2022-03-21T20:30:00Z", 1380);
        // The clocks go back at midnight: the day before has 25 hours.
        check("Asia/Beirut", "2026-10-24", "2026-10-23T21:00:00Z", 1500);
        check("Africa/Cairo", "2026-10-29", "2026-10-28T21:00:00Z", 1500);
        check("America/Sao_Paulo", "2018-02-17", "2018-02-17T02:00:00Z", 1500);
        // Midnight happens twice.
        check("America/Havana", "2026-11-01", "2026-11-01T04:00:00Z", 1500);
        check("Atlantic/Azores", "2026-10-25", "2026-10-25T00:00:00Z", 1500);
        // The clocks are put forward from 23:30 to 00:30.
        check("America/Toronto", "1919-03-31", "1919-03-31T04:30:00Z", 1410);
        // A date that the island skipped has no time at all.
        check("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z", 0);
        check("Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z", 1440);
        check("UTC", "2026-01-01", "2026-01-01T00:00:00Z", 1440);
    }

    #[test]
    fn every_start_of_a_day_shows_that_date_and_the_instant_before_does_not() {
        for zone in [
            chrono_tz::Asia::Beirut,
            chrono_tz::Asia::Damascus,
            chrono_tz::Asia::Tehran,
            chrono_tz::Africa::Cairo,
            chrono_tz::America::Sao_Paulo,
            chrono_tz::America::Santiago,
            chrono_tz::America::Havana,
            chrono_tz::America::Asuncion,
            chrono_tz::Atlantic::Azores,
            chrono_tz::Europe::Berlin,
            chrono_tz::Australia::Lord_Howe,
        ] {
            let first: NaiveDate = "1990-01-01".parse().unwrap();
            for date in first.iter_days().take(366 * 45) {
                let start = start_of_day(date, zone).unwrap();
                assert_eq!(local_date(start, zone), date, "{zone} {date}");
                assert!(
                    local_date(start - chrono::TimeDelta::seconds(1), zone) < date,
                    "before {zone} {date}"
                );
            }
        }
    }

    #[test]
    fn times_are_written_with_an_offset_or_without() {
        let check = |text: &str, expected: Option<bool>| {
            let is_instant = WallTime::parse(text).map(|time| matches!(time, WallTime::Instant(_)));
            assert_eq!(is_instant, expected, "{text:?}");
        };
        check("2026-03-01T09:00:00+01:00", Some(true));
        check("2026-03-01T09:00:00.5Z", Some(true));
        check("2026-03-01T09:00:00", Some(false));
        check("2026-03-01T09:00", Some(false));
        for bad in [
            "",
            "2026-03-01",
            "09:00",
            "2026-02-30T09:00:00Z",
            "2026-03-01T25:00",
            "tomorrow",
            "2026-03-01T09:00+1",
            "2026-03-01T9:00",
            "2026-3-01T09:00",
            "0000-12-31T23:00",
            "10000-01-01T09:00",
            "+262142-12-31T09:00:00Z",
            "-0001-01-01T09:00:00Z",
        ] {
            check(bad, None);
        }
    }
}
