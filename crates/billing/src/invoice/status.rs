//! The states of an invoice and the moves between them. Pure: no clock, no database.

use clinicx_core::CoreError;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use sea_orm::{DeriveActiveEnum, EnumIter};
use serde::{Deserialize, Serialize};

/// Where an invoice stands (FHIR `invoice-status`).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
pub enum InvoiceStatus {
    /// Can still be changed; has no number.
    Draft,
    /// Has its number, and something of it is due.
    Issued,
    /// Has its number, and nothing of it is due.
    Balanced,
    /// Was issued and is not asked for any more.
    Cancelled,
    /// Should never have been made; was never issued.
    EnteredInError,
}

impl InvoiceStatus {
    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Issued => "issued",
            Self::Balanced => "balanced",
            Self::Cancelled => "cancelled",
            Self::EnteredInError => "entered-in-error",
        }
    }

    /// Returns the states that can follow. An invoice that is balanced is issued again when money is taken off it.
    pub const fn next(self) -> &'static [Self] {
        match self {
            Self::Draft => &[Self::Issued, Self::EnteredInError],
            Self::Issued => &[Self::Balanced, Self::Cancelled],
            Self::Balanced => &[Self::Issued, Self::Cancelled],
            Self::Cancelled | Self::EnteredInError => &[],
        }
    }

    /// Returns the states into which somebody can move it; that something or nothing is due follows from money.
    pub const fn moves(self) -> &'static [Self] {
        match self {
            Self::Draft => &[Self::Issued, Self::EnteredInError],
            Self::Issued | Self::Balanced => &[Self::Cancelled],
            Self::Cancelled | Self::EnteredInError => &[],
        }
    }

    /// Returns the state of an issued invoice of which this much is due.
    pub fn of_due(due: Decimal) -> Self {
        if due > Decimal::ZERO { Self::Issued } else { Self::Balanced }
    }

    /// Tells whether it was issued and is still asked for.
    pub const fn is_open_to_money(self) -> bool {
        matches!(self, Self::Issued | Self::Balanced)
    }

    /// Refuses something that this state does not allow.
    pub(crate) fn refused_to(self, action: &'static str) -> CoreError {
        let allowed = self.moves().iter().map(|next| next.as_str()).collect();
        CoreError::RefusedTransition { from: self.as_str(), action, allowed }
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::Iterable;

    use super::*;

    #[test]
    fn what_is_due_decides() {
        assert_eq!(InvoiceStatus::of_due(Decimal::ZERO), InvoiceStatus::Balanced);
        assert_eq!(InvoiceStatus::of_due(Decimal::new(1, 2)), InvoiceStatus::Issued);
    }

    #[test]
    fn every_move_leads_to_a_state_that_can_follow() {
        for status in InvoiceStatus::iter() {
            assert!(status.moves().iter().all(|to| status.next().contains(to)), "{status:?}");
        }
    }

    #[test]
    fn what_has_ended_stays() {
        assert!(InvoiceStatus::Cancelled.next().is_empty());
        assert!(InvoiceStatus::EnteredInError.next().is_empty());
        assert!(!InvoiceStatus::Draft.is_open_to_money());
    }
}
