//! Taking in absences from elsewhere.

use clinicx_persistence::TenantScope;
use sea_orm::JsonValue;

use super::{dto::CreateTimeOff, entity::Model, service};
use crate::{
    StaffId, TimeOffId,
    error::CoreError,
    intake::{Origin, input, taken},
    validation,
};

/// Makes a row of fields.
pub(crate) fn row(scope: &TenantScope, origin: Origin, mut fields: JsonValue) -> Result<Model, CoreError> {
    let staff_id = taken(&mut fields, "staff_id").and_then(|id| id.parse().ok()).map(StaffId::new);
    let staff_id = staff_id.ok_or_else(|| CoreError::invalid("/staff_id", "missing", "is needed"))?;
    let mut input: CreateTimeOff = input(fields)?;
    input.time_zone.get_or_insert_with(|| scope.time_zone.name().to_owned());
    validation::check(&input)?;
    let row = service::row(scope, staff_id, input)?;
    Ok(Model {
        id: TimeOffId::new(origin.id),
        created_at: origin.created_at,
        updated_at: origin.updated_at,
        ..row
    })
}
