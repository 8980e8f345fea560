//! Accounts, for operators of the platform.

use clinicx_identity::{
    IdentityScope, NewAccount, Password, User, membership,
    user::{self, UserFilter},
};
use clinicx_types::{id::UserId, permission::Role};
use clinicx_web::{Access, ApiError, Body, CallerCx, HttpModule, IfMatch, List, Operation, Path, Reply};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::auth::refused;
use crate::wiring::Slot;

/// The operations on accounts.
pub fn module(slot: &Slot) -> HttpModule {
    let (creating, listing, getting) = (slot.clone(), slot.clone(), slot.clone());
    HttpModule::new("platform_users", "Accounts, for operators of the platform")
        .operations([
            Operation::post("/platform/users", "create_platform_user")
                .summary("Create an account")
                .description("Without a password nobody can log in to it until a reset link has set one.")
                .access(Access::Operator)
                .answers::<User>(201)
                .errors(&["email_taken"])
                .handler(move |cx: CallerCx, body: Body<CreateUser>| create(creating.clone(), cx, body)),
            Operation::get("/platform/users", "list_platform_users")
                .summary("List accounts in the order in which they were made")
                .access(Access::Operator)
                .answers_page::<User>()
                .handler(move |cx: CallerCx, wanted: List<Wanted>| list(listing.clone(), cx, wanted)),
            Operation::get("/platform/users/{id}", "get_platform_user")
                .summary("Show an account and the tenants that it belongs to")
                .access(Access::Operator)
                .answers::<Detailed>(200)
                .errors(&["not_found"])
                .handler(move |cx: CallerCx, id: Path<UserId>| get(getting.clone(), cx, id)),
        ])
        .operations([
            changing(slot, "/platform/users/{id}/disable", "disable_platform_user", Step::Disable),
            changing(slot, "/platform/users/{id}/enable", "enable_platform_user", Step::Enable),
            changing(slot, "/platform/users/{id}/grant-operator", "grant_operator", Step::GrantOperator),
            changing(slot, "/platform/users/{id}/revoke-operator", "revoke_operator", Step::RevokeOperator),
        ])
}

/// A change of an account. `If-Match` is heeded and not demanded: an account is disabled as it is, not in a version.
#[derive(Clone, Copy)]
enum Step {
    Disable,
    Enable,
    GrantOperator,
    RevokeOperator,
}

fn changing(slot: &Slot, path: &'static str, id: &'static str, step: Step) -> Operation {
    let slot = slot.clone();
    let (summary, errors): (_, &[&'static str]) = match step {
        Step::Disable => {
            ("Disable an account: its sessions end, and nobody can log in", &["own_account", "last_operator"])
        }
        Step::Enable => ("Enable an account again", &[]),
        Step::GrantOperator => ("Make somebody an operator of the platform", &[]),
        Step::RevokeOperator => {
            ("Take the right to operate the platform away", &["own_account", "last_operator"])
        }
    };
    Operation::post(path, id)
        .if_match(IfMatch::Accepted)
        .summary(summary)
        .access(Access::Operator)
        .answers::<User>(200)
        .errors(&["not_found"])
        .errors(errors)
        .handler(move |cx: CallerCx, id: Path<UserId>| change(slot.clone(), cx, id, step))
}

/// A new account.
#[derive(Clone, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct CreateUser {
    /// The address.
    #[schemars(email, length(max = 254))]
    email: String,
    /// The person's name.
    #[schemars(length(min = 1, max = 200))]
    full_name: String,
    /// The password.
    password: Option<Password>,
    /// Whether the person operates the platform.
    #[serde(default)]
    is_operator: bool,
}

/// Which accounts are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Those whose address or name contains this.
    #[schemars(length(max = 200))]
    q: Option<String>,
    /// Operators, or everybody else.
    operator: Option<bool>,
    /// Those that are disabled, or those that are not.
    disabled: Option<bool>,
}

/// An account with its memberships.
#[derive(Clone, Serialize, JsonSchema)]
struct Detailed {
    #[serde(flatten)]
    user: User,
    /// Where it belongs, and as what.
    tenants: Vec<Belonging>,
}

/// A tenant to which an account belongs.
#[derive(Clone, Serialize, JsonSchema)]
struct Belonging {
    /// The tenant's slug.
    slug: String,
    /// The roles in it.
    roles: Vec<Role>,
}

fn scope(cx: &CallerCx) -> IdentityScope {
    IdentityScope {
        actor: cx.actor(),
        request_id: cx.request_id(),
        source: cx.source(),
        clock: cx.clock().clone(),
        ids: cx.ids().clone(),
    }
}

async fn create(slot: Slot, cx: CallerCx, Body(input): Body<CreateUser>) -> Result<Reply, ApiError> {
    let (identity, scope) = (slot.platform()?.identity.clone(), scope(&cx));
    cx.perform(move || {
        Box::pin(async move {
            let new = NewAccount {
                email: &input.email,
                full_name: &input.full_name,
                password: input.password.as_ref(),
                is_operator: input.is_operator,
            };
            let user = identity.create_user(&scope, new).await.map_err(refused)?;
            Ok(Reply::created(format!("/platform/users/{}", user.id), &user))
        })
    })
    .await
}

async fn list(slot: Slot, _cx: CallerCx, list: List<Wanted>) -> Result<Reply, ApiError> {
    let Wanted { q, operator, disabled } = list.filter.clone();
    let filter = UserFilter { tenant: None, is_operator: operator, is_disabled: disabled, q };
    let page = user::list(&slot.platform()?.app, filter, &list.page).await?;
    Ok(Reply::page(&list, &page))
}

async fn get(slot: Slot, _cx: CallerCx, Path(id): Path<UserId>) -> Result<Reply, ApiError> {
    let app = &slot.platform()?.app;
    let user = user::find_by_id(app, id).await?.ok_or_else(ApiError::not_found)?;
    let tenants = membership::list_for_user(app, id).await?.into_iter();
    let tenants =
        tenants.map(|belonging| Belonging { slug: belonging.slug.to_string(), roles: belonging.roles });
    Ok(Reply::ok(&Detailed { user, tenants: tenants.collect() }))
}

async fn change(slot: Slot, cx: CallerCx, Path(id): Path<UserId>, step: Step) -> Result<Reply, ApiError> {
    let (identity, scope) = (slot.platform()?.identity.clone(), scope(&cx));
    let expected = cx.expected_version();
    cx.perform(move || {
        Box::pin(async move {
            let user = match step {
                Step::Disable => identity.disable_user(&scope, id, expected).await,
                Step::Enable => identity.enable_user(&scope, id, expected).await,
                Step::GrantOperator => identity.grant_operator(&scope, id, expected).await,
                Step::RevokeOperator => identity.revoke_operator(&scope, id, expected).await,
            };
            Ok(Reply::ok(&user.map_err(refused)?))
        })
    })
    .await
}
