//! Mail addresses: the name by which a person logs in.

use std::fmt;

use clinicx_types::error::FieldError;
use unicode_normalization::UnicodeNormalization;

/// The longest address in bytes (RFC 5321 section 4.5.3.1.3, less the angle brackets).
pub const MAX_ADDRESS_BYTES: usize = 254;
/// The longest part before the `@` in bytes (RFC 5321 section 4.5.3.1.1).
const MAX_LOCAL_BYTES: usize = 64;
/// The longest label of a domain in bytes (RFC 1035 section 2.3.4).
const MAX_LABEL_BYTES: usize = 63;

/// A mail address that was checked and normalised. Its `Debug` text does not show it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EmailAddress {
    address: String,
    key: String,
}

/// Why a text is no mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    /// It has not the form `name@domain`, or characters that no mailbox of today needs.
    #[error("must be a mail address such as name@example.org")]
    Malformed,
    /// It is longer than 254 bytes.
    #[error("must be at most 254 bytes long")]
    TooLong,
}

impl EmailError {
    /// Returns the stable code of this reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
        }
    }

    /// Returns it as the error of the field at `pointer`.
    pub fn at(&self, pointer: &str) -> FieldError {
        FieldError::new(pointer, self.code(), self.to_string())
    }
}

impl EmailAddress {
    /// Parses an address: blanks around it are cut, it becomes NFC, its domain lower case.
    ///
    /// Quoted local parts and comments (RFC 5322) are refused: they are in nobody's use and in many an attack.
    ///
    /// # Errors
    /// [`EmailError`].
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        if text.len() > 4 * MAX_ADDRESS_BYTES {
            return Err(EmailError::TooLong);
        }
        let text: String = text.trim().nfc().collect();
        let (local, domain) = text.rsplit_once('@').ok_or(EmailError::Malformed)?;
        let domain: String = domain.to_lowercase().nfc().collect();
        let address = format!("{local}@{domain}");
        if address.len() > MAX_ADDRESS_BYTES || local.len() > MAX_LOCAL_BYTES {
            return Err(EmailError::TooLong);
        }
        if !is_local_part(local) || !domain.split('.').all(is_label) {
            return Err(EmailError::Malformed);
        }
        let key = lookup_key(&address);
        Ok(Self { address, key })
    }

    /// Returns the address as mail is sent to it.
    pub fn as_str(&self) -> &str {
        &self.address
    }

    /// Returns what is unique among accounts: the address with its letters folded to one case.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the part behind the `@`, in lower case.
    pub fn domain(&self) -> &str {
        self.address.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// Returns the part before the `@`.
    pub fn local_part(&self) -> &str {
        self.address.rsplit_once('@').map_or(&self.address, |(local, _)| local)
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(..)")
    }
}

/// Returns the key of whatever somebody typed; a text that is no address has one that no account has.
pub(crate) fn lookup_key(text: &str) -> String {
    let composed: String = text.trim().nfc().collect();
    // Lower-casing writes a sigma at the end of a word differently; case folding has one sigma. PostgreSQL takes no
    // null character, and no address has what it is replaced by.
    composed.to_lowercase().replace('ς', "σ").replace('\0', "\u{fffd}").nfc().collect()
}

fn is_local_part(local: &str) -> bool {
    let dots_are_inside = !local.starts_with('.') && !local.ends_with('.') && !local.contains("..");
    !local.is_empty() && dots_are_inside && local.chars().all(is_local_char)
}

/// The characters of RFC 5322 `dot-atom`, and letters of all scripts (RFC 6531), without invisible ones.
fn is_local_char(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~".contains(c) } else { is_visible(c) }
}

fn is_label(label: &str) -> bool {
    let hyphens_are_inside = !label.starts_with('-') && !label.ends_with('-');
    let good = |c: char| if c.is_ascii() { c.is_ascii_alphanumeric() || c == '-' } else { is_visible(c) };
    !label.is_empty() && label.len() <= MAX_LABEL_BYTES && hyphens_are_inside && label.chars().all(good)
}

/// Refuses blanks, control characters and those that have no width or turn the direction of a text.
pub(crate) fn is_visible(c: char) -> bool {
    !c.is_control()
        && !c.is_whitespace()
        && !matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        && !matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_normalised_and_keys_folded() {
        let check = |text: &str, address: &str, key: &str| {
            let email = EmailAddress::parse(text).unwrap();
            assert_eq!((email.as_str(), email.key()), (address, key), "{text:?}");
        };
        check("  Ada.Byron@Example.ORG ", "Ada.Byron@example.org", "ada.byron@example.org");
        check("o'hara+x@mail.example", "o'hara+x@mail.example", "o'hara+x@mail.example");
        check("admin@localhost", "admin@localhost", "admin@localhost");
        // A decomposed letter and a composed one are one address.
        check("Jose\u{301}@example.org", "José@example.org", "josé@example.org");
        check("JOSÉ@example.org", "JOSÉ@example.org", "josé@example.org");
        check("ΟΔΟΣ@παράδειγμα.gr", "ΟΔΟΣ@παράδειγμα.gr", "οδοσ@παράδειγμα.gr");
        check("سارة@مثال.إختبار", "سارة@مثال.إختبار", "سارة@مثال.إختبار");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.org", "a".repeat(65));
        let longer = format!("a@{}.org", "b".repeat(260));
        let label = format!("a@{}.org", "b".repeat(64));
        for bad in [
            "",
            "@",
            "a",
            "a@",
            "@b.org",
            "a@b@c.org",
            "a b@c.org",
            "a@b c.org",
            "a@-b.org",
            "a@b-.org",
            "a@b..org",
            "a@.b",
            ".a@b.org",
            "a.@b.org",
            "a..b@c.org",
            "\"a b\"@c.org",
            "a@b.org\0",
            "a\n@b.org",
            "a@b.org\r\nBcc: x",
            "a\u{200b}@b.org",
            "a\u{fffd}@b.org",
            "\u{202e}a@b.org",
            "<a@b.org>",
            "a@[127.0.0.1]",
            "a,b@c.org",
            &long,
            &longer,
            &label,
        ] {
            assert!(EmailAddress::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn debug_does_not_show_the_address() {
        let email = EmailAddress::parse("ada@example.org").unwrap();
        assert!(!format!("{email:?}").contains("ada"));
    }
}
