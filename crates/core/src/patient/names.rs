//! A patient's names, folded: for the order of lists, and for search.

use clinicx_persistence::{TenantScope, TenantTransaction};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};

use super::{entity::Model, search_token};
use crate::{PatientId, error::CoreError, folding};

/// Folds the names of a patient into the columns for order and resemblance.
pub(super) fn fold(row: &mut Model) {
    row.sort_name = format!("{} {}", folding::fold(&row.family_name), folding::fold(&row.given_name));
    row.search_text = of(row).map(folding::fold).collect::<Vec<_>>().join(" ");
}

/// Writes the folded words of a patient's names in place of those that are there.
pub(super) async fn write_tokens(
    tx: &TenantTransaction,
    scope: &TenantScope,
    patient: &Model,
) -> Result<(), CoreError> {
    let rows: Vec<_> = tokens(scope, patient).map(|row| row.into_active_model().reset_all()).collect();
    if !rows.is_empty() {
        search_token::Entity::insert_many(rows).exec_without_returning(tx).await?;
    }
    Ok(())
}

/// Makes rows of the folded words of a patient's names.
pub(super) fn tokens(scope: &TenantScope, patient: &Model) -> impl Iterator<Item = search_token::Model> {
    let (now, patient_id) = (scope.now(), patient.id);
    folding::index_tokens(of(patient)).into_iter().map(move |token| search_token::Model {
        id: scope.next_id(),
        created_at: now,
        updated_at: now,
        patient_id,
        token,
    })
}

/// Removes the folded words of a patient's names.
pub(super) async fn delete_tokens(tx: &TenantTransaction, id: PatientId) -> Result<(), CoreError> {
    search_token::Entity::delete_many().filter(search_token::Column::PatientId.eq(id)).exec(tx).await?;
    Ok(())
}

/// Lists the names that search knows a patient by.
pub(super) fn of(patient: &Model) -> impl Iterator<Item = &str> {
    [
        Some(&patient.family_name),
        Some(&patient.given_name),
        patient.middle_name.as_ref(),
        patient.usual_name.as_ref(),
        patient.original_script_name.as_ref(),
    ]
    .into_iter()
    .flatten()
    .map(String::as_str)
}
