//! When an appointment is: from what a caller wrote to instants. Pure: no clock, no database.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use clinicx_types::{error::FieldError, range::TimeRange};

use crate::{error::CoreError, local_time};

/// The longest appointment.
const LONGEST: TimeDelta = TimeDelta::hours(24);
/// How far from now an appointment may be, before or after: walk-ins are written down afterwards.
const FARTHEST: TimeDelta = TimeDelta::days(3660);

/// The start of an appointment, as a caller wrote it or as it was.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start<'a> {
    /// Text.
    Written(&'a str),
    /// The start that it had.
    Kept(DateTime<Utc>),
}

/// How long an appointment is, as a caller wrote it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Length<'a> {
    /// The end, as text.
    pub(super) end: Option<&'a str>,
    /// The duration.
    pub(super) minutes: Option<i64>,
    /// The duration when neither is said.
    pub(super) usual: Option<TimeDelta>,
}

/// Returns when an appointment is; local times are those of `zone`.
///
/// # Errors
/// [`CoreError::Invalid`] at `/start`, `/end`, `/duration_minutes` or `/time_zone`.
pub(super) fn during(
    start: Start<'_>,
    length: Length<'_>,
    zone: Option<Tz>,
    now: DateTime<Utc>,
) -> Result<TimeRange, CoreError> {
    let start = match start {
        Start::Kept(instant) => instant,
        Start::Written(text) => instant(text, zone, "/start")?,
    };
    if start - now > FARTHEST || now - start > FARTHEST {
        return Err(wrong("/start", "out_of_range", "must be at most ten years away"));
    }
    lasting(start, length, zone)
}

/// Returns when an appointment is that was kept elsewhere, however long ago; local times are those of `zone`.
///
/// # Errors
/// As [`during`].
pub(super) fn kept(start: &str, length: Length<'_>, zone: Tz) -> Result<TimeRange, CoreError> {
    lasting(instant(start, Some(zone), "/start")?, length, Some(zone))
}

fn lasting(start: DateTime<Utc>, length: Length<'_>, zone: Option<Tz>) -> Result<TimeRange, CoreError> {
    let (end, pointer) = match (length.end, length.minutes, length.usual) {
        (Some(_), Some(_), _) => {
            return Err(wrong("/duration_minutes", "end_or_duration", "must not stand beside an end"));
        }
        (Some(text), None, _) => (instant(text, zone, "/end")?, "/end"),
        (None, Some(minutes), _) => {
            let duration = TimeDelta::try_minutes(minutes).filter(|duration| *duration <= LONGEST);
            let duration = duration.ok_or_else(too_long("/duration_minutes"))?;
            (start + duration, "/duration_minutes")
        }
        (None, None, Some(usual)) => (start + usual, "/duration_minutes"),
        (None, None, None) => {
            let detail = "is needed unless there is an end or a service";
            return Err(wrong("/duration_minutes", "duration_required", detail));
        }
    };
    let during = TimeRange::new(start, end)
        .ok_or_else(|| wrong(pointer, "end_before_start", "must end after it starts"))?;
    if during.duration() > LONGEST {
        return Err(too_long(pointer)());
    }
    Ok(during)
}

fn instant(text: &str, zone: Option<Tz>, pointer: &str) -> Result<DateTime<Utc>, CoreError> {
    local_time::parse(text, pointer)
        .and_then(|time| time.instant(zone, pointer))
        .map_err(|error| CoreError::Invalid(vec![error]))
}

fn too_long(pointer: &str) -> impl Fn() -> CoreError {
    move || wrong(pointer, "too_long", "must be at most 24 hours long")
}

fn wrong(pointer: &str, code: &str, detail: &str) -> CoreError {
    CoreError::Invalid(vec![FieldError::new(pointer, code, detail)])
}

#[cfg(test)]
mod tests {
    use chrono_tz::Europe::Berlin;
    use clinicx_types::error::DomainError;

    use super::*;

    type Said<'a> = (&'a str, Option<&'a str>, Option<i64>);

    fn check(
        (start, end, minutes): Said<'_>,
        zone: Option<Tz>,
        expected: Result<(&str, &str), (&str, &str)>,
    ) {
        let length = Length { end, minutes, usual: None };
        let now = "2026-06-01T12:00:00Z".parse().unwrap();
        let found =
            during(Start::Written(start), length, zone, now).map_err(|error| error.fields().remove(0));
        match (&found, expected) {
            (Ok(range), Ok((from, until))) => {
                let range = (range.start(), range.end());
                assert_eq!(
                    range,
                    (from.parse().unwrap(), until.parse().unwrap()),
                    "{start} {end:?} {minutes:?}"
                );
            }
            (Err(error), Err((pointer, code))) => {
                assert_eq!((error.pointer.as_str(), error.code.as_str()), (pointer, code), "{start} {end:?}");
            }
            _ => panic!("{start} {end:?} {minutes:?}: {found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn times_are_said_in_exactly_one_way() {
        let nine = ("2026-06-01T07:00:00Z", "2026-06-01T07:30:00Z");
        check(("2026-06-01T09:00:00+02:00", None, Some(30)), None, Ok(nine));
        check(("2026-06-01T09:00", None, Some(30)), Some(Berlin), Ok(nine));
        check(("2026-06-01T09:00", Some("2026-06-01T09:30"), None), Some(Berlin), Ok(nine));
        check(("2026-06-01T09:00", Some("2026-06-01T07:30:00Z"), None), Some(Berlin), Ok(nine));
        check(("2026-06-01T09:00", None, Some(30)), None, Err(("/time_zone", "time_zone_required")));
        check(("2026-06-01T09:00Z", None, None), None, Err(("/start", "malformed_time")));
        let instant = "2026-06-01T07:00:00Z";
        check((instant, None, None), None, Err(("/duration_minutes", "duration_required")));
        check((instant, Some(instant), Some(30)), None, Err(("/duration_minutes", "end_or_duration")));
        check((instant, Some(instant), None), None, Err(("/end", "end_before_start")));
        check((instant, Some("2026-06-02T07:00:01Z"), None), None, Err(("/end", "too_long")));
        check((instant, None, Some(i64::MAX)), None, Err(("/duration_minutes", "too_long")));
        check(("2037-01-01T00:00:00Z", None, Some(30)), None, Err(("/start", "out_of_range")));
        check(("2015-01-01T00:00:00Z", None, Some(30)), None, Err(("/start", "out_of_range")));
    }

    #[test]
    fn durations_are_elapsed_time_also_when_clocks_change() {
        let night = ("2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z");
        check(("2026-03-29T01:30", None, Some(60)), Some(Berlin), Ok(night));
        check(("2026-03-29T01:30", Some("2026-03-29T03:30"), None), Some(Berlin), Ok(night));
        check(
            ("2026-03-29T02:30", None, Some(60)),
            Some(Berlin),
            Err(("/start", "local_time_does_not_exist")),
        );
        check(("2026-10-25T02:30", None, Some(60)), Some(Berlin), Err(("/start", "local_time_ambiguous")));
        let second = ("2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z");
        check(("2026-10-25T02:30:00+01:00", None, Some(60)), Some(Berlin), Ok(second));
    }
}
