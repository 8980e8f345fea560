//! Everything that an operation of this crate can refuse.

use clinicx_core::CoreError;
use clinicx_persistence::Failure;
use clinicx_types::error::{DomainError, ErrorKind, FieldError};
use sea_orm::DbErr;
use uuid::Uuid;

/// Why an operation was refused.
#[derive(Debug, thiserror::Error)]
pub enum BillingError {
    /// What every operation of a clinic can refuse: input, states, versions, the database.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// What was done stands on an invoice already, or was taken back.
    #[error("it is billed already or can't be billed any more")]
    AlreadyBilled {
        /// The invoices on which it stands.
        invoices: Vec<Uuid>,
    },
    /// An invoice without lines can't be issued.
    #[error("an invoice without lines can't be issued")]
    NothingToIssue,
    /// Money is allocated to the invoice; it must be released first.
    #[error("money is allocated to the invoice and must be released first")]
    MoneyAllocated,
    /// More is allocated than the invoice or the payment has left, or more is released than is allocated.
    #[error("the amount is above what is left of the {thing}")]
    OverAllocation {
        /// `invoice`, `payment` or `allocation`.
        thing: &'static str,
    },
    /// More is given back than is left of the payment.
    #[error("the amount is above what is left of the payment")]
    OverRefund,
    /// Something of the payment was given back already, so that it can't be voided.
    #[error("something of the payment was given back already")]
    Refunded,
    /// More is credited than is left of a line.
    #[error("more is credited than is left of the invoice's lines")]
    OverCredit {
        /// Which wishes.
        fields: Vec<FieldError>,
    },
    /// The invoice is paid by an active installment plan already.
    #[error("the invoice has an installment plan already")]
    PlanActive,
    /// Nothing of the invoice is left to be paid.
    #[error("nothing of the invoice is left to be paid")]
    NothingDue,
}

/// The result of an operation of this crate.
pub type Result<T> = std::result::Result<T, BillingError>;

impl BillingError {
    /// Makes the error of one wrong field.
    pub fn invalid(pointer: &str, code: &str, detail: &str) -> Self {
        Self::Core(CoreError::invalid(pointer, code, detail))
    }

    /// Makes the error of something that is not there.
    pub fn not_found(thing: &'static str) -> Self {
        Self::Core(CoreError::NotFound { thing })
    }
}

impl From<DbErr> for BillingError {
    fn from(error: DbErr) -> Self {
        Self::Core(error.into())
    }
}

impl From<Failure> for BillingError {
    fn from(failure: Failure) -> Self {
        Self::Core(CoreError::Database(failure))
    }
}

impl From<Vec<FieldError>> for BillingError {
    fn from(fields: Vec<FieldError>) -> Self {
        Self::Core(CoreError::Invalid(fields))
    }
}

impl From<FieldError> for BillingError {
    fn from(field: FieldError) -> Self {
        vec![field].into()
    }
}

impl DomainError for BillingError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Core(error) => error.kind(),
            _ => ErrorKind::Conflict,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Core(error) => error.code(),
            Self::AlreadyBilled { .. } => "already_billed",
            Self::NothingToIssue => "nothing_to_issue",
            Self::MoneyAllocated => "money_allocated",
            Self::OverAllocation { .. } => "over_allocation",
            Self::OverRefund => "over_refund",
            Self::Refunded => "payment_refunded",
            Self::OverCredit { .. } => "over_credit",
            Self::PlanActive => "installment_plan_active",
            Self::NothingDue => "nothing_due",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Core(error) => error.detail(),
            other => other.to_string(),
        }
    }

    fn fields(&self) -> Vec<FieldError> {
        match self {
            Self::Core(error) => error.fields(),
            Self::OverCredit { fields } => fields.clone(),
            _ => Vec::new(),
        }
    }

    fn allowed(&self) -> Vec<&'static str> {
        match self {
            Self::Core(error) => error.allowed(),
            _ => Vec::new(),
        }
    }

    fn conflicts(&self) -> Vec<Uuid> {
        match self {
            Self::Core(error) => error.conflicts(),
            Self::AlreadyBilled { invoices } => invoices.clone(),
            _ => Vec::new(),
        }
    }
}
