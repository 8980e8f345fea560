//! Logging in and out, and who one is.

use clinicx_core::permission::USER_WRITE;
use clinicx_identity::{
    IdentityError, LoginRequest, Me, Origin, Principal, RefreshRequest, SwitchRequest, Tokens,
};
use clinicx_tenancy::TenancyError;
use clinicx_types::permission::PermissionSet;
use clinicx_web::{Access, ApiError, Body, CallerCx, Cx, HttpModule, Idempotency, Operation, Reply};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::wiring::Slot;

/// The operations on one's own log-in.
pub fn module(slot: &Slot) -> HttpModule {
    let public = |path, id| Operation::post(path, id).access(Access::Public).idempotency(Idempotency::Brief);
    let known =
        |path, id| Operation::post(path, id).access(Access::Authenticated).idempotency(Idempotency::Brief);
    let (login_, refresh_, logout_, switch_, me_) =
        (slot.clone(), slot.clone(), slot.clone(), slot.clone(), slot.clone());
    HttpModule::new("auth", "Logging in and out").operations([
        public("/auth/login", "login")
            .summary("Log in with an address and a password")
            .description(
                "Without `tenant`, the one that `X-Tenant-ID` or the host names is meant. When nothing names one, a \
                 user of one tenant gets a token for that one, a user of several gets 409 `tenant_required` with \
                 the list, and an operator gets a token for the platform.",
            )
            .answers::<Tokens>(200)
            .errors(&[
                "invalid_credentials",
                "totp_required",
                "invalid_totp",
                "tenant_required",
                "tenant_mismatch",
                "no_membership",
                "tenant_suspended",
                "tenant_gone",
                "too_many_attempts",
            ])
            .handler(move |cx: Cx, body: Body<LoginRequest>| login(login_.clone(), cx, body)),
        public("/auth/refresh", "refresh")
            .summary("Exchange a refresh token, once, for new tokens")
            .description(
                "A token that was used already ends its session. A client that has lost the answer repeats the \
                 request with the same `Idempotency-Key` and gets the same tokens again, for ten minutes.",
            )
            .answers::<Tokens>(200)
            .errors(&["invalid_refresh_token", "tenant_mismatch", "tenant_suspended", "tenant_gone"])
            .handler(move |cx: Cx, body: Body<RefreshRequest>| refresh(refresh_.clone(), cx, body)),
        known("/auth/logout", "logout")
            .summary("End the session of the access token")
            .answers_empty(204)
            .handler(move |cx: CallerCx| logout(logout_.clone(), cx)),
        known("/auth/switch", "switch_tenant")
            .summary("Get tokens for another tenant to which one belongs")
            .closed_to_grants()
            .answers::<Tokens>(200)
            .errors(&["not_found", "tenant_suspended", "tenant_gone"])
            .handler(move |cx: CallerCx, body: Body<SwitchRequest>| switch(switch_.clone(), cx, body)),
        Operation::get("/auth/me", "me")
            .summary("Show who one is, where one belongs, and what one may do")
            .access(Access::Authenticated)
            .answers::<MeWithPermissions>(200)
            .errors(&["tenant_suspended", "tenant_maintenance", "tenant_upgrade_required"])
            .handler(move |cx: CallerCx| me(me_.clone(), cx)),
    ])
}

/// Who the caller is and what the caller may do with the present token.
#[derive(Serialize, JsonSchema)]
struct MeWithPermissions {
    #[serde(flatten)]
    me: Me,
    /// The rights in the tenant that the present token names, in those modules that it has.
    permissions: Vec<&'static str>,
}

/// What the kit knows of the caller, as identity wants it.
pub(super) fn principal(cx: &CallerCx) -> Result<Principal, ApiError> {
    let caller = cx.caller();
    let session_id = caller.session_id.ok_or_else(|| ApiError::internal("a caller without a session"))?;
    Ok(Principal {
        user_id: caller.user_id,
        session_id,
        tenant: caller.tenant_id,
        is_operator: caller.operator,
        roles: caller.roles.clone(),
        grant: caller.grant_id,
        must_enrol: caller.must_enrol,
    })
}

/// Where a request comes from, as identity wants it.
pub(crate) fn origin(cx: &Cx) -> Origin {
    Origin { request_id: cx.request_id(), source: cx.source() }
}

/// Adds what only identity's errors know: the tenants to choose from, and when to come back.
pub(crate) fn refused(error: IdentityError) -> ApiError {
    let tenants = match &error {
        IdentityError::TenantRequired { tenants } => Some(json!(tenants)),
        _ => None,
    };
    let wait = error.retry_after().and_then(|wait| u32::try_from(wait.as_secs().max(1)).ok());
    let mut problem = ApiError::from(error);
    if let Some(tenants) = tenants {
        problem = problem.member("tenants", tenants);
    }
    if let Some(seconds) = wait {
        problem = problem.retry_after_s(seconds);
    }
    problem
}

async fn login(slot: Slot, cx: Cx, Body(request): Body<LoginRequest>) -> Result<Reply, ApiError> {
    let (identity, origin) = (slot.platform()?.identity.clone(), origin(&cx));
    // A kept answer must not be a way to go on guessing behind a lock-out.
    identity.refuse_locked_out(&request, &origin).await.map_err(refused)?;
    let claimed = cx.claimed_tenant().cloned();
    let [email, password] = request.secret();
    cx.perform_for(&[&email, &password], move || {
        Box::pin(async move {
            let tokens = identity.login(request, claimed.as_ref(), &origin).await.map_err(refused)?;
            Ok(Reply::ok(&tokens))
        })
    })
    .await
}

async fn refresh(slot: Slot, cx: Cx, Body(request): Body<RefreshRequest>) -> Result<Reply, ApiError> {
    let (identity, origin) = (slot.platform()?.identity.clone(), origin(&cx));
    let claimed = cx.claimed_tenant().cloned();
    let token = request.refresh_token;
    cx.perform_for(&[token.clone().expose().as_bytes()], move || {
        Box::pin(async move {
            let tokens = identity.refresh(&token, claimed.as_ref(), &origin).await.map_err(refused)?;
            Ok(Reply::ok(&tokens))
        })
    })
    .await
}

async fn logout(slot: Slot, cx: CallerCx) -> Result<Reply, ApiError> {
    let identity = slot.platform()?.identity.clone();
    let (origin, principal) = (origin(&cx), principal(&cx)?);
    cx.perform(move || {
        Box::pin(async move {
            identity.logout(&principal, &origin).await.map_err(refused)?;
            Ok(Reply::no_content())
        })
    })
    .await
}

async fn switch(slot: Slot, cx: CallerCx, Body(request): Body<SwitchRequest>) -> Result<Reply, ApiError> {
    let identity = slot.platform()?.identity.clone();
    let (origin, principal) = (origin(&cx), principal(&cx)?);
    cx.perform(move || {
        Box::pin(async move {
            let tokens = identity.switch(&principal, &request.tenant, &origin).await.map_err(refused)?;
            Ok(Reply::ok(&tokens))
        })
    })
    .await
}

async fn me(slot: Slot, cx: CallerCx) -> Result<Reply, ApiError> {
    let platform = slot.platform()?;
    let me = platform.identity.me(&principal(&cx)?).await.map_err(refused)?;
    let tenant = match cx.caller().tenant_id {
        Some(id) => match platform.resolver.resolve_id(id).await {
            Ok(tenant) => {
                platform.resolver.require_served(&tenant)?;
                Some(tenant)
            }
            Err(TenancyError::UnknownTenant) => return Err(TenancyError::Gone.into()),
            Err(error) => return Err(error.into()),
        },
        None => None,
    };
    let guest = cx.caller().grant_id.is_some();
    // A right of a module that the tenant does not have opens nothing.
    let permissions = tenant.map_or_else(Vec::new, |tenant| {
        let rules = platform.modules.permissions_of(&tenant.modules);
        let all = PermissionSet::of_roles(&me.roles, rules);
        // What would outlive a grant is closed to whoever came in by one.
        all.iter()
            .filter(|permission| !guest || *permission != USER_WRITE)
            .map(|permission| permission.0)
            .collect()
    });
    Ok(Reply::ok(&MeWithPermissions { me, permissions }))
}
