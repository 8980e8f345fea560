//! Logging in at an OpenID Connect issuer.

use clinicx_identity::{
    Tokens,
    oidc::{Authorization, AuthorizeRequest, CallbackRequest, LoginProvider},
};
use clinicx_types::name::TenantSlug;
use clinicx_web::{Access, ApiError, Body, Cx, HttpModule, Idempotency, Operation, Path, Query, Reply};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use validator::Validate;

use super::auth::{origin, refused};
use crate::wiring::Slot;

/// The operations of a log-in at an issuer.
pub fn module(slot: &Slot) -> HttpModule {
    let (providers_, authorize_, callback_) = (slot.clone(), slot.clone(), slot.clone());
    let name = json!({"type": "string", "pattern": "^[a-z0-9-]{1,40}$"});
    HttpModule::new("oidc", "Logging in at an OpenID Connect issuer").operations([
        Operation::get("/auth/oidc/providers", "list_login_providers")
            .summary("List the issuers at which people can log in")
            .description("The platform's, and a tenant's own when `tenant` or the host names it.")
            .access(Access::Public)
            .answers::<LoginProviders>(200)
            .handler(move |cx: Cx, query: Query<ProviderQuery>| providers(providers_.clone(), cx, query)),
        Operation::post("/auth/oidc/{provider}/authorize", "begin_oidc_login")
            .summary("Begin a log-in at an issuer")
            .description(
                "Without `tenant`, the one that `X-Tenant-ID` or the host names is meant. The browser keeps `state` and \
                 `binding` and goes to `authorization_url`. The issuer sends it back to \
                 `redirect_uri` with a code and the state; the log-in has to be finished within ten minutes.",
            )
            .access(Access::Public)
            .idempotency(Idempotency::None)
            .path_param("provider", name.clone())
            .answers::<Authorization>(200)
            .errors(&["tenant_mismatch", "too_many_attempts", "issuer_unavailable"])
            .handler(move |cx: Cx, path: Path<String>, body: Body<AuthorizeRequest>| {
                authorize(authorize_.clone(), cx, path, body)
            }),
        Operation::post("/auth/oidc/{provider}/callback", "finish_oidc_login")
            .summary("Finish a log-in at an issuer")
            .description(
                "Each log-in has one try, whatever comes of it. A client that has lost the answer repeats the request \
                 with the same `Idempotency-Key`.",
            )
            .access(Access::Public)
            .idempotency(Idempotency::Brief)
            .path_param("provider", name)
            .answers::<Tokens>(200)
            .errors(&[
                "invalid_login_state",
                "login_refused",
                "tenant_mismatch",
                "account_not_linked",
                "no_membership",
                "tenant_required",
                "tenant_suspended",
                "tenant_gone",
                "issuer_unavailable",
            ])
            .handler(move |cx: Cx, path: Path<String>, body: Body<CallbackRequest>| {
                callback(callback_.clone(), cx, path, body)
            }),
    ])
}

/// Whose issuers are wanted.
#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct ProviderQuery {
    /// The tenant whose own issuers are wanted besides the platform's.
    #[serde(default)]
    #[schemars(with = "Option<String>", regex(pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$"), length(max = 40))]
    tenant: Option<TenantSlug>,
}

/// The issuers at which people can log in.
#[derive(Serialize, JsonSchema)]
struct LoginProviders {
    /// The issuers in the order of the configuration.
    items: Vec<LoginProvider>,
}

async fn providers(slot: Slot, cx: Cx, Query(query): Query<ProviderQuery>) -> Result<Reply, ApiError> {
    let tenant = query.tenant.as_ref().or_else(|| cx.claimed_tenant());
    Ok(Reply::ok(&LoginProviders { items: slot.platform()?.identity.login_providers(tenant) }))
}

async fn authorize(
    slot: Slot,
    cx: Cx,
    Path(provider): Path<String>,
    Body(request): Body<AuthorizeRequest>,
) -> Result<Reply, ApiError> {
    let (identity, origin) = (slot.platform()?.identity.clone(), origin(&cx));
    let claimed = cx.claimed_tenant().cloned();
    let work = async move {
        identity.authorize(&provider, request, claimed.as_ref(), &origin).await.map_err(refused)
    };
    Ok(Reply::ok(&cx.detached(work).await?))
}

async fn callback(
    slot: Slot,
    cx: Cx,
    Path(provider): Path<String>,
    Body(request): Body<CallbackRequest>,
) -> Result<Reply, ApiError> {
    let (identity, origin) = (slot.platform()?.identity.clone(), origin(&cx));
    let claimed = cx.claimed_tenant().cloned();
    let CallbackRequest { code, state, binding, .. } = request.clone();
    cx.perform_for(&[code.as_bytes(), state.as_bytes(), binding.as_bytes()], move || {
        Box::pin(async move {
            let tokens =
                identity.callback(&provider, request, claimed.as_ref(), &origin).await.map_err(refused)?;
            Ok(Reply::ok(&tokens))
        })
    })
    .await
}
