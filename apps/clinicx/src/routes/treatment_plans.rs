//! Treatment plans.

use clinicx_core::PatientId;
use clinicx_dental::{
    NAME, TreatmentPlanId,
    permission::{DENTAL_CHART_READ, TREATMENT_VOID, TREATMENT_WRITE},
    treatment_plan::{
        self, CreateTreatmentPlan, PlanAction, PlanFilter, PlanStatus, PlanStep, TreatmentPlan,
        UpdateTreatmentPlan,
    },
};
use clinicx_web::{Access, ApiError, Body, HttpModule, List, Operation, Path, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{sealed, wiring::Slot};

/// How a patient's record can be closed.
const CLOSED: &[&str] = &["not_found", "patient_merged", "patient_erased"];
/// What can stand against a treatment in a plan.
const REFUSALS: &[&str] = &["tooth_gone", "tooth_present", "treatment_planned", "transition_refused"];

/// The operations on treatment plans.
pub fn module(slot: &Slot) -> HttpModule {
    let (creating, listing, getting, updating) = (slot.clone(), slot.clone(), slot.clone(), slot.clone());
    let read = Access::Tenant(DENTAL_CHART_READ);
    let write = Access::Tenant(TREATMENT_WRITE);
    let crud = [
        Operation::post("/patients/{id}/treatment-plans", "create_treatment_plan")
            .summary("Draft a treatment plan")
            .description(
                "Phases with treatments that are planned already (`treatment_id`) or new (`treatment`); `items` makes \
                 a plan of one phase. A draft follows the prices of its treatments; its version rises with whatever it \
                 says of them.",
            )
            .access(write)
            .answers::<TreatmentPlan>(201)
            .errors(CLOSED)
            .errors(REFUSALS)
            .handler(move |cx: TenantCx, id: Path<PatientId>, body: Body<CreateTreatmentPlan>| {
                create(creating.clone(), cx, id, body)
            }),
        Operation::get("/patients/{id}/treatment-plans", "list_treatment_plans")
            .summary("List a patient's treatment plans")
            .access(read)
            .shows_patients("treatment_plan")
            .answers_page::<TreatmentPlan>()
            .errors(CLOSED)
            .handler(move |cx: TenantCx, id: Path<PatientId>, wanted: List<Wanted>| {
                list(listing.clone(), cx, id, wanted)
            }),
        Operation::get("/treatment-plans/{id}", "get_treatment_plan")
            .summary("Show a treatment plan")
            .access(read)
            .shows_patients("treatment_plan")
            .answers::<TreatmentPlan>(200)
            .errors(&["not_found"])
            .handler(move |cx: TenantCx, id: Path<TreatmentPlanId>| get(getting.clone(), cx, id)),
        Operation::patch("/treatment-plans/{id}", "update_treatment_plan")
            .summary("Change the draft of a treatment plan")
            .description("`phases` replaces all phases; the treatments that were in them stay planned.")
            .access(write)
            .answers::<TreatmentPlan>(200)
            .errors(CLOSED)
            .errors(REFUSALS)
            .handler(move |cx: TenantCx, id: Path<TreatmentPlanId>, body: Body<UpdateTreatmentPlan>| {
                update(updating.clone(), cx, id, body)
            }),
    ];
    HttpModule::new("treatment-plans", "What is to be done in which order, and what it will cost")
        .requires(NAME)
        .operations(crud)
        .operations([
            transition(
                slot,
                "/treatment-plans/{id}/present",
                "present_treatment_plan",
                PlanAction::Present,
                "Say that the draft was shown to the patient",
            ),
            transition(
                slot,
                "/treatment-plans/{id}/accept",
                "accept_treatment_plan",
                PlanAction::Accept,
                "Say that the patient accepts the plan; its prices are frozen",
            )
            .description(
                "The version is that of the prices that were seen: a draft whose treatment has another price or state is \
                 another version, and has to be shown again.",
            ),
            transition(
                slot,
                "/treatment-plans/{id}/revoke",
                "revoke_treatment_plan",
                PlanAction::Revoke,
                "Give the plan up; its treatments stay planned",
            ),
            transition(
                slot,
                "/treatment-plans/{id}/void",
                "void_treatment_plan",
                PlanAction::Void,
                "Say that the plan should never have been there; its treatments stay planned",
            )
            .access(Access::Tenant(TREATMENT_VOID)),
        ])
}

fn transition(
    slot: &Slot,
    path: &'static str,
    id: &'static str,
    action: PlanAction,
    summary: &'static str,
) -> Operation {
    let slot = slot.clone();
    Operation::transition(path, id)
        .summary(summary)
        .access(Access::Tenant(TREATMENT_WRITE))
        .answers::<TreatmentPlan>(200)
        .errors(CLOSED)
        .handler(move |cx: TenantCx, id: Path<TreatmentPlanId>, body: Body<PlanStep>| {
            act(slot.clone(), cx, id, (action, body))
        })
}

/// Which plans are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Those in these states; may be repeated.
    #[serde(default)]
    status: Vec<PlanStatus>,
}

async fn create(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<PatientId>,
    Body(input): Body<CreateTreatmentPlan>,
) -> Result<Reply, ApiError> {
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let input = input.clone();
        Box::pin(async move {
            let made = treatment_plan::create(tx, scope, &cipher, id, input).await?;
            Ok(Reply::created(format!("/treatment-plans/{}", made.id), &made).showing([id]))
        })
    })
    .await
}

async fn list(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<PatientId>,
    list: List<Wanted>,
) -> Result<Reply, ApiError> {
    let filter = PlanFilter { statuses: list.filter.status.clone() };
    let page = sealed::read(&slot, &cx, async |tx, scope, cipher| {
        Ok(treatment_plan::list(tx, scope, cipher, id, (&filter, &list.page)).await?)
    })
    .await?;
    Ok(Reply::page(&list, &page).showing([id]))
}

async fn get(slot: Slot, cx: TenantCx, Path(id): Path<TreatmentPlanId>) -> Result<Reply, ApiError> {
    let found = sealed::read(&slot, &cx, async |tx, scope, cipher| {
        Ok(treatment_plan::get(tx, scope, cipher, id).await?)
    });
    Ok(shown(&found.await?))
}

async fn update(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<TreatmentPlanId>,
    Body(patch): Body<UpdateTreatmentPlan>,
) -> Result<Reply, ApiError> {
    let revision = (id, cx.expected_version());
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let patch = patch.clone();
        Box::pin(
            async move { Ok(shown(&treatment_plan::update(tx, scope, &cipher, revision, patch).await?)) },
        )
    })
    .await
}

async fn act(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<TreatmentPlanId>,
    (action, Body(input)): (PlanAction, Body<PlanStep>),
) -> Result<Reply, ApiError> {
    let revision = (id, cx.expected_version());
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let step = (action, input.clone());
        Box::pin(
            async move { Ok(shown(&treatment_plan::transition(tx, scope, &cipher, revision, step).await?)) },
        )
    })
    .await
}

fn shown(plan: &TreatmentPlan) -> Reply {
    Reply::ok(plan).showing([plan.patient_id])
}
