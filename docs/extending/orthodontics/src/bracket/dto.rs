//! What callers say and hear about brackets.

use chrono::{DateTime, NaiveDate, Utc};
use clinicx_core::PatientId;
use clinicx_dental::tooth::Tooth;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::entity::{BracketKind, Model};
use crate::BracketId;

/// A bracket that is or was bonded to a tooth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Bracket {
    /// Which one.
    pub id: BracketId,
    /// Raised by every change; the ETag.
    pub version: i64,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Whose tooth it is.
    pub patient_id: PatientId,
    /// The tooth (ISO 3950).
    pub tooth: Tooth,
    /// Which kind.
    pub kind: BracketKind,
    /// Since which day it is there.
    pub bonded_on: NaiveDate,
    /// Since which day it is there no more.
    pub removed_on: Option<NaiveDate>,
}

impl From<Model> for Bracket {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            patient_id: row.patient_id,
            tooth: row.tooth,
            kind: row.kind,
            bonded_on: row.bonded_on,
            removed_on: row.removed_on,
        }
    }
}

/// A bracket is bonded.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct BondBracket {
    /// The tooth (ISO 3950).
    pub tooth: Tooth,
    /// Which kind.
    pub kind: BracketKind,
    /// On which day; today unless said otherwise.
    pub bonded_on: Option<NaiveDate>,
}

/// A bracket is taken off.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct RemoveBracket {
    /// On which day; today unless said otherwise.
    pub removed_on: Option<NaiveDate>,
}
