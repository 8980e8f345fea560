//! Periodontal examinations.

use clinicx_core::PatientId;
use clinicx_dental::{
    NAME, PerioExamId,
    perio::{self, PerioExam, PerioFilter, RecordPerioExam},
    permission::{DENTAL_CHART_READ, DENTAL_CHART_WRITE},
    presence::RecordStatus,
};
use clinicx_web::{Access, ApiError, Body, HttpModule, List, Operation, Path, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{sealed, wiring::Slot};

/// How a patient's record can be closed.
const CLOSED: &[&str] = &["not_found", "patient_merged", "patient_erased"];

/// The operations on periodontal examinations.
pub fn module(slot: &Slot) -> HttpModule {
    let (read, write) = (Access::Tenant(DENTAL_CHART_READ), Access::Tenant(DENTAL_CHART_WRITE));
    let (recording, listing, getting, voiding) = (slot.clone(), slot.clone(), slot.clone(), slot.clone());
    HttpModule::new("perio-exams", "What was measured around teeth").requires(NAME).operations([
        Operation::post("/patients/{id}/perio-exams", "record_perio_exam")
            .summary("Record a periodontal examination")
            .description("Six sites a tooth; attachment loss is computed from depth and recession.")
            .access(write)
            .answers::<PerioExam>(201)
            .errors(CLOSED)
            .errors(&["tooth_gone", "transition_refused"])
            .handler(move |cx: TenantCx, id: Path<PatientId>, body: Body<RecordPerioExam>| {
                record_exam(recording.clone(), cx, id, body)
            }),
        Operation::get("/patients/{id}/perio-exams", "list_perio_exams")
            .summary("List a patient's periodontal examinations, errors included")
            .access(read)
            .shows_patients("perio_exam")
            .answers_page::<PerioExam>()
            .errors(CLOSED)
            .handler(move |cx: TenantCx, id: Path<PatientId>, wanted: List<WantedExams>| {
                list_exams(listing.clone(), cx, id, wanted)
            }),
        Operation::get("/patients/{patient_id}/perio-exams/{id}", "get_perio_exam")
            .summary("Show a periodontal examination")
            .access(read)
            .shows_patients("perio_exam")
            .answers::<PerioExam>(200)
            .errors(&["not_found"])
            .handler(move |cx: TenantCx, ids: Path<(PatientId, PerioExamId)>| {
                get_exam(getting.clone(), cx, ids)
            }),
        Operation::transition("/patients/{patient_id}/perio-exams/{id}/void", "void_perio_exam")
            .summary("Say that a periodontal examination was recorded in error")
            .access(write)
            .answers::<PerioExam>(200)
            .errors(CLOSED)
            .handler(move |cx: TenantCx, ids: Path<(PatientId, PerioExamId)>| {
                void_exam(voiding.clone(), cx, ids)
            }),
    ])
}

/// Which examinations are listed.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WantedExams {
    /// Those in this state.
    status: Option<RecordStatus>,
}

async fn record_exam(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<PatientId>,
    Body(input): Body<RecordPerioExam>,
) -> Result<Reply, ApiError> {
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let input = input.clone();
        Box::pin(async move {
            let made = perio::record(tx, scope, &cipher, id, input).await?;
            Ok(Reply::created(format!("/patients/{id}/perio-exams/{}", made.id), &made).showing([id]))
        })
    })
    .await
}

async fn list_exams(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<PatientId>,
    list: List<WantedExams>,
) -> Result<Reply, ApiError> {
    let filter = PerioFilter { status: list.filter.status };
    let page = sealed::read(&slot, &cx, async |tx, scope, cipher| {
        Ok(perio::list(tx, scope, cipher, id, (filter, &list.page)).await?)
    })
    .await?;
    Ok(Reply::page(&list, &page).showing([id]))
}

async fn get_exam(
    slot: Slot,
    cx: TenantCx,
    Path(ids): Path<(PatientId, PerioExamId)>,
) -> Result<Reply, ApiError> {
    let found =
        sealed::read(&slot, &cx, async |tx, scope, cipher| Ok(perio::get(tx, scope, cipher, ids).await?));
    Ok(Reply::ok(&found.await?).showing([ids.0]))
}

async fn void_exam(
    slot: Slot,
    cx: TenantCx,
    Path(ids): Path<(PatientId, PerioExamId)>,
) -> Result<Reply, ApiError> {
    let expected = cx.expected_version();
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        Box::pin(async move {
            Ok(Reply::ok(&perio::void(tx, scope, &cipher, ids, expected).await?).showing([ids.0]))
        })
    })
    .await
}
