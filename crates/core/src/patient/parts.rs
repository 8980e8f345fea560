//! What belongs to a patient in tables of its own: made from input, loaded, written, and put into an answer.

use std::collections::BTreeSet;

use clinicx_keys::{CipherError, Field, FieldCipher};
use clinicx_persistence::{TenantScope, TenantScoped, TenantTransaction};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder};

use super::{
    address,
    code::TelecomSystem,
    dto::{Address, EmergencyContact, Telecom},
    emergency_contact,
    input::{AddressInput, EmailInput, EmergencyContactInput, PhoneInput},
    open_identifier::{self, OpenIdentifier},
    telecom,
};
use crate::{
    PatientId,
    error::CoreError,
    folding,
    phone::{Phone, Region},
};

/// The sealed column of notes.
pub(crate) const NOTES: Field = Field { table: "patients", column: "notes" };

/// All that belongs to one patient.
#[derive(Clone, Default)]
pub(super) struct Parts {
    pub(super) telecoms: Vec<telecom::Model>,
    pub(super) addresses: Vec<address::Model>,
    pub(super) identifiers: Vec<OpenIdentifier>,
    pub(super) contacts: Vec<emergency_contact::Model>,
}

impl Parts {
    pub(super) async fn load(
        db: &impl TenantScoped,
        scope: &TenantScope,
        cipher: &FieldCipher,
        id: PatientId,
    ) -> Result<Self, CoreError> {
        Ok(Self {
            telecoms: telecoms_of(db, &[id]).await?,
            addresses: address::Entity::find()
                .filter(address::Column::PatientId.eq(id))
                .order_by_asc(address::Column::Rank)
                .order_by_asc(address::Column::Id)
                .all(db)
                .await?,
            identifiers: open_identifier::load(db, scope, cipher, id).await?,
            contacts: emergency_contact::Entity::find()
                .filter(emergency_contact::Column::PatientId.eq(id))
                .order_by_asc(emergency_contact::Column::Rank)
                .order_by_asc(emergency_contact::Column::Id)
                .all(db)
                .await?,
        })
    }

    /// Writes everything; none of it is there yet.
    pub(super) async fn insert(&self, tx: &TenantTransaction) -> Result<(), CoreError> {
        insert_telecoms(tx, &self.telecoms).await?;
        insert_addresses(tx, &self.addresses).await?;
        open_identifier::insert(tx, &self.identifiers).await?;
        insert_contacts(tx, &self.contacts).await
    }
}

/// Loads the telecoms of patients, each patient's in their order.
pub(super) async fn telecoms_of(
    db: &impl TenantScoped,
    ids: &[PatientId],
) -> Result<Vec<telecom::Model>, CoreError> {
    let mut rows =
        telecom::Entity::find().filter(telecom::Column::PatientId.is_in(ids.iter().copied())).all(db).await?;
    sort_telecoms(&mut rows);
    Ok(rows)
}

/// Puts telephones before e-mail addresses, and each kind in its own order.
pub(super) fn sort_telecoms(rows: &mut [telecom::Model]) {
    rows.sort_by_key(|row| (row.system, row.rank, row.id));
}

/// Makes rows of telephone numbers; what `present` knows about a number that stays is kept.
pub(super) fn phone_rows(
    scope: &TenantScope,
    patient_id: PatientId,
    inputs: Vec<PhoneInput>,
    present: &[telecom::Model],
) -> Result<Vec<telecom::Model>, CoreError> {
    let region = Region::of_locale(&scope.locale);
    let mut rows = Vec::with_capacity(inputs.len());
    for (input, place) in inputs.into_iter().zip(1_i16..) {
        let phone = Phone::parse(&input.value, region).ok_or_else(|| {
            CoreError::invalid(&format!("/phones/{}", place - 1), "no_digit", "must have at least one digit")
        })?;
        let known = present.iter().find(|row| row.system == TelecomSystem::Phone && row.value == phone.value);
        rows.push(telecom::Model {
            system: TelecomSystem::Phone,
            value_raw: phone.raw,
            value: phone.value,
            reversed_digits: Some(phone.reversed),
            usage: input.usage.or(known.and_then(|row| row.usage)),
            rank: input.rank.unwrap_or(place),
            opt_out: input.opt_out.unwrap_or(known.is_some_and(|row| row.opt_out)),
            ..empty_telecom(scope, patient_id)
        });
    }
    Ok(in_order(rows))
}

/// Makes rows of e-mail addresses; what `present` knows about an address that stays is kept.
pub(super) fn email_rows(
    scope: &TenantScope,
    patient_id: PatientId,
    inputs: Vec<EmailInput>,
    present: &[telecom::Model],
) -> Vec<telecom::Model> {
    let rows = inputs.into_iter().zip(1_i16..).map(|(input, place)| {
        let raw = folding::tidy(&input.value);
        let value = raw.to_lowercase();
        let known = present.iter().find(|row| row.system == TelecomSystem::Email && row.value == value);
        telecom::Model {
            system: TelecomSystem::Email,
            value_raw: raw,
            value,
            reversed_digits: None,
            usage: input.usage.or(known.and_then(|row| row.usage)),
            rank: input.rank.unwrap_or(place),
            opt_out: input.opt_out.unwrap_or(known.is_some_and(|row| row.opt_out)),
            ..empty_telecom(scope, patient_id)
        }
    });
    in_order(rows.collect())
}

/// Makes rows of addresses.
pub(super) fn address_rows(
    scope: &TenantScope,
    patient_id: PatientId,
    inputs: Vec<AddressInput>,
) -> Vec<address::Model> {
    let now = scope.now();
    let rows = inputs.into_iter().zip(1_i16..).map(|(input, rank)| address::Model {
        id: scope.next_id(),
        created_at: now,
        updated_at: now,
        patient_id,
        usage: input.usage,
        line1: tidied(input.line1),
        line2: tidied(input.line2),
        city: tidied(input.city),
        state: tidied(input.state),
        postal_code: tidied(input.postal_code),
        country: input.country.map(|country| country.to_ascii_uppercase()),
        rank,
    });
    rows.collect()
}

/// Makes rows of people to call.
pub(super) fn contact_rows(
    scope: &TenantScope,
    patient_id: PatientId,
    inputs: Vec<EmergencyContactInput>,
) -> Vec<emergency_contact::Model> {
    let region = Region::of_locale(&scope.locale);
    let now = scope.now();
    let rows = inputs.into_iter().zip(1_i16..).map(|(input, rank)| {
        let phone = input.phone.and_then(|typed| Phone::parse(&typed, region));
        let (phone_raw, phone) = phone.map(|phone| (phone.raw, phone.value)).unzip();
        emergency_contact::Model {
            id: scope.next_id(),
            created_at: now,
            updated_at: now,
            patient_id,
            name: folding::tidy(&input.name),
            relationship: tidied(input.relationship),
            phone_raw,
            phone,
            rank,
        }
    });
    rows.collect()
}

/// Replaces the telecoms of one kind.
pub(super) async fn replace_telecoms(
    tx: &TenantTransaction,
    patient_id: PatientId,
    system: TelecomSystem,
    rows: &[telecom::Model],
) -> Result<(), CoreError> {
    telecom::Entity::delete_many()
        .filter(telecom::Column::PatientId.eq(patient_id))
        .filter(telecom::Column::System.eq(system))
        .exec(tx)
        .await?;
    insert_telecoms(tx, rows).await
}

/// Replaces the addresses.
pub(super) async fn replace_addresses(
    tx: &TenantTransaction,
    patient_id: PatientId,
    rows: &[address::Model],
) -> Result<(), CoreError> {
    address::Entity::delete_many().filter(address::Column::PatientId.eq(patient_id)).exec(tx).await?;
    insert_addresses(tx, rows).await
}

/// Replaces the people to call.
pub(super) async fn replace_contacts(
    tx: &TenantTransaction,
    patient_id: PatientId,
    rows: &[emergency_contact::Model],
) -> Result<(), CoreError> {
    emergency_contact::Entity::delete_many()
        .filter(emergency_contact::Column::PatientId.eq(patient_id))
        .exec(tx)
        .await?;
    insert_contacts(tx, rows).await
}

/// Tidies a text that may be missing.
pub(super) fn tidied(text: Option<String>) -> Option<String> {
    text.map(|text| folding::tidy(&text))
}

/// Keeps from a failed sealing or opening what the caller may know: nothing.
pub(crate) fn sealed(error: CipherError) -> CoreError {
    if error.wants_new_cipher() {
        return CoreError::KeysChanged;
    }
    tracing::error!(error.kind = "cipher", reason = %error, "a sealed field could not be handled");
    CoreError::Cipher
}

fn empty_telecom(scope: &TenantScope, patient_id: PatientId) -> telecom::Model {
    let now = scope.now();
    telecom::Model {
        id: scope.next_id(),
        created_at: now,
        updated_at: now,
        patient_id,
        system: TelecomSystem::Phone,
        value_raw: String::new(),
        value: String::new(),
        reversed_digits: None,
        usage: None,
        rank: 1,
        opt_out: false,
    }
}

/// Sorts by rank and drops what stands there twice.
fn in_order(mut rows: Vec<telecom::Model>) -> Vec<telecom::Model> {
    rows.sort_by_key(|row| row.rank);
    let mut seen = BTreeSet::new();
    rows.retain(|row| seen.insert(row.value.clone()));
    rows
}

async fn insert_telecoms(tx: &TenantTransaction, rows: &[telecom::Model]) -> Result<(), CoreError> {
    if !rows.is_empty() {
        let rows = rows.iter().map(|row| row.clone().into_active_model().reset_all());
        telecom::Entity::insert_many(rows).exec_without_returning(tx).await?;
    }
    Ok(())
}

async fn insert_addresses(tx: &TenantTransaction, rows: &[address::Model]) -> Result<(), CoreError> {
    if !rows.is_empty() {
        let rows = rows.iter().map(|row| row.clone().into_active_model().reset_all());
        address::Entity::insert_many(rows).exec_without_returning(tx).await?;
    }
    Ok(())
}

async fn insert_contacts(tx: &TenantTransaction, rows: &[emergency_contact::Model]) -> Result<(), CoreError> {
    if !rows.is_empty() {
        let rows = rows.iter().map(|row| row.clone().into_active_model().reset_all());
        emergency_contact::Entity::insert_many(rows).exec_without_returning(tx).await?;
    }
    Ok(())
}

impl From<&telecom::Model> for Telecom {
    fn from(row: &telecom::Model) -> Self {
        Self {
            system: row.system,
            value: row.value.clone(),
            value_raw: row.value_raw.clone(),
            usage: row.usage,
            rank: row.rank,
            opt_out: row.opt_out,
        }
    }
}

impl From<&address::Model> for Address {
    fn from(row: &address::Model) -> Self {
        Self {
            usage: row.usage,
            line1: row.line1.clone(),
            line2: row.line2.clone(),
            city: row.city.clone(),
            state: row.state.clone(),
            postal_code: row.postal_code.clone(),
            country: row.country.clone(),
        }
    }
}

impl From<&emergency_contact::Model> for EmergencyContact {
    fn from(row: &emergency_contact::Model) -> Self {
        Self { name: row.name.clone(), relationship: row.relationship.clone(), phone: row.phone.clone() }
    }
}
