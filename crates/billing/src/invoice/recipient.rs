//! Who is named on an invoice.

use std::fmt;

use clinicx_core::{
    PatientId,
    patient::{address, entity},
};
use clinicx_persistence::TenantScoped;
use schemars::JsonSchema;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde::{Deserialize, Serialize};

use crate::error::{BillingError, Result};

/// Who was to pay when an invoice was issued.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recipient {
    /// The guarantor.
    pub patient_id: PatientId,
    /// The guarantor's name.
    pub name: String,
    /// The guarantor's address, line by line, as far as it was known.
    pub address: Vec<String>,
    /// The name of the patient for whom something was done, when somebody else pays.
    pub patient_name: Option<String>,
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipient").field("patient_id", &self.patient_id).finish_non_exhaustive()
    }
}

impl Recipient {
    /// Reads who a guarantor and the patient for whom they pay are now.
    pub(super) async fn of(db: &impl TenantScoped, (id, patient): (PatientId, PatientId)) -> Result<Self> {
        let patient_name = if patient == id { None } else { Some(name_of(db, patient).await?) };
        let name = name_of(db, id).await?;
        let home = address::Entity::find()
            .filter(address::Column::PatientId.eq(id))
            .order_by_asc(address::Column::Rank)
            .one(db)
            .await?;
        Ok(Self { patient_id: id, name, address: home.map(lines).unwrap_or_default(), patient_name })
    }
}

async fn name_of(db: &impl TenantScoped, id: PatientId) -> Result<String> {
    let found = entity::Entity::find_by_id(id).one(db).await?;
    let person = found.ok_or_else(|| BillingError::not_found("patient"))?;
    let name = format!("{} {}", person.given_name, person.family_name);
    Ok(person.original_script_name.unwrap_or(name))
}

fn lines(home: address::Model) -> Vec<String> {
    let place: Vec<String> = [home.postal_code, home.city].into_iter().flatten().collect();
    let place = if place.is_empty() { None } else { Some(place.join(" ")) };
    [home.line1, home.line2, place, home.state, home.country].into_iter().flatten().collect()
}
