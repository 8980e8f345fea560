//! Sites, rooms and chairs.

use clinicx_core::{
    RoomId,
    permission::{CATALOGUE_READ, CATALOGUE_WRITE},
    room::{self, CreateRoom, Room, RoomFilter, UpdateRoom},
};
use clinicx_web::{Access, ApiError, Body, HttpModule, List, Operation, Path, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;

/// The operations on rooms.
pub fn module() -> HttpModule {
    let read = Access::Tenant(CATALOGUE_READ);
    let write = Access::Tenant(CATALOGUE_WRITE);
    HttpModule::new("rooms", "Sites, rooms and chairs").operations([
        Operation::post("/rooms", "create_room")
            .summary("Add a site, room or chair")
            .access(write)
            .answers::<Room>(201)
            .errors(&[])
            .handler(create),
        Operation::get("/rooms", "list_rooms")
            .summary("List rooms")
            .access(read)
            .shows_no_patient()
            .answers_page::<Room>()
            .handler(list),
        Operation::get("/rooms/{id}", "get_room")
            .summary("Show a site, room or chair")
            .access(read)
            .shows_no_patient()
            .answers::<Room>(200)
            .errors(&["not_found"])
            .handler(get),
        Operation::patch("/rooms/{id}", "update_room")
            .summary("Change a site, room or chair")
            .description("An absent field stays as it is; `null` clears it.")
            .access(write)
            .answers::<Room>(200)
            .errors(&["not_found"])
            .handler(update),
        Operation::delete("/rooms/{id}", "delete_room")
            .summary("Remove a site, room or chair to which nothing refers")
            .access(write)
            .answers_empty(204)
            .errors(&["not_found", "in_use"])
            .handler(delete),
    ])
}

/// Which rooms are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Those that can be booked, or those that can't.
    active: Option<bool>,
    /// Those of this kind.
    kind: Option<room::entity::RoomKind>,
    /// Those directly in this site or room.
    parent_id: Option<RoomId>,
}

async fn create(cx: TenantCx, Body(input): Body<CreateRoom>) -> Result<Reply, ApiError> {
    cx.write(move |tx, scope| {
        let input = input.clone();
        Box::pin(async move {
            let made = room::create(tx, scope, input).await?;
            Ok(Reply::created(format!("/rooms/{}", made.id), &made))
        })
    })
    .await
}

async fn list(cx: TenantCx, list: List<Wanted>) -> Result<Reply, ApiError> {
    let wanted = &list.filter;
    let filter = RoomFilter { active: wanted.active, kind: wanted.kind, parent_id: wanted.parent_id };
    let page = cx.read(async |tx, scope| Ok(room::list(tx, scope, &filter, &list.page).await?)).await?;
    Ok(Reply::page(&list, &page))
}

async fn get(cx: TenantCx, Path(id): Path<RoomId>) -> Result<Reply, ApiError> {
    Ok(Reply::ok(&room::get(&cx.connection()?, cx.scope(), id).await?))
}

async fn update(
    cx: TenantCx,
    Path(id): Path<RoomId>,
    Body(patch): Body<UpdateRoom>,
) -> Result<Reply, ApiError> {
    let expected = cx.expected_version();
    cx.write(move |tx, scope| {
        let patch = patch.clone();
        Box::pin(async move { Ok(Reply::ok(&room::update(tx, scope, id, expected, patch).await?)) })
    })
    .await
}

async fn delete(cx: TenantCx, Path(id): Path<RoomId>) -> Result<Reply, ApiError> {
    let expected = cx.expected_version();
    cx.write(move |tx, scope| {
        Box::pin(async move {
            room::delete(tx, scope, id, expected).await?;
            Ok(Reply::no_content())
        })
    })
    .await
}
