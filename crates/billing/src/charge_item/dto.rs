//! What callers hear about what can be billed.

use chrono::{DateTime, Utc};
use clinicx_core::{PatientId, StaffId};
use schemars::JsonSchema;
use sea_orm::{DeriveActiveEnum, EnumIter};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::entity::Model;
use crate::{ChargeItemId, InvoiceId, input::shown};

/// Where something that can be billed stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
pub enum ChargeItemStatus {
    /// Waits for an invoice.
    Open,
    /// Stands on an invoice.
    Billed,
    /// Was taken back and will never be billed.
    Withdrawn,
}

/// Something that can be billed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChargeItem {
    /// Which one.
    pub id: ChargeItemId,
    /// Raised by every change; the ETag.
    pub version: i64,
    /// When it was handed over.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// The kind of thing that was done, such as `treatment`.
    pub source_kind: String,
    /// Its id there.
    pub source_id: Uuid,
    /// For whom.
    pub patient_id: PatientId,
    /// By whom.
    pub staff_id: Option<StaffId>,
    /// The code in the catalogue of the module that did it.
    pub code: String,
    /// The catalogue's words for it.
    pub description: String,
    /// How many, a decimal string.
    pub quantity: String,
    /// The net price of one, a decimal string; none when nobody has named one.
    pub unit_price: Option<String>,
    /// The currency of the price (ISO 4217).
    pub currency: Option<String>,
    /// The tax in percent, a decimal string, when it is known already.
    pub tax_rate: Option<String>,
    /// When it was done.
    pub performed_at: DateTime<Utc>,
    /// Where it stands.
    pub status: ChargeItemStatus,
    /// The invoice on which it stands.
    pub invoice_id: Option<InvoiceId>,
}

impl From<Model> for ChargeItem {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            source_kind: row.source_kind,
            source_id: row.source_id,
            patient_id: row.patient_id,
            staff_id: row.staff_id,
            code: row.code,
            description: row.description,
            quantity: row.quantity.normalize().to_string(),
            unit_price: row.unit_price.zip(row.currency.as_deref()).map(|(price, code)| shown(price, code)),
            currency: row.currency,
            tax_rate: row.tax_rate.map(|rate| rate.normalize().to_string()),
            performed_at: row.performed_at,
            status: row.status,
            invoice_id: row.invoice_id,
        }
    }
}

/// Which of them a list holds; an absent field asks for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChargeItemFilter {
    /// Those of this patient.
    pub patient_id: Option<PatientId>,
    /// Those in this state.
    pub status: Option<ChargeItemStatus>,
}
