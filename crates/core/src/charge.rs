//! What was done for a patient and can be billed: told by the module that did it, kept by the module that bills.
//!
//! The two do not know each other; the application hands the one's [`Charges`] to the other.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_types::money::Money;
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::{PatientId, StaffId, error::CoreError};

/// What was done: its kind, such as `treatment`, and its id there. Each is billed once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChargeSource {
    /// The kind of thing, in `snake_case`.
    pub kind: &'static str,
    /// Its id.
    pub id: Uuid,
}

/// Something that was done and can be billed (FHIR `ChargeItem`).
#[derive(Clone, Debug, PartialEq)]
pub struct Charge {
    /// What was done.
    pub source: ChargeSource,
    /// For whom.
    pub patient_id: PatientId,
    /// By whom.
    pub staff_id: Option<StaffId>,
    /// The code in the catalogue of the module that did it.
    pub code: String,
    /// What the invoice's line says.
    pub description: String,
    /// How many; above zero.
    pub quantity: Decimal,
    /// The net price of one; none while nobody has named one, so that the invoice's line has to.
    pub unit_price: Option<Money>,
    /// The tax in percent, when it is known already.
    pub tax_rate: Option<Decimal>,
    /// When it was done.
    pub performed_at: DateTime<Utc>,
}

/// What became of a charge that its module wanted back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawal {
    /// It is not billed and never will be; also when there was none.
    Withdrawn,
    /// It stands on an invoice and stays.
    Billed,
}

/// Keeps what can be billed.
#[async_trait]
pub trait Charges: Send + Sync {
    /// Keeps a charge, in the caller's transaction. A source that has one already keeps that one.
    ///
    /// # Errors
    /// [`CoreError::Invalid`] for what no invoice could hold; [`CoreError::Database`].
    async fn charge(
        &self,
        tx: &TenantTransaction,
        scope: &TenantScope,
        charge: Charge,
    ) -> Result<(), CoreError>;

    /// Takes back a source's charge unless it is billed, in the caller's transaction. The row stays locked, so that
    /// nobody bills it meanwhile.
    ///
    /// # Errors
    /// [`CoreError::Database`].
    async fn withdraw(
        &self,
        tx: &TenantTransaction,
        scope: &TenantScope,
        source: ChargeSource,
    ) -> Result<Withdrawal, CoreError>;
}

/// A clinic that bills nothing here: for tenants without billing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCharges;

#[async_trait]
impl Charges for NoCharges {
    async fn charge(&self, _: &TenantTransaction, _: &TenantScope, _: Charge) -> Result<(), CoreError> {
        Ok(())
    }

    async fn withdraw(
        &self,
        _: &TenantTransaction,
        _: &TenantScope,
        _: ChargeSource,
    ) -> Result<Withdrawal, CoreError> {
        Ok(Withdrawal::Withdrawn)
    }
}
