//! Identifiers that others have given to a patient: sealed in the table, open in memory.

use std::collections::BTreeSet;

use clinicx_keys::{CipherError, Field, FieldCipher};
use clinicx_persistence::{FailureKind, TenantScope, TenantScoped, TenantTransaction};
use clinicx_types::error::FieldError;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, IntoActiveModel,
    QueryFilter, QueryOrder, QuerySelect, raw_sql, sea_query::Expr,
};

use super::{dto::Identifier, identifier, input::IdentifierInput, parts::sealed};
use crate::{PatientId, change, error::CoreError, folding};

/// The sealed column of identifiers.
pub(crate) const IDENTIFIER: Field = Field { table: "patient_identifiers", column: "value" };
/// An identifier's row and what it holds.
#[derive(Clone)]
pub(super) struct OpenIdentifier {
    pub(super) row: identifier::Model,
    pub(super) value: String,
}

/// Loads the identifiers of a patient that are not void, the oldest first.
pub(super) async fn load(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    id: PatientId,
) -> Result<Vec<OpenIdentifier>, CoreError> {
    let rows = identifier::Entity::find()
        .filter(identifier::Column::PatientId.eq(id))
        .filter(identifier::Column::VoidedAt.is_null())
        .order_by_asc(identifier::Column::Id)
        .all(db)
        .await?;
    let open = |row: identifier::Model| {
        let value = cipher.open_text(scope.tenant_id, IDENTIFIER, row.id, &row.value)?;
        Ok(OpenIdentifier { row, value })
    };
    rows.into_iter().map(open).collect::<Result<_, CipherError>>().map_err(sealed)
}

/// Makes sealed rows of identifiers; one that is `present` keeps its row.
pub(super) fn rows(
    scope: &TenantScope,
    cipher: &FieldCipher,
    patient_id: PatientId,
    inputs: Vec<IdentifierInput>,
    present: &[OpenIdentifier],
) -> Result<Vec<OpenIdentifier>, CoreError> {
    let now = scope.now();
    let mut seen = BTreeSet::new();
    let mut twice = Vec::new();
    let mut rows = Vec::with_capacity(inputs.len());
    for (at, input) in inputs.into_iter().enumerate() {
        let (system, value) = (folding::tidy(&input.system), folding::tidy(&input.value));
        let folded = folding::identifier(&value);
        if !seen.insert((system.clone(), folded.clone())) {
            let detail = "must not stand in the list twice";
            twice.push(FieldError::new(format!("/identifiers/{at}"), "duplicate", detail));
        }
        if let Some(known) = present.iter().find(|known| known.row.system == system && known.value == value) {
            rows.push(known.clone());
            continue;
        }
        let id = scope.next_id();
        let row = identifier::Model {
            id,
            created_at: now,
            updated_at: now,
            patient_id,
            system,
            value: cipher.seal_text(scope.tenant_id, IDENTIFIER, id, &value).map_err(sealed)?,
            blind_index: cipher.blind_index(scope.tenant_id, IDENTIFIER, &folded).map_err(sealed)?,
            voided_at: None,
        };
        rows.push(OpenIdentifier { row, value });
    }
    if twice.is_empty() { Ok(rows) } else { Err(CoreError::Invalid(twice)) }
}

/// Refuses identifiers that another patient has.
///
/// While keys change, equal identifiers can stand under two blind indexes, between which the unique index does not
/// decide: so writers of identifiers take turns in a tenant, and each looks under every key.
pub(super) async fn require_free(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    (patient_id, identifiers): (PatientId, &[OpenIdentifier]),
) -> Result<(), CoreError> {
    if identifiers.is_empty() {
        return Ok(());
    }
    take_turn(tx, scope).await?;
    cipher.require_fresh().map_err(sealed)?;
    let mut same = Condition::any();
    for identifier in identifiers {
        let folded = folding::identifier(&identifier.value);
        let indexes = cipher.blind_indexes(scope.tenant_id, IDENTIFIER, &folded).map_err(sealed)?;
        same = same.add(
            Condition::all()
                .add(identifier::Column::BlindIndex.is_in(indexes))
                .add(identifier::Column::System.eq(identifier.row.system.as_str())),
        );
    }
    let found = identifier::Entity::find()
        .filter(same)
        .filter(identifier::Column::VoidedAt.is_null())
        .filter(identifier::Column::PatientId.ne(patient_id))
        .limit(1)
        .one(tx)
        .await?;
    if found.is_some() { Err(taken()) } else { Ok(()) }
}

/// Waits for the transactions that write identifiers in the same tenant.
async fn take_turn(tx: &TenantTransaction, scope: &TenantScope) -> Result<(), CoreError> {
    let turn = format!("patient identifiers of {}", scope.tenant_id);
    tx.execute_raw(raw_sql!(
        Postgres,
        "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended({turn}, 0))"
    ))
    .await?;
    Ok(())
}

/// Makes identifiers void that are gone and writes new ones.
pub(super) async fn replace(
    tx: &TenantTransaction,
    scope: &TenantScope,
    before: &[OpenIdentifier],
    after: &[OpenIdentifier],
) -> Result<(), CoreError> {
    let is_in =
        |list: &[OpenIdentifier], one: &OpenIdentifier| list.iter().any(|other| other.row.id == one.row.id);
    let gone: Vec<_> = before.iter().filter(|one| !is_in(after, one)).map(|one| one.row.id).collect();
    if !gone.is_empty() {
        let now = scope.now();
        identifier::Entity::update_many()
            .col_expr(identifier::Column::VoidedAt, Expr::value(now))
            .col_expr(identifier::Column::UpdatedAt, Expr::value(now))
            .col_expr("version", Expr::col("version").add(1))
            .filter(identifier::Column::Id.is_in(gone))
            .exec(tx)
            .await?;
    }
    let new: Vec<_> = after.iter().filter(|one| !is_in(before, one)).cloned().collect();
    insert(tx, &new).await
}

/// Writes identifiers that are not there yet.
pub(super) async fn insert(tx: &TenantTransaction, identifiers: &[OpenIdentifier]) -> Result<(), CoreError> {
    if !identifiers.is_empty() {
        let rows = identifiers.iter().map(|one| one.row.clone().into_active_model().reset_all());
        identifier::Entity::insert_many(rows).exec_without_returning(tx).await.map_err(|error| {
            change::refused(&error, |failure| (failure.kind == FailureKind::Unique).then(taken))
        })?;
    }
    Ok(())
}

fn taken() -> CoreError {
    CoreError::Taken { what: "identifier", code: "identifier_taken" }
}

impl From<&OpenIdentifier> for Identifier {
    fn from(one: &OpenIdentifier) -> Self {
        Self { id: one.row.id, system: one.row.system.clone(), value: one.value.clone() }
    }
}
