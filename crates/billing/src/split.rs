//! Amounts split into parts that add up to them again, to the last minor unit.

use clinicx_types::money::{Currency, Money, MoneyError};
use rust_decimal::Decimal;

/// Splits an amount in proportion to weights, by largest remainder: each part is rounded down, and the minor units
/// that are left go one each to the parts that lost most; of equal ones to the first.
///
/// No part is above its weight as long as the amount is not above their sum.
///
/// # Errors
/// [`MoneyError::TooLarge`] when there is something to split and no weight above zero.
pub fn by_weight(amount: Money, weights: &[Money]) -> Result<Vec<Money>, MoneyError> {
    let currency = amount.currency();
    let whole = minor(amount);
    let weights: Vec<i128> = weights.iter().map(|weight| minor(*weight)).collect();
    let sum: i128 = weights.iter().sum();
    if whole == 0 {
        return Ok(weights.iter().map(|_| Money::zero(currency)).collect());
    }
    if sum <= 0 {
        return Err(MoneyError::TooLarge);
    }
    // Both are below 10^19, so that their product fits.
    let mut parts: Vec<(i128, i128)> = Vec::with_capacity(weights.len());
    for weight in &weights {
        let exact = whole.checked_mul(*weight).ok_or(MoneyError::TooLarge)?;
        parts.push((exact.div_euclid(sum), exact.rem_euclid(sum)));
    }
    let left = whole - parts.iter().map(|(part, _)| part).sum::<i128>();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(parts.get(*index).map(|(_, lost)| *lost)));
    for index in order.into_iter().take(usize::try_from(left).unwrap_or_default()) {
        if let Some((part, _)) = parts.get_mut(index) {
            *part += 1;
        }
    }
    parts.into_iter().map(|(part, _)| of_minor(part, currency)).collect()
}

/// Splits an amount into equal parts; the first takes what is left over.
///
/// # Errors
/// [`MoneyError::TooLarge`], which no amount that is one can reach.
pub fn equally(amount: Money, parts: u16) -> Result<Vec<Money>, MoneyError> {
    let count = i128::from(parts.max(1));
    let whole = minor(amount);
    let each = whole.div_euclid(count);
    let first = each + whole.rem_euclid(count);
    let all = std::iter::once(first).chain(std::iter::repeat_n(each, usize::from(parts.max(1)) - 1));
    all.map(|part| of_minor(part, amount.currency())).collect()
}

fn minor(amount: Money) -> i128 {
    let mut scaled = amount.amount();
    scaled.rescale(amount.currency().exponent());
    scaled.mantissa()
}

fn of_minor(units: i128, currency: Currency) -> Result<Money, MoneyError> {
    let exact = Decimal::try_from_i128_with_scale(units, currency.exponent());
    Money::rounded(exact.map_err(|_| MoneyError::TooLarge)?, currency)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn euro(cents: i64) -> Money {
        Money::rounded(Decimal::new(cents, 2), "EUR".parse().unwrap()).unwrap()
    }

    fn shown(parts: &[Money]) -> Vec<String> {
        parts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_left_goes_to_those_who_lost_most() {
        let parts = by_weight(euro(100), &[euro(100), euro(100), euro(100)]).unwrap();
        assert_eq!(shown(&parts), ["0.34", "0.33", "0.33"]);
        let parts = by_weight(euro(1000), &[euro(6833), euro(6833), euro(5750), euro(8500)]).unwrap();
        assert_eq!(shown(&parts), ["2.45", "2.45", "2.06", "3.04"]);
        assert!(by_weight(euro(1), &[euro(0)]).is_err());
    }

    #[test]
    fn the_first_part_takes_the_remainder() {
        assert_eq!(shown(&equally(euro(10000), 3).unwrap()), ["33.34", "33.33", "33.33"]);
        assert_eq!(shown(&equally(euro(5), 4).unwrap()), ["0.02", "0.01", "0.01", "0.01"]);
        let yen = Money::parse("100", "JPY".parse().unwrap()).unwrap();
        assert_eq!(shown(&equally(yen, 3).unwrap()), ["34", "33", "33"]);
    }

    proptest! {
        #[test]
        fn parts_add_up_and_stay_within_their_weights(
            weights in prop::collection::vec(0_i64..1_000_000, 1..20), share in 0_i64..=1_000_000,
        ) {
            let sum: i64 = weights.iter().sum();
            prop_assume!(sum > 0);
            let amount = sum * share / 1_000_000;
            let all: Vec<Money> = weights.iter().map(|weight| euro(*weight)).collect();
            let parts = by_weight(euro(amount), &all).unwrap();
            let total: Decimal = parts.iter().map(|part| part.amount()).sum();
            prop_assert_eq!(total, euro(amount).amount());
            for (part, weight) in parts.iter().zip(&all) {
                prop_assert!(!part.is_negative() && part.amount() <= weight.amount());
            }
        }

        #[test]
        fn equal_parts_add_up(amount in 0_i64..1_000_000_000, parts in 1_u16..60) {
            let split = equally(euro(amount), parts).unwrap();
            let total: Decimal = split.iter().map(|part| part.amount()).sum();
            prop_assert_eq!((split.len(), total), (usize::from(parts), euro(amount).amount()));
            prop_assert!(split.iter().all(|part| part.amount() <= split[0].amount()));
        }
    }
}
