//! Medical record numbers: eight random digits and a check digit.
//!
//! A number says nothing about when a patient came or how many there are, and drawing one neither waits for
//! other registrations nor holds a lock: the table's unique index decides, and a number that is taken is drawn
//! again. With a million patients one draw in ninety meets a taken one.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The least number without its check digit; all have the same length.
const FIRST: u64 = 10_000_000;
/// How many numbers there are.
const COUNT: u64 = 90_000_000;
/// How many digits a number has.
const LENGTH: usize = 9;

/// Draws a number from the randomness of an identifier.
pub(super) fn draw(id: Uuid) -> String {
    let hash = Sha256::digest(id.as_bytes());
    // The first eight bytes; a hash has 32.
    let random = hash.iter().take(8).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    let number = (FIRST + random % COUNT).to_string();
    let check = check_digit(&number);
    format!("{number}{check}")
}

/// Reads a number as it was typed: digits of any script, perhaps with spaces or dashes; `None` when it can't be
/// one, because its length or its check digit is wrong.
pub(super) fn typed(text: &str) -> Option<String> {
    let number = crate::folding::identifier(text);
    let (digits, check) = number.split_at_checked(LENGTH - 1)?;
    let good = digits.bytes().all(|b| b.is_ascii_digit()) && check_digit(digits).to_string() == check;
    good.then_some(number)
}

/// The check digit of ISO 7064 MOD 11,10: it finds every wrong digit and nearly every exchange of two.
fn check_digit(digits: &str) -> u32 {
    let product = digits.chars().filter_map(|c| c.to_digit(10)).fold(10, |product, digit| {
        let sum = (digit + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_digit_is_that_of_the_standard() {
        // The standard's own example, and one of a published tax number, which uses the same method.
        assert_eq!(check_digit("0794"), 5);
        assert_eq!(check_digit("8609574271"), 9);
    }

    #[test]
    fn numbers_are_drawn_well_formed_and_scattered() {
        let numbers: std::collections::BTreeSet<_> = (0..1000).map(|n| draw(Uuid::from_u128(n))).collect();
        assert_eq!(numbers.len(), 1000);
        for number in &numbers {
            assert_eq!(number.len(), LENGTH);
            assert_eq!(typed(number).as_ref(), Some(number));
        }
        assert_eq!(draw(Uuid::nil()), draw(Uuid::nil()));
    }

    #[test]
    fn mistyped_numbers_are_none() {
        let number = draw(Uuid::nil());
        for at in 0..number.len() {
            let mut wrong = number.clone().into_bytes();
            wrong[at] = if wrong[at] == b'9' { b'0' } else { wrong[at] + 1 };
            assert_eq!(typed(std::str::from_utf8(&wrong).unwrap()), None);
        }
        assert_eq!(typed(&format!(" {}-{} ", &number[..4], &number[4..])), Some(number.clone()));
        for wrong in ["", "1", "12345678", "123456789012", "ABCDEFGHI", "١٢٣"] {
            assert_eq!(typed(wrong), None);
        }
    }
}
