//! The table `patients`.

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::entity::prelude::*;

use super::{
    code::{BloodType, Gender, PatientStatus},
    partial_date::DatePrecision,
};
use crate::PatientId;

/// A patient's own row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "patients")]
pub struct Model {
    /// Which patient.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: PatientId,
    /// How often the record was written.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// The medical record number: what the clinic calls the patient by.
    pub mrn: String,
    /// Where the record stands.
    pub status: PatientStatus,
    /// The record into which this one was merged.
    pub merged_into_id: Option<PatientId>,
    /// The official family name.
    pub family_name: String,
    /// The official given name.
    pub given_name: String,
    /// Further official names.
    pub middle_name: Option<String>,
    /// The name the person goes by.
    pub usual_name: Option<String>,
    /// The name as the person's own script writes it.
    pub original_script_name: Option<String>,
    /// Administrative gender.
    pub gender: Gender,
    /// The birth date; what its precision leaves open is set to the first.
    pub birth_date: Option<NaiveDate>,
    /// How exactly the birth date is known.
    pub birth_date_precision: Option<DatePrecision>,
    /// Whether the person has died.
    pub deceased: bool,
    /// When the person died.
    pub deceased_on: Option<NaiveDate>,
    /// The language that the person prefers, BCP 47.
    pub preferred_language: Option<String>,
    /// The patient who pays.
    pub guarantor_id: Option<PatientId>,
    /// The blood type.
    pub blood_type: Option<BloodType>,
    /// When somebody stated that no allergies are known.
    pub no_known_allergies_at: Option<DateTime<Utc>>,
    /// Notes, sealed.
    pub notes: Option<Vec<u8>>,
    /// The folded name by which lists are sorted.
    pub sort_name: String,
    /// All names folded, for search that forgives mistakes.
    pub search_text: String,
    /// Telephones and e-mail addresses.
    #[sea_orm(has_many)]
    pub telecoms: HasMany<super::telecom::Entity>,
    /// Addresses.
    #[sea_orm(has_many)]
    pub addresses: HasMany<super::address::Entity>,
    /// Identifiers that others have given.
    #[sea_orm(has_many)]
    pub identifiers: HasMany<super::identifier::Entity>,
    /// Whom to call.
    #[sea_orm(has_many)]
    pub emergency_contacts: HasMany<super::emergency_contact::Entity>,
    /// Folded words of the names.
    #[sea_orm(has_many)]
    pub search_tokens: HasMany<super::search_token::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
