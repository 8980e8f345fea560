//! The names of people.

use std::fmt;

use clinicx_types::error::FieldError;
use unicode_normalization::UnicodeNormalization;

use crate::email::is_visible;

/// The most characters of a person's name.
pub const MAX_NAME_CHARS: usize = 200;

/// A person's name that was checked and normalised. Its `Debug` text does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct FullName(String);

impl FullName {
    /// Parses a name: blanks around it are cut, it becomes NFC.
    ///
    /// # Errors
    /// [`FieldError`] with the pointer `/full_name`.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let refuse = |code, detail| Err(FieldError::new("/full_name", code, detail));
        let text: String = text.trim().nfc().collect();
        if text.is_empty() {
            return refuse("empty", "must not be empty");
        }
        if text.chars().count() > MAX_NAME_CHARS {
            return refuse("too_long", "must have at most 200 characters");
        }
        // Joiners are letters' parts in some scripts; what turns or hides a text is not.
        if !text.chars().all(|c| c == ' ' || matches!(c, '\u{200c}' | '\u{200d}') || is_visible(c)) {
            return refuse("malformed", "must not have control characters");
        }
        Ok(Self(text))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FullName(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::FullName;

    #[test]
    fn names_of_all_scripts_are_accepted_and_hidden_characters_are_not() {
        for good in ["Ada Byron", " Ada ", "Noor الحسيني", "王小明", "O'Hara-Smith, Jr.", "می\u{200c}خواهم"]
        {
            assert!(FullName::parse(good).is_ok(), "{good:?}");
        }
        for bad in ["", "  ", "a\nb", "a\0b", "\u{202e}abc", "a\u{feff}b", &"x".repeat(201)] {
            assert!(FullName::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(FullName::parse(" Jose\u{301} ").unwrap().as_str(), "José");
    }
}
