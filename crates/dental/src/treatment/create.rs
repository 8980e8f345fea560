//! Planning a treatment.

use clinicx_core::{AppointmentId, PatientId, appointment, validation};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantScoped, TenantTransaction};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};

use super::{
    dto::{CreateTreatment, Treatment},
    entity::{Entity, Model},
    history, outcome, query,
    status::Status,
    subject,
};
use crate::{
    TreatmentId,
    area::{Place, PlaceInput},
    chart,
    error::DentalError,
    event, presence,
    procedure_code::{self, Effect},
    reference,
    sealed::TREATMENT_NOTE,
    trace, words,
};

/// Plans a treatment.
///
/// Needs `treatment.write`. Leaves an audit row and an event.
///
/// # Errors
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound) and
/// [`CoreError::PatientGone`](clinicx_core::CoreError::PatientGone) for the patient;
/// [`CoreError::Invalid`](clinicx_core::CoreError::Invalid); [`DentalError::ToothGone`];
/// [`CoreError::Cipher`](clinicx_core::CoreError::Cipher); [`CoreError::Database`](clinicx_core::CoreError::Database).
#[tracing::instrument(name = "dental.treatment.create", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn create(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    patient_id: PatientId,
    input: CreateTreatment,
) -> Result<Treatment, DentalError> {
    validation::check(&input)?;
    let place = Place::read(PlaceInput {
        tooth: input.tooth.as_deref(),
        teeth: input.teeth.as_deref(),
        surfaces: &input.surfaces,
        region: input.region,
        notation: input.notation,
    })
    .map_err(DentalError::fields_of)?;
    reference::require_plannable(input.planned_on, "/planned_on")?;
    chart::lock(tx, scope, patient_id).await?;
    let procedure = procedure_code::by_code(tx, &input.procedure_code, "/procedure_code").await?;
    place.require(procedure.area).map_err(reference::refused)?;
    check_effect(procedure.effect, &place)?;
    let pointer = if place.teeth.len() > 1 || input.teeth.is_some() { "/teeth" } else { "/tooth" };
    outcome::require_permanent(procedure.effect, &place.teeth, pointer)?;
    reference::require_staff(tx, scope, Some(input.staff_id)).await?;
    require_appointment(tx, patient_id, input.appointment_id).await?;
    let known = presence::as_of(tx, patient_id, reference::today(scope)).await?;
    outcome::require_roots(procedure.category, &place.teeth, &known, pointer)?;
    outcome::require_teeth((procedure.category, procedure.effect), &place.teeth, &known)?;
    let now = scope.now();
    let id = TreatmentId::new(scope.next_id());
    let currency = reference::currency(scope, procedure.currency.as_deref()).map_err(reference::refused)?;
    let price = match input.price.as_deref() {
        Some(text) => Some(reference::amount(text, currency, "/price").map_err(reference::refused)?),
        None => procedure.price,
    };
    let row = Model {
        id,
        version: 1,
        created_at: now,
        updated_at: now,
        patient_id,
        staff_id: Some(input.staff_id),
        appointment_id: input.appointment_id,
        procedure_code: procedure.code,
        procedure_name: procedure.name,
        category: procedure.category,
        effect: procedure.effect,
        area: place.area,
        region: place.region,
        teeth: place.teeth.iter().map(ToString::to_string).collect(),
        surfaces: place.surfaces.letters(),
        status: Status::Preparation,
        flag: None,
        price,
        currency: price.map(|_| currency.code().to_owned()),
        tax_rate: procedure.tax_rate,
        billable: procedure.billable,
        planned_on: input.planned_on,
        started_at: None,
        completed_at: None,
        ended_at: None,
        note_sealed: words::seal(scope, cipher, (TREATMENT_NOTE, id.uuid()), input.note.as_deref())?,
        reason_sealed: None,
    };
    Entity::insert(row.clone().into_active_model().reset_all()).exec_without_returning(tx).await?;
    history::planned(tx, scope, &row).await?;
    let made = query::assemble(scope, cipher, row.clone())?;
    trace::made(tx, scope, subject(&row, event::TREATMENT_CREATED), &made).await?;
    Ok(made)
}

/// Refuses surfaces where a whole tooth comes or goes, and such work without a tooth.
fn check_effect(effect: Option<Effect>, place: &Place) -> Result<(), DentalError> {
    if !matches!(effect, Some(Effect::Extraction | Effect::Implant)) {
        return Ok(());
    }
    if place.teeth.is_empty() {
        return Err(DentalError::invalid("/tooth", "required", "is needed for this procedure"));
    }
    if !place.surfaces.is_empty() {
        return Err(DentalError::invalid(
            "/surfaces",
            "not_of_procedure",
            "must not be given for this procedure",
        ));
    }
    Ok(())
}

/// Makes sure that a visit is the patient's.
pub(super) async fn require_appointment(
    db: &impl TenantScoped,
    patient_id: PatientId,
    id: Option<AppointmentId>,
) -> Result<(), DentalError> {
    let Some(id) = id else { return Ok(()) };
    let query = appointment::entity::Entity::find_by_id(id)
        .filter(appointment::entity::Column::PatientId.eq(patient_id));
    match query.one(db).await? {
        Some(_) => Ok(()),
        None => Err(DentalError::invalid("/appointment_id", "not_found", "must be a visit of the patient's")),
    }
}
