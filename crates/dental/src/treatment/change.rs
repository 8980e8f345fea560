//! Changing what is planned about a treatment.

use clinicx_core::{CoreError, validation};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantTransaction};
use sea_orm::{ActiveModelTrait, Set, Unchanged};

use super::{
    create::require_appointment,
    dto::{Treatment, UpdateTreatment},
    entity::ActiveModel,
    history, locked, query, subject,
};
use crate::{
    TreatmentId, error::DentalError, event, reference, sealed::TREATMENT_NOTE, trace, treatment_plan, words,
};

/// Changes what is planned about a treatment that is not ended; a change that changes nothing leaves no trace.
///
/// Needs `treatment.write`. Leaves an audit row and an event, and one more of each for a plan that says something else of
/// it now. What was noted before is kept among its events.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Stale`] unless `expected` is `None` or the present version;
/// [`CoreError::Invalid`]; [`CoreError::RefusedTransition`] when it has ended; [`DentalError::Planned`] for the price
/// of what stands in an accepted plan; [`CoreError::Cipher`]; [`CoreError::Database`].
#[tracing::instrument(name = "dental.treatment.update", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn update(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    revision: (TreatmentId, Option<i64>),
    patch: UpdateTreatment,
) -> Result<Treatment, DentalError> {
    validation::check(&patch)?;
    reference::require_plannable(patch.planned_on.flatten(), "/planned_on")?;
    let before = locked(tx, scope, revision).await?;
    if !before.status.is_open() {
        let (from, allowed) = (before.status.as_str(), Vec::new());
        return Err(CoreError::RefusedTransition { from, action: "change", allowed }.into());
    }
    let old = query::assemble(scope, cipher, before.clone())?;
    let mut after = before.clone();
    if let Some(staff_id) = patch.staff_id {
        reference::require_staff(tx, scope, Some(staff_id)).await?;
        after.staff_id = Some(staff_id);
    }
    if let Some(appointment_id) = patch.appointment_id {
        require_appointment(tx, before.patient_id, appointment_id).await?;
        after.appointment_id = appointment_id;
    }
    after.planned_on = patch.planned_on.unwrap_or(before.planned_on);
    if let Some(price) = patch.price {
        let currency = reference::currency(scope, before.currency.as_deref()).map_err(reference::refused)?;
        let price = price.as_deref().map(|text| reference::amount(text, currency, "/price"));
        after.price = price.transpose().map_err(reference::refused)?;
        after.currency = after.price.map(|_| currency.code().to_owned());
    }
    if (after.price, &after.currency) != (before.price, &before.currency)
        && let Some(plan) = treatment_plan::accepted_plan_of(tx, before.id).await?
    {
        return Err(DentalError::Planned { plan: plan.uuid() });
    }
    if let Some(note) = &patch.note
        && note.as_deref().map(str::trim) != old.note.as_deref()
    {
        let place = (TREATMENT_NOTE, before.id.uuid());
        after.note_sealed = words::seal(scope, cipher, place, note.as_deref())?;
    }
    if after == before {
        return Ok(old);
    }
    let changed = ActiveModel {
        id: Unchanged(after.id),
        version: Set(before.version + 1),
        updated_at: Set(scope.now()),
        staff_id: Set(after.staff_id),
        appointment_id: Set(after.appointment_id),
        planned_on: Set(after.planned_on),
        price: Set(after.price),
        currency: Set(after.currency),
        note_sealed: Set(after.note_sealed),
        ..Default::default()
    };
    let after = changed.update(tx).await?;
    let new = query::assemble(scope, cipher, after.clone())?;
    if new.note != old.note {
        history::noted(tx, (scope, cipher), &after, old.note.as_deref()).await?;
    }
    trace::changed(tx, scope, subject(&after, event::TREATMENT_UPDATED), &old, &new).await?;
    treatment_plan::follow(tx, scope, (&before, &after)).await?;
    Ok(new)
}
