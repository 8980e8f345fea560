//! What is recorded of teeth: what became of them, and what was found on them.

use clinicx_core::PatientId;
use clinicx_dental::{
    NAME, ToothFindingId, ToothPresenceEventId,
    finding::{self, FindingFilter, FindingStatus, RecordFinding, ResolveInput, ToothFinding},
    permission::{DENTAL_CHART_READ, DENTAL_CHART_WRITE},
    presence::{self, PresenceFilter, RecordPresence, ToothPresence},
    tooth::Tooth,
};
use clinicx_web::{Access, ApiError, Body, HttpModule, List, Operation, Path, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{sealed, wiring::Slot};

const READ: Access = Access::Tenant(DENTAL_CHART_READ);
const WRITE: Access = Access::Tenant(DENTAL_CHART_WRITE);
/// How a patient's record can be closed.
const CLOSED: &[&str] = &["not_found", "patient_merged", "patient_erased"];

/// The operations on what is recorded of teeth.
pub fn module(slot: &Slot) -> HttpModule {
    HttpModule::new("tooth-records", "What became of teeth and what was found on them")
        .requires(NAME)
        .operations(presence_operations(slot))
        .operations(finding_operations(slot))
}

fn presence_operations(slot: &Slot) -> [Operation; 4] {
    let (recording, listing, getting, voiding) = (slot.clone(), slot.clone(), slot.clone(), slot.clone());
    [
        Operation::post("/patients/{id}/tooth-presence", "record_tooth_presence")
            .summary("Record what became of a tooth")
            .access(WRITE)
            .answers::<ToothPresence>(201)
            .errors(CLOSED)
            .errors(&["tooth_history", "transition_refused"])
            .handler(move |cx: TenantCx, id: Path<PatientId>, body: Body<RecordPresence>| {
                record_presence(recording.clone(), cx, id, body)
            }),
        Operation::get("/patients/{id}/tooth-presence", "list_tooth_presence")
            .summary("List what became of a patient's teeth, errors included")
            .access(READ)
            .shows_patients("tooth_presence")
            .answers_page::<ToothPresence>()
            .errors(CLOSED)
            .handler(move |cx: TenantCx, id: Path<PatientId>, wanted: List<WantedPresence>| {
                list_presence(listing.clone(), cx, id, wanted)
            }),
        Operation::get("/patients/{patient_id}/tooth-presence/{id}", "get_tooth_presence")
            .summary("Show one thing that became of a tooth")
            .access(READ)
            .shows_patients("tooth_presence")
            .answers::<ToothPresence>(200)
            .errors(&["not_found"])
            .handler(move |cx: TenantCx, ids: Path<(PatientId, ToothPresenceEventId)>| {
                get_presence(getting.clone(), cx, ids)
            }),
        Operation::transition("/patients/{patient_id}/tooth-presence/{id}/void", "void_tooth_presence")
            .summary("Say that it was recorded in error")
            .description("Refused while what came later can't have come without it.")
            .access(WRITE)
            .answers::<ToothPresence>(200)
            .errors(CLOSED)
            .errors(&["tooth_history"])
            .handler(move |cx: TenantCx, ids: Path<(PatientId, ToothPresenceEventId)>| {
                void_presence(voiding.clone(), cx, ids)
            }),
    ]
}

fn finding_operations(slot: &Slot) -> Vec<Operation> {
    let (recording, listing, getting, resolving) = (slot.clone(), slot.clone(), slot.clone(), slot.clone());
    let moves = [
        ("/patients/{patient_id}/tooth-findings/{id}/watch", "watch_tooth_finding", Step::Watch),
        ("/patients/{patient_id}/tooth-findings/{id}/activate", "activate_tooth_finding", Step::Activate),
        ("/patients/{patient_id}/tooth-findings/{id}/void", "void_tooth_finding", Step::Void),
    ];
    let mut operations = vec![
        Operation::post("/patients/{id}/tooth-findings", "record_tooth_finding")
            .summary("Record a finding on a tooth")
            .access(WRITE)
            .answers::<ToothFinding>(201)
            .errors(CLOSED)
            .errors(&["tooth_gone", "transition_refused"])
            .handler(move |cx: TenantCx, id: Path<PatientId>, body: Body<RecordFinding>| {
                record_finding(recording.clone(), cx, id, body)
            }),
        Operation::get("/patients/{id}/tooth-findings", "list_tooth_findings")
            .summary("List a patient's findings, errors included")
            .access(READ)
            .shows_patients("tooth_finding")
            .answers_page::<ToothFinding>()
            .errors(CLOSED)
            .handler(move |cx: TenantCx, id: Path<PatientId>, wanted: List<WantedFindings>| {
                list_findings(listing.clone(), cx, id, wanted)
            }),
        Operation::get("/patients/{patient_id}/tooth-findings/{id}", "get_tooth_finding")
            .summary("Show a finding")
            .access(READ)
            .shows_patients("tooth_finding")
            .answers::<ToothFinding>(200)
            .errors(&["not_found"])
            .handler(move |cx: TenantCx, ids: Path<(PatientId, ToothFindingId)>| {
                get_finding(getting.clone(), cx, ids)
            }),
        Operation::transition("/patients/{patient_id}/tooth-findings/{id}/resolve", "resolve_tooth_finding")
            .summary("Say that a finding is there no more")
            .access(WRITE)
            .answers::<ToothFinding>(200)
            .errors(CLOSED)
            .handler(
                move |cx: TenantCx, ids: Path<(PatientId, ToothFindingId)>, body: Body<ResolveInput>| {
                    resolve_finding(resolving.clone(), cx, ids, body)
                },
            ),
    ];
    for (path, id, step) in moves {
        let slot = slot.clone();
        let summary = match step {
            Step::Watch => "Say that a finding is watched only",
            Step::Activate => "Say that a finding that was watched asks for treatment",
            Step::Void => "Say that a finding should never have been recorded",
        };
        operations.push(
            Operation::transition(path, id)
                .summary(summary)
                .access(WRITE)
                .answers::<ToothFinding>(200)
                .errors(CLOSED)
                .handler(move |cx: TenantCx, ids: Path<(PatientId, ToothFindingId)>| {
                    move_finding(slot.clone(), cx, ids, step)
                }),
        );
    }
    operations
}

/// Which events are listed.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WantedPresence {
    /// Those of this tooth (ISO 3950).
    tooth: Option<Tooth>,
}

/// Which findings are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WantedFindings {
    /// Those on this tooth (ISO 3950).
    tooth: Option<Tooth>,
    /// Those in these states; may be repeated.
    #[serde(default)]
    status: Vec<FindingStatus>,
}

/// A move of a finding that needs nothing said with it.
#[derive(Clone, Copy)]
enum Step {
    Watch,
    Activate,
    Void,
}

async fn record_presence(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<PatientId>,
    Body(input): Body<RecordPresence>,
) -> Result<Reply, ApiError> {
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let input = input.clone();
        Box::pin(async move {
            let made = presence::record(tx, scope, &cipher, id, input).await?;
            Ok(Reply::created(format!("/patients/{id}/tooth-presence/{}", made.id), &made).showing([id]))
        })
    })
    .await
}

async fn list_presence(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<PatientId>,
    list: List<WantedPresence>,
) -> Result<Reply, ApiError> {
    let filter = PresenceFilter { tooth: list.filter.tooth };
    let page = sealed::read(&slot, &cx, async |tx, scope, cipher| {
        Ok(presence::list(tx, scope, cipher, id, (filter, &list.page)).await?)
    })
    .await?;
    Ok(Reply::page(&list, &page).showing([id]))
}

async fn get_presence(
    slot: Slot,
    cx: TenantCx,
    Path(ids): Path<(PatientId, ToothPresenceEventId)>,
) -> Result<Reply, ApiError> {
    let found =
        sealed::look(&slot, &cx, async |db, scope, cipher| Ok(presence::get(db, scope, cipher, ids).await?));
    Ok(Reply::ok(&found.await?).showing([ids.0]))
}

async fn void_presence(
    slot: Slot,
    cx: TenantCx,
    Path(ids): Path<(PatientId, ToothPresenceEventId)>,
) -> Result<Reply, ApiError> {
    let expected = cx.expected_version();
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        Box::pin(async move {
            Ok(Reply::ok(&presence::void(tx, scope, &cipher, ids, expected).await?).showing([ids.0]))
        })
    })
    .await
}

async fn record_finding(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<PatientId>,
    Body(input): Body<RecordFinding>,
) -> Result<Reply, ApiError> {
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let input = input.clone();
        Box::pin(async move {
            let made = finding::record(tx, scope, &cipher, id, input).await?;
            Ok(Reply::created(format!("/patients/{id}/tooth-findings/{}", made.id), &made).showing([id]))
        })
    })
    .await
}

async fn list_findings(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<PatientId>,
    list: List<WantedFindings>,
) -> Result<Reply, ApiError> {
    let filter = FindingFilter { tooth: list.filter.tooth, statuses: list.filter.status.clone() };
    let page = sealed::read(&slot, &cx, async |tx, scope, cipher| {
        Ok(finding::list(tx, scope, cipher, id, (&filter, &list.page)).await?)
    })
    .await?;
    Ok(Reply::page(&list, &page).showing([id]))
}

async fn get_finding(
    slot: Slot,
    cx: TenantCx,
    Path(ids): Path<(PatientId, ToothFindingId)>,
) -> Result<Reply, ApiError> {
    let found =
        sealed::look(&slot, &cx, async |db, scope, cipher| Ok(finding::get(db, scope, cipher, ids).await?));
    Ok(Reply::ok(&found.await?).showing([ids.0]))
}

async fn resolve_finding(
    slot: Slot,
    cx: TenantCx,
    Path((patient_id, id)): Path<(PatientId, ToothFindingId)>,
    Body(input): Body<ResolveInput>,
) -> Result<Reply, ApiError> {
    let revision = (patient_id, id, cx.expected_version());
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let input = input.clone();
        Box::pin(async move {
            let changed = finding::resolve(tx, scope, &cipher, revision, input).await?;
            Ok(Reply::ok(&changed).showing([patient_id]))
        })
    })
    .await
}

async fn move_finding(
    slot: Slot,
    cx: TenantCx,
    Path((patient_id, id)): Path<(PatientId, ToothFindingId)>,
    step: Step,
) -> Result<Reply, ApiError> {
    let revision = (patient_id, id, cx.expected_version());
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        Box::pin(async move {
            let changed = match step {
                Step::Watch => finding::watch(tx, scope, &cipher, revision).await?,
                Step::Activate => finding::activate(tx, scope, &cipher, revision).await?,
                Step::Void => finding::void(tx, scope, &cipher, revision).await?,
            };
            Ok(Reply::ok(&changed).showing([patient_id]))
        })
    })
    .await
}
