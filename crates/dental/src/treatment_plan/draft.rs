//! Making and changing the draft of a plan.

use clinicx_core::{PatientId, change, validation};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantTransaction};
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel, Set, Unchanged};

use super::{
    dto::{CreateTreatmentPlan, TreatmentPlan, UpdateTreatmentPlan},
    entity::{ActiveModel, Entity, Model},
    outline::{self, Outline},
    service,
    status::PlanStatus,
};
use crate::{
    TreatmentPlanId, chart,
    error::DentalError,
    event, reference,
    sealed::{PLAN_NOTE, PLAN_TITLE},
    trace, words,
};

/// Drafts a plan, with the treatments that are new in it.
///
/// Needs `treatment.write`. Leaves an audit row and an event, and one of each for every treatment that is new.
///
/// # Errors
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound) and
/// [`CoreError::PatientGone`](clinicx_core::CoreError::PatientGone) for the patient;
/// [`CoreError::Invalid`](clinicx_core::CoreError::Invalid); [`DentalError::ToothGone`]; [`DentalError::Planned`] for a
/// treatment that is in another plan; [`CoreError::Cipher`](clinicx_core::CoreError::Cipher);
/// [`CoreError::Database`](clinicx_core::CoreError::Database).
#[tracing::instrument(name = "dental.treatment_plan.create", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn create(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    patient_id: PatientId,
    input: CreateTreatmentPlan,
) -> Result<TreatmentPlan, DentalError> {
    validation::check(&input)?;
    if !input.items.is_empty() && !input.phases.is_empty() {
        return Err(DentalError::invalid("/items", "phases_or_items", "must not stand beside phases"));
    }
    chart::lock(tx, scope, patient_id).await?;
    reference::require_staff(tx, scope, input.staff_id).await?;
    let now = scope.now();
    let id = TreatmentPlanId::new(scope.next_id());
    let seal = |field, text: &Option<String>| words::seal(scope, cipher, (field, id.uuid()), text.as_deref());
    let row = Model {
        id,
        version: 1,
        created_at: now,
        updated_at: now,
        patient_id,
        staff_id: input.staff_id,
        note_sealed: seal(PLAN_NOTE, &input.note)?,
        title_sealed: seal(PLAN_TITLE, &input.title)?,
        reason_sealed: None,
        status: PlanStatus::Draft,
        currency: scope.currency.code().to_owned(),
        presented_at: None,
        accepted_at: None,
        ended_at: None,
    };
    Entity::insert(row.clone().into_active_model().reset_all()).exec_without_returning(tx).await?;
    let outline = match input.items.is_empty() {
        true => Outline::Phases(input.phases),
        false => Outline::Items(input.items),
    };
    outline::write(tx, scope, cipher, &row, outline).await?;
    let subject = service::subject(&row, event::TREATMENT_PLAN_CREATED);
    let made = service::opened(tx, scope, cipher, row).await?;
    trace::made(tx, scope, subject, &service::Traced::from(&made)).await?;
    Ok(made)
}

/// Changes a draft. It has to be shown to the patient again.
///
/// Needs `treatment.write`. Leaves an audit row and an event, and one of each for every treatment that is new.
///
/// # Errors
/// As [`create`], and [`CoreError::NotFound`](clinicx_core::CoreError::NotFound);
/// [`CoreError::Stale`](clinicx_core::CoreError::Stale) unless `expected` is `None` or the present version;
/// [`CoreError::RefusedTransition`](clinicx_core::CoreError::RefusedTransition) when it is no draft.
#[tracing::instrument(name = "dental.treatment_plan.update", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn update(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    (id, expected): (TreatmentPlanId, Option<i64>),
    patch: UpdateTreatmentPlan,
) -> Result<TreatmentPlan, DentalError> {
    validation::check(&patch)?;
    let row = service::locked(tx, scope, id).await?;
    change::expect_version(super::THING, expected, row.version)?;
    if row.status != PlanStatus::Draft {
        return Err(row.status.refused("change").into());
    }
    let before = service::opened(tx, scope, cipher, row.clone()).await?;
    let mut changed = ActiveModel {
        id: Unchanged(id),
        version: Set(row.version + 1),
        updated_at: Set(scope.now()),
        presented_at: Set(None),
        ..Default::default()
    };
    let seal = |field, text: &Option<String>| words::seal(scope, cipher, (field, id.uuid()), text.as_deref());
    if let Some(title) = &patch.title {
        changed.title_sealed = Set(seal(PLAN_TITLE, title)?);
    }
    if let Some(note) = &patch.note {
        changed.note_sealed = Set(seal(PLAN_NOTE, note)?);
    }
    if let Some(phases) = patch.phases {
        outline::clear(tx, &row).await?;
        outline::write(tx, scope, cipher, &row, Outline::Phases(phases)).await?;
    }
    let row = changed.update(tx).await?;
    let subject = service::subject(&row, event::TREATMENT_PLAN_UPDATED);
    let after = service::opened(tx, scope, cipher, row).await?;
    let (old, new) = (service::Traced::from(&before), service::Traced::from(&after));
    trace::changed(tx, scope, subject, &old, &new).await?;
    Ok(after)
}
