//! What a plan will cost. Pure: no clock, no database.

use std::collections::BTreeMap;

use clinicx_types::money::Currency;
use rust_decimal::{Decimal, RoundingStrategy};

use super::dto::Estimate;
use crate::reference::shown;

/// Adds up net prices and the tax on them: tax per rate on the sum of the nets, rounded half up once for each rate, as
/// an invoice over all of it would. What has no price is counted, not guessed.
pub(super) fn estimate<'a>(
    prices: impl IntoIterator<Item = (Option<Decimal>, &'a Decimal)>,
    currency: &str,
) -> Estimate {
    let exponent = currency.parse::<Currency>().map_or(2, Currency::exponent);
    let (mut unpriced, mut by_rate) = (0_u32, BTreeMap::<Decimal, Decimal>::new());
    for (price, rate) in prices {
        match price {
            Some(price) => *by_rate.entry(rate.normalize()).or_default() += price,
            None => unpriced = unpriced.saturating_add(1),
        }
    }
    let net: Decimal = by_rate.values().sum();
    let tax: Decimal = by_rate
        .iter()
        .map(|(rate, net)| {
            let exact = *net * *rate / Decimal::ONE_HUNDRED;
            exact.round_dp_with_strategy(exponent, RoundingStrategy::MidpointAwayFromZero)
        })
        .sum();
    Estimate {
        net: shown(net, currency),
        tax: shown(tax, currency),
        gross: shown(net + tax, currency),
        unpriced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tax_is_rounded_once_for_each_rate() {
        let check = |prices: &[(Option<&str>, &str)], currency: &str, expected: (&str, &str, &str, u32)| {
            let read = |text: &str| text.parse::<Decimal>().unwrap();
            let prices: Vec<_> = prices.iter().map(|(price, rate)| (price.map(read), read(rate))).collect();
            let found = estimate(prices.iter().map(|(price, rate)| (*price, rate)), currency);
            let shown = (found.net.as_str(), found.tax.as_str(), found.gross.as_str(), found.unpriced);
            assert_eq!(shown, expected);
        };
        let four =
            [(Some("68.33"), "20"), (Some("68.33"), "20.00"), (Some("57.50"), "20"), (Some("85"), "20")];
        check(&four, "EUR", ("279.16", "55.83", "334.99", 0));
        check(&[(Some("10"), "7"), (None, "20"), (Some("10"), "0")], "EUR", ("20.00", "0.70", "20.70", 1));
        check(&[(Some("333"), "10")], "JPY", ("333", "33", "366", 0));
        check(&[], "EUR", ("0.00", "0.00", "0.00", 0));
    }
}
