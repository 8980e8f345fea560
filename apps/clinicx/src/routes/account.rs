//! What users do with their own account: log-ins, the password, a forgotten password.

use actix_web::http::StatusCode;
use clinicx_identity::{LinkToken, OwnSession, Password};
use clinicx_types::id::SessionId;
use clinicx_web::{
    Access, ApiError, Body, CallerCx, Cx, HttpModule, Idempotency, IfMatch, List, Operation, Path, Reply,
};
use schemars::JsonSchema;
use serde::Deserialize;
use validator::Validate;

use super::auth::{origin, principal, refused};
use crate::wiring::Slot;

/// The operations on one's own account.
pub fn module(slot: &Slot) -> HttpModule {
    HttpModule::new("account", "One's own account: log-ins and the password")
        .operations(sessions(slot))
        .operations(passwords(slot))
}

fn sessions(slot: &Slot) -> [Operation; 3] {
    let (listing, ending, leaving) = (slot.clone(), slot.clone(), slot.clone());
    [
        Operation::get("/auth/sessions", "list_own_sessions")
            .summary("List one's own log-ins that go on, in every tenant")
            .access(Access::Authenticated)
            .answers_page::<OwnSession>()
            .handler(move |cx: CallerCx, wanted: List<Wanted>| list(listing.clone(), cx, wanted)),
        Operation::delete("/auth/sessions/{id}", "end_own_session")
            .summary(
                "End one of one's own log-ins, with the sessions that came from it by switching the tenant",
            )
            .access(Access::Authenticated)
            .if_match(IfMatch::None)
            .answers_empty(204)
            .errors(&["not_found"])
            .handler(move |cx: CallerCx, id: Path<SessionId>| end(ending.clone(), cx, id)),
        Operation::post("/auth/logout-all", "logout_all")
            .summary("End all of one's own log-ins, in every tenant, this one among them")
            .description(
                "From a session that an issuer opened for one tenant, those in that tenant end, and no others.",
            )
            .access(Access::Authenticated)
            .idempotency(Idempotency::Brief)
            .answers_empty(204)
            .handler(move |cx: CallerCx| logout_all(leaving.clone(), cx)),
    ]
}

fn passwords(slot: &Slot) -> [Operation; 3] {
    let (changing, asking, confirming) = (slot.clone(), slot.clone(), slot.clone());
    [
        Operation::post("/auth/password", "change_password")
            .summary("Change one's own password")
            .closed_to_grants()
            .description("Every other session of the account ends. A wrong present password counts as a failed log-in.")
            .access(Access::Authenticated)
            .idempotency(Idempotency::Brief)
            .answers_empty(204)
            .errors(&["too_many_attempts"])
            .handler(move |cx: CallerCx, body: Body<ChangePassword>| change(changing.clone(), cx, body)),
        Operation::post("/auth/password-reset", "request_password_reset")
            .summary("Ask for a mail with a link to set a forgotten password anew")
            .description("The answer, and the time that it takes, are the same whether there is such an account or not.")
            .access(Access::Public)
            .idempotency(Idempotency::Brief)
            .answers_empty(202)
            .errors(&["mail_not_configured", "too_many_attempts"])
            .handler(move |cx: Cx, body: Body<RequestReset>| ask(asking.clone(), cx, body)),
        Operation::post("/auth/password-reset/confirm", "confirm_password_reset")
            .summary("Set a new password with the token of a link, once and within 30 minutes")
            .description("Every session of the account ends.")
            .access(Access::Public)
            .idempotency(Idempotency::Brief)
            .answers_empty(204)
            .errors(&["invalid_link"])
            .handler(move |cx: Cx, body: Body<ConfirmReset>| confirm(confirming.clone(), cx, body)),
    ]
}

/// Which of one's own log-ins are listed: all.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {}

/// A change of one's own password.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct ChangePassword {
    /// The present password.
    current_password: Password,
    /// The new one: 8 characters at least, 256 bytes at most, none of those that are tried first.
    new_password: Password,
}

/// Whose password was forgotten.
#[derive(Clone, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct RequestReset {
    /// The address of the account.
    #[schemars(length(max = 1000))]
    #[validate(length(max = 1000))]
    email: String,
}

/// A new password in place of a forgotten one.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct ConfirmReset {
    /// The token of the link.
    token: LinkToken,
    /// The new password.
    new_password: Password,
}

async fn list(slot: Slot, cx: CallerCx, list: List<Wanted>) -> Result<Reply, ApiError> {
    let identity = &slot.platform()?.identity;
    let page = identity.own_sessions(&principal(&cx)?, &list.page).await.map_err(refused)?;
    Ok(Reply::page(&list, &page))
}

async fn end(slot: Slot, cx: CallerCx, Path(id): Path<SessionId>) -> Result<Reply, ApiError> {
    let identity = slot.platform()?.identity.clone();
    let (origin, principal) = (origin(&cx), principal(&cx)?);
    cx.detached(async move { identity.end_own_session(&principal, id, &origin).await.map_err(refused) })
        .await?;
    Ok(Reply::no_content())
}

async fn logout_all(slot: Slot, cx: CallerCx) -> Result<Reply, ApiError> {
    let identity = slot.platform()?.identity.clone();
    let (origin, principal) = (origin(&cx), principal(&cx)?);
    cx.perform(move || {
        Box::pin(async move {
            identity.logout_all(&principal, &origin).await.map_err(refused)?;
            Ok(Reply::no_content())
        })
    })
    .await
}

async fn change(slot: Slot, cx: CallerCx, Body(input): Body<ChangePassword>) -> Result<Reply, ApiError> {
    let identity = slot.platform()?.identity.clone();
    let (origin, principal) = (origin(&cx), principal(&cx)?);
    cx.perform(move || {
        Box::pin(async move {
            let passwords = (&input.current_password, &input.new_password);
            identity.change_password(&principal, passwords, &origin).await.map_err(refused)?;
            Ok(Reply::no_content())
        })
    })
    .await
}

async fn ask(slot: Slot, cx: Cx, Body(input): Body<RequestReset>) -> Result<Reply, ApiError> {
    let identity = slot.platform()?.identity.clone();
    let (origin, language) = (origin(&cx), cx.language());
    cx.perform_for(&[input.email.clone().as_bytes()], move || {
        Box::pin(async move {
            identity.request_password_reset(&input.email, language, &origin).await.map_err(refused)?;
            Ok(Reply::no_content().with_status(StatusCode::ACCEPTED))
        })
    })
    .await
}

async fn confirm(slot: Slot, cx: Cx, Body(input): Body<ConfirmReset>) -> Result<Reply, ApiError> {
    let identity = slot.platform()?.identity.clone();
    let origin = origin(&cx);
    cx.perform_for(&[input.token.clone().expose().as_bytes()], move || {
        Box::pin(async move {
            let ConfirmReset { token, new_password } = &input;
            identity.reset_password(token, new_password, &origin).await.map_err(refused)?;
            Ok(Reply::no_content())
        })
    })
    .await
}
