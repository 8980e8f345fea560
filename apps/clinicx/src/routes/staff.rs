//! The people who work in the clinic.

use clinicx_core::{
    StaffId,
    permission::{STAFF_READ, STAFF_WRITE},
    staff::{self, CreateStaff, Revision, StaffFilter, StaffMember, UpdateStaff},
};
use clinicx_types::permission::Role;
use clinicx_web::{Access, ApiError, Body, HttpModule, List, Operation, Path, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{accounts::Memberships, wiring::Slot};

/// The operations on staff.
pub fn module(slot: &Slot) -> HttpModule {
    let (creating, updating) = (slot.clone(), slot.clone());
    let read = Access::Tenant(STAFF_READ);
    let write = Access::Tenant(STAFF_WRITE);
    HttpModule::new("staff", "The people who work in the clinic").operations([
        Operation::post("/staff", "create_staff_member")
            .summary("Add a member of staff")
            .access(write)
            .answers::<StaffMember>(201)
            .errors(&["user_taken"])
            .handler(move |cx: TenantCx, body: Body<CreateStaff>| create(creating.clone(), cx, body)),
        Operation::get("/staff", "list_staff")
            .summary("List staff")
            .access(read)
            .shows_no_patient()
            .answers_page::<StaffMember>()
            .handler(list),
        Operation::get("/staff/{id}", "get_staff_member")
            .summary("Show a member of staff")
            .access(read)
            .shows_no_patient()
            .answers::<StaffMember>(200)
            .errors(&["not_found"])
            .handler(get),
        Operation::patch("/staff/{id}", "update_staff_member")
            .summary("Change a member of staff")
            .description("An absent field stays as it is; `null` clears it.")
            .access(write)
            .answers::<StaffMember>(200)
            .errors(&["not_found", "user_taken"])
            .handler(move |cx: TenantCx, id: Path<StaffId>, body: Body<UpdateStaff>| {
                update(updating.clone(), cx, id, body)
            }),
        Operation::delete("/staff/{id}", "delete_staff_member")
            .summary("Remove a member of staff to which nothing refers")
            .access(write)
            .answers_empty(204)
            .errors(&["not_found", "in_use"])
            .handler(delete),
    ])
}

/// Which staff are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Those who work here, or those who don't any more.
    active: Option<bool>,
    /// Those who have this role.
    role: Option<Role>,
}

async fn create(slot: Slot, cx: TenantCx, Body(input): Body<CreateStaff>) -> Result<Reply, ApiError> {
    let accounts = Memberships(slot.platform()?.app.clone());
    cx.write(move |tx, scope| {
        let (input, accounts) = (input.clone(), accounts.clone());
        Box::pin(async move {
            let made = staff::create(tx, scope, &accounts, input).await?;
            Ok(Reply::created(format!("/staff/{}", made.id), &made))
        })
    })
    .await
}

async fn list(cx: TenantCx, list: List<Wanted>) -> Result<Reply, ApiError> {
    let wanted = &list.filter;
    let filter = StaffFilter { active: wanted.active, role: wanted.role };
    let page = cx.read(async |tx, scope| Ok(staff::list(tx, scope, &filter, &list.page).await?)).await?;
    Ok(Reply::page(&list, &page))
}

async fn get(cx: TenantCx, Path(id): Path<StaffId>) -> Result<Reply, ApiError> {
    Ok(Reply::ok(&staff::get(&cx.connection()?, cx.scope(), id).await?))
}

async fn update(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<StaffId>,
    Body(patch): Body<UpdateStaff>,
) -> Result<Reply, ApiError> {
    let accounts = Memberships(slot.platform()?.app.clone());
    let revision = Revision { id, expected: cx.expected_version() };
    cx.write(move |tx, scope| {
        let (patch, accounts) = (patch.clone(), accounts.clone());
        Box::pin(async move { Ok(Reply::ok(&staff::update(tx, scope, &accounts, revision, patch).await?)) })
    })
    .await
}

async fn delete(cx: TenantCx, Path(id): Path<StaffId>) -> Result<Reply, ApiError> {
    let expected = cx.expected_version();
    cx.write(move |tx, scope| {
        Box::pin(async move {
            staff::delete(tx, scope, id, expected).await?;
            Ok(Reply::no_content())
        })
    })
    .await
}
