//! The users of the tenant.

use clinicx_core::permission::{USER_READ, USER_WRITE};
use clinicx_identity::{
    IdentityScope, Invitation, NewMember, TenantUser,
    member::{self, MemberFilter},
};
use clinicx_types::{id::UserId, permission::Role};
use clinicx_web::{Access, ApiError, Body, HttpModule, List, Operation, Path, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;
use validator::Validate;

use super::auth::refused;
use crate::wiring::Slot;

/// The operations on the users of a tenant.
pub fn module(slot: &Slot) -> HttpModule {
    let (read, write) = (Access::Tenant(USER_READ), Access::Tenant(USER_WRITE));
    let (creating, listing, getting, updating, deleting) =
        (slot.clone(), slot.clone(), slot.clone(), slot.clone(), slot.clone());
    HttpModule::new("users", "The users of the tenant").operations([
        Operation::post("/users", "create_user")
            .summary("Invite a user")
            .description(
                "The person is invited by mail and belongs to the tenant when the invitation is accepted: with the \
                 password of the person's account, or with a new one for a new account. The answer does not tell which.",
            )
            .closed_to_grants()
            .access(write)
            .answers::<Invitation>(201)
            .errors(&["owner_required", "already_member", "already_invited", "mail_not_configured"])
            .handler(move |cx: TenantCx, body: Body<CreateUser>| create(creating.clone(), cx, body)),
        Operation::get("/users", "list_users")
            .summary("List the users of the tenant")
            .access(read)
            .shows_no_patient()
            .answers_page::<TenantUser>()
            .handler(move |cx: TenantCx, wanted: List<Wanted>| list(listing.clone(), cx, wanted)),
        Operation::get("/users/{id}", "get_user")
            .summary("Show a user of the tenant")
            .access(read)
            .shows_no_patient()
            .answers::<TenantUser>(200)
            .errors(&["not_found"])
            .handler(move |cx: TenantCx, id: Path<UserId>| get(getting.clone(), cx, id)),
        Operation::patch("/users/{id}", "update_user")
            .summary("Give a user of the tenant other roles")
            .description(
                "Only an owner makes or unmakes an owner, nobody gives themselves more than they have, and the last \
                 owner stays one. What the user may do changes within five seconds.",
            )
            .closed_to_grants()
            .access(write)
            .answers::<TenantUser>(200)
            .errors(&["not_found", "owner_required", "own_roles", "last_owner"])
            .handler(move |cx: TenantCx, id: Path<UserId>, body: Body<UpdateUser>| {
                update(updating.clone(), cx, id, body)
            }),
        Operation::delete("/users/{id}", "delete_user")
            .summary("Take a user out of the tenant; the user's sessions in it end")
            .closed_to_grants()
            .access(write)
            .answers_empty(204)
            .errors(&["not_found", "owner_required", "last_owner"])
            .handler(move |cx: TenantCx, id: Path<UserId>| delete(deleting.clone(), cx, id)),
    ])
}

/// Somebody who shall belong to the tenant.
#[derive(Clone, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct CreateUser {
    /// The address by which the person logs in, or will.
    #[schemars(email, length(max = 254))]
    email: String,
    /// The person's name; an account that is there keeps its own.
    #[schemars(length(min = 1, max = 200))]
    full_name: String,
    /// What the person shall be here.
    #[schemars(length(min = 1))]
    roles: Vec<Role>,
}

/// A change of a user.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct UpdateUser {
    /// What the user shall be here, in place of what the user is.
    #[schemars(length(min = 1))]
    roles: Vec<Role>,
}

/// Which users are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Those who have this role.
    role: Option<Role>,
}

/// What a change of accounts knows of its caller.
pub(super) fn scope(cx: &TenantCx) -> IdentityScope {
    let scope = cx.scope();
    IdentityScope {
        actor: scope.actor,
        request_id: scope.request_id,
        source: scope.source,
        clock: scope.clock.clone(),
        ids: scope.ids.clone(),
    }
}

async fn create(slot: Slot, cx: TenantCx, Body(input): Body<CreateUser>) -> Result<Reply, ApiError> {
    let (identity, scope, tenant) = (slot.platform()?.identity.clone(), scope(&cx), cx.tenant().id);
    cx.perform(move || {
        Box::pin(async move {
            let new = NewMember { email: &input.email, full_name: &input.full_name, roles: &input.roles };
            let made = identity.invite(&scope, tenant, new).await.map_err(refused)?;
            Ok(Reply::created(format!("/invitations/{}", made.id), &made))
        })
    })
    .await
}

async fn list(slot: Slot, cx: TenantCx, list: List<Wanted>) -> Result<Reply, ApiError> {
    let filter = MemberFilter { role: list.filter.role };
    let page = member::list(&slot.platform()?.app, cx.tenant().id, filter, &list.page).await?;
    Ok(Reply::page(&list, &page))
}

async fn get(slot: Slot, cx: TenantCx, Path(id): Path<UserId>) -> Result<Reply, ApiError> {
    Ok(Reply::ok(&member::get(&slot.platform()?.app, cx.tenant().id, id).await?))
}

async fn update(
    slot: Slot,
    cx: TenantCx,
    Path(id): Path<UserId>,
    Body(input): Body<UpdateUser>,
) -> Result<Reply, ApiError> {
    let (identity, scope, tenant) = (slot.platform()?.identity.clone(), scope(&cx), cx.tenant().id);
    let expected = cx.expected_version();
    let work = async move {
        let roles = &input.roles;
        identity.set_member_roles(&scope, tenant, id, roles, expected).await.map_err(refused)
    };
    Ok(Reply::ok(&cx.detached(work).await?))
}

async fn delete(slot: Slot, cx: TenantCx, Path(id): Path<UserId>) -> Result<Reply, ApiError> {
    let (identity, scope, tenant) = (slot.platform()?.identity.clone(), scope(&cx), cx.tenant().id);
    let expected = cx.expected_version();
    let work = async move { identity.remove_member(&scope, tenant, id, expected).await.map_err(refused) };
    cx.detached(work).await?;
    Ok(Reply::no_content())
}
