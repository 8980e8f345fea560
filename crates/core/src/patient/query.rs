//! Reading one patient.

use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantScoped};
use sea_orm::EntityTrait;

use super::{
    code::{PatientStatus, TelecomSystem},
    dto::Patient,
    entity::{Entity, Model},
    partial_date::PartialDate,
    parts::{NOTES, Parts, sealed},
    telecom,
};
use crate::{PatientId, error::CoreError};

pub(super) const THING: &str = "patient";

/// Looks for a patient's record.
///
/// # Errors
/// [`CoreError::PatientGone`] when it was merged or erased; [`CoreError::Cipher`] when a sealed value can't be
/// opened; [`CoreError::Database`].
#[tracing::instrument(name = "core.patient.find", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn find(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    id: PatientId,
) -> Result<Option<Patient>, CoreError> {
    let Some(row) = Entity::find_by_id(id).one(db).await? else { return Ok(None) };
    refuse_gone(&row)?;
    let parts = Parts::load(db, scope, cipher, id).await?;
    assemble(scope, cipher, &row, &parts).map(Some)
}

/// Returns a patient's record.
///
/// # Errors
/// As [`find`], and [`CoreError::NotFound`].
pub async fn get(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    id: PatientId,
) -> Result<Patient, CoreError> {
    find(db, scope, cipher, id).await?.ok_or(CoreError::NotFound { thing: THING })
}

/// Makes sure that a patient is there and that new things may be recorded about them.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::PatientGone`]; [`CoreError::RefusedTransition`] when the record was
/// entered in error; [`CoreError::Database`].
pub async fn require(db: &impl TenantScoped, _scope: &TenantScope, id: PatientId) -> Result<(), CoreError> {
    let row = Entity::find_by_id(id).one(db).await?.ok_or(CoreError::NotFound { thing: THING })?;
    refuse_closed(&row)
}

pub(super) fn refuse_gone(row: &Model) -> Result<(), CoreError> {
    match row.status {
        PatientStatus::Merged | PatientStatus::Erased => Err(CoreError::PatientGone {
            status: row.status.as_str(),
            survivor: row.merged_into_id.map(PatientId::uuid),
        }),
        PatientStatus::Active | PatientStatus::Inactive | PatientStatus::EnteredInError => Ok(()),
    }
}

pub(super) fn refuse_closed(row: &Model) -> Result<(), CoreError> {
    refuse_gone(row)?;
    if row.status == PatientStatus::EnteredInError {
        let from = row.status.as_str();
        return Err(CoreError::RefusedTransition { from, action: "change", allowed: Vec::new() });
    }
    Ok(())
}

/// Puts a record together from its rows.
pub(super) fn assemble(
    scope: &TenantScope,
    cipher: &FieldCipher,
    row: &Model,
    parts: &Parts,
) -> Result<Patient, CoreError> {
    let open = |sealed_notes: &Vec<u8>| cipher.open_text(scope.tenant_id, NOTES, row.id.uuid(), sealed_notes);
    Ok(Patient {
        id: row.id,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
        mrn: row.mrn.clone(),
        status: row.status,
        family_name: row.family_name.clone(),
        given_name: row.given_name.clone(),
        middle_name: row.middle_name.clone(),
        usual_name: row.usual_name.clone(),
        original_script_name: row.original_script_name.clone(),
        gender: row.gender,
        birth_date: birth_date(row),
        deceased: row.deceased,
        deceased_on: row.deceased_on,
        preferred_language: row.preferred_language.clone(),
        guarantor_id: row.guarantor_id,
        blood_type: row.blood_type,
        no_known_allergies_at: row.no_known_allergies_at,
        notes: row.notes.as_ref().map(open).transpose().map_err(sealed)?,
        phones: values(&parts.telecoms, TelecomSystem::Phone),
        emails: values(&parts.telecoms, TelecomSystem::Email),
        telecoms: parts.telecoms.iter().map(Into::into).collect(),
        addresses: parts.addresses.iter().map(Into::into).collect(),
        identifiers: parts.identifiers.iter().map(Into::into).collect(),
        emergency_contacts: parts.contacts.iter().map(Into::into).collect(),
    })
}

/// Lists the values of one kind of telecom.
pub(super) fn values<'a>(
    telecoms: impl IntoIterator<Item = &'a telecom::Model>,
    system: TelecomSystem,
) -> Vec<String> {
    telecoms.into_iter().filter(|row| row.system == system).map(|row| row.value.clone()).collect()
}

fn birth_date(row: &Model) -> Option<PartialDate> {
    row.birth_date.zip(row.birth_date_precision).map(|(date, precision)| PartialDate::new(date, precision))
}
