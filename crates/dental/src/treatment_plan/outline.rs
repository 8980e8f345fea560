//! Writes the phases and items of a draft.

use std::collections::BTreeSet;

use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_types::error::FieldError;
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};

use super::{
    dto::{ItemInput, PhaseInput},
    entity::Model,
    item, phase, service,
};
use crate::{
    TreatmentId, TreatmentPlanItemId, TreatmentPlanPhaseId, error::DentalError, sealed::PHASE_TITLE,
    treatment, words,
};
use clinicx_core::CoreError;

/// The treatments of a draft, as somebody has sent them.
pub(super) enum Outline {
    /// Phases with treatments.
    Phases(Vec<PhaseInput>),
    /// Treatments of a plan with one phase.
    Items(Vec<ItemInput>),
}

/// Where an item stands in what was sent.
struct At {
    /// The phase; `None` where the items stand in none.
    phase: Option<usize>,
    item: usize,
}

impl At {
    fn pointer(&self) -> String {
        let phase = self.phase.map(|phase| format!("/phases/{phase}")).unwrap_or_default();
        format!("{phase}/items/{}", self.item)
    }

    fn refuse(&self, field: &str, code: &str, detail: &str) -> DentalError {
        DentalError::invalid(&format!("{}{field}", self.pointer()), code, detail)
    }
}

/// Writes all phases of a draft that has none. The caller holds the chart's lock.
pub(super) async fn write(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    plan: &Model,
    outline: Outline,
) -> Result<(), DentalError> {
    let now = scope.now();
    let (phases, phased) = match outline {
        Outline::Phases(phases) => (phases, true),
        Outline::Items(items) => (vec![PhaseInput { title: None, items }], false),
    };
    let mut seen = BTreeSet::new();
    for (index, input) in phases.into_iter().enumerate() {
        let id = TreatmentPlanPhaseId::new(scope.next_id());
        let row = phase::Model {
            id,
            version: 1,
            created_at: now,
            updated_at: now,
            plan_id: plan.id,
            position: position(index),
            title_sealed: words::seal(scope, cipher, (PHASE_TITLE, id.uuid()), input.title.as_deref())?,
        };
        phase::Entity::insert(row.into_active_model().reset_all()).exec_without_returning(tx).await?;
        for (place, input) in input.items.into_iter().enumerate() {
            let at = At { phase: phased.then_some(index), item: place };
            let treatment_id = treatment_of(tx, scope, cipher, plan, (input, &at)).await?;
            if !seen.insert(treatment_id) {
                return Err(at.refuse("/treatment_id", "duplicate", "stands in the plan already"));
            }
            let row = item::Model {
                id: TreatmentPlanItemId::new(scope.next_id()),
                version: 1,
                created_at: now,
                updated_at: now,
                plan_id: plan.id,
                phase_id: id,
                treatment_id,
                position: position(place),
                accepted_price: None,
                accepted_tax_rate: None,
            };
            item::Entity::insert(row.into_active_model().reset_all()).exec_without_returning(tx).await?;
        }
    }
    Ok(())
}

/// Removes all phases and items of a draft; their treatments stay.
pub(super) async fn clear(tx: &TenantTransaction, plan: &Model) -> Result<(), DentalError> {
    item::Entity::delete_many().filter(item::Column::PlanId.eq(plan.id)).exec(tx).await?;
    phase::Entity::delete_many().filter(phase::Column::PlanId.eq(plan.id)).exec(tx).await?;
    Ok(())
}

fn position(index: usize) -> i16 {
    i16::try_from(index).unwrap_or(i16::MAX).saturating_add(1)
}

/// Finds the treatment of an item, or plans a new one.
async fn treatment_of(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    plan: &Model,
    (input, at): (ItemInput, &At),
) -> Result<TreatmentId, DentalError> {
    let (id, currency) = match (input.treatment_id, input.treatment) {
        (Some(id), None) => {
            let query = treatment::entity::Entity::find_by_id(id)
                .filter(treatment::entity::Column::PatientId.eq(plan.patient_id));
            let found = query.one(tx).await?;
            let row = found.ok_or_else(|| {
                at.refuse("/treatment_id", "not_found", "must be a treatment of the patient's")
            })?;
            if !row.status.is_open() {
                return Err(at.refuse("/treatment_id", "not_open", "must not have ended"));
            }
            if let Some(other) = service::open_plan_of(tx, id).await?.filter(|other| *other != plan.id) {
                return Err(DentalError::Planned { plan: other.uuid() });
            }
            (id, row.currency)
        }
        (None, Some(input)) => {
            let made = treatment::create(tx, scope, cipher, plan.patient_id, input).await;
            let made = made.map_err(|error| placed(error, at))?;
            (made.id, made.currency)
        }
        _ => {
            let detail = "must have either a treatment_id or a treatment";
            return Err(at.refuse("", "treatment_or_id", detail));
        }
    };
    if currency.is_some_and(|currency| currency != plan.currency) {
        let detail = "must have a price in the plan's currency";
        return Err(at.refuse("", "currency_mismatch", detail));
    }
    Ok(id)
}

/// Says where in the plan a wrong field of a new treatment stands.
fn placed(error: DentalError, at: &At) -> DentalError {
    match error {
        DentalError::Core(CoreError::Invalid(fields)) => DentalError::fields_of(
            fields
                .into_iter()
                .map(|field| FieldError {
                    pointer: format!("{}/treatment{}", at.pointer(), field.pointer),
                    ..field
                })
                .collect(),
        ),
        other => other,
    }
}
