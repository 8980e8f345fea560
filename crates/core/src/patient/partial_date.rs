//! Dates that may be known to the day, to the month or to the year only.

use std::{borrow::Cow, fmt, str::FromStr};

use chrono::{Datelike, Months, NaiveDate};
use clinicx_types::calendar;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use sea_orm::{DeriveActiveEnum, EnumIter};
use serde::{Deserialize, Serialize};

/// How exactly a date is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
pub enum DatePrecision {
    /// To the day.
    Day,
    /// To the month.
    Month,
    /// To the year.
    Year,
}

/// A date that is written `1980-05-17`, `1980-05` or `1980`, as exactly as it is known (FHIR `date`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PartialDate {
    first: NaiveDate,
    precision: DatePrecision,
}

/// The text is no date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a date such as 1980-05-17, 1980-05 or 1980")]
pub struct PartialDateError;

impl PartialDate {
    /// Makes one from a day; what the precision leaves open is set to the first.
    pub fn new(date: NaiveDate, precision: DatePrecision) -> Self {
        let first = match precision {
            DatePrecision::Day => date,
            DatePrecision::Month => date.with_day(1).unwrap_or(date),
            DatePrecision::Year => date.with_ordinal(1).unwrap_or(date),
        };
        Self { first, precision }
    }

    /// Returns the first day that it can mean.
    pub fn first(self) -> NaiveDate {
        self.first
    }

    /// Returns how exactly it is known.
    pub fn precision(self) -> DatePrecision {
        self.precision
    }

    /// Returns the first day after all that it can mean; `None` at the end of the calendar.
    pub fn end(self) -> Option<NaiveDate> {
        match self.precision {
            DatePrecision::Day => self.first.succ_opt(),
            DatePrecision::Month => self.first.checked_add_months(Months::new(1)),
            DatePrecision::Year => self.first.checked_add_months(Months::new(12)),
        }
    }

    /// Understands a full date as people type it into a search: also `17.5.1980` and `17/05/1980`.
    pub fn typed(text: &str) -> Option<Self> {
        let text = crate::folding::ascii_digits(text);
        let parts: Vec<&str> = text.split(['-', '.', '/']).collect();
        let (year, month, day) = match *parts.as_slice() {
            [year, month, day] if year.len() == 4 => (year, month, day),
            [day, month, year] if year.len() == 4 => (year, month, day),
            _ => return None,
        };
        let number = |part: &str, most: usize| {
            (part.len() <= most && part.bytes().all(|b| b.is_ascii_digit()))
                .then(|| part.parse::<u32>().ok())?
        };
        let year = i32::try_from(number(year, 4)?).ok()?;
        let date = NaiveDate::from_ymd_opt(year, number(month, 2)?, number(day, 2)?)?;
        calendar::is_common(date).then(|| Self::new(date, DatePrecision::Day))
    }
}

impl fmt::Display for PartialDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pattern = match self.precision {
            DatePrecision::Day => "%Y-%m-%d",
            DatePrecision::Month => "%Y-%m",
            DatePrecision::Year => "%Y",
        };
        write!(f, "{}", self.first.format(pattern))
    }
}

/// Shows only how exact it is: a birth date is never logged.
impl fmt::Debug for PartialDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartialDate(to the {:?})", self.precision)
    }
}

impl FromStr for PartialDate {
    type Err = PartialDateError;
    fn from_str(text: &str) -> Result<Self, PartialDateError> {
        let digits_at = |places: &[usize]| {
            text.bytes()
                .enumerate()
                .all(|(at, b)| if places.contains(&at) { b == b'-' } else { b.is_ascii_digit() })
        };
        let (full, precision) = match text.len() {
            4 if digits_at(&[]) => (format!("{text}-01-01"), DatePrecision::Year),
            7 if digits_at(&[4]) => (format!("{text}-01"), DatePrecision::Month),
            10 if digits_at(&[4, 7]) => (text.to_owned(), DatePrecision::Day),
            _ => return Err(PartialDateError),
        };
        let first = calendar::day(&full).map_err(|_| PartialDateError)?;
        Ok(Self { first, precision })
    }
}

impl TryFrom<String> for PartialDate {
    type Error = PartialDateError;
    fn try_from(text: String) -> Result<Self, PartialDateError> {
        text.parse()
    }
}

impl From<PartialDate> for String {
    fn from(date: PartialDate) -> Self {
        date.to_string()
    }
}

impl JsonSchema for PartialDate {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("PartialDate")
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?$",
            "description": "A date as exactly as it is known: 1980-05-17, 1980-05 or 1980.",
            "examples": ["1980-05-17"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_keep_their_precision() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let parsed = text.parse::<PartialDate>().ok();
            let range = parsed.map(|date| (date.first().to_string(), date.end().unwrap().to_string()));
            let range = range.as_ref().map(|(first, end)| (first.as_str(), end.as_str()));
            assert_eq!(range, expected, "{text}");
            if let Some(date) = parsed {
                assert_eq!(date.to_string(), text);
            }
        };
        check("1980-05-17", Some(("1980-05-17", "1980-05-18")));
        check("1980-12", Some(("1980-12-01", "1981-01-01")));
        check("1980", Some(("1980-01-01", "1981-01-01")));
        check("2000-02-29", Some(("2000-02-29", "2000-03-01")));
        for bad in [
            "",
            "80",
            "1980-5-17",
            "1980-13",
            "1980-02-30",
            "19800517",
            "1980-05-17T00",
            "١٩٨٠",
            "1980/05",
            "+980",
            "0000",
            "0000-12-31",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn dates_are_found_as_typed() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(PartialDate::typed(text).map(|d| d.to_string()).as_deref(), expected, "{text}");
        };
        check("1980-05-17", Some("1980-05-17"));
        check("17.05.1980", Some("1980-05-17"));
        check("17/5/1980", Some("1980-05-17"));
        check("١٧/٠٥/١٩٨٠", Some("1980-05-17"));
        check("1980", None);
        check("31.02.1980", None);
        check("12-34-5678", None);
        check("+1.+1.1980", None);
        check("01.01.0000", None);
    }
}
