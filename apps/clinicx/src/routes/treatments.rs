//! Treatments, planned and performed.

use clinicx_core::PatientId;
use clinicx_dental::{
    NAME, TreatmentId,
    permission::{DENTAL_CHART_READ, TREATMENT_VOID, TREATMENT_WRITE},
    tooth::Tooth,
    treatment::{
        self, Action, CreateTreatment, Status, Treatment, TreatmentEvent, TreatmentFilter, TreatmentStep,
        UpdateTreatment,
    },
};
use clinicx_types::name::ModuleName;
use clinicx_web::{Access, ApiError, Body, HttpModule, List, Operation, Path, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{charging, sealed, wiring::Slot};

/// How a patient's record can be closed.
const CLOSED: &[&str] = &["not_found", "patient_merged", "patient_erased"];

/// The operations on treatments.
pub fn module(slot: &Slot) -> HttpModule {
    let (creating, listing, getting, updating) = (slot.clone(), slot.clone(), slot.clone(), slot.clone());
    let telling = slot.clone();
    let read = Access::Tenant(DENTAL_CHART_READ);
    let write = Access::Tenant(TREATMENT_WRITE);
    let crud = [
        Operation::post("/patients/{id}/treatments", "create_treatment")
            .summary("Plan a treatment")
            .description(
                "On a `tooth` with or without `surfaces`, on `teeth`, on a `region`, or on the whole mouth. What the \
                 catalogue says of the procedure is copied. Work on a tooth that is gone is refused unless it fills \
                 the gap.",
            )
            .access(write)
            .answers::<Treatment>(201)
            .errors(CLOSED)
            .errors(&["tooth_gone", "tooth_present", "transition_refused"])
            .handler(move |cx: TenantCx, id: Path<PatientId>, body: Body<CreateTreatment>| {
                create(creating.clone(), cx, id, body)
            }),
        Operation::get("/patients/{id}/treatments", "list_treatments")
            .summary("List a patient's treatments, errors included")
            .access(read)
            .shows_patients("treatment")
            .answers_page::<Treatment>()
            .errors(CLOSED)
            .handler(move |cx: TenantCx, id: Path<PatientId>, wanted: List<Wanted>| {
                list(listing.clone(), cx, id, wanted)
            }),
        Operation::get("/treatments/{id}", "get_treatment")
            .summary("Show a treatment")
            .access(read)
            .shows_patients("treatment")
            .answers::<Treatment>(200)
            .errors(&["not_found"])
            .handler(move |cx: TenantCx, id: Path<TreatmentId>| get(getting.clone(), cx, id)),
        Operation::get("/treatments/{id}/events", "list_treatment_events")
            .summary("List what happened to a treatment")
            .description(
                "Each move with its reason, and each change of the note with what was noted before, in the order in \
                 which it was recorded. Nothing of it is ever changed.",
            )
            .access(read)
            .shows_patients("treatment")
            .answers_page::<TreatmentEvent>()
            .errors(&["not_found"])
            .handler(move |cx: TenantCx, id: Path<TreatmentId>, wanted: List<All>| {
                tell(telling.clone(), cx, id, wanted)
            }),
        Operation::patch("/treatments/{id}", "update_treatment")
            .summary("Change what is planned about a treatment")
            .description("An absent field stays as it is; `null` clears it.")
            .access(write)
            .answers::<Treatment>(200)
            .errors(CLOSED)
            .errors(&["transition_refused", "treatment_planned"])
            .handler(move |cx: TenantCx, id: Path<TreatmentId>, body: Body<UpdateTreatment>| {
                update(updating.clone(), cx, id, body)
            }),
    ];
    HttpModule::new("treatments", "What is planned and what was done").requires(NAME).operations(crud).operations([
        transition(slot, "/treatments/{id}/start", "start_treatment", Action::Start, "Begin a treatment"),
        transition(slot, "/treatments/{id}/hold", "hold_treatment", Action::Hold, "Let a treatment wait"),
        transition(slot, "/treatments/{id}/resume", "resume_treatment", Action::Resume, "Go on with a treatment"),
        transition(
            slot,
            "/treatments/{id}/complete",
            "complete_treatment",
            Action::Complete,
            "Say that a treatment is done",
        )
        .description(
            "Records what becomes of the teeth, flags what was planned on one that is gone now, resolves the findings \
             in `resolves`, and hands what can be billed to billing, once.",
        ),
        transition(slot, "/treatments/{id}/stop", "stop_treatment", Action::Stop, "Give a treatment up")
            .description("One that was not begun becomes `not-done`, another one `stopped`."),
        transition(
            slot,
            "/treatments/{id}/void",
            "void_treatment",
            Action::Void,
            "Say that a treatment should never have been there",
        )
        .description("Takes back what it made of teeth; refused while it is billed.")
        .access(Access::Tenant(TREATMENT_VOID)),
    ])
}

fn transition(
    slot: &Slot,
    path: &'static str,
    id: &'static str,
    action: Action,
    summary: &'static str,
) -> Operation {
    let slot = slot.clone();
    Operation::transition(path, id)
        .summary(summary)
        .access(Access::Tenant(TREATMENT_WRITE))
        .answers::<Treatment>(200)
        .errors(CLOSED)
        .errors(&["tooth_gone", "tooth_history", "tooth_present", "treatment_billed"])
        .handler(move |cx: TenantCx, id: Path<TreatmentId>, body: Body<TreatmentStep>| {
            act(slot.clone(), cx, id, (action, body))
        })
}

/// Which treatments are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Those on this tooth (ISO 3950).
    tooth: Option<Tooth>,
    /// Those in these states; may be repeated.
    #[serde(default)]
    status: Vec<Status>,
    /// Those that somebody should look at again, or the others.
    flagged: Option<bool>,
}

/// All of a treatment's: there is nothing to choose by.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct All {}

async fn create(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<PatientId>,
    Body(input): Body<CreateTreatment>,
) -> Result<Reply, ApiError> {
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let input = input.clone();
        Box::pin(async move {
            let made = treatment::create(tx, scope, &cipher, id, input).await?;
            Ok(Reply::created(format!("/treatments/{}", made.id), &made).showing([id]))
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
    let Wanted { tooth, status: statuses, flagged } = list.filter.clone();
    let filter = TreatmentFilter { tooth, statuses, flagged };
    let page = sealed::read(&slot, &cx, async |tx, scope, cipher| {
        Ok(treatment::list(tx, scope, cipher, id, (&filter, &list.page)).await?)
    })
    .await?;
    Ok(Reply::page(&list, &page).showing([id]))
}

async fn get(slot: Slot, cx: TenantCx, Path(id): Path<TreatmentId>) -> Result<Reply, ApiError> {
    let found =
        sealed::look(&slot, &cx, async |db, scope, cipher| Ok(treatment::get(db, scope, cipher, id).await?));
    Ok(shown(&found.await?))
}

async fn tell(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<TreatmentId>,
    list: List<All>,
) -> Result<Reply, ApiError> {
    let (patient, page) = sealed::read(&slot, &cx, async |tx, scope, cipher| {
        let of = treatment::get(tx, scope, cipher, id).await?;
        Ok((of.patient_id, treatment::history(tx, scope, cipher, id, &list.page).await?))
    })
    .await?;
    Ok(Reply::page(&list, &page).showing([patient]))
}

async fn update(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<TreatmentId>,
    Body(patch): Body<UpdateTreatment>,
) -> Result<Reply, ApiError> {
    let revision = (id, cx.expected_version());
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let patch = patch.clone();
        Box::pin(async move { Ok(shown(&treatment::update(tx, scope, &cipher, revision, patch).await?)) })
    })
    .await
}

async fn act(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<TreatmentId>,
    (action, Body(input)): (Action, Body<TreatmentStep>),
) -> Result<Reply, ApiError> {
    let revision = (id, cx.expected_version());
    let charges = charging::of(cx.tenant().modules.iter().map(ModuleName::as_str));
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let step = (action, input.clone());
        Box::pin(async move {
            let moved = treatment::transition(tx, scope, (&cipher, charges), revision, step).await?;
            Ok(shown(&moved))
        })
    })
    .await
}

fn shown(treatment: &Treatment) -> Reply {
    Reply::ok(treatment).showing([treatment.patient_id])
}
