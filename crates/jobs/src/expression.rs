//! When something is repeated: a cron expression in a time zone.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;

/// A text is no cron expression, or none that is ever due.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no cron expression of five fields that is ever due")]
pub struct ExpressionError {
    text: String,
}

/// A cron expression of five fields (minute, hour, day of the month, month, day of the week) in a time zone.
///
/// In the hour that a zone leaves out in spring, what was due in it is due at its end.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    cron: Cron,
    text: String,
    zone: Tz,
}

impl Expression {
    /// Reads one.
    pub(crate) fn parse(text: &str, zone: Tz) -> Result<Self, ExpressionError> {
        let wrong = || ExpressionError { text: text.to_owned() };
        if text.split_whitespace().count() != 5 {
            return Err(wrong());
        }
        let cron = Cron::from_str(text).map_err(|_| wrong())?;
        let expression = Self { cron, text: text.to_owned(), zone };
        // What can't be due, such as on 31 February, is a slip.
        let found = expression.next_after(DateTime::UNIX_EPOCH);
        if found.is_some() { Ok(expression) } else { Err(wrong()) }
    }

    /// Returns its text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns its time zone.
    pub(crate) fn zone(&self) -> Tz {
        self.zone
    }

    /// Returns the first instant after another at which it is due.
    pub(crate) fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let next = self.cron.find_next_occurrence(&instant.with_timezone(&self.zone), false).ok()?;
        Some(next.with_timezone(&Utc))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, zone: Tz, after: &str, expected: &[&str]) {
        let expression = Expression::parse(text, zone).unwrap();
        let mut instant: DateTime<Utc> = after.parse().unwrap();
        for expected in expected {
            instant = expression.next_after(instant).unwrap();
            assert_eq!(instant, expected.parse::<DateTime<Utc>>().unwrap(), "{text}");
        }
    }

    #[test]
    fn the_next_time_is_in_the_zone() {
        check(
            "*/5 * * * *",
            Tz::UTC,
            "2026-03-02T09:03:00Z",
            &["2026-03-02T09:05:00Z", "2026-03-02T09:10:00Z"],
        );
        check("0 3 * * *", Tz::Asia__Damascus, "2026-03-02T09:03:00Z", &["2026-03-03T00:00:00Z"]);
        check("30 6 * * 1", Tz::Europe__Berlin, "2026-07-01T00:00:00Z", &["2026-07-06T04:30:00Z"]);
    }

    #[test]
    fn the_hour_that_a_zone_leaves_out_or_repeats_loses_and_doubles_nothing() {
        // In Berlin 02:00 to 03:00 is missing on 29 March 2026 and comes twice on 25 October.
        check(
            "30 2 * * *",
            Tz::Europe__Berlin,
            "2026-03-28T12:00:00Z",
            &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
        );
        check(
            "30 2 * * *",
            Tz::Europe__Berlin,
            "2026-10-24T12:00:00Z",
            &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        );
    }

    #[test]
    fn what_is_never_due_is_refused() {
        for text in ["", "* * * *", "* * * * * *", "0 0 31 2 *", "61 * * * *", "often", "@daily"] {
            assert!(Expression::parse(text, Tz::UTC).is_err(), "{text:?}");
        }
    }
}
