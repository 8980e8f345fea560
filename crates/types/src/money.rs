//! Amounts of money: exact decimals with no more places than their currency has (ISO 4217).

use std::{fmt, str::FromStr};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The most digits before and after the point that `numeric(19,4)` holds.
const MAX_INTEGER_DIGITS: usize = 15;

/// A currency of ISO 4217 that has a minor unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// Returns the three capital letters of it.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Returns how many decimals an amount in it has: 0 for JPY, 2 for EUR, 3 for KWD.
    pub fn exponent(self) -> u32 {
        self.0.exponent().unwrap_or_default().into()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Why a text is no currency or no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// No such currency in ISO 4217, or one without a minor unit (gold, test codes).
    #[error("must be an ISO 4217 currency code in capital letters")]
    UnknownCurrency,
    /// Not a plain decimal: digits, at most one point, at most one leading minus.
    #[error("must be a plain decimal string such as \"12.50\"")]
    Malformed,
    /// More decimals than the currency has.
    #[error("must have at most {exponent} decimals")]
    TooPrecise {
        /// The decimals that the currency has.
        exponent: u32,
    },
    /// More digits than the database holds.
    #[error("must have at most 15 digits before the point")]
    TooLarge,
}

impl FromStr for Currency {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        iso_currency::Currency::from_code(text)
            .filter(|currency| currency.code() == text && currency.exponent().is_some())
            .map(Self)
            .ok_or(MoneyError::UnknownCurrency)
    }
}

impl TryFrom<String> for Currency {
    type Error = MoneyError;
    fn try_from(text: String) -> Result<Self, MoneyError> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

/// An amount in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    amount: Decimal,
    currency: Currency,
}

impl Money {
    /// Parses an amount strictly: no exponent, no sign but a minus, no blanks, no superfluous decimals.
    ///
    /// # Errors
    /// [`MoneyError::Malformed`], [`MoneyError::TooPrecise`], [`MoneyError::TooLarge`].
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) {
            return Err(MoneyError::Malformed);
        }
        if whole.trim_start_matches('0').len() > MAX_INTEGER_DIGITS {
            return Err(MoneyError::TooLarge);
        }
        let exponent = currency.exponent();
        if digits.contains('.') && fraction.len() > usize::try_from(exponent).unwrap_or_default() {
            return Err(MoneyError::TooPrecise { exponent });
        }
        let amount = Decimal::from_str_exact(text).map_err(|_| MoneyError::Malformed)?;
        Ok(Self { amount, currency })
    }

    /// Makes an amount from a decimal that the database holds, with the currency's number of decimals.
    ///
    /// # Errors
    /// [`MoneyError::TooPrecise`] when digits other than zero would be lost.
    pub fn from_decimal(amount: Decimal, currency: Currency) -> Result<Self, MoneyError> {
        let exponent = currency.exponent();
        let mut scaled = amount;
        scaled.rescale(exponent);
        if scaled == amount {
            Ok(Self { amount: scaled, currency })
        } else {
            Err(MoneyError::TooPrecise { exponent })
        }
    }

    /// Returns the amount.
    pub fn amount(self) -> Decimal {
        self.amount
    }

    /// Returns the currency.
    pub fn currency(self) -> Currency {
        self.currency
    }
}

impl fmt::Display for Money {
    /// Writes the amount alone, with all the decimals of its currency.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut amount = self.amount;
        amount.rescale(self.currency.exponent());
        write!(f, "{amount}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_strict_decimals() {
        let check = |text: &str, currency: &str, expected: Result<&str, MoneyError>| {
            let currency = currency.parse().unwrap();
            let shown = Money::parse(text, currency).map(|money| money.to_string());
            assert_eq!(shown.as_deref().map_err(|error| *error), expected, "{text:?}");
        };
        check("12.50", "EUR", Ok("12.50"));
        check("12", "EUR", Ok("12.00"));
        check("-0.5", "EUR", Ok("-0.50"));
        check("100", "JPY", Ok("100"));
        check("1.234", "KWD", Ok("1.234"));
        check("1.234", "EUR", Err(MoneyError::TooPrecise { exponent: 2 }));
        check("1.0", "JPY", Err(MoneyError::TooPrecise { exponent: 0 }));
        for bad in ["", "1e3", "NaN", "+1", " 1", "1.", ".5", "1,5", "--1", "١"] {
            check(bad, "EUR", Err(MoneyError::Malformed));
        }
        check("1234567890123456", "EUR", Err(MoneyError::TooLarge));
    }

    #[test]
    fn currencies_are_those_with_a_minor_unit() {
        assert!("EUR".parse::<Currency>().is_ok());
        for bad in ["eur", "XXX", "XAU", "EURO", ""] {
            assert_eq!(bad.parse::<Currency>(), Err(MoneyError::UnknownCurrency), "{bad}");
        }
    }
}
