//! ClinicX with the module `orthodontics`: its routes, and what the program hands in.

use clinicx::{
    extension::{Extension, no_jobs},
    wiring::Slot,
};
use clinicx_core::PatientId;
use clinicx_web::{Access, ApiError, Body, HttpModule, List, Operation, Path, Reply, TenantCx};
use orthodontics::{
    BracketId, MODULE, NAME, VisitId,
    bracket::{self, BondBracket, Bracket, RemoveBracket},
    permission::{ORTHODONTICS_READ, ORTHODONTICS_WRITE},
    visit::{self, RecordVisit, Visit},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// All of a patient's: there is nothing to choose by.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct All {}

/// The module as this program brings it.
pub const ORTHODONTICS: Extension = Extension { module: MODULE, routes, sealed_columns: &[], jobs: no_jobs };

fn routes(_: &Slot) -> Vec<HttpModule> {
    let read = Access::Tenant(ORTHODONTICS_READ);
    let write = Access::Tenant(ORTHODONTICS_WRITE);
    let closed = &["not_found", "patient_merged", "patient_erased", "transition_refused"];
    let module = HttpModule::new("orthodontics", "Braces").requires(NAME).operations([
        Operation::post("/patients/{id}/brackets", "bond_bracket")
            .summary("Record that a bracket was bonded to a tooth")
            .access(write)
            .answers::<Bracket>(201)
            .errors(closed)
            .errors(&["conflict", "tooth_gone"])
            .handler(bond),
        Operation::get("/patients/{id}/brackets", "list_brackets")
            .summary("List a patient's brackets")
            .access(read)
            .shows_patients("orthodontic_bracket")
            .answers_page::<Bracket>()
            .errors(closed)
            .handler(list_brackets),
        Operation::get("/patients/{patient_id}/brackets/{id}", "get_bracket")
            .summary("Show a bracket")
            .access(read)
            .shows_patients("orthodontic_bracket")
            .answers::<Bracket>(200)
            .errors(&["not_found"])
            .handler(get_bracket),
        Operation::transition("/patients/{patient_id}/brackets/{id}/remove", "remove_bracket")
            .summary("Record that a bracket was taken off")
            .access(write)
            .answers::<Bracket>(200)
            .errors(closed)
            .handler(remove),
        Operation::post("/patients/{id}/orthodontic-visits", "record_orthodontic_visit")
            .summary("Record a visit of today")
            .access(write)
            .answers::<Visit>(201)
            .errors(closed)
            .handler(record_visit),
        Operation::get("/patients/{id}/orthodontic-visits", "list_orthodontic_visits")
            .summary("List a patient's visits")
            .access(read)
            .shows_patients("orthodontic_visit")
            .answers_page::<Visit>()
            .errors(closed)
            .handler(list_visits),
        Operation::get("/patients/{patient_id}/orthodontic-visits/{id}", "get_orthodontic_visit")
            .summary("Show a visit")
            .access(read)
            .shows_patients("orthodontic_visit")
            .answers::<Visit>(200)
            .errors(&["not_found"])
            .handler(get_visit),
    ]);
    vec![module]
}

async fn bond(
    cx: TenantCx,
    Path(id): Path<PatientId>,
    Body(input): Body<BondBracket>,
) -> Result<Reply, ApiError> {
    cx.write(move |tx, scope| {
        let input = input.clone();
        Box::pin(async move {
            let made = bracket::bond(tx, scope, id, input).await?;
            Ok(Reply::created(format!("/patients/{id}/brackets/{}", made.id), &made).showing([id]))
        })
    })
    .await
}

async fn list_brackets(cx: TenantCx, Path(id): Path<PatientId>, list: List<All>) -> Result<Reply, ApiError> {
    let page = cx.read(async |tx, scope| Ok(bracket::list(tx, scope, id, &list.page).await?)).await?;
    Ok(Reply::page(&list, &page).showing([id]))
}

async fn get_bracket(
    cx: TenantCx,
    Path((patient_id, id)): Path<(PatientId, BracketId)>,
) -> Result<Reply, ApiError> {
    let found = cx.read(async |tx, _| Ok(bracket::get(tx, (patient_id, id)).await?)).await?;
    Ok(Reply::ok(&found).showing([patient_id]))
}

async fn remove(
    cx: TenantCx,
    Path((patient_id, id)): Path<(PatientId, BracketId)>,
    Body(input): Body<RemoveBracket>,
) -> Result<Reply, ApiError> {
    let subject = (patient_id, id, cx.expected_version());
    cx.write(move |tx, scope| {
        Box::pin(async move {
            Ok(Reply::ok(&bracket::remove(tx, scope, subject, input).await?).showing([patient_id]))
        })
    })
    .await
}

async fn record_visit(
    cx: TenantCx,
    Path(id): Path<PatientId>,
    Body(input): Body<RecordVisit>,
) -> Result<Reply, ApiError> {
    cx.write(move |tx, scope| {
        let input = input.clone();
        Box::pin(async move {
            let made = visit::record(tx, scope, id, input).await?;
            Ok(Reply::created(format!("/patients/{id}/orthodontic-visits/{}", made.id), &made).showing([id]))
        })
    })
    .await
}

async fn list_visits(cx: TenantCx, Path(id): Path<PatientId>, list: List<All>) -> Result<Reply, ApiError> {
    let page = cx.read(async |tx, scope| Ok(visit::list(tx, scope, id, &list.page).await?)).await?;
    Ok(Reply::page(&list, &page).showing([id]))
}

async fn get_visit(
    cx: TenantCx,
    Path((patient_id, id)): Path<(PatientId, VisitId)>,
) -> Result<Reply, ApiError> {
    let found = cx.read(async |tx, _| Ok(visit::get(tx, (patient_id, id)).await?)).await?;
    Ok(Reply::ok(&found).showing([patient_id]))
}
