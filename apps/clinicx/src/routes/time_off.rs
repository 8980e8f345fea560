//! When staff are away.

use chrono::{DateTime, Utc};
use clinicx_core::{
    StaffId, TimeOffId,
    permission::{STAFF_READ, STAFF_WRITE},
    time_off::{self, CreateTimeOff, TimeOff, TimeOffFilter, UpdateTimeOff},
};
use clinicx_types::calendar;
use clinicx_web::{Access, ApiError, Body, HttpModule, List, Operation, Path, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;

/// The operations on absences.
pub fn module() -> HttpModule {
    let read = Access::Tenant(STAFF_READ);
    let write = Access::Tenant(STAFF_WRITE);
    HttpModule::new("time-off", "When staff are away").operations([
        Operation::post("/staff/{staff_id}/time-off", "create_time_off")
            .summary("Add an absence of a member of staff")
            .access(write)
            .answers::<TimeOff>(201)
            .errors(&["not_found"])
            .handler(create),
        Operation::get("/staff/{staff_id}/time-off", "list_time_off")
            .summary("List absences")
            .access(read)
            .shows_no_patient()
            .answers_page::<TimeOff>()
            .errors(&["not_found"])
            .handler(list),
        Operation::get("/staff/{staff_id}/time-off/{id}", "get_time_off")
            .summary("Show an absence of a member of staff")
            .access(read)
            .shows_no_patient()
            .answers::<TimeOff>(200)
            .errors(&["not_found"])
            .handler(get),
        Operation::patch("/staff/{staff_id}/time-off/{id}", "update_time_off")
            .summary("Change an absence of a member of staff")
            .description("An absent field stays as it is; `null` clears it.")
            .access(write)
            .answers::<TimeOff>(200)
            .errors(&["not_found"])
            .handler(update),
        Operation::delete("/staff/{staff_id}/time-off/{id}", "delete_time_off")
            .summary("Remove an absence of a member of staff")
            .access(write)
            .answers_empty(204)
            .errors(&["not_found"])
            .handler(delete),
    ])
}

/// Which absences are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Those that end after this.
    #[serde(default, deserialize_with = "calendar::optional_instant")]
    from: Option<DateTime<Utc>>,
    /// Those that start before this.
    #[serde(default, deserialize_with = "calendar::optional_instant")]
    to: Option<DateTime<Utc>>,
}

async fn create(
    cx: TenantCx,
    Path(staff_id): Path<StaffId>,
    Body(input): Body<CreateTimeOff>,
) -> Result<Reply, ApiError> {
    cx.write(move |tx, scope| {
        let input = input.clone();
        Box::pin(async move {
            let made = time_off::create(tx, scope, staff_id, input).await?;
            Ok(Reply::created(format!("/staff/{staff_id}/time-off/{}", made.id), &made))
        })
    })
    .await
}

async fn list(cx: TenantCx, Path(staff_id): Path<StaffId>, list: List<Wanted>) -> Result<Reply, ApiError> {
    let filter = TimeOffFilter { from: list.filter.from, to: list.filter.to };
    let page = cx
        .read(async |tx, scope| Ok(time_off::list(tx, scope, staff_id, &filter, &list.page).await?))
        .await?;
    Ok(Reply::page(&list, &page))
}

async fn get(cx: TenantCx, Path((staff_id, id)): Path<(StaffId, TimeOffId)>) -> Result<Reply, ApiError> {
    let found = cx.read(async |tx, scope| Ok(time_off::get(tx, scope, staff_id, id).await?)).await?;
    Ok(Reply::ok(&found))
}

async fn update(
    cx: TenantCx,
    Path((staff_id, id)): Path<(StaffId, TimeOffId)>,
    Body(patch): Body<UpdateTimeOff>,
) -> Result<Reply, ApiError> {
    let expected = cx.expected_version();
    cx.write(move |tx, scope| {
        let patch = patch.clone();
        Box::pin(async move {
            Ok(Reply::ok(&time_off::update(tx, scope, (staff_id, id), expected, patch).await?))
        })
    })
    .await
}

async fn delete(cx: TenantCx, Path((staff_id, id)): Path<(StaffId, TimeOffId)>) -> Result<Reply, ApiError> {
    let expected = cx.expected_version();
    cx.write(move |tx, scope| {
        Box::pin(async move {
            time_off::delete(tx, scope, (staff_id, id), expected).await?;
            Ok(Reply::no_content())
        })
    })
    .await
}
