//! Puts plans together from their rows.

use std::collections::BTreeMap;

use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantScoped};
use rust_decimal::Decimal;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use super::{
    dto::{PlanItem, PlanPhase, TreatmentPlan},
    entity::Model,
    estimate::estimate,
    item, phase,
};
use crate::{
    TreatmentId, TreatmentPlanId,
    error::DentalError,
    reference::shown,
    sealed::{PHASE_TITLE, PLAN_NOTE, PLAN_REASON, PLAN_TITLE},
    treatment::{self, Status},
    words,
};

/// What belongs to some plans.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) phases: Vec<phase::Model>,
    pub(super) items: Vec<item::Model>,
    pub(super) treatments: BTreeMap<TreatmentId, treatment::entity::Model>,
}

/// An item, its treatment, and what it costs.
type Line<'a> = (&'a item::Model, &'a treatment::entity::Model, Option<Decimal>, Decimal);

impl Parts {
    /// Loads what belongs to plans.
    pub(super) async fn load(db: &impl TenantScoped, ids: &[TreatmentPlanId]) -> Result<Self, DentalError> {
        let ids = || ids.iter().copied();
        let phases = phase::Entity::find()
            .filter(phase::Column::PlanId.is_in(ids()))
            .order_by_asc(phase::Column::Position)
            .all(db)
            .await?;
        let items = item::Entity::find()
            .filter(item::Column::PlanId.is_in(ids()))
            .order_by_asc(item::Column::Position)
            .all(db)
            .await?;
        let wanted = items.iter().map(|item| item.treatment_id);
        let treatments = treatment::entity::Entity::find()
            .filter(treatment::entity::Column::Id.is_in(wanted))
            .all(db)
            .await?;
        let treatments = treatments.into_iter().map(|row| (row.id, row)).collect();
        Ok(Self { phases, items, treatments })
    }

    /// The items of a plan with what they cost: as accepted, or as their treatments say now.
    fn lines<'a>(&'a self, plan: &'a Model) -> impl Iterator<Item = Line<'a>> {
        self.items.iter().filter(|item| item.plan_id == plan.id).filter_map(|item| {
            let treatment = self.treatments.get(&item.treatment_id)?;
            let (price, rate) = match (plan.accepted_at, item.accepted_tax_rate) {
                (Some(_), Some(rate)) => (item.accepted_price, rate),
                _ => (treatment.price, treatment.tax_rate),
            };
            Some((item, treatment, price, rate))
        })
    }
}

/// Puts a plan together.
pub(super) fn assemble(
    scope: &TenantScope,
    cipher: &FieldCipher,
    row: &Model,
    parts: &Parts,
) -> Result<TreatmentPlan, DentalError> {
    let id = row.id.uuid();
    let open = |field, sealed: &Option<Vec<u8>>| words::open(scope, cipher, (field, id), sealed.as_deref());
    let lines: Vec<Line<'_>> = parts.lines(row).collect();
    let mut phases = Vec::new();
    for phase in parts.phases.iter().filter(|phase| phase.plan_id == row.id) {
        let own: Vec<&Line<'_>> = lines.iter().filter(|(item, ..)| item.phase_id == phase.id).collect();
        let place = (PHASE_TITLE, phase.id.uuid());
        phases.push(PlanPhase {
            id: phase.id,
            position: phase.position,
            title: words::open(scope, cipher, place, phase.title_sealed.as_deref())?,
            items: own.iter().map(|line| plan_item(line, &row.currency)).collect(),
            estimate: estimate(own.into_iter().filter_map(cost), &row.currency),
        });
    }
    Ok(TreatmentPlan {
        id: row.id,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
        patient_id: row.patient_id,
        staff_id: row.staff_id,
        title: open(PLAN_TITLE, &row.title_sealed)?,
        note: open(PLAN_NOTE, &row.note_sealed)?,
        reason: open(PLAN_REASON, &row.reason_sealed)?,
        status: row.status,
        currency: row.currency.clone(),
        presented_at: row.presented_at,
        accepted_at: row.accepted_at,
        ended_at: row.ended_at,
        estimate: estimate(lines.iter().filter_map(cost), &row.currency),
        phases,
    })
}

/// What a line adds to the estimate: nothing when it is not billed, or will not be done, unless it was accepted.
fn cost<'a>((item, treatment, price, rate): &'a Line<'_>) -> Option<(Option<Decimal>, &'a Decimal)> {
    let counts = item.accepted_tax_rate.is_some() || can_be_accepted(treatment);
    (treatment.billable && counts).then_some((*price, rate))
}

/// Tells whether a treatment is done or can still be: what was given up or is an error is no part of what a patient
/// accepts.
pub(super) const fn can_be_accepted(treatment: &treatment::entity::Model) -> bool {
    !matches!(treatment.status, Status::NotDone | Status::Stopped | Status::EnteredInError)
}

fn plan_item((item, treatment, price, rate): &Line<'_>, currency: &str) -> PlanItem {
    PlanItem {
        id: item.id,
        position: item.position,
        treatment_id: item.treatment_id,
        procedure_code: treatment.procedure_code.clone(),
        procedure_name: treatment.procedure_name.clone(),
        area: treatment.area,
        region: treatment.region,
        teeth: treatment.tooth_list(),
        surfaces: treatment.surface_set(),
        status: treatment.status,
        flag: treatment.flag,
        price: price.map(|price| shown(price, currency)),
        tax_rate: rate.normalize().to_string(),
        billable: treatment.billable,
    }
}
