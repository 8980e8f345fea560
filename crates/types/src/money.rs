//! Amounts of money: exact decimals with no more places than their currency has (ISO 4217).

use std::{fmt, str::FromStr};

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

/// The most digits before and after the point that `numeric(19,4)` holds.
const MAX_INTEGER_DIGITS: usize = 15;
/// The least that has too many digits before the point: 10 to the 15th.
const LIMIT: Decimal = Decimal::from_parts(0xA4C6_8000, 0x0003_8D7E, 0, false, 0);

/// A currency of ISO 4217 that has a minor unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// Returns the three capital letters of it.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Reads the currency of something new: one that is in use. What was recorded in one that has been withdrawn since
    /// keeps it, and is read with [`str::parse`].
    ///
    /// # Errors
    /// [`MoneyError::UnknownCurrency`], [`MoneyError::WithdrawnCurrency`].
    pub fn in_use(text: &str) -> Result<Self, MoneyError> {
        text.parse().and_then(|currency: Self| match currency.is_withdrawn() {
            true => Err(MoneyError::WithdrawnCurrency),
            false => Ok(currency),
        })
    }

    /// Tells whether ISO 4217 has withdrawn it for another one (its list three).
    fn is_withdrawn(self) -> bool {
        // The bolívar soberano stands beside its successor in list one until today.
        self.0.is_superseded().is_some() && self.0 != iso_currency::Currency::VES
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
    /// A currency that ISO 4217 has withdrawn.
    #[error("must be a currency that is in use")]
    WithdrawnCurrency,
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
    /// Amounts of two currencies do not add up.
    #[error("must be in the same currency")]
    OtherCurrency,
}

impl MoneyError {
    /// Returns the stable code by which a wrong field names it.
    pub fn code(self) -> &'static str {
        match self {
            Self::UnknownCurrency | Self::WithdrawnCurrency => "unknown_currency",
            Self::Malformed => "malformed_amount",
            Self::TooPrecise { .. } => "too_precise",
            Self::TooLarge => "out_of_range",
            Self::OtherCurrency => "currency_mismatch",
        }
    }
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
            Ok(Self { amount: without_negative_zero(scaled), currency })
        } else {
            Err(MoneyError::TooPrecise { exponent })
        }
    }

    /// Returns nothing, in a currency.
    pub fn zero(currency: Currency) -> Self {
        Self { amount: Decimal::new(0, currency.exponent()), currency }
    }

    /// Rounds a decimal to the currency's number of decimals, halves away from zero.
    ///
    /// # Errors
    /// [`MoneyError::TooLarge`].
    pub fn rounded(exact: Decimal, currency: Currency) -> Result<Self, MoneyError> {
        let mut amount =
            exact.round_dp_with_strategy(currency.exponent(), RoundingStrategy::MidpointAwayFromZero);
        amount.rescale(currency.exponent());
        if amount.trunc().abs() >= LIMIT {
            return Err(MoneyError::TooLarge);
        }
        Ok(Self { amount: without_negative_zero(amount), currency })
    }

    /// Adds an amount of the same currency.
    ///
    /// # Errors
    /// [`MoneyError::OtherCurrency`]; [`MoneyError::TooLarge`].
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::OtherCurrency);
        }
        let sum = self.amount.checked_add(other.amount).ok_or(MoneyError::TooLarge)?;
        Self::rounded(sum, self.currency)
    }

    /// Takes an amount of the same currency off; the rest can be below zero.
    ///
    /// # Errors
    /// As [`Money::plus`].
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.plus(Self { amount: -other.amount, currency: other.currency })
    }

    /// Tells whether it is less than nothing.
    pub fn is_negative(self) -> bool {
        self.amount.is_sign_negative() && !self.amount.is_zero()
    }

    /// Tells whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.amount.is_zero()
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

/// Nothing is written without a sign.
fn without_negative_zero(mut amount: Decimal) -> Decimal {
    if amount.is_zero() {
        amount.set_sign_positive(true);
    }
    amount
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
    fn amounts_are_rounded_half_away_from_zero() {
        let check = |exact: &str, currency: &str, expected: &str| {
            let rounded = Money::rounded(exact.parse().unwrap(), currency.parse().unwrap());
            assert_eq!(rounded.unwrap().to_string(), expected, "{exact}");
        };
        check("2.345", "EUR", "2.35");
        check("2.3449", "EUR", "2.34");
        check("-2.345", "EUR", "-2.35");
        check("2.5", "JPY", "3");
        check("2.0005", "KWD", "2.001");
        check("-0.001", "EUR", "0.00");
        check("999999999999999.994", "EUR", "999999999999999.99");
        let over = Money::rounded("999999999999999.995".parse().unwrap(), "EUR".parse().unwrap());
        assert_eq!(over, Err(MoneyError::TooLarge));
    }

    #[test]
    fn amounts_of_two_currencies_do_not_add_up() {
        let money = |text: &str, currency: &str| Money::parse(text, currency.parse().unwrap()).unwrap();
        assert_eq!(money("1.10", "EUR").plus(money("2.20", "EUR")), Ok(money("3.30", "EUR")));
        assert_eq!(money("1.10", "EUR").minus(money("2.20", "EUR")), Ok(money("-1.10", "EUR")));
        assert_eq!(money("1.10", "EUR").plus(money("2.20", "USD")), Err(MoneyError::OtherCurrency));
    }

    #[test]
    fn currencies_of_new_things_are_in_use() {
        for withdrawn in ["HRK", "SLL", "ZWL", "CUC", "BGN"] {
            assert_eq!(Currency::in_use(withdrawn), Err(MoneyError::WithdrawnCurrency), "{withdrawn}");
            assert!(withdrawn.parse::<Currency>().is_ok(), "{withdrawn}");
        }
        for used in ["EUR", "SLE", "ZWG", "CUP", "VES", "VED", "SYP", "KWD"] {
            assert!(Currency::in_use(used).is_ok(), "{used}");
        }
        assert_eq!(Currency::in_use("XXX"), Err(MoneyError::UnknownCurrency));
    }

    #[test]
    fn currencies_are_those_with_a_minor_unit() {
        assert!("EUR".parse::<Currency>().is_ok());
        for bad in ["eur", "XXX", "XAU", "EURO", ""] {
            assert_eq!(bad.parse::<Currency>(), Err(MoneyError::UnknownCurrency), "{bad}");
        }
    }
}
