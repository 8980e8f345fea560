//! What a credit note comes to. Pure: no clock, no database.
//!
//! A part of a line is credited with its share of the line's net, rounded half up, and whoever credits the last of a
//! line takes what is left of it. The same holds for the tax of each rate, so that all notes of an invoice together
//! equal it, whatever their order.

use clinicx_types::money::{Currency, Money, MoneyError};
use rust_decimal::Decimal;

use crate::pricing::{self, TaxPrice};

/// A line of an invoice and what was credited of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreditableLine {
    /// How many stand on the invoice.
    pub quantity: Decimal,
    /// How many were credited.
    pub credited_quantity: Decimal,
    /// The line's net.
    pub net: Money,
    /// What was credited of it.
    pub credited_net: Money,
    /// The tax in percent.
    pub tax_rate: Decimal,
}

/// The tax of one rate on an invoice and what was credited of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreditableTax {
    /// The rate in percent.
    pub rate: Decimal,
    /// The tax.
    pub tax: Money,
    /// What was credited of it.
    pub credited_tax: Money,
}

/// What a note comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credit {
    /// The net of each wanted line, in the order in which they are wanted.
    pub nets: Vec<Money>,
    /// One entry for each rate.
    pub taxes: Vec<TaxPrice>,
    /// The sum of the nets.
    pub net: Money,
    /// The sum of the taxes.
    pub tax: Money,
    /// Both.
    pub gross: Money,
}

/// Why lines can't be credited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreditingError {
    /// More is wanted of this wish's line than is left of it.
    #[error("more than is left of the line")]
    TooMuch(usize),
    /// This wish names a line that is none of the invoice's, or one that is wanted already.
    #[error("no line of the invoice, or named twice")]
    Line(usize),
    /// The amounts do not add up.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// Reckons the note for some of an invoice's lines; a wish is a line's index and how many of it.
///
/// # Errors
/// [`CreditingError`].
pub fn credit(
    currency: Currency,
    lines: &[CreditableLine],
    taxes: &[CreditableTax],
    wishes: &[(usize, Decimal)],
) -> Result<Credit, CreditingError> {
    let mut after = lines.to_vec();
    let (mut nets, mut rated) = (Vec::with_capacity(wishes.len()), Vec::with_capacity(wishes.len()));
    for (position, (index, quantity)) in wishes.iter().enumerate() {
        let named_before = wishes.iter().take(position).any(|(other, _)| other == index);
        let line = after.get_mut(*index).filter(|_| !named_before).ok_or(CreditingError::Line(position))?;
        if line.credited_quantity + quantity > line.quantity {
            return Err(CreditingError::TooMuch(position));
        }
        let net = net_of(line, *quantity, currency)?;
        line.credited_quantity += quantity;
        line.credited_net = line.credited_net.plus(net)?;
        nets.push(net);
        rated.push((line.tax_rate, net));
    }
    let mut credited = pricing::taxes(currency, rated)?;
    for one in &mut credited {
        let left = match taxes.iter().find(|tax| tax.rate == one.rate) {
            Some(tax) => tax.tax.minus(tax.credited_tax)?,
            None => Money::zero(currency),
        };
        let of_rate = after.iter().filter(|line| line.tax_rate == one.rate);
        let is_last = of_rate.clone().all(|line| line.credited_quantity == line.quantity);
        one.tax = if is_last || one.tax.amount() > left.amount() { left } else { one.tax };
    }
    let net = pricing::sum(currency, &nets)?;
    let parts: Vec<Money> = credited.iter().map(|one| one.tax).collect();
    let tax = pricing::sum(currency, &parts)?;
    Ok(Credit { nets, taxes: credited, net, tax, gross: net.plus(tax)? })
}

fn net_of(line: &CreditableLine, quantity: Decimal, currency: Currency) -> Result<Money, MoneyError> {
    let left = line.net.minus(line.credited_net)?;
    if line.credited_quantity + quantity == line.quantity {
        return Ok(left);
    }
    let exact = line.net.amount().checked_mul(quantity).ok_or(MoneyError::TooLarge)? / line.quantity;
    let share = Money::rounded(exact, currency)?;
    Ok(if share.amount() > left.amount() { left } else { share })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pricing::{Discount, LineOrder, price};

    /// An invoice under its notes.
    struct Invoice {
        lines: Vec<CreditableLine>,
        taxes: Vec<CreditableTax>,
        gross: Money,
    }

    impl Invoice {
        fn of(orders: &[LineOrder], header: Discount) -> Self {
            let euro = "EUR".parse().unwrap();
            let priced = price(euro, orders, header).unwrap();
            let zero = Money::zero(euro);
            let line = |(order, line): (&LineOrder, &pricing::LinePrice)| CreditableLine {
                quantity: order.quantity,
                credited_quantity: Decimal::ZERO,
                net: line.net,
                credited_net: zero,
                tax_rate: order.tax_rate,
            };
            let tax = |tax: &TaxPrice| CreditableTax { rate: tax.rate, tax: tax.tax, credited_tax: zero };
            Self {
                lines: orders.iter().zip(&priced.lines).map(line).collect(),
                taxes: priced.taxes.iter().map(tax).collect(),
                gross: priced.gross,
            }
        }

        fn credit(&mut self, wishes: &[(usize, Decimal)]) -> Result<Credit, CreditingError> {
            let note = credit("EUR".parse().unwrap(), &self.lines, &self.taxes, wishes)?;
            for ((index, quantity), net) in wishes.iter().zip(&note.nets) {
                self.lines[*index].credited_quantity += quantity;
                self.lines[*index].credited_net = self.lines[*index].credited_net.plus(*net).unwrap();
            }
            for one in &note.taxes {
                let tax = self.taxes.iter_mut().find(|tax| tax.rate == one.rate).unwrap();
                tax.credited_tax = tax.credited_tax.plus(one.tax).unwrap();
            }
            Ok(note)
        }
    }

    fn order(quantity: &str, price: &str, rate: &str) -> LineOrder {
        LineOrder {
            quantity: quantity.parse().unwrap(),
            unit_price: Money::parse(price, "EUR".parse().unwrap()).unwrap(),
            discount: Discount::None,
            tax_rate: rate.parse().unwrap(),
        }
    }

    #[test]
    fn four_notes_of_a_line_each_equal_the_invoice() {
        let four = ["68.33", "68.33", "57.50", "85.00"].map(|price| order("1", price, "20"));
        let mut invoice = Invoice::of(&four, Discount::None);
        let gross: Vec<String> =
            (0..4).map(|line| invoice.credit(&[(line, Decimal::ONE)]).unwrap().gross.to_string()).collect();
        assert_eq!(gross, ["82.00", "82.00", "69.00", "101.99"]);
        assert_eq!(invoice.credit(&[(0, Decimal::ONE)]), Err(CreditingError::TooMuch(0)));
    }

    #[test]
    fn many_small_lines_never_credit_more_tax_than_there_is() {
        let small = vec![order("1", "0.03", "20"); 10];
        let mut invoice = Invoice::of(&small, Discount::None);
        let taxes: Vec<String> =
            (0..10).map(|line| invoice.credit(&[(line, Decimal::ONE)]).unwrap().tax.to_string()).collect();
        assert_eq!(taxes, ["0.01", "0.01", "0.01", "0.01", "0.01", "0.01", "0.00", "0.00", "0.00", "0.00"]);
    }

    #[test]
    fn a_line_is_named_once_and_there() {
        let mut invoice = Invoice::of(&[order("3", "10.00", "20")], Discount::None);
        let one = Decimal::ONE;
        assert_eq!(invoice.credit(&[(1, one)]), Err(CreditingError::Line(0)));
        assert_eq!(invoice.credit(&[(0, one), (0, one)]), Err(CreditingError::Line(1)));
        let thirds: Vec<String> =
            (0..3).map(|_| invoice.credit(&[(0, one)]).unwrap().gross.to_string()).collect();
        assert_eq!(thirds, ["12.00", "12.00", "12.00"]);
    }

    proptest! {
        #[test]
        fn all_notes_together_equal_the_invoice(
            lines in prop::collection::vec((1_i64..5, 0_i64..100_000, prop::sample::select(vec![0_i64, 7, 20])), 1..8),
            percent in 0_i64..=100, seed in prop::collection::vec(any::<prop::sample::Index>(), 40),
        ) {
            let orders: Vec<LineOrder> = lines
                .iter()
                .map(|(quantity, price, rate)| LineOrder {
                    quantity: Decimal::from(*quantity),
                    unit_price: Money::rounded(Decimal::new(*price, 2), "EUR".parse().unwrap()).unwrap(),
                    discount: Discount::None,
                    tax_rate: Decimal::from(*rate),
                })
                .collect();
            let mut invoice = Invoice::of(&orders, Discount::Percent(Decimal::from(percent)));
            let mut total = Decimal::ZERO;
            for index in &seed {
                let open: Vec<usize> = (0..invoice.lines.len())
                    .filter(|at| invoice.lines[*at].credited_quantity < invoice.lines[*at].quantity)
                    .collect();
                if open.is_empty() {
                    break;
                }
                let note = invoice.credit(&[(*index.get(&open), Decimal::ONE)]).unwrap();
                prop_assert!(!note.net.is_negative() && !note.tax.is_negative());
                total += note.gross.amount();
                prop_assert!(total <= invoice.gross.amount());
            }
            if invoice.lines.iter().all(|line| line.credited_quantity == line.quantity) {
                prop_assert_eq!(total, invoice.gross.amount());
            }
        }
    }
}
