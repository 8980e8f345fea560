//! Work that laboratories do.

use clinicx_core::PatientId;
use clinicx_dental::{
    LabCaseId, NAME,
    lab_case::{self, CreateLabCase, LabAction, LabCase, LabCaseFilter, LabStatus, UpdateLabCase},
    permission::{DENTAL_CHART_READ, LAB_CASE_WRITE},
};
use clinicx_web::{Access, ApiError, Body, HttpModule, List, Operation, Path, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{sealed, wiring::Slot};

/// How a patient's record can be closed.
const CLOSED: &[&str] = &["not_found", "patient_merged", "patient_erased"];

/// The operations on laboratory work.
pub fn module(slot: &Slot) -> HttpModule {
    let (creating, listing, getting, updating) = (slot.clone(), slot.clone(), slot.clone(), slot.clone());
    let read = Access::Tenant(DENTAL_CHART_READ);
    let write = Access::Tenant(LAB_CASE_WRITE);
    let crud = [
        Operation::post("/patients/{id}/lab-cases", "create_lab_case")
            .summary("Write down work for a laboratory")
            .access(write)
            .answers::<LabCase>(201)
            .errors(CLOSED)
            .errors(&["transition_refused"])
            .handler(move |cx: TenantCx, id: Path<PatientId>, body: Body<CreateLabCase>| {
                create(creating.clone(), cx, id, body)
            }),
        Operation::get("/patients/{id}/lab-cases", "list_lab_cases")
            .summary("List what laboratories do for a patient")
            .access(read)
            .shows_patients("lab_case")
            .answers_page::<LabCase>()
            .errors(CLOSED)
            .handler(move |cx: TenantCx, id: Path<PatientId>, wanted: List<Wanted>| {
                list(listing.clone(), cx, id, wanted)
            }),
        Operation::get("/lab-cases/{id}", "get_lab_case")
            .summary("Show work for a laboratory")
            .access(read)
            .shows_patients("lab_case")
            .answers::<LabCase>(200)
            .errors(&["not_found"])
            .handler(move |cx: TenantCx, id: Path<LabCaseId>| get(getting.clone(), cx, id)),
        Operation::patch("/lab-cases/{id}", "update_lab_case")
            .summary("Change what is written down about work for a laboratory")
            .description("An absent field stays as it is; `null` clears it.")
            .access(write)
            .answers::<LabCase>(200)
            .errors(&["not_found", "transition_refused"])
            .handler(move |cx: TenantCx, id: Path<LabCaseId>, body: Body<UpdateLabCase>| {
                update(updating.clone(), cx, id, body)
            }),
    ];
    HttpModule::new("lab-cases", "Work that laboratories do").requires(NAME).operations(crud).operations([
        transition(
            slot,
            "/lab-cases/{id}/send",
            "send_lab_case",
            LabAction::Send,
            "Send work to the laboratory, or back to it",
        ),
        transition(
            slot,
            "/lab-cases/{id}/receive",
            "receive_lab_case",
            LabAction::Receive,
            "Say that work has come back from the laboratory",
        ),
        transition(
            slot,
            "/lab-cases/{id}/complete",
            "complete_lab_case",
            LabAction::Complete,
            "Say that the work is in the patient's mouth",
        ),
        transition(slot, "/lab-cases/{id}/cancel", "cancel_lab_case", LabAction::Cancel, "Call the work off"),
        transition(
            slot,
            "/lab-cases/{id}/void",
            "void_lab_case",
            LabAction::Void,
            "Say that the work should never have been written down",
        ),
    ])
}

fn transition(
    slot: &Slot,
    path: &'static str,
    id: &'static str,
    action: LabAction,
    summary: &'static str,
) -> Operation {
    let slot = slot.clone();
    Operation::transition(path, id)
        .summary(summary)
        .access(Access::Tenant(LAB_CASE_WRITE))
        .answers::<LabCase>(200)
        .errors(&["not_found"])
        .handler(move |cx: TenantCx, id: Path<LabCaseId>| act(slot.clone(), cx, id, action))
}

/// Which work is listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// That in these states; may be repeated.
    #[serde(default)]
    status: Vec<LabStatus>,
}

async fn create(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<PatientId>,
    Body(input): Body<CreateLabCase>,
) -> Result<Reply, ApiError> {
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let input = input.clone();
        Box::pin(async move {
            let made = lab_case::create(tx, scope, &cipher, id, input).await?;
            Ok(Reply::created(format!("/lab-cases/{}", made.id), &made).showing([id]))
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
    let filter = LabCaseFilter { statuses: list.filter.status.clone() };
    let page = sealed::read(&slot, &cx, async |tx, scope, cipher| {
        Ok(lab_case::list(tx, scope, cipher, id, (&filter, &list.page)).await?)
    })
    .await?;
    Ok(Reply::page(&list, &page).showing([id]))
}

async fn get(slot: Slot, cx: TenantCx, Path(id): Path<LabCaseId>) -> Result<Reply, ApiError> {
    let found =
        sealed::look(&slot, &cx, async |db, scope, cipher| Ok(lab_case::get(db, scope, cipher, id).await?));
    Ok(shown(&found.await?))
}

async fn update(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<LabCaseId>,
    Body(patch): Body<UpdateLabCase>,
) -> Result<Reply, ApiError> {
    let revision = (id, cx.expected_version());
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let patch = patch.clone();
        Box::pin(async move { Ok(shown(&lab_case::update(tx, scope, &cipher, revision, patch).await?)) })
    })
    .await
}

async fn act(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<LabCaseId>,
    action: LabAction,
) -> Result<Reply, ApiError> {
    let revision = (id, cx.expected_version());
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        Box::pin(async move { Ok(shown(&lab_case::transition(tx, scope, &cipher, revision, action).await?)) })
    })
    .await
}

fn shown(case: &LabCase) -> Reply {
    Reply::ok(case).showing([case.patient_id])
}
