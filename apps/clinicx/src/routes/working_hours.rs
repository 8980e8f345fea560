//! When staff work.

use clinicx_core::{
    StaffId, WorkingHoursId,
    permission::{STAFF_READ, STAFF_WRITE},
    working_hours::{self, CreateWorkingHours, UpdateWorkingHours, WorkingHours},
};
use clinicx_web::{Access, ApiError, Body, HttpModule, List, Operation, Path, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;

/// The operations on working hours.
pub fn module() -> HttpModule {
    let read = Access::Tenant(STAFF_READ);
    let write = Access::Tenant(STAFF_WRITE);
    HttpModule::new("working-hours", "When staff work").operations([
        Operation::post("/staff/{staff_id}/working-hours", "create_working_hours")
            .summary("Add working hours of a member of staff")
            .access(write)
            .answers::<WorkingHours>(201)
            .errors(&["not_found", "working_hours_overlap"])
            .handler(create),
        Operation::get("/staff/{staff_id}/working-hours", "list_working_hours")
            .summary("List working hours")
            .access(read)
            .shows_no_patient()
            .answers_page::<WorkingHours>()
            .errors(&["not_found"])
            .handler(list),
        Operation::get("/staff/{staff_id}/working-hours/{id}", "get_working_hours")
            .summary("Show working hours of a member of staff")
            .access(read)
            .shows_no_patient()
            .answers::<WorkingHours>(200)
            .errors(&["not_found"])
            .handler(get),
        Operation::patch("/staff/{staff_id}/working-hours/{id}", "update_working_hours")
            .summary("Change working hours of a member of staff")
            .description("An absent field stays as it is; `null` clears it.")
            .access(write)
            .answers::<WorkingHours>(200)
            .errors(&["not_found", "working_hours_overlap"])
            .handler(update),
        Operation::delete("/staff/{staff_id}/working-hours/{id}", "delete_working_hours")
            .summary("Remove working hours of a member of staff")
            .access(write)
            .answers_empty(204)
            .errors(&["not_found"])
            .handler(delete),
    ])
}

/// Which working hours are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {}

async fn create(
    cx: TenantCx,
    Path(staff_id): Path<StaffId>,
    Body(input): Body<CreateWorkingHours>,
) -> Result<Reply, ApiError> {
    cx.write(move |tx, scope| {
        let input = input.clone();
        Box::pin(async move {
            let made = working_hours::create(tx, scope, staff_id, input).await?;
            Ok(Reply::created(format!("/staff/{staff_id}/working-hours/{}", made.id), &made))
        })
    })
    .await
}

async fn list(cx: TenantCx, Path(staff_id): Path<StaffId>, list: List<Wanted>) -> Result<Reply, ApiError> {
    let read = async |tx: &_, scope: &_| Ok(working_hours::list(tx, scope, staff_id, &list.page).await?);
    let page = cx.read(read).await?;
    Ok(Reply::page(&list, &page))
}

async fn get(cx: TenantCx, Path((staff_id, id)): Path<(StaffId, WorkingHoursId)>) -> Result<Reply, ApiError> {
    let found = cx.read(async |tx, scope| Ok(working_hours::get(tx, scope, staff_id, id).await?)).await?;
    Ok(Reply::ok(&found))
}

async fn update(
    cx: TenantCx,
    Path((staff_id, id)): Path<(StaffId, WorkingHoursId)>,
    Body(patch): Body<UpdateWorkingHours>,
) -> Result<Reply, ApiError> {
    let expected = cx.expected_version();
    cx.write(move |tx, scope| {
        let patch = patch.clone();
        Box::pin(async move {
            Ok(Reply::ok(&working_hours::update(tx, scope, (staff_id, id), expected, patch).await?))
        })
    })
    .await
}

async fn delete(
    cx: TenantCx,
    Path((staff_id, id)): Path<(StaffId, WorkingHoursId)>,
) -> Result<Reply, ApiError> {
    let expected = cx.expected_version();
    cx.write(move |tx, scope| {
        Box::pin(async move {
            working_hours::delete(tx, scope, (staff_id, id), expected).await?;
            Ok(Reply::no_content())
        })
    })
    .await
}
