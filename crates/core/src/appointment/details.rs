//! Changing what is noted about an appointment.

use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantTransaction};
use sea_orm::{ActiveModelTrait, EntityTrait, QuerySelect, Set, Unchanged, sea_query::LockType};

use super::{
    THING,
    dto::{Appointment, UpdateAppointment},
    entity::{ActiveModel, Entity},
    trace, words,
};
use crate::{AppointmentId, change, error::CoreError, validation};

/// Changes priority, reason and comment, in every state; a change that changes nothing leaves no trace.
///
/// # Errors
/// [`CoreError::Invalid`]; [`CoreError::NotFound`]; [`CoreError::Stale`] unless `expected` is `None` or the
/// present version; [`CoreError::Database`].
#[tracing::instrument(name = "core.appointment.update", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn update(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    (id, expected): (AppointmentId, Option<i64>),
    patch: UpdateAppointment,
) -> Result<Appointment, CoreError> {
    validation::check(&patch)?;
    // No slot changes, so that the row's own lock is enough; this transaction then waits for no other.
    let found = Entity::find_by_id(id).lock(LockType::NoKeyUpdate).one(tx).await?;
    let before = words::open(scope, cipher, found.ok_or(CoreError::NotFound { thing: THING })?)?;
    change::expect_version(THING, expected, before.version)?;
    let priority = patch.priority.unwrap_or(before.priority);
    let reason = patch.reason.unwrap_or_else(|| before.reason.clone());
    let comment = patch.comment.unwrap_or_else(|| before.comment.clone());
    if (priority, &reason, &comment) == (before.priority, &before.reason, &before.comment) {
        return Ok(before.into());
    }
    let changed = ActiveModel {
        id: Unchanged(id),
        version: Set(before.version + 1),
        updated_at: Set(scope.now()),
        priority: Set(priority),
        reason: Set(None),
        reason_sealed: Set(words::closed(scope, cipher, (words::REASON, id.uuid()), reason.as_deref())?),
        comment: Set(None),
        comment_sealed: Set(words::closed(scope, cipher, (words::COMMENT, id.uuid()), comment.as_deref())?),
        ..Default::default()
    };
    let after = words::open(scope, cipher, changed.update(tx).await?)?;
    trace::updated(tx, scope, (&before, &after)).await?;
    Ok(after.into())
}
