//! Taking in members of staff from elsewhere.

use sea_orm::JsonValue;

use super::{dto::CreateStaff, entity::Model, service};
use crate::{
    StaffId,
    error::CoreError,
    intake::{Origin, input},
    validation,
};

/// Makes a row of fields; an account that goes with it is for people to name.
pub(crate) fn row(origin: Origin, fields: JsonValue) -> Result<Model, CoreError> {
    let input: CreateStaff = input(fields)?;
    validation::check(&input)?;
    let id = StaffId::new(origin.id);
    Ok(Model { user_id: None, ..service::row((id, origin.created_at, origin.updated_at), input) })
}
