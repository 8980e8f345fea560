//! Taking in sites, rooms and chairs from elsewhere.

use clinicx_types::error::FieldError;
use sea_orm::JsonValue;

use super::{dto::CreateRoom, entity::Model, service};
use crate::{
    RoomId,
    error::CoreError,
    intake::{Origin, input},
    validation,
};

/// Makes a row of fields; whether its parent fits is for whoever has both.
pub(crate) fn row(origin: Origin, fields: JsonValue) -> Result<Model, CoreError> {
    let input: CreateRoom = input(fields)?;
    validation::check(&input)?;
    let row = Model {
        id: RoomId::new(origin.id),
        version: 1,
        created_at: origin.created_at,
        updated_at: origin.updated_at,
        name: input.name.trim().to_owned(),
        kind: input.kind,
        parent_id: input.parent_id,
        time_zone: input.time_zone,
        active: input.active,
    };
    let mut wrong: Vec<FieldError> = service::wrong_zone(&row).into_iter().collect();
    if row.parent_id == Some(row.id) {
        wrong.push(FieldError::new("/parent_id", "self", "must be another"));
    }
    if wrong.is_empty() { Ok(row) } else { Err(CoreError::Invalid(wrong)) }
}
