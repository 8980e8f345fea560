//! Moving a treatment from one state to another.

use chrono::{DateTime, Utc};
use clinicx_core::{
    CoreError,
    charge::{Charge, Charges, Withdrawal},
    local_time, validation,
};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_types::money::Money;
use rust_decimal::Decimal;
use sea_orm::{ActiveModelTrait, Set, Unchanged};

use super::{
    charge_source,
    dto::{Treatment, TreatmentStep},
    entity::{ActiveModel, Model},
    flag, history, locked, outcome, query,
    status::{Action, Status},
    subject,
};
use crate::{
    TreatmentId, area::Place, error::DentalError, event, finding, permission::TREATMENT_VOID, presence,
    reference, sealed::TREATMENT_REASON, trace, treatment_plan, words,
};

/// Moves a treatment to another state.
///
/// Beginning, going on and completing need their teeth, or the gap that is to be filled. Completing resolves the named
/// findings, records what becomes of the teeth, resolves what was found on one that is gone or replaced now, flags what
/// was planned on one that is gone, hands what can be billed to `charges`, and ends an accepted plan with its last
/// treatment. An error takes all of that back, but only while it is not billed. Each move and its reason is kept among the
/// treatment's events, and raises the version of the plans that it stands in.
///
/// Needs `treatment.write`, and `treatment.void` for errors. Leaves an audit row and an event, and more of them for
/// whatever else it changes.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Stale`] unless `expected` is `None` or the present version;
/// [`CoreError::RefusedTransition`] with the states that can be reached; [`DentalError::ToothGone`],
/// [`DentalError::ToothPresent`], [`DentalError::Billed`]; [`DentalError::ToothHistory`] when what it makes of its teeth
/// can't be beside what is recorded of them; [`CoreError::Forbidden`]; [`CoreError::Invalid`]; [`CoreError::Cipher`];
/// [`CoreError::Database`].
#[tracing::instrument(
    name = "dental.treatment.transition", skip_all, fields(tenant.id = %scope.tenant_id, action = action.as_str()),
    err(level = "debug")
)]
pub async fn transition(
    tx: &TenantTransaction,
    scope: &TenantScope,
    (cipher, charges): (&FieldCipher, &dyn Charges),
    revision: (TreatmentId, Option<i64>),
    (action, input): (Action, TreatmentStep),
) -> Result<Treatment, DentalError> {
    validation::check(&input)?;
    if action == Action::Void && !scope.may(TREATMENT_VOID) {
        return Err(CoreError::Forbidden { permission: TREATMENT_VOID.0 }.into());
    }
    let row = locked(tx, scope, revision).await?;
    let status = row.status.after(action)?;
    let at = moment(scope, action, &input)?;
    let day = local_time::local_date(at, scope.time_zone);
    if input.completed_at.is_some() {
        reference::require_lived(tx, row.patient_id, (day, "/completed_at")).await?;
    }
    let known = presence::as_of(tx, row.patient_id, day).await?;
    if matches!(action, Action::Start | Action::Resume | Action::Complete) {
        let teeth = row.tooth_list();
        outcome::require_permanent(row.effect, &teeth, "")?;
        outcome::require_teeth((row.category, row.effect), &teeth, &known)?;
    }
    if action == Action::Void
        && charges.withdraw(tx, scope, charge_source(row.id)).await? == Withdrawal::Billed
    {
        return Err(DentalError::Billed);
    }
    let before = query::assemble(scope, cipher, row.clone())?;
    let (old, reason) = (row.clone(), input.reason.as_deref());
    let row = write(tx, (scope, cipher), row, (status, at), reason).await?;
    history::moved(tx, (scope, cipher), (old.status, &row), (at, reason)).await?;
    let after = query::assemble(scope, cipher, row.clone())?;
    trace::changed(tx, scope, subject(&row, event::TREATMENT_STATUS_CHANGED), &before, &after).await?;
    match action {
        Action::Complete => {
            finding::resolve_several(tx, scope, (row.patient_id, row.id), &input.resolves, day).await?;
            outcome::record(tx, scope, &row, &known, day).await?;
            finding::follow_teeth(tx, scope, row.patient_id).await?;
            if row.billable {
                charges.charge(tx, scope, charge(&row, at)).await?;
            }
            flag::refresh(tx, scope, row.patient_id).await?;
        }
        Action::Void => {
            presence::void_of_treatment(tx, scope, row.id).await?;
            finding::reopen_of_treatment(tx, scope, row.id).await?;
            finding::follow_teeth(tx, scope, row.patient_id).await?;
            flag::refresh(tx, scope, row.patient_id).await?;
        }
        Action::Start | Action::Hold | Action::Resume | Action::Stop => {}
    }
    treatment_plan::follow(tx, scope, (&old, &row)).await?;
    Ok(after)
}

/// When the move takes place: now, or when the treatment was done as somebody says afterwards.
fn moment(scope: &TenantScope, action: Action, input: &TreatmentStep) -> Result<DateTime<Utc>, DentalError> {
    if action != Action::Complete {
        let only = |pointer| DentalError::invalid(pointer, "only_on_completing", "is for completing alone");
        return match (input.completed_at, input.resolves.is_empty()) {
            (Some(_), _) => Err(only("/completed_at")),
            (None, false) => Err(only("/resolves")),
            (None, true) => Ok(scope.now()),
        };
    }
    match input.completed_at {
        Some(at) if at > scope.now() => {
            Err(DentalError::invalid("/completed_at", "in_future", "must not be in the future"))
        }
        Some(at) => Ok(at),
        None => Ok(scope.now()),
    }
}

async fn write(
    tx: &TenantTransaction,
    (scope, cipher): (&TenantScope, &FieldCipher),
    row: Model,
    (status, at): (Status, DateTime<Utc>),
    reason: Option<&str>,
) -> Result<Model, DentalError> {
    let place = (TREATMENT_REASON, row.id.uuid());
    let mut changed = ActiveModel {
        id: Unchanged(row.id),
        version: Set(row.version + 1),
        updated_at: Set(scope.now()),
        status: Set(status),
        ..Default::default()
    };
    if let Some(reason) = words::seal(scope, cipher, place, reason)? {
        changed.reason_sealed = Set(Some(reason));
    }
    if status == Status::InProgress && row.started_at.is_none() {
        changed.started_at = Set(Some(at));
    }
    if status == Status::Completed {
        changed.completed_at = Set(Some(at));
        // What was done before it was written down was begun then, too.
        changed.started_at = Set(Some(row.started_at.map_or(at, |started| started.min(at))));
    }
    if !status.is_open() {
        changed.ended_at = Set(Some(at));
        changed.flag = Set(None);
    }
    Ok(changed.update(tx).await?)
}

/// Returns what can be billed of a treatment that was done then; without a price of its own the invoice has to name one.
pub fn charge(row: &Model, performed_at: DateTime<Utc>) -> Charge {
    let currency = row.currency.as_deref().and_then(|code| code.parse().ok());
    let unit_price = row.price.zip(currency).and_then(|(price, code)| Money::from_decimal(price, code).ok());
    let place =
        Place { area: row.area, region: row.region, teeth: row.tooth_list(), surfaces: row.surface_set() };
    let description = format!("{} {}", row.procedure_name, place.words());
    Charge {
        source: charge_source(row.id),
        patient_id: row.patient_id,
        staff_id: row.staff_id,
        code: row.procedure_code.clone(),
        description: description.trim_end().to_owned(),
        quantity: Decimal::ONE,
        unit_price,
        tax_rate: Some(row.tax_rate),
        performed_at,
    }
}
