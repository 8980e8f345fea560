//! Taking in services from elsewhere.

use clinicx_persistence::TenantScope;
use sea_orm::JsonValue;

use super::{dto::CreateService, entity::Model, service};
use crate::{
    ServiceId,
    error::CoreError,
    intake::{Origin, input},
    validation,
};

/// Makes a row of fields.
pub(crate) fn row(scope: &TenantScope, origin: Origin, fields: JsonValue) -> Result<Model, CoreError> {
    let input: CreateService = input(fields)?;
    validation::check(&input)?;
    service::row(scope, (ServiceId::new(origin.id), origin.created_at, origin.updated_at), input)
}
