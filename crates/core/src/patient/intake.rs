//! Taking in patients from elsewhere.

use std::collections::HashMap;

use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_types::error::FieldError;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, JsonValue, QueryFilter, QueryOrder,
    sea_query::Expr,
};
use uuid::Uuid;

use super::{
    address,
    code::PatientStatus,
    dto::CreatePatient,
    emergency_contact,
    entity::{Column, Entity, Model},
    identifier, mrn, names,
    open_identifier::{self, OpenIdentifier},
    parts::{self, Parts},
    query::assemble,
    search_token, service, telecom,
};
use crate::{
    PatientId,
    error::CoreError,
    folding,
    intake::{Origin, input, put, shown, taken},
    validation::{self, one_line},
};

/// The most characters of a record number that comes from elsewhere.
const MAX_MRN: usize = 50;

/// A patient's record that is not written yet.
#[derive(Clone)]
pub struct Record {
    row: Model,
    parts: Parts,
    number: Number,
}

/// Where a record number comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Number {
    /// The patient has brought it.
    Brought,
    /// It was drawn, and another would do.
    Drawn,
}

impl Record {
    /// Returns the patient's id.
    pub fn id(&self) -> Uuid {
        self.row.id.uuid()
    }

    pub(crate) fn shown(&self, scope: &TenantScope, cipher: &FieldCipher) -> Result<JsonValue, CoreError> {
        Ok(without_ids(shown(&assemble(scope, cipher, &self.row, &self.parts)?)))
    }

    /// Draws another record number, the same for the same try; refuses for one that the patient has brought.
    pub(crate) fn redraw(&mut self, attempt: u32) -> bool {
        if self.number == Number::Drawn {
            self.row.mrn = mrn::draw(Uuid::from_u128(self.id().as_u128() ^ u128::from(attempt)));
        }
        self.number == Number::Drawn
    }

    pub(crate) fn unique(&self) -> Vec<(&'static str, String)> {
        let identifiers = self.parts.identifiers.iter().map(|one| {
            let folded = folding::identifier(&one.value);
            ("identifiers", format!("{}|{folded}", one.row.system))
        });
        std::iter::once(("mrn", self.row.mrn.clone())).chain(identifiers).collect()
    }
}

/// Makes a record of fields. One that brings no record number gets one that depends on its id alone.
pub(crate) fn record(
    scope: &TenantScope,
    cipher: &FieldCipher,
    origin: Origin,
    mut fields: JsonValue,
) -> Result<Record, CoreError> {
    let (mrn, number) = match taken(&mut fields, "mrn").map(|text| folding::tidy(&text)) {
        Some(text) => check_number(&text).map(|()| (text, Number::Brought))?,
        None => (mrn::draw(origin.id), Number::Drawn),
    };
    let status = match taken(&mut fields, "status").as_deref() {
        None | Some("active") => PatientStatus::Active,
        Some("inactive") => PatientStatus::Inactive,
        Some(_) => {
            return Err(CoreError::invalid("/status", "malformed", "must be \"active\" or \"inactive\""));
        }
    };
    let input: CreatePatient = input(fields)?;
    validation::check(&input)?;
    let kept = (PatientId::new(origin.id), origin.created_at, origin.updated_at);
    let (row, mut parts) = service::record(scope, cipher, kept, input)?;
    if row.guarantor_id == Some(row.id) {
        return Err(CoreError::invalid("/guarantor_id", "self", "must be another patient"));
    }
    parts::sort_telecoms(&mut parts.telecoms);
    Ok(Record { row: Model { mrn, status, ..row }, parts, number })
}

fn check_number(number: &str) -> Result<(), CoreError> {
    let wrong = |code, detail: &str| CoreError::Invalid(vec![FieldError::new("/mrn", code, detail)]);
    if number.chars().count() > MAX_MRN {
        return Err(wrong("too_long", "must have at most 50 characters"));
    }
    one_line(number).map_err(|_| wrong("blank", "must be one line with something in it"))
}

/// Writes records, with all that belongs to them in place of what did.
pub(crate) async fn write(
    tx: &TenantTransaction,
    scope: &TenantScope,
    records: &[&Record],
) -> Result<(), CoreError> {
    if records.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = records.iter().map(|record| record.id()).collect();
    remove_parts(tx, &ids).await?;
    put::<Entity>(tx, records.iter().map(|one| one.row.clone().into_active_model().reset_all()).collect())
        .await?;
    let mut tokens = Vec::new();
    for record in records {
        tokens.extend(names::tokens(scope, &record.row));
    }
    put::<search_token::Entity>(tx, active(tokens)).await?;
    let all = || records.iter().map(|record| &record.parts);
    put::<telecom::Entity>(tx, active(all().flat_map(|parts| parts.telecoms.clone()))).await?;
    put::<address::Entity>(tx, active(all().flat_map(|parts| parts.addresses.clone()))).await?;
    put::<emergency_contact::Entity>(tx, active(all().flat_map(|parts| parts.contacts.clone()))).await?;
    let identifiers = all().flat_map(|parts| parts.identifiers.iter().map(|one| one.row.clone()));
    put::<identifier::Entity>(tx, active(identifiers)).await
}

/// Lets records have nothing that only one can have, until they are written anew or removed.
pub(crate) async fn loosen(tx: &TenantTransaction, ids: &[Uuid]) -> Result<(), CoreError> {
    let ids = || ids.iter().copied();
    identifier::Entity::delete_many().filter(identifier::Column::PatientId.is_in(ids())).exec(tx).await?;
    Entity::update_many()
        .col_expr(Column::Mrn, Expr::cust("CAST(id AS text)"))
        .filter(Column::Id.is_in(ids()))
        .exec(tx)
        .await?;
    Ok(())
}

/// Removes records.
pub(crate) async fn remove(tx: &TenantTransaction, ids: &[Uuid]) -> Result<(), CoreError> {
    remove_parts(tx, ids).await?;
    Entity::delete_many().filter(Column::Id.is_in(ids.iter().copied())).exec(tx).await?;
    Ok(())
}

/// Reads records as they are shown.
pub(crate) async fn read(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, JsonValue)>, CoreError> {
    let rows = Entity::find().filter(Column::Id.is_in(ids.iter().copied())).all(tx).await?;
    let mut parts: HashMap<PatientId, Parts> = HashMap::with_capacity(rows.len());
    let known: Vec<PatientId> = rows.iter().map(|row| row.id).collect();
    for one in parts::telecoms_of(tx, &known).await? {
        parts.entry(one.patient_id).or_default().telecoms.push(one);
    }
    for one in address::Entity::find()
        .filter(address::Column::PatientId.is_in(known.iter().copied()))
        .order_by_asc(address::Column::Rank)
        .all(tx)
        .await?
    {
        parts.entry(one.patient_id).or_default().addresses.push(one);
    }
    for one in emergency_contact::Entity::find()
        .filter(emergency_contact::Column::PatientId.is_in(known.iter().copied()))
        .order_by_asc(emergency_contact::Column::Rank)
        .all(tx)
        .await?
    {
        parts.entry(one.patient_id).or_default().contacts.push(one);
    }
    for row in identifier::Entity::find()
        .filter(identifier::Column::PatientId.is_in(known.iter().copied()))
        .filter(identifier::Column::VoidedAt.is_null())
        .order_by_asc(identifier::Column::Id)
        .all(tx)
        .await?
    {
        let value = cipher.open_text(scope.tenant_id, open_identifier::IDENTIFIER, row.id, &row.value);
        let one = OpenIdentifier { value: value.map_err(parts::sealed)?, row };
        parts.entry(one.row.patient_id).or_default().identifiers.push(one);
    }
    let nothing = Parts::default();
    rows.iter()
        .map(|row| {
            let record = assemble(scope, cipher, row, parts.get(&row.id).unwrap_or(&nothing))?;
            Ok((row.id.uuid(), without_ids(shown(&record))))
        })
        .collect()
}

/// The rows that belong to a patient are made anew by each writing, and so are their ids.
fn without_ids(mut patient: JsonValue) -> JsonValue {
    let identifiers = patient.get_mut("identifiers").and_then(JsonValue::as_array_mut);
    for identifier in identifiers.into_iter().flatten().filter_map(JsonValue::as_object_mut) {
        identifier.remove("id");
    }
    patient
}

async fn remove_parts(tx: &TenantTransaction, ids: &[Uuid]) -> Result<(), CoreError> {
    let ids = || ids.iter().copied();
    search_token::Entity::delete_many().filter(search_token::Column::PatientId.is_in(ids())).exec(tx).await?;
    telecom::Entity::delete_many().filter(telecom::Column::PatientId.is_in(ids())).exec(tx).await?;
    address::Entity::delete_many().filter(address::Column::PatientId.is_in(ids())).exec(tx).await?;
    identifier::Entity::delete_many().filter(identifier::Column::PatientId.is_in(ids())).exec(tx).await?;
    emergency_contact::Entity::delete_many()
        .filter(emergency_contact::Column::PatientId.is_in(ids()))
        .exec(tx)
        .await?;
    Ok(())
}

fn active<M, A>(rows: impl IntoIterator<Item = M>) -> Vec<A>
where
    M: IntoActiveModel<A>,
    A: ActiveModelTrait,
{
    rows.into_iter().map(|row| row.into_active_model().reset_all()).collect()
}
