//! Registering patients and changing their records.

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_types::error::FieldError;
use sea_orm::{
    ActiveModelTrait, EntityTrait, IntoActiveModel, QuerySelect, Set, TryInsertResult, sea_query::LockType,
};

use super::{
    code::{PatientStatus, TelecomSystem},
    dto::{CreatePatient, Patient, Revision, UpdatePatient},
    entity::{ActiveModel, Column, Entity, Model},
    mrn, names, open_identifier,
    partial_date::PartialDate,
    parts::{self, NOTES, Parts, sealed, tidied},
    query::{THING, assemble, refuse_closed},
    trace,
};
use crate::{PatientId, change, error::CoreError, event, folding, validation};

/// How often a record number is drawn before registering is given up.
const MRN_ATTEMPTS: u32 = 10;
/// Nobody who is alive, and hardly a record that is still kept, is older.
const FIRST_BIRTH_YEAR: i32 = 1850;

/// Registers a patient and gives a record number.
///
/// Needs `patient.write`. Writes one audit row and the event `patient.created`.
///
/// # Errors
/// [`CoreError::Invalid`]; [`CoreError::Taken`] when another patient has one of the identifiers;
/// [`CoreError::Cipher`]; [`CoreError::Database`].
#[tracing::instrument(name = "core.patient.create", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn create(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    input: CreatePatient,
) -> Result<Patient, CoreError> {
    validation::check(&input)?;
    let (id, now) = (PatientId::new(scope.next_id()), scope.now());
    let (mut row, belongings) = record(scope, cipher, (id, now, now), input)?;
    check_guarantor(tx, &row).await?;
    open_identifier::require_free(tx, scope, cipher, (id, &belongings.identifiers)).await?;
    insert_with_record_number(tx, scope, &mut row).await?;
    belongings.insert(tx).await?;
    names::write_tokens(tx, scope, &row).await?;
    let patient = assemble(scope, cipher, &row, &belongings)?;
    trace::created(tx, scope, event::PATIENT_CREATED, &patient).await?;
    Ok(patient)
}

/// Makes a record of an input that was checked, without a record number, with its id and when it was made and changed.
pub(super) fn record(
    scope: &TenantScope,
    cipher: &FieldCipher,
    (id, created_at, updated_at): (PatientId, DateTime<Utc>, DateTime<Utc>),
    input: CreatePatient,
) -> Result<(Model, Parts), CoreError> {
    let mut telecoms = parts::phone_rows(scope, id, input.phones, &[])?;
    telecoms.extend(parts::email_rows(scope, id, input.emails, &[]));
    let belongings = Parts {
        telecoms,
        addresses: parts::address_rows(scope, id, input.addresses),
        identifiers: open_identifier::rows(scope, cipher, id, input.identifiers, &[])?,
        contacts: parts::contact_rows(scope, id, input.emergency_contacts),
    };
    let mut row = Model {
        id,
        version: 1,
        created_at,
        updated_at,
        mrn: String::new(),
        status: PatientStatus::Active,
        merged_into_id: None,
        family_name: folding::tidy(&input.family_name),
        given_name: folding::tidy(&input.given_name),
        middle_name: tidied(input.middle_name),
        usual_name: tidied(input.usual_name),
        original_script_name: tidied(input.original_script_name),
        gender: input.gender.unwrap_or_default(),
        birth_date: input.birth_date.map(PartialDate::first),
        birth_date_precision: input.birth_date.map(PartialDate::precision),
        deceased: input.deceased.unwrap_or(input.deceased_on.is_some()),
        deceased_on: input.deceased_on,
        preferred_language: input.preferred_language,
        guarantor_id: input.guarantor_id,
        blood_type: input.blood_type,
        no_known_allergies_at: None,
        notes: seal_notes(scope, cipher, id, input.notes)?,
        sort_name: String::new(),
        search_text: String::new(),
    };
    names::fold(&mut row);
    check_life(scope, &row)?;
    Ok((row, belongings))
}

/// Changes a patient's record; a change that changes nothing leaves no trace and no new version.
///
/// Needs `patient.write`. Writes one audit row and the event `patient.updated`.
///
/// # Errors
/// [`CoreError::Invalid`]; [`CoreError::NotFound`]; [`CoreError::PatientGone`] when it was merged or erased;
/// [`CoreError::RefusedTransition`] when it was entered in error; [`CoreError::Stale`] unless the expected version
/// is `None` or the present one; [`CoreError::Taken`] when another patient has one of the identifiers;
/// [`CoreError::Cipher`]; [`CoreError::Database`].
#[tracing::instrument(name = "core.patient.update", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn update(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    revision: Revision,
    patch: UpdatePatient,
) -> Result<Patient, CoreError> {
    validation::check(&patch)?;
    let old_row = locked(tx, revision).await?;
    let old_parts = Parts::load(tx, scope, cipher, old_row.id).await?;
    let old = assemble(scope, cipher, &old_row, &old_parts)?;

    let mut row = old_row.clone();
    let new_parts = apply(scope, cipher, patch, (&mut row, &old_parts))?;
    check_life(scope, &row)?;
    if row.guarantor_id != old_row.guarantor_id {
        check_guarantor(tx, &row).await?;
    }
    let new = assemble(scope, cipher, &row, &new_parts)?;
    if new == old {
        return Ok(old);
    }
    row.version += 1;
    row.updated_at = scope.now();
    write_parts(tx, scope, cipher, (&old, &old_parts), (&new, &new_parts)).await?;
    if names::of(&row).ne(names::of(&old_row)) {
        names::fold(&mut row);
        names::delete_tokens(tx, row.id).await?;
        names::write_tokens(tx, scope, &row).await?;
    }
    let new = Patient { version: row.version, updated_at: row.updated_at, ..new };
    changed_columns(row).update(tx).await?;
    trace::updated(tx, scope, event::PATIENT_UPDATED, (&old, &new)).await?;
    Ok(new)
}

/// Locks a patient's row against changes until the transaction ends; other rows may still refer to it.
async fn locked(tx: &TenantTransaction, revision: Revision) -> Result<Model, CoreError> {
    let found = Entity::find_by_id(revision.id).lock(LockType::NoKeyUpdate).one(tx).await?;
    let row = found.ok_or(CoreError::NotFound { thing: THING })?;
    refuse_closed(&row)?;
    change::expect_version(THING, revision.expected, row.version)?;
    Ok(row)
}

async fn insert_with_record_number(
    tx: &TenantTransaction,
    scope: &TenantScope,
    row: &mut Model,
) -> Result<(), CoreError> {
    for _ in 0..MRN_ATTEMPTS {
        row.mrn = mrn::draw(scope.next_id());
        let insert = Entity::insert(row.clone().into_active_model().reset_all());
        // A taken number inserts nothing; an error would end the whole transaction.
        match insert.on_conflict_do_nothing_on([Column::Mrn]).exec_without_returning(tx).await? {
            TryInsertResult::Inserted(1) => return Ok(()),
            TryInsertResult::Inserted(_) | TryInsertResult::Conflicted | TryInsertResult::Empty => {}
        }
    }
    Err(CoreError::Taken { what: "record number", code: "record_number_taken" })
}

/// Applies a patch to a record; returns what belongs to it then.
fn apply(
    scope: &TenantScope,
    cipher: &FieldCipher,
    patch: UpdatePatient,
    (row, present): (&mut Model, &Parts),
) -> Result<Parts, CoreError> {
    let id = row.id;
    match patch.status {
        Some(status @ (PatientStatus::Active | PatientStatus::Inactive)) => row.status = status,
        Some(_) => {
            return Err(CoreError::invalid(
                "/status",
                "not_settable",
                "can only be set to active or inactive",
            ));
        }
        None => {}
    }
    set(&mut row.family_name, patch.family_name.map(|name| folding::tidy(&name)));
    set(&mut row.given_name, patch.given_name.map(|name| folding::tidy(&name)));
    set(&mut row.middle_name, patch.middle_name.map(tidied));
    set(&mut row.usual_name, patch.usual_name.map(tidied));
    set(&mut row.original_script_name, patch.original_script_name.map(tidied));
    set(&mut row.gender, patch.gender.map(Option::unwrap_or_default));
    set(&mut row.birth_date, patch.birth_date.map(|date| date.map(PartialDate::first)));
    set(&mut row.birth_date_precision, patch.birth_date.map(|date| date.map(PartialDate::precision)));
    apply_death(row, patch.deceased, patch.deceased_on);
    set(&mut row.preferred_language, patch.preferred_language);
    set(&mut row.guarantor_id, patch.guarantor_id);
    set(&mut row.blood_type, patch.blood_type);
    if let Some(notes) = patch.notes {
        row.notes = seal_notes(scope, cipher, id, notes)?;
    }

    let mut parts = present.clone();
    if let Some(phones) = patch.phones {
        let rows = parts::phone_rows(scope, id, phones.unwrap_or_default(), &present.telecoms)?;
        replace_kind(&mut parts.telecoms, TelecomSystem::Phone, rows);
    }
    if let Some(emails) = patch.emails {
        let rows = parts::email_rows(scope, id, emails.unwrap_or_default(), &present.telecoms);
        replace_kind(&mut parts.telecoms, TelecomSystem::Email, rows);
    }
    if let Some(addresses) = patch.addresses {
        parts.addresses = parts::address_rows(scope, id, addresses.unwrap_or_default());
    }
    if let Some(identifiers) = patch.identifiers {
        let inputs = identifiers.unwrap_or_default();
        parts.identifiers = open_identifier::rows(scope, cipher, id, inputs, &present.identifiers)?;
        // Loaded, they stand in the order of their ids.
        parts.identifiers.sort_by_key(|one| one.row.id);
    }
    if let Some(contacts) = patch.emergency_contacts {
        parts.contacts = parts::contact_rows(scope, id, contacts.unwrap_or_default());
    }
    Ok(parts)
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// A day of death means dead, and alive means no day of death, unless the patch says both.
fn apply_death(row: &mut Model, deceased: Option<bool>, deceased_on: Option<Option<NaiveDate>>) {
    if let Some(day) = deceased_on {
        row.deceased_on = day;
        row.deceased |= day.is_some();
    }
    if let Some(deceased) = deceased {
        row.deceased = deceased;
        if !deceased && deceased_on.is_none() {
            row.deceased_on = None;
        }
    }
}

fn replace_kind(
    telecoms: &mut Vec<super::telecom::Model>,
    system: TelecomSystem,
    rows: Vec<super::telecom::Model>,
) {
    telecoms.retain(|row| row.system != system);
    telecoms.extend(rows);
    parts::sort_telecoms(telecoms);
}

/// Writes those of the lists that have changed.
async fn write_parts(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    (old, old_parts): (&Patient, &Parts),
    (new, new_parts): (&Patient, &Parts),
) -> Result<(), CoreError> {
    for system in [TelecomSystem::Phone, TelecomSystem::Email] {
        let of_kind = |patient: &Patient| -> Vec<_> {
            patient.telecoms.iter().filter(|telecom| telecom.system == system).cloned().collect()
        };
        if of_kind(old) != of_kind(new) {
            let rows: Vec<_> =
                new_parts.telecoms.iter().filter(|row| row.system == system).cloned().collect();
            parts::replace_telecoms(tx, new.id, system, &rows).await?;
        }
    }
    if old.addresses != new.addresses {
        parts::replace_addresses(tx, new.id, &new_parts.addresses).await?;
    }
    if old.emergency_contacts != new.emergency_contacts {
        parts::replace_contacts(tx, new.id, &new_parts.contacts).await?;
    }
    if old.identifiers != new.identifiers {
        open_identifier::require_free(tx, scope, cipher, (new.id, &new_parts.identifiers)).await?;
        open_identifier::replace(tx, scope, &old_parts.identifiers, &new_parts.identifiers).await?;
    }
    Ok(())
}

fn changed_columns(row: Model) -> ActiveModel {
    ActiveModel {
        id: sea_orm::Unchanged(row.id),
        version: Set(row.version),
        updated_at: Set(row.updated_at),
        status: Set(row.status),
        family_name: Set(row.family_name),
        given_name: Set(row.given_name),
        middle_name: Set(row.middle_name),
        usual_name: Set(row.usual_name),
        original_script_name: Set(row.original_script_name),
        gender: Set(row.gender),
        birth_date: Set(row.birth_date),
        birth_date_precision: Set(row.birth_date_precision),
        deceased: Set(row.deceased),
        deceased_on: Set(row.deceased_on),
        preferred_language: Set(row.preferred_language),
        guarantor_id: Set(row.guarantor_id),
        blood_type: Set(row.blood_type),
        notes: Set(row.notes),
        sort_name: Set(row.sort_name),
        search_text: Set(row.search_text),
        ..Default::default()
    }
}

fn seal_notes(
    scope: &TenantScope,
    cipher: &FieldCipher,
    id: PatientId,
    notes: Option<String>,
) -> Result<Option<Vec<u8>>, CoreError> {
    let Some(notes) = notes.filter(|notes| !notes.trim().is_empty()) else { return Ok(None) };
    cipher.seal_text(scope.tenant_id, NOTES, id.uuid(), notes.trim()).map(Some).map_err(sealed)
}

/// Refuses dates that no life has.
fn check_life(scope: &TenantScope, row: &Model) -> Result<(), CoreError> {
    let today = scope.now().with_timezone(&scope.time_zone).date_naive();
    let mut wrong = Vec::new();
    let mut refuse = |pointer, code, detail: &str| wrong.push(FieldError::new(pointer, code, detail));
    if let Some(birth) = row.birth_date {
        if birth > today {
            refuse("/birth_date", "in_future", "must not be in the future");
        } else if birth.year() < FIRST_BIRTH_YEAR {
            refuse("/birth_date", "too_early", "must not be before 1850");
        }
    }
    if let Some(death) = row.deceased_on {
        if death > today {
            refuse("/deceased_on", "in_future", "must not be in the future");
        } else if row.birth_date.is_some_and(|birth| death < birth) {
            refuse("/deceased_on", "before_birth", "must not be before the birth date");
        } else if !row.deceased {
            refuse("/deceased_on", "not_deceased", "must not be given for a person who is alive");
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(CoreError::Invalid(wrong)) }
}

/// Refuses a guarantor who is not a patient in use, or the patient themselves.
async fn check_guarantor(tx: &TenantTransaction, row: &Model) -> Result<(), CoreError> {
    let Some(guarantor_id) = row.guarantor_id else { return Ok(()) };
    if guarantor_id == row.id {
        return Err(CoreError::invalid("/guarantor_id", "self", "must be another patient"));
    }
    // Held until the commit, so that the guarantor is not merged away meanwhile.
    let guarantor = Entity::find_by_id(guarantor_id).lock(LockType::KeyShare).one(tx).await?;
    match guarantor {
        Some(found) if refuse_closed(&found).is_ok() => Ok(()),
        _ => Err(CoreError::invalid("/guarantor_id", "unknown", "must be a patient in use")),
    }
}
