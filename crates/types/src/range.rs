//! Half-open ranges of time.

use chrono::{DateTime, TimeDelta, Utc};

/// The instants from `start` up to, and not with, `end`; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

impl TimeRange {
    /// Makes a range; `None` unless `start` is before `end`.
    pub fn new(start: DateTime<Utc>, end: DateTime<Utc>) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// Returns the first instant of it.
    pub fn start(&self) -> DateTime<Utc> {
        self.start
    }

    /// Returns the first instant after it.
    pub fn end(&self) -> DateTime<Utc> {
        self.end
    }

    /// Returns how long it lasts.
    pub fn duration(&self) -> TimeDelta {
        self.end - self.start
    }

    /// Tells whether the two share an instant; ranges that only touch do not.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Returns the range with time added before and after it; `None` when a calendar ends first.
    pub fn widened(&self, before: TimeDelta, after: TimeDelta) -> Option<Self> {
        Self::new(self.start.checked_sub_signed(before)?, self.end.checked_add_signed(after)?)
    }

    /// Returns it as a PostgreSQL `tstzrange` literal, half-open.
    pub fn to_sql(&self) -> String {
        format!("[{},{})", self.start.to_rfc3339(), self.end.to_rfc3339())
    }
}
