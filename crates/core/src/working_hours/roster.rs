//! From hours of the clock to instants: when somebody works, on days on which clocks change too.

use chrono::{Datelike, Days, NaiveDate, NaiveTime};
use chrono_tz::Tz;
use clinicx_types::range::TimeRange;

use crate::local_time;

/// One line of working hours, as a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// The day of the week: 1 for Monday to 7 for Sunday (ISO 8601).
    pub weekday: u32,
    /// When the work starts.
    pub starts: NaiveTime,
    /// When it ends; 00:00 is the midnight at which the day ends.
    pub ends: NaiveTime,
    /// The zone of both.
    pub time_zone: Tz,
    /// The first day on which it holds.
    pub valid_from: Option<NaiveDate>,
    /// The last day on which it holds.
    pub valid_until: Option<NaiveDate>,
}

/// All the working hours of one member of staff.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster(pub Vec<Shift>);

impl Roster {
    /// Tells whether somebody with these hours works all the time of `during`. Without any hours, always.
    pub fn covers(&self, during: &TimeRange) -> bool {
        self.0.is_empty()
            || self
                .hours(during)
                .iter()
                .any(|hours| hours.start() <= during.start() && during.end() <= hours.end())
    }

    /// Returns the times of work that touch `window`, in their order; those without a break between are one.
    pub fn hours(&self, window: &TimeRange) -> Vec<TimeRange> {
        let mut all: Vec<TimeRange> = self.0.iter().flat_map(|shift| shift.days(window)).collect();
        all.sort_by_key(|hours| (hours.start(), hours.end()));
        let mut joined: Vec<TimeRange> = Vec::with_capacity(all.len());
        for hours in all {
            match joined.last_mut() {
                Some(last) if hours.start() <= last.end() => {
                    if let Some(longer) = TimeRange::new(last.start(), last.end().max(hours.end())) {
                        *last = longer;
                    }
                }
                _ => joined.push(hours),
            }
        }
        joined.retain(|hours| hours.start() <= window.end() && window.start() <= hours.end());
        joined
    }
}

impl Shift {
    /// Returns this shift's times on the days of `window`, and on the day before and after it.
    fn days(&self, window: &TimeRange) -> Vec<TimeRange> {
        let first = local_time::local_date(window.start(), self.time_zone).checked_sub_days(Days::new(1));
        let last = local_time::local_date(window.end(), self.time_zone).checked_add_days(Days::new(1));
        let (Some(first), Some(last)) = (first, last) else {
            return Vec::new();
        };
        first.iter_days().take_while(|date| *date <= last).filter_map(|date| self.on(date)).collect()
    }

    /// Returns this shift's time on one date. It is as long as clocks say: an hour less when they skip one.
    fn on(&self, date: NaiveDate) -> Option<TimeRange> {
        let holds = date.weekday().number_from_monday() == self.weekday
            && self.valid_from.is_none_or(|from| from <= date)
            && self.valid_until.is_none_or(|until| date <= until);
        if !holds {
            return None;
        }
        let start = local_time::first_instant(date.and_time(self.starts), self.time_zone)?;
        let end = if self.ends == NaiveTime::MIN {
            local_time::start_of_day(date.succ_opt()?, self.time_zone)?
        } else {
            local_time::last_instant(date.and_time(self.ends), self.time_zone)?
        };
        TimeRange::new(start, end)
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::{Asia::Beirut, Europe::Berlin};

    use super::*;

    fn shift(weekday: u32, starts: &str, ends: &str, time_zone: Tz) -> Shift {
        let time = |text: &str| text.parse().unwrap();
        Shift {
            weekday,
            starts: time(starts),
            ends: time(ends),
            time_zone,
            valid_from: None,
            valid_until: None,
        }
    }

    fn range(start: &str, end: &str) -> TimeRange {
        TimeRange::new(start.parse().unwrap(), end.parse().unwrap()).unwrap()
    }

    fn check(roster: &Roster, start: &str, end: &str, expected: bool) {
        assert_eq!(roster.covers(&range(start, end)), expected, "{start} to {end}");
    }

    #[test]
    fn without_hours_there_is_no_restriction() {
        check(&Roster::default(), "2026-03-29T00:00:00Z", "2026-03-29T23:00:00Z", true);
    }

    #[test]
    fn hours_are_those_of_the_clock_before_and_after_a_change() {
        // Every weekday 09:00 to 17:00; clocks go forward on Sunday 2026-03-29 and back on 2026-10-25.
        let roster = Roster((1..=7).map(|day| shift(day, "09:00:00", "17:00:00", Berlin)).collect());
        check(&roster, "2026-03-28T08:00:00Z", "2026-03-28T09:00:00Z", true);
        check(&roster, "2026-03-28T07:00:00Z", "2026-03-28T08:00:00Z", false);
        check(&roster, "2026-03-29T07:00:00Z", "2026-03-29T08:00:00Z", true);
        check(&roster, "2026-03-29T14:00:00Z", "2026-03-29T15:00:00Z", true);
        check(&roster, "2026-03-29T14:30:00Z", "2026-03-29T15:30:00Z", false);
        check(&roster, "2026-10-24T07:00:00Z", "2026-10-24T08:00:00Z", true);
        check(&roster, "2026-10-25T07:00:00Z", "2026-10-25T08:00:00Z", false);
        check(&roster, "2026-10-25T08:00:00Z", "2026-10-25T16:00:00Z", true);
    }

    #[test]
    fn a_night_shift_is_an_hour_shorter_or_longer_when_clocks_change() {
        let roster = Roster(vec![shift(7, "00:00:00", "06:00:00", Berlin)]);
        let hours = |start, end| roster.hours(&range(start, end))[0].duration().num_hours();
        assert_eq!(hours("2026-03-28T23:00:00Z", "2026-03-29T04:00:00Z"), 5);
        assert_eq!(hours("2026-10-24T22:00:00Z", "2026-10-25T05:00:00Z"), 7);
        assert_eq!(hours("2026-06-06T22:00:00Z", "2026-06-07T04:00:00Z"), 6);
    }

    #[test]
    fn hours_that_begin_in_a_gap_begin_after_it() {
        // Beirut skips 00:00 to 01:00 on 2026-03-29.
        let roster = Roster(vec![shift(7, "00:30:00", "04:00:00", Beirut)]);
        check(&roster, "2026-03-28T22:00:00Z", "2026-03-29T01:00:00Z", true);
        check(&roster, "2026-03-28T21:59:00Z", "2026-03-28T22:30:00Z", false);
    }

    #[test]
    fn shifts_that_touch_are_one_also_over_midnight() {
        let roster = Roster(vec![
            shift(1, "09:00:00", "13:00:00", Berlin),
            shift(1, "13:00:00", "00:00:00", Berlin),
            shift(2, "00:00:00", "02:00:00", Berlin),
            shift(2, "08:00:00", "09:00:00", Berlin),
        ]);
        check(&roster, "2026-06-01T10:30:00Z", "2026-06-01T11:30:00Z", true);
        check(&roster, "2026-06-01T21:30:00Z", "2026-06-01T23:30:00Z", true);
        check(&roster, "2026-06-01T23:30:00Z", "2026-06-02T00:30:00Z", false);
        check(&roster, "2026-06-02T06:00:00Z", "2026-06-02T07:00:00Z", true);
    }

    #[test]
    fn hours_hold_from_their_first_to_their_last_day() {
        let mut line = shift(1, "09:00:00", "17:00:00", Berlin);
        line.valid_from = "2026-06-08".parse().ok();
        line.valid_until = "2026-06-15".parse().ok();
        let roster = Roster(vec![line]);
        check(&roster, "2026-06-01T08:00:00Z", "2026-06-01T09:00:00Z", false);
        check(&roster, "2026-06-08T08:00:00Z", "2026-06-08T09:00:00Z", true);
        check(&roster, "2026-06-15T08:00:00Z", "2026-06-15T09:00:00Z", true);
        check(&roster, "2026-06-22T08:00:00Z", "2026-06-22T09:00:00Z", false);
    }
}
