//! The second factor of one's own account.

use clinicx_identity::{Password, RecoveryCodes, TotpEnrolment};
use clinicx_web::{Access, ApiError, Body, CallerCx, HttpModule, Idempotency, IfMatch, Operation, Reply};
use schemars::JsonSchema;
use serde::Deserialize;
use validator::Validate;

use super::auth::{origin, principal, refused};
use crate::wiring::Slot;

/// The operations on one's own second factor.
pub fn module(slot: &Slot) -> HttpModule {
    let (beginning, confirming, ending) = (slot.clone(), slot.clone(), slot.clone());
    HttpModule::new("totp", "The second factor of one's own account").operations([
        Operation::post("/auth/totp", "begin_totp")
            .summary("Begin to enrol an authenticator: get a secret, which counts when it is confirmed")
            .access(Access::Authenticated)
            .closed_to_grants()
            .idempotency(Idempotency::Brief)
            .answers::<TotpEnrolment>(200)
            .errors(&["totp_enrolled", "too_many_attempts"])
            .handler(move |cx: CallerCx, body: Body<Begin>| begin(beginning.clone(), cx, body)),
        Operation::post("/auth/totp/confirm", "confirm_totp")
            .summary("Confirm the secret with a code, and get ten recovery codes, which are shown this once")
            .description("Every other session of the account ends; from now on a log-in needs `totp`.")
            .access(Access::Authenticated)
            .closed_to_grants()
            .idempotency(Idempotency::Brief)
            .answers::<RecoveryCodes>(200)
            .errors(&["totp_enrolled", "not_found", "too_many_attempts"])
            .handler(move |cx: CallerCx, body: Body<Confirm>| confirm(confirming.clone(), cx, body)),
        Operation::delete("/auth/totp", "disable_totp")
            .summary("Give the second factor up, with the password and a code or a recovery code")
            .access(Access::Authenticated)
            .closed_to_grants()
            .if_match(IfMatch::None)
            .answers_empty(204)
            .errors(&["invalid_totp", "not_found", "too_many_attempts"])
            .handler(move |cx: CallerCx, body: Body<Disable>| disable(ending.clone(), cx, body)),
    ])
}

/// The beginning of an enrolment.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct Begin {
    /// The present password.
    current_password: Password,
}

/// The confirmation of an enrolment.
#[derive(Clone, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct Confirm {
    /// The code that the authenticator shows.
    #[schemars(length(min = 1, max = 64))]
    #[validate(length(min = 1, max = 64))]
    code: String,
}

/// The end of a second factor.
#[derive(Clone, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct Disable {
    /// The present password.
    current_password: Password,
    /// The code that the authenticator shows, or a recovery code.
    #[schemars(length(min = 1, max = 64))]
    #[validate(length(min = 1, max = 64))]
    code: String,
}

async fn begin(slot: Slot, cx: CallerCx, Body(input): Body<Begin>) -> Result<Reply, ApiError> {
    let identity = slot.platform()?.identity.clone();
    let (origin, principal) = (origin(&cx), principal(&cx)?);
    cx.perform(move || {
        Box::pin(async move {
            let enrolment = identity.enrol_totp(&principal, &input.current_password, &origin).await;
            Ok(Reply::ok(&enrolment.map_err(refused)?))
        })
    })
    .await
}

async fn confirm(slot: Slot, cx: CallerCx, Body(input): Body<Confirm>) -> Result<Reply, ApiError> {
    let identity = slot.platform()?.identity.clone();
    let (origin, principal) = (origin(&cx), principal(&cx)?);
    cx.perform(move || {
        Box::pin(async move {
            let codes = identity.confirm_totp(&principal, &input.code, &origin).await.map_err(refused)?;
            Ok(Reply::ok(&codes))
        })
    })
    .await
}

async fn disable(slot: Slot, cx: CallerCx, Body(input): Body<Disable>) -> Result<Reply, ApiError> {
    let identity = slot.platform()?.identity.clone();
    let (origin, principal) = (origin(&cx), principal(&cx)?);
    let work = async move {
        let shown = (&input.current_password, input.code.as_str());
        identity.disable_totp(&principal, shown, &origin).await.map_err(refused)
    };
    cx.detached(work).await?;
    Ok(Reply::no_content())
}
