//! Patients.

use clinicx_core::{
    PatientId,
    patient::{
        self, CreatePatient, PartialDate, Patient, PatientFilter, PatientSort, PatientStatus, PatientSummary,
        Revision, UpdatePatient,
    },
    permission::{PATIENT_READ, PATIENT_WRITE},
    setting::SIMILAR_SEARCH,
};
use clinicx_web::{Access, ApiError, Body, HttpModule, List, Operation, Path, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{sealed, wiring::Slot};

/// The operations on patients.
pub fn module(slot: &Slot) -> HttpModule {
    let read = Access::Tenant(PATIENT_READ);
    let write = Access::Tenant(PATIENT_WRITE);
    let (creating, listing, getting, updating) = (slot.clone(), slot.clone(), slot.clone(), slot.clone());
    HttpModule::new("patients", "The people who are treated").operations([
        Operation::post("/patients", "create_patient")
            .summary("Register a patient")
            .access(write)
            .shows_patients("patient")
            .answers::<Patient>(201)
            .errors(&["identifier_taken"])
            .handler(move |cx: TenantCx, body: Body<CreatePatient>| create(creating.clone(), cx, body)),
        Operation::get("/patients", "list_patients")
            .summary("List patients, or search for them")
            .description(
                "`q` finds names as they are typed (accents, case and Arabic letter forms do not matter, small \
                 slips are forgiven), record numbers, the last digits of a phone number and birth dates.",
            )
            .access(read)
            .shows_patients("patient")
            .answers_page::<PatientSummary>()
            .handler(move |cx: TenantCx, wanted: List<Wanted>| list(listing.clone(), cx, wanted)),
        Operation::get("/patients/{id}", "get_patient")
            .summary("Show a patient")
            .access(read)
            .shows_patients("patient")
            .answers::<Patient>(200)
            .errors(&["not_found", "patient_merged", "patient_erased"])
            .handler(move |cx: TenantCx, id: Path<PatientId>| get(getting.clone(), cx, id)),
        Operation::patch("/patients/{id}", "update_patient")
            .summary("Change a patient's details")
            .description("An absent field stays as it is; `null` clears it; an array replaces the one before.")
            .access(write)
            .shows_patients("patient")
            .answers::<Patient>(200)
            .errors(&["not_found", "patient_merged", "patient_erased", "identifier_taken"])
            .handler(move |cx: TenantCx, id: Path<PatientId>, body: Body<UpdatePatient>| {
                update(updating.clone(), cx, id, body)
            }),
    ])
}

/// Which patients are listed, and in which order.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// What was typed into the search: names, a record number, last digits of a telephone number, an identifier
    /// or a birth date.
    #[schemars(length(max = 200))]
    q: Option<String>,
    /// The last digits of a telephone number, at least four, or the whole number.
    #[schemars(length(max = 40))]
    phone: Option<String>,
    /// The birth date: a day, a month or a year.
    birth_date: Option<PartialDate>,
    /// An identifier: `system|value`, or the value alone.
    #[schemars(length(max = 300))]
    identifier: Option<String>,
    /// The state of the record.
    status: Option<PatientStatus>,
    /// The order.
    #[serde(default)]
    sort: PatientSort,
}

async fn create(slot: Slot, cx: TenantCx, Body(input): Body<CreatePatient>) -> Result<Reply, ApiError> {
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let input = input.clone();
        Box::pin(async move {
            let made = patient::create(tx, scope, &cipher, input).await?;
            Ok(Reply::created(format!("/patients/{}", made.id), &made).showing([made.id]))
        })
    })
    .await
}

async fn list(slot: Slot, cx: TenantCx, list: List<Wanted>) -> Result<Reply, ApiError> {
    let flags = &slot.platform()?.flags;
    let Wanted { q, phone, birth_date, identifier, status, sort } = list.filter.clone();
    let exact = q.is_some() && !flags.is_enabled(cx.tenant().id, &SIMILAR_SEARCH).await;
    let filter = PatientFilter { q, phone, birth_date, identifier, status, exact };
    let page = sealed::read(&slot, &cx, async |tx, scope, cipher| {
        Ok(patient::list(tx, scope, cipher, &filter, (&list.page, sort)).await?)
    })
    .await?;
    Ok(Reply::page(&list, &page).showing(page.items.iter().map(|patient| patient.id)))
}

async fn get(slot: Slot, cx: TenantCx, Path(id): Path<PatientId>) -> Result<Reply, ApiError> {
    let found =
        sealed::read(&slot, &cx, async |tx, scope, cipher| Ok(patient::get(tx, scope, cipher, id).await?))
            .await?;
    Ok(Reply::ok(&found).showing([found.id]))
}

async fn update(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<PatientId>,
    Body(patch): Body<UpdatePatient>,
) -> Result<Reply, ApiError> {
    let expected = cx.expected_version();
    sealed::write(&slot, &cx, move |tx, scope, cipher| {
        let patch = patch.clone();
        Box::pin(async move {
            let revision = Revision { id, expected };
            let changed = patient::update(tx, scope, &cipher, revision, patch).await?;
            Ok(Reply::ok(&changed).showing([changed.id]))
        })
    })
    .await
}
