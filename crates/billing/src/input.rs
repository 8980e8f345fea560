//! Amounts, quantities and rates as callers write them: strict decimal strings.

use clinicx_types::{
    error::FieldError,
    money::{Currency, Money, MoneyError},
};
use rust_decimal::Decimal;

/// The most digits of a quantity before the point.
const QUANTITY_DIGITS: usize = 8;

/// Reads an amount that is not below zero and has no sign.
///
/// # Errors
/// `malformed_amount`, `too_precise`, `out_of_range`.
pub fn amount(text: &str, currency: Currency, pointer: &str) -> Result<Money, FieldError> {
    let money = Money::parse(text, currency).map_err(|error| wrong_amount(error, pointer))?;
    // Nothing has no sign either.
    if text.starts_with('-') {
        return Err(FieldError::new(pointer, "out_of_range", "must not be negative"));
    }
    Ok(money)
}

/// Reads an amount above zero.
///
/// # Errors
/// As [`amount`].
pub fn positive_amount(text: &str, currency: Currency, pointer: &str) -> Result<Money, FieldError> {
    let money = amount(text, currency, pointer)?;
    if money.is_zero() {
        return Err(FieldError::new(pointer, "out_of_range", "must be above zero"));
    }
    Ok(money)
}

/// Reads a quantity: above zero, with at most four decimals.
///
/// # Errors
/// `malformed_quantity`, `out_of_range`.
pub fn quantity(text: &str, pointer: &str) -> Result<Decimal, FieldError> {
    let malformed = || {
        let detail = "must be a plain decimal string such as \"1.5\" with at most 4 decimals";
        FieldError::new(pointer, "malformed_quantity", detail)
    };
    let quantity = plain(text, QUANTITY_DIGITS).ok_or_else(malformed)?;
    if quantity.is_zero() {
        return Err(FieldError::new(pointer, "out_of_range", "must be above zero"));
    }
    Ok(quantity)
}

/// Reads a percentage: 0 to 100 with at most four decimals.
///
/// # Errors
/// `malformed_percentage`.
pub fn percentage(text: &str, pointer: &str) -> Result<Decimal, FieldError> {
    plain(text, 3).filter(|rate| *rate <= Decimal::ONE_HUNDRED).ok_or_else(|| {
        let detail = "must be a percentage from \"0\" to \"100\" with at most 4 decimals";
        FieldError::new(pointer, "malformed_percentage", detail)
    })
}

/// Reads the currency of something new: one that is in use.
///
/// # Errors
/// `unknown_currency`.
pub fn new_currency(code: &str, pointer: &str) -> Result<Currency, FieldError> {
    Currency::in_use(code).map_err(|error| wrong_amount(error, pointer))
}

/// Reads a currency that the database holds.
///
/// # Errors
/// `unknown_currency`.
pub fn currency(code: &str, pointer: &str) -> Result<Currency, FieldError> {
    code.parse().map_err(|error| wrong_amount(error, pointer))
}

/// Says what is wrong about an amount or a currency.
pub fn wrong_amount(error: MoneyError, pointer: &str) -> FieldError {
    FieldError::new(pointer, error.code(), error.to_string())
}

/// Writes an amount with the decimals of its currency.
pub fn shown(amount: Decimal, currency: &str) -> String {
    let money = currency.parse::<Currency>().and_then(|currency| Money::from_decimal(amount, currency));
    money.map_or_else(|_| amount.normalize().to_string(), |money| money.to_string())
}

/// Reads an amount that the database holds.
pub fn stored(amount: Decimal, currency: &str) -> Result<Money, FieldError> {
    let money = currency.parse::<Currency>().and_then(|currency| Money::from_decimal(amount, currency));
    money.map_err(|error| wrong_amount(error, ""))
}

/// Reads digits with at most one point and four decimals.
fn plain(text: &str, whole_digits: usize) -> Option<Decimal> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str, most: usize| {
        !part.is_empty() && part.len() <= most && part.bytes().all(|digit| digit.is_ascii_digit())
    };
    if digits(whole, whole_digits) && digits(fraction, 4) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_strict() {
        let euro = "EUR".parse().unwrap();
        let check = |text: &str, code: &str| {
            assert_eq!(amount(text, euro, "/amount").map_err(|error| error.code), Err(code.to_owned()));
        };
        check("-0", "out_of_range");
        check("-0.01", "out_of_range");
        check("1e2", "malformed_amount");
        check("NaN", "malformed_amount");
        check("0.001", "too_precise");
        check("1234567890123456", "out_of_range");
        assert_eq!(positive_amount("0.00", euro, "").unwrap_err().code, "out_of_range");
    }

    #[test]
    fn quantities_and_percentages_are_plain() {
        for good in ["1", "0.5", "12345678.1234", "1.50"] {
            assert!(quantity(good, "").is_ok(), "{good}");
        }
        for bad in ["", "0", "0.0000", "-1", "1e1", "1.", ".5", "1.00001", "NaN", " 1", "123456789"] {
            assert!(quantity(bad, "").is_err(), "{bad:?}");
        }
        for good in ["0", "20", "7.5", "100", "19.0000"] {
            assert!(percentage(good, "").is_ok(), "{good}");
        }
        for bad in ["", "-1", "100.1", "1e1", "7.", ".5", "1.00001", "NaN", " 5"] {
            assert!(percentage(bad, "").is_err(), "{bad:?}");
        }
    }
}
