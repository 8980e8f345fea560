//! The users of the tenant.

use clinicx_core::permission::{USER_READ, USER_WRITE};
use clinicx_identity::{
    IdentityScope, NewMember, TakenIn, TenantUser,
    member::{self, MemberFilter},
};
use clinicx_types::{id::UserId, permission::Role};
use clinicx_web::{Access, ApiError, Body, HttpModule, List, Operation, Path, Reply, TenantCx};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
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
            .summary("Take a user in")
            .description(
                "Whoever has an account belongs to the tenant at once and is told by mail; everybody else is invited \
                 by mail, and belongs to it when the invitation is accepted.",
            )
            .closed_to_grants()
            .access(write)
            .answers::<Taken>(201)
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

/// What came of taking somebody in.
#[derive(Clone, Serialize, JsonSchema)]
struct Taken {
    /// The id of the user, or of the invitation.
    id: String,
    /// Whether the person belongs to the tenant already.
    status: TakenStatus,
    /// The address.
    email: String,
    /// The person's name.
    full_name: String,
    /// The roles.
    roles: Vec<Role>,
    /// When the invitation ends; `null` for a user.
    expires_at: Option<chrono::DateTime<chrono::Utc>>,
    /// The version of the user or of the invitation.
    version: i64,
    /// When it was made.
    created_at: chrono::DateTime<chrono::Utc>,
    /// When it was last changed.
    updated_at: chrono::DateTime<chrono::Utc>,
}

/// Whether somebody belongs to the tenant already.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum TakenStatus {
    /// The person is a user now; found under `/users`.
    Member,
    /// The person was invited; found under `/invitations`.
    Invited,
}

impl From<TakenIn> for Taken {
    fn from(taken: TakenIn) -> Self {
        match taken {
            TakenIn::Member(user) => Self {
                id: user.id.to_string(),
                status: TakenStatus::Member,
                email: user.email,
                full_name: user.full_name,
                roles: user.roles,
                expires_at: None,
                version: user.version,
                created_at: user.created_at,
                updated_at: user.updated_at,
            },
            TakenIn::Invited(invitation) => Self {
                id: invitation.id.to_string(),
                status: TakenStatus::Invited,
                email: invitation.email,
                full_name: invitation.full_name,
                roles: invitation.roles,
                expires_at: Some(invitation.expires_at),
                version: invitation.version,
                created_at: invitation.created_at,
                updated_at: invitation.updated_at,
            },
        }
    }
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
            let taken = identity.take_in(&scope, tenant, new).await.map_err(refused)?;
            let location = match &taken {
                TakenIn::Member(user) => format!("/users/{}", user.id),
                TakenIn::Invited(invitation) => format!("/invitations/{}", invitation.id),
            };
            Ok(Reply::created(location, &Taken::from(taken)))
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
