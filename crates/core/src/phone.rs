//! Telephone numbers: E.164 where a number can be understood, what was typed where it can't.

use std::str::FromStr;

use oxilangtag::LanguageTag;
use phonenumber::country;

use crate::folding;

/// The fewest last digits by which a number is searched.
pub const MIN_SEARCH_DIGITS: usize = 4;
/// The most digits that are kept for search: those of E.164 and a long extension.
const MAX_DIGITS: usize = 30;

/// A telephone number as it was typed and as it is understood.
#[derive(Clone, PartialEq, Eq)]
pub struct Phone {
    /// What was typed, tidied.
    pub raw: String,
    /// The number in E.164, or what was typed when it is no valid number of any country.
    pub value: String,
    /// Its digits from the last to the first, for search by the last ones.
    pub reversed: String,
}

/// The region, such as Syria or Germany, in which numbers without a country code are understood.
#[derive(Clone, Copy, Debug)]
pub struct Region(Option<country::Id>);

impl Region {
    /// Takes the region from a locale such as `ar-SY`; a locale without one leaves national numbers as typed.
    pub fn of_locale(locale: &str) -> Self {
        let tag = LanguageTag::parse(locale).ok();
        let region = tag.as_ref().and_then(|tag| tag.region());
        Self(region.and_then(|region| country::Id::from_str(&region.to_ascii_uppercase()).ok()))
    }
}

impl Phone {
    /// Understands what was typed; `None` when there is no digit in it.
    pub fn parse(typed: &str, region: Region) -> Option<Self> {
        let raw = folding::tidy(typed);
        let ascii = folding::ascii_digits(&raw);
        let digits = digits(&ascii);
        if digits.is_empty() {
            return None;
        }
        let value = e164(&ascii, region);
        let reversed = reverse(value.as_deref().unwrap_or(&digits));
        Some(Self { value: value.unwrap_or_else(|| raw.clone()), raw, reversed })
    }
}

/// Lists the beginnings of reversed digits that a number ending in what was typed can have; empty when fewer
/// than [`MIN_SEARCH_DIGITS`] digits were typed.
pub fn search_prefixes(typed: &str, region: Region) -> Vec<String> {
    let ascii = folding::ascii_digits(&folding::tidy(typed));
    let all = digits(&ascii);
    if all.len() < MIN_SEARCH_DIGITS {
        return Vec::new();
    }
    // A trunk zero or the zeros of an international call stand before the number and not in E.164.
    let without_zeros = all.trim_start_matches('0');
    let mut prefixes = vec![reverse(&all)];
    if without_zeros.len() >= MIN_SEARCH_DIGITS && without_zeros.len() < all.len() {
        prefixes.push(reverse(without_zeros));
    }
    if let Some(number) = e164(&ascii, region) {
        prefixes.push(reverse(&number));
    }
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes
}

/// Tells whether a query could be a telephone number or the end of one.
pub fn looks_like_phone(typed: &str) -> bool {
    let ascii = folding::ascii_digits(&folding::tidy(typed));
    let allowed = |c: char| {
        c.is_ascii_digit() || matches!(c, '+' | '-' | '(' | ')' | '.' | '/' | ' ' | '\u{2010}'..='\u{2015}')
    };
    ascii.chars().all(allowed) && digits(&ascii).len() >= MIN_SEARCH_DIGITS
}

fn digits(ascii: &str) -> String {
    ascii.chars().filter(char::is_ascii_digit).take(MAX_DIGITS).collect()
}

fn reverse(number: &str) -> String {
    number.chars().filter(char::is_ascii_digit).rev().collect()
}

fn e164(ascii: &str, region: Region) -> Option<String> {
    let international = ascii.starts_with('+').then(|| ascii.to_owned());
    // "00" begins an international call nearly everywhere; read with a default region, the parser would take
    // that region's trunk prefix off the foreign number.
    let dialled = ascii.strip_prefix("00").map(|rest| format!("+{}", rest.trim_start()));
    if let Some(number) = international.or(dialled) {
        return valid(None, &number);
    }
    valid(Some(region.0?), ascii)
}

fn valid(region: Option<country::Id>, text: &str) -> Option<String> {
    let plain: String = text.chars().filter(char::is_ascii).collect();
    let number = phonenumber::parse(region, plain).ok()?;
    // The extension, if any, stays in what was typed.
    number.is_valid().then(|| format!("+{}{}", number.code().value(), number.national()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_understood_in_the_clinics_region() {
        let check = |locale: &str, typed: &str, expected: &str| {
            let phone = Phone::parse(typed, Region::of_locale(locale)).unwrap();
            assert_eq!(phone.value, expected, "{typed} in {locale}");
            assert!(phone.reversed.bytes().all(|b| b.is_ascii_digit()));
        };
        check("de-DE", "030 901820", "+4930901820");
        check("de-DE", "(0171) 123 45 67", "+491711234567");
        check("de-DE", "+963 944 123 456", "+963944123456");
        check("de-DE", "00963 944 123456", "+963944123456");
        check("ar-SY", "0944 123 456", "+963944123456");
        check("ar-SY", "٠٩٤٤١٢٣٤٥٦", "+963944123456");
        check("ar-SY", "+49 171 1234567", "+491711234567");
        check("en-US", "(212) 555-0123", "+12125550123");
        check("en-US", "+49 171 1234567", "+491711234567");
        check("en", "+49 171 1234567", "+491711234567");
        // What is no valid number stays as it was typed.
        check("en", "0171 1234567", "0171 1234567");
        check("de-DE", "12", "12");
        check("de-DE", "ask for Anna, 4711", "ask for Anna, 4711");
        check("xx-invalid-locale-", "555 0123", "555 0123");
    }

    #[test]
    fn text_without_a_digit_is_no_number() {
        for typed in ["", "none", "+", "—"] {
            assert!(Phone::parse(typed, Region::of_locale("de-DE")).is_none(), "{typed}");
        }
    }

    #[test]
    fn numbers_are_found_by_their_last_digits() {
        let region = Region::of_locale("de-DE");
        let check = |stored: &str, typed: &str, expected: bool| {
            let stored = Phone::parse(stored, region).unwrap();
            let found =
                search_prefixes(typed, region).iter().any(|p| stored.reversed.starts_with(p.as_str()));
            assert_eq!(found, expected, "{typed}");
        };
        let number = "+49 30 901820";
        check(number, "1820", true);
        check(number, "901820", true);
        check(number, "030 901820", true);
        check(number, "0049 30 901820", true);
        check(number, "+4930901820", true);
        check(number, "٩٠١٨٢٠", true);
        check(number, "820", false);
        check(number, "1821", false);
        check("ext 004711", "4711", true);
    }

    #[test]
    fn only_what_is_made_of_digits_looks_like_a_number() {
        let check = |typed: &str, expected: bool| assert_eq!(looks_like_phone(typed), expected, "{typed}");
        check("0171-1234567", true);
        check("+49 (30) 90 18/20", true);
        check("٤٥٦٧", true);
        check("123", false);
        check("A1234", false);
        check("Müller 1234", false);
    }

    #[test]
    fn strange_input_is_survived() {
        const PARTS: [&str; 24] = [
            "+",
            "0",
            "00",
            "1",
            "9",
            "49",
            "963",
            "7777777",
            "-",
            "(",
            ")",
            " ",
            ";ext=",
            ";phone-context=",
            "tel:",
            "x",
            "#",
            "*",
            "/",
            "٣",
            "ü",
            "—",
            "🦷",
            "\u{200F}",
        ];
        let regions = ["de-DE", "en-US", "ar-SY", "en"].map(Region::of_locale);
        let mut state = 1_u64;
        for _ in 0..2000 {
            let mut text = String::new();
            for _ in 0..8 {
                // Knuth's MMIX generator: the same texts on every run.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(PARTS[usize::try_from(state >> 33).unwrap() % PARTS.len()]);
            }
            for region in regions {
                let phone = Phone::parse(&text, region);
                assert!(
                    phone.is_none_or(|phone| phone.reversed.bytes().all(|b| b.is_ascii_digit())),
                    "{text}"
                );
                let _ = search_prefixes(&text, region);
            }
        }
    }
}
