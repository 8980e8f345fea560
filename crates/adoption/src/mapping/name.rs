//! Names of the old system: any that PostgreSQL has, quoted wherever they go.

use std::fmt;

/// The longest identifier that PostgreSQL keeps whole, in bytes.
const MAX_BYTES: usize = 63;

/// A schema, table or column of the old system, as its catalogue has it: `Patients` is not `patients`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegacyName(String);

impl LegacyName {
    /// Parses a name; `None` when it is empty, longer than 63 bytes or has a NUL.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= MAX_BYTES && !text.contains('\0');
        fits.then(|| Self(text.to_owned()))
    }

    /// Returns it as it is.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns it as a quoted SQL identifier.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0.replace('"', "\"\""))
    }
}

impl fmt::Display for LegacyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns a text as an SQL literal, whatever `standard_conforming_strings` says.
pub(crate) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_quote_themselves() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(LegacyName::parse(text).map(|name| name.quoted()).as_deref(), expected, "{text:?}");
        };
        check("Patients", Some("\"Patients\""));
        check("a\"; DROP TABLE x; --", Some("\"a\"\"; DROP TABLE x; --\""));
        check("المرضى", Some("\"المرضى\""));
        check("", None);
        check("a\0b", None);
        check(&"x".repeat(64), None);
    }

    #[test]
    fn texts_become_literals() {
        assert_eq!(literal(r"o'neil\"), r"E'o''neil\\'");
    }
}
