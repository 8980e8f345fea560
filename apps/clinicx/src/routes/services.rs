//! What the clinic offers.

use clinicx_core::{
    ServiceId,
    permission::{CATALOGUE_READ, CATALOGUE_WRITE},
    service::{self, CreateService, Service, ServiceFilter, UpdateService},
};
use clinicx_web::{Access, ApiError, Body, HttpModule, List, Operation, Path, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;

/// The operations on services.
pub fn module() -> HttpModule {
    let read = Access::Tenant(CATALOGUE_READ);
    let write = Access::Tenant(CATALOGUE_WRITE);
    HttpModule::new("services", "What the clinic offers and how long it takes").operations([
        Operation::post("/services", "create_service")
            .summary("Add a service")
            .access(write)
            .answers::<Service>(201)
            .errors(&["code_taken"])
            .handler(create),
        Operation::get("/services", "list_services")
            .summary("List services")
            .access(read)
            .shows_no_patient()
            .answers_page::<Service>()
            .handler(list),
        Operation::get("/services/{id}", "get_service")
            .summary("Show a service")
            .access(read)
            .shows_no_patient()
            .answers::<Service>(200)
            .errors(&["not_found"])
            .handler(get),
        Operation::patch("/services/{id}", "update_service")
            .summary("Change a service")
            .description("An absent field stays as it is; `null` clears it.")
            .access(write)
            .answers::<Service>(200)
            .errors(&["not_found", "code_taken"])
            .handler(update),
        Operation::delete("/services/{id}", "delete_service")
            .summary("Remove a service to which nothing refers")
            .access(write)
            .answers_empty(204)
            .errors(&["not_found", "in_use"])
            .handler(delete),
    ])
}

/// Which services are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Those that are offered, or those that are not any more.
    active: Option<bool>,
    /// Those that can be booked online, or the others.
    bookable_online: Option<bool>,
    /// Those that need a chair, or the others.
    needs_chair: Option<bool>,
}

async fn create(cx: TenantCx, Body(input): Body<CreateService>) -> Result<Reply, ApiError> {
    cx.write(move |tx, scope| {
        let input = input.clone();
        Box::pin(async move {
            let made = service::create(tx, scope, input).await?;
            Ok(Reply::created(format!("/services/{}", made.id), &made))
        })
    })
    .await
}

async fn list(cx: TenantCx, list: List<Wanted>) -> Result<Reply, ApiError> {
    let wanted = &list.filter;
    let filter = ServiceFilter {
        active: wanted.active,
        bookable_online: wanted.bookable_online,
        needs_chair: wanted.needs_chair,
    };
    let page = cx.read(async |tx, scope| Ok(service::list(tx, scope, &filter, &list.page).await?)).await?;
    Ok(Reply::page(&list, &page))
}

async fn get(cx: TenantCx, Path(id): Path<ServiceId>) -> Result<Reply, ApiError> {
    Ok(Reply::ok(&service::get(&cx.connection()?, cx.scope(), id).await?))
}

async fn update(
    cx: TenantCx,
    Path(id): Path<ServiceId>,
    Body(patch): Body<UpdateService>,
) -> Result<Reply, ApiError> {
    let expected = cx.expected_version();
    cx.write(move |tx, scope| {
        let patch = patch.clone();
        Box::pin(async move { Ok(Reply::ok(&service::update(tx, scope, id, expected, patch).await?)) })
    })
    .await
}

async fn delete(cx: TenantCx, Path(id): Path<ServiceId>) -> Result<Reply, ApiError> {
    let expected = cx.expected_version();
    cx.write(move |tx, scope| {
        Box::pin(async move {
            service::delete(tx, scope, id, expected).await?;
            Ok(Reply::no_content())
        })
    })
    .await
}
