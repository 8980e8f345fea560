//! Where the value of a field comes from.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{MappingError, name::LegacyName, section::Section};

/// What a value is before words are translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A column of the old table.
    Column(LegacyName),
    /// An expression over the columns of the old table, in SQL.
    Expression(String),
    /// The same for every row.
    Constant(String),
}

/// Where the value of a field comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it is.
    pub origin: Origin,
    /// What words of the old system mean here; every value is taken as it is when there are none.
    pub values: BTreeMap<String, String>,
    /// What a value means that is not among them; without it the row does not fit.
    pub otherwise: Option<String>,
}

impl Source {
    /// Returns the expression that a query selects.
    pub(crate) fn sql(&self) -> String {
        match &self.origin {
            Origin::Column(name) => format!("t.{}", name.quoted()),
            Origin::Expression(sql) => format!("({sql})"),
            Origin::Constant(text) => super::name::literal(text),
        }
    }

    /// Translates a value.
    ///
    /// # Errors
    /// There is no meaning for it.
    pub(crate) fn translated(&self, value: String) -> Result<String, UnknownValue> {
        if self.values.is_empty() {
            return Ok(value);
        }
        let found = self.values.get(&value).or(self.otherwise.as_ref());
        found.cloned().ok_or(UnknownValue)
    }

    /// Reads one: a column's name, or a section that says more.
    pub(super) fn read(path: &str, value: Value) -> Result<Self, MappingError> {
        let wrong = |what: &str| MappingError::Wrong { key: path.to_owned(), what: what.to_owned() };
        let table: Table = match value {
            Value::String(text) => [("column".to_owned(), Value::String(text))].into_iter().collect(),
            Value::Table(table) => table,
            _ => return Err(wrong("must be the name of a column, or a section")),
        };
        let mut section = Section::new(path, table);
        let column = section.text("column")?;
        let (sql, constant) = (section.text("sql")?, section.text("value")?);
        let values = section.table("values")?;
        let otherwise = section.text("otherwise")?;
        let origin = match (column, sql, constant) {
            (Some(name), None, None) => {
                Origin::Column(LegacyName::parse(&name).ok_or_else(|| wrong("must name a column"))?)
            }
            (None, Some(sql), None) if is_one_expression(&sql) => Origin::Expression(sql),
            (None, Some(_), None) => {
                return Err(section.wrong(
                    "sql",
                    "must be one expression, with its quotes and brackets closed and without comments",
                ));
            }
            (None, None, Some(text)) => Origin::Constant(text),
            _ => return Err(wrong("must have exactly one of column, sql and value")),
        };
        let word = |(from, to): (String, Value)| match to {
            Value::String(to) => Ok((from, to)),
            _ => Err(wrong("must have texts as values")),
        };
        let values: BTreeMap<String, String> = values.into_iter().map(word).collect::<Result<_, _>>()?;
        if otherwise.is_some() && values.is_empty() {
            return Err(section.wrong("otherwise", "is only for a source with values"));
        }
        section.finish()?;
        Ok(Self { origin, values, otherwise })
    }
}

/// A word of the old system that the mapping gives no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownValue;

/// Tells whether a text stays inside of the brackets that are put around it. What it may do there is a matter of the
/// login's rights; this is for mistakes, such as a semicolon at the end.
pub(super) fn is_one_expression(sql: &str) -> bool {
    let (mut depth, mut is_open) = (0_i32, false);
    let mut rest = sql.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\'' | '"' => is_open |= !rest.by_ref().any(|other| other == c),
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ';' | '\0' => return false,
            '-' if rest.peek() == Some(&'-') => return false,
            '/' if rest.peek() == Some(&'*') => return false,
            _ => {}
        }
        if depth < 0 {
            return false;
        }
    }
    depth == 0 && !is_open && !sql.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_stays_in_its_brackets() {
        let check = |sql: &str, expected: bool| assert_eq!(is_one_expression(sql), expected, "{sql}");
        check("\"Start\" AT TIME ZONE 'Asia/Damascus'", true);
        check("coalesce(\"A\", 'x;y--')", true);
        check("array[1, 2]", true);
        check("\"A\") FROM t; DROP TABLE t; --", false);
        check("1; SELECT 2", false);
        check("1 -- why", false);
        check("1 /* why */", false);
        check("'open", false);
        check(") + (", false);
        check("  ", false);
    }
}
