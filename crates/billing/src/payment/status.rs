//! The states of a payment and the moves between them, and the means. Pure: no clock, no database.

use clinicx_core::CoreError;
use schemars::JsonSchema;
use sea_orm::{DeriveActiveEnum, EnumIter};
use serde::{Deserialize, Serialize};

/// Where a payment stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
pub enum PaymentStatus {
    /// Under way: counts for nothing yet.
    Pending,
    /// Arrived.
    Completed,
    /// Did not arrive.
    Failed,
    /// Had arrived, and does not count any more.
    Voided,
}

impl PaymentStatus {
    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Voided => "voided",
        }
    }

    /// Returns the states that can follow.
    pub const fn next(self) -> &'static [Self] {
        match self {
            Self::Pending => &[Self::Completed, Self::Failed],
            Self::Completed => &[Self::Voided],
            Self::Failed | Self::Voided => &[],
        }
    }

    /// Refuses something that this state does not allow.
    pub(crate) fn refused_to(self, action: &'static str) -> CoreError {
        let allowed = self.next().iter().map(|next| next.as_str()).collect();
        CoreError::RefusedTransition { from: self.as_str(), action, allowed }
    }
}

/// By which means money changes hands.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
pub enum PaymentMethod {
    /// Notes and coins.
    Cash,
    /// A card.
    Card,
    /// From one bank account to another.
    Transfer,
    /// A cheque.
    Cheque,
    /// An insurer.
    Insurance,
}

#[cfg(test)]
mod tests {
    use super::PaymentStatus;

    #[test]
    fn only_what_has_arrived_can_be_voided() {
        for status in [PaymentStatus::Pending, PaymentStatus::Failed, PaymentStatus::Voided] {
            assert!(!status.next().contains(&PaymentStatus::Voided));
        }
        assert_eq!(PaymentStatus::Completed.next(), [PaymentStatus::Voided]);
    }
}
