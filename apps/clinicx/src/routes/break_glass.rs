//! Break-glass: an operator's way into a tenant for a while.

use clinicx_core::permission::BREAK_GLASS_READ;
use clinicx_identity::{
    BreakGlassGrant, IdentityScope, NewGrant, Tokens,
    break_glass::{self, GrantFilter},
};
use clinicx_tenancy::registry;
use clinicx_types::{id::BreakGlassGrantId, name::TenantSlug, permission::Role};
use clinicx_web::{
    Access, ApiError, Body, CallerCx, HttpModule, Idempotency, IfMatch, List, Operation, Path, Reply,
    TenantCx,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use validator::Validate;

use super::{
    auth::{origin, principal, refused},
    users,
};
use crate::wiring::Slot;

/// The operations on grants.
pub fn module(slot: &Slot) -> HttpModule {
    HttpModule::new("break_glass", "An operator's way into a tenant for a while")
        .operations(of_operators(slot))
        .operations(of_tenants(slot))
}

fn of_operators(slot: &Slot) -> [Operation; 3] {
    let (opening, listing, ending) = (slot.clone(), slot.clone(), slot.clone());
    let slug = json!({"type": "string", "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "maxLength": 40});
    [
        Operation::post("/platform/tenants/{slug}/break-glass", "open_break_glass")
            .summary("Get into a tenant for a while, with a reason that the tenant reads")
            .description(
                "Answers a grant and the tokens of a session that ends with it. Users, roles and other tenants are \
                 closed to that session.",
            )
            .access(Access::Operator)
            .path_param("slug", slug)
            .idempotency(Idempotency::Brief)
            .answers::<Opened>(201)
            .errors(&["not_found", "tenant_suspended", "tenant_gone"])
            .handler(move |cx: CallerCx, slug: Path<String>, body: Body<Open>| {
                open(opening.clone(), cx, slug, body)
            }),
        Operation::get("/platform/break-glass", "list_break_glass")
            .summary("List the grants into every tenant, newest first")
            .access(Access::Operator)
            .answers_page::<BreakGlassGrant>()
            .handler(move |cx: CallerCx, wanted: List<WantedByOperator>| list_all(listing.clone(), cx, wanted)),
        Operation::delete("/platform/break-glass/{id}", "end_break_glass")
            .summary("End a grant and its sessions before its time")
            .access(Access::Operator)
            .if_match(IfMatch::None)
            .answers_empty(204)
            .errors(&["not_found"])
            .handler(move |cx: CallerCx, id: Path<BreakGlassGrantId>| end(ending.clone(), cx, id)),
    ]
}

fn of_tenants(slot: &Slot) -> [Operation; 2] {
    let (listing, ending) = (slot.clone(), slot.clone());
    [
        Operation::get("/break-glass-grants", "list_break_glass_grants")
            .summary("List when operators of the platform were let into this tenant, newest first")
            .access(Access::Tenant(BREAK_GLASS_READ))
            .shows_no_patient()
            .answers_page::<BreakGlassGrant>()
            .handler(move |cx: TenantCx, wanted: List<Wanted>| list(listing.clone(), cx, wanted)),
        Operation::post("/break-glass-grants/{id}/end", "end_break_glass_grant")
            .summary("Put an operator of the platform out before the grant ends by itself")
            .access(Access::Tenant(BREAK_GLASS_READ))
            .answers::<BreakGlassGrant>(200)
            .errors(&["not_found"])
            .handler(move |cx: TenantCx, id: Path<BreakGlassGrantId>| end_own(ending.clone(), cx, id)),
    ]
}

/// A wish to get into a tenant.
#[derive(Clone, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct Open {
    /// Why; the tenant reads it.
    #[schemars(length(min = 10, max = 500))]
    reason: String,
    /// For how many minutes.
    #[schemars(range(min = 1, max = 60))]
    minutes: u32,
    /// As what; as an administrator when nothing is said, and never as an owner.
    roles: Option<Vec<Role>>,
}

/// A grant with the tokens of its session.
#[derive(Clone, Serialize, JsonSchema)]
struct Opened {
    #[serde(flatten)]
    grant: BreakGlassGrant,
    /// The tokens.
    #[serde(flatten)]
    tokens: Tokens,
}

/// Which grants are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Those that go on, or those that have ended.
    active: Option<bool>,
}

/// Which grants are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WantedByOperator {
    /// Those into the tenant with this slug.
    #[schemars(with = "Option<String>")]
    tenant: Option<TenantSlug>,
    /// Those that go on, or those that have ended.
    active: Option<bool>,
}

async fn open(
    slot: Slot,
    cx: CallerCx,
    Path(slug): Path<String>,
    Body(input): Body<Open>,
) -> Result<Reply, ApiError> {
    let tenant = TenantSlug::parse(&slug).map_err(|_| ApiError::not_found())?;
    let identity = slot.platform()?.identity.clone();
    let (origin, principal) = (origin(&cx), principal(&cx)?);
    cx.perform(move || {
        Box::pin(async move {
            let Open { reason, minutes, roles } = &input;
            let new = NewGrant { tenant: &tenant, reason, minutes: *minutes, roles: roles.as_deref() };
            let (grant, tokens) = identity.break_glass(&principal, new, &origin).await.map_err(refused)?;
            let location = format!("/platform/break-glass/{}", grant.id);
            Ok(Reply::created(location, &Opened { grant, tokens }))
        })
    })
    .await
}

async fn list_all(slot: Slot, cx: CallerCx, list: List<WantedByOperator>) -> Result<Reply, ApiError> {
    let app = &slot.platform()?.app;
    let tenant = match &list.filter.tenant {
        Some(slug) => Some(registry::get_by_slug(app, slug).await?.id),
        None => None,
    };
    let filter = GrantFilter { tenant, is_active: list.filter.active };
    let page = break_glass::list(app, filter, cx.clock().now(), &list.page).await?;
    Ok(Reply::page(&list, &page))
}

async fn end(slot: Slot, cx: CallerCx, Path(id): Path<BreakGlassGrantId>) -> Result<Reply, ApiError> {
    let identity = slot.platform()?.identity.clone();
    let scope = IdentityScope {
        actor: cx.actor(),
        request_id: cx.request_id(),
        source: cx.source(),
        clock: cx.clock().clone(),
        ids: cx.ids().clone(),
    };
    cx.detached(async move { identity.end_break_glass(&scope, None, id).await.map_err(refused) }).await?;
    Ok(Reply::no_content())
}

async fn list(slot: Slot, cx: TenantCx, list: List<Wanted>) -> Result<Reply, ApiError> {
    let filter = GrantFilter { tenant: Some(cx.tenant().id), is_active: list.filter.active };
    let page = break_glass::list(&slot.platform()?.app, filter, cx.clock().now(), &list.page).await?;
    Ok(Reply::page(&list, &page))
}

async fn end_own(slot: Slot, cx: TenantCx, Path(id): Path<BreakGlassGrantId>) -> Result<Reply, ApiError> {
    let (identity, scope, tenant) = (slot.platform()?.identity.clone(), users::scope(&cx), cx.tenant().id);
    cx.perform(move || {
        Box::pin(async move {
            let grant = identity.end_break_glass(&scope, Some(tenant), id).await.map_err(refused)?;
            Ok(Reply::ok(&grant))
        })
    })
    .await
}
