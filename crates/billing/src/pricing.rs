//! What an invoice comes to. Pure: no clock, no database.
//!
//! One policy: a line's net is quantity × price − discount, rounded half up once; a discount on the whole invoice is
//! split over the lines by largest remainder; the tax of each rate is reckoned on the sum of the nets and rounded once.

use std::collections::BTreeMap;

use clinicx_types::money::{Currency, Money, MoneyError};
use rust_decimal::Decimal;

use crate::split;

/// What is taken off a price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discount {
    /// Nothing.
    #[default]
    None,
    /// A fixed amount.
    Amount(Money),
    /// A share in percent, 0 to 100. That off a line is taken off before anything is rounded; that off the whole is
    /// rounded half up to an amount of its own.
    Percent(Decimal),
}

/// A line as it was ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineOrder {
    /// How many; above zero.
    pub quantity: Decimal,
    /// The net price of one; not below zero.
    pub unit_price: Money,
    /// What is taken off the line.
    pub discount: Discount,
    /// The tax in percent, 0 to 100.
    pub tax_rate: Decimal,
}

/// What a line comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinePrice {
    /// What its own discount takes off.
    pub discount: Money,
    /// What the invoice's discount takes off.
    pub header_discount: Money,
    /// What is left.
    pub net: Money,
}

/// The tax of one rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaxPrice {
    /// The rate in percent.
    pub rate: Decimal,
    /// The sum of the nets at that rate.
    pub net: Money,
    /// The tax on it.
    pub tax: Money,
}

/// What an invoice comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// Each line, in its order.
    pub lines: Vec<LinePrice>,
    /// What the discount on the whole takes off.
    pub discount: Money,
    /// One entry for each rate, the lowest first.
    pub taxes: Vec<TaxPrice>,
    /// The sum of the nets.
    pub net: Money,
    /// The sum of the taxes.
    pub tax: Money,
    /// Both.
    pub gross: Money,
}

/// Why lines come to nothing that can be billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PricingError {
    /// The discount of the line with this index is above its price.
    #[error("the discount is above the price")]
    LineDiscount(usize),
    /// The discount on the whole is above the sum of the lines.
    #[error("the discount is above the sum of the lines")]
    Discount,
    /// The line with this index has another currency or comes to more than fits.
    #[error("the line comes to more than fits")]
    Line(usize, MoneyError),
    /// Together they come to more than fits.
    #[error("the lines come to more than fits")]
    Sum(MoneyError),
}

impl From<MoneyError> for PricingError {
    fn from(error: MoneyError) -> Self {
        Self::Sum(error)
    }
}

/// Reckons what lines come to.
///
/// # Errors
/// [`PricingError`].
pub fn price(currency: Currency, orders: &[LineOrder], header: Discount) -> Result<Price, PricingError> {
    let mut lines = Vec::with_capacity(orders.len());
    for (index, order) in orders.iter().enumerate() {
        lines.push(line(currency, order, index)?);
    }
    let nets: Vec<Money> = lines.iter().map(|line| line.net).collect();
    let subtotal = sum(currency, &nets)?;
    let discount = match header {
        Discount::None => Money::zero(currency),
        Discount::Amount(amount) => amount,
        Discount::Percent(percent) => share(subtotal.amount(), percent, currency)?,
    };
    if subtotal.minus(discount)?.is_negative() {
        return Err(PricingError::Discount);
    }
    for (line, part) in lines.iter_mut().zip(split::by_weight(discount, &nets)?) {
        line.header_discount = part;
        line.net = line.net.minus(part)?;
    }
    let rated = lines.iter().zip(orders).map(|(line, order)| (order.tax_rate, line.net));
    let taxes = taxes(currency, rated)?;
    let net = subtotal.minus(discount)?;
    let all: Vec<Money> = taxes.iter().map(|one| one.tax).collect();
    let tax = sum(currency, &all)?;
    Ok(Price { lines, discount, taxes, net, tax, gross: net.plus(tax)? })
}

/// Reckons the taxes of nets by rate, each rounded once.
///
/// # Errors
/// [`MoneyError::TooLarge`].
pub fn taxes(
    currency: Currency,
    nets: impl IntoIterator<Item = (Decimal, Money)>,
) -> Result<Vec<TaxPrice>, MoneyError> {
    let mut by_rate: BTreeMap<Decimal, Money> = BTreeMap::new();
    for (rate, net) in nets {
        let sum = by_rate.entry(rate.normalize()).or_insert_with(|| Money::zero(currency));
        *sum = sum.plus(net)?;
    }
    by_rate
        .into_iter()
        .map(|(rate, net)| Ok(TaxPrice { rate, net, tax: share(net.amount(), rate, currency)? }))
        .collect()
}

/// Adds amounts.
///
/// # Errors
/// As [`Money::plus`].
pub fn sum(currency: Currency, amounts: &[Money]) -> Result<Money, MoneyError> {
    amounts.iter().try_fold(Money::zero(currency), |sum, amount| sum.plus(*amount))
}

fn line(currency: Currency, order: &LineOrder, index: usize) -> Result<LinePrice, PricingError> {
    let wrong = |error| PricingError::Line(index, error);
    let price = order.unit_price;
    if price.currency() != currency {
        return Err(wrong(MoneyError::OtherCurrency));
    }
    let exact = order.quantity.checked_mul(price.amount()).ok_or_else(|| wrong(MoneyError::TooLarge))?;
    let whole = Money::rounded(exact, currency).map_err(wrong)?;
    let (net, discount) = match order.discount {
        Discount::None => (whole, Money::zero(currency)),
        // What is less than nothing can be rounded to nothing.
        Discount::Amount(amount) if amount.amount() > exact => return Err(PricingError::LineDiscount(index)),
        Discount::Amount(amount) => {
            (Money::rounded(exact - amount.amount(), currency).map_err(wrong)?, amount)
        }
        Discount::Percent(percent) => {
            let net = share(exact, Decimal::ONE_HUNDRED - percent, currency).map_err(wrong)?;
            (net, whole.minus(net).map_err(wrong)?)
        }
    };
    Ok(LinePrice { discount, header_discount: Money::zero(currency), net })
}

fn share(of: Decimal, percent: Decimal, currency: Currency) -> Result<Money, MoneyError> {
    let exact = of.checked_mul(percent).ok_or(MoneyError::TooLarge)? / Decimal::ONE_HUNDRED;
    Money::rounded(exact, currency)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(text: &str) -> Money {
        Money::parse(text, "EUR".parse().unwrap()).unwrap()
    }

    fn order(quantity: &str, price: &str, rate: &str) -> LineOrder {
        LineOrder {
            quantity: quantity.parse().unwrap(),
            unit_price: money(price),
            discount: Discount::None,
            tax_rate: rate.parse().unwrap(),
        }
    }

    fn totals(price: &Price) -> (String, String, String) {
        (price.net.to_string(), price.tax.to_string(), price.gross.to_string())
    }

    fn check(orders: &[LineOrder], header: Discount, expected: (&str, &str, &str)) {
        let found = totals(&price("EUR".parse().unwrap(), orders, header).unwrap());
        let expected = (expected.0.to_owned(), expected.1.to_owned(), expected.2.to_owned());
        assert_eq!(found, expected);
    }

    #[test]
    fn tax_is_rounded_once_for_each_rate() {
        let four = ["68.33", "68.33", "57.50", "85.00"].map(|price| order("1", price, "20"));
        check(&four, Discount::None, ("279.16", "55.83", "334.99"));
        check(&[order("3", "0.34", "7")], Discount::None, ("1.02", "0.07", "1.09"));
        let two = [order("1", "10.03", "19"), order("1", "10.03", "19.00"), order("2", "5.01", "7")];
        check(&two, Discount::None, ("30.08", "4.51", "34.59"));
        check(&[], Discount::None, ("0.00", "0.00", "0.00"));
    }

    #[test]
    fn halves_are_rounded_up() {
        check(&[order("0.5", "0.01", "0")], Discount::None, ("0.01", "0.00", "0.01"));
        check(&[order("0.25", "0.01", "0")], Discount::None, ("0.00", "0.00", "0.00"));
        check(&[order("1", "0.50", "5")], Discount::None, ("0.50", "0.03", "0.53"));
    }

    #[test]
    fn discounts_take_off_what_they_say() {
        let four = ["68.33", "68.33", "57.50", "85.00"].map(|price| order("1", price, "20"));
        check(&four, Discount::Amount(money("10.00")), ("269.16", "53.83", "322.99"));
        check(&four, Discount::Percent("100".parse().unwrap()), ("0.00", "0.00", "0.00"));
        check(&four, Discount::Percent("12.5".parse().unwrap()), ("244.26", "48.85", "293.11"));
        let euro = "EUR".parse().unwrap();
        assert_eq!(price(euro, &four, Discount::Amount(money("279.17"))), Err(PricingError::Discount));
        let mut one = order("2", "10.00", "0");
        one.discount = Discount::Amount(money("20.01"));
        assert_eq!(price(euro, &[four[0], one], Discount::None), Err(PricingError::LineDiscount(1)));
        let mut less = order("0.6", "0.01", "0");
        less.discount = Discount::Amount(money("0.01"));
        assert_eq!(price(euro, &[less], Discount::None), Err(PricingError::LineDiscount(0)));
        one.discount = Discount::Percent("33.3333".parse().unwrap());
        check(&[one], Discount::None, ("13.33", "0.00", "13.33"));
    }

    #[test]
    fn a_share_off_a_line_is_taken_off_before_rounding() {
        let check = |quantity: &str, price_of_one: &str, percent: &str, expected: (&str, &str)| {
            let discount = Discount::Percent(percent.parse().unwrap());
            let one = LineOrder { discount, ..order(quantity, price_of_one, "0") };
            let line = price("EUR".parse().unwrap(), &[one], Discount::None).unwrap().lines[0];
            assert_eq!((line.net.to_string().as_str(), line.discount.to_string().as_str()), expected);
        };
        check("1", "0.05", "50", ("0.03", "0.02"));
        check("1", "0.01", "50", ("0.01", "0.00"));
        check("0.5", "0.01", "100", ("0.00", "0.01"));
        check("3", "0.99", "33.3333", ("1.98", "0.99"));
        check("1", "100.00", "12.5", ("87.50", "12.50"));
    }

    #[test]
    fn currencies_do_not_mix() {
        let mut dollar = order("1", "1.00", "0");
        dollar.unit_price = Money::parse("1.00", "USD".parse().unwrap()).unwrap();
        let mixed = price("EUR".parse().unwrap(), &[order("1", "1.00", "0"), dollar], Discount::None);
        assert_eq!(mixed, Err(PricingError::Line(1, MoneyError::OtherCurrency)));
    }

    fn any_order() -> impl Strategy<Value = LineOrder> {
        let rates = prop::sample::select(vec!["0", "5", "7", "19", "20", "8.875"]);
        (1_i64..100_000, 0_i64..1_000_000, 0_u32..=10_000, rates).prop_map(
            |(quantity, price, percent, rate)| LineOrder {
                quantity: Decimal::new(quantity, 3),
                unit_price: Money::rounded(Decimal::new(price, 2), "EUR".parse().unwrap()).unwrap(),
                discount: Discount::Percent(Decimal::new(i64::from(percent), 2)),
                tax_rate: rate.parse().unwrap(),
            },
        )
    }

    proptest! {
        #[test]
        fn everything_adds_up(orders in prop::collection::vec(any_order(), 0..12), percent in 0_i64..=10_000) {
            let currency = "EUR".parse().unwrap();
            let found = price(currency, &orders, Discount::Percent(Decimal::new(percent, 2))).unwrap();
            let nets: Decimal = found.lines.iter().map(|line| line.net.amount()).sum();
            let rated: Decimal = found.taxes.iter().map(|tax| tax.net.amount()).sum();
            let taxes: Decimal = found.taxes.iter().map(|tax| tax.tax.amount()).sum();
            let parts: Decimal = found.lines.iter().map(|line| line.header_discount.amount()).sum();
            prop_assert_eq!(nets, found.net.amount());
            prop_assert_eq!(rated, found.net.amount());
            prop_assert_eq!(taxes, found.tax.amount());
            prop_assert_eq!(parts, found.discount.amount());
            prop_assert_eq!(found.net.plus(found.tax).unwrap(), found.gross);
            prop_assert!(found.lines.iter().all(|line| !line.net.is_negative()));
        }
    }
}
