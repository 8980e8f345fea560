//! Invitations to the tenant that wait, and their acceptance.

use clinicx_core::permission::{USER_READ, USER_WRITE};
use clinicx_identity::{Invitation, LinkToken, Password, invitation};
use clinicx_types::id::InvitationId;
use clinicx_web::{
    Access, ApiError, Body, Cx, HttpModule, Idempotency, List, Operation, Path, Reply, TenantCx,
};
use schemars::JsonSchema;
use serde::Deserialize;
use validator::Validate;

use super::{
    auth::{origin, refused},
    users::scope,
};
use crate::wiring::Slot;

/// The operations on invitations.
pub fn module(slot: &Slot) -> HttpModule {
    let (listing, revoking, resending, accepting) = (slot.clone(), slot.clone(), slot.clone(), slot.clone());
    HttpModule::new("invitations", "Invitations to the tenant").operations([
        Operation::get("/invitations", "list_invitations")
            .summary("List the invitations that nobody has accepted yet")
            .access(Access::Tenant(USER_READ))
            .shows_no_patient()
            .answers_page::<Invitation>()
            .handler(move |cx: TenantCx, wanted: List<Wanted>| list(listing.clone(), cx, wanted)),
        Operation::delete("/invitations/{id}", "revoke_invitation")
            .summary("Take an invitation back")
            .closed_to_grants()
            .access(Access::Tenant(USER_WRITE))
            .answers_empty(204)
            .errors(&["not_found", "owner_required"])
            .handler(move |cx: TenantCx, id: Path<InvitationId>| revoke(revoking.clone(), cx, id)),
        Operation::post("/invitations/{id}/resend", "resend_invitation")
            .summary("Send an invitation again, with a new link in place of the old one")
            .closed_to_grants()
            .access(Access::Tenant(USER_WRITE))
            .answers::<Invitation>(200)
            .errors(&["not_found", "owner_required", "mail_not_configured"])
            .handler(move |cx: TenantCx, id: Path<InvitationId>| resend(resending.clone(), cx, id)),
        Operation::post("/auth/invitations/accept", "accept_invitation")
            .summary("Accept an invitation with the token of its link, once and within seven days")
            .description(
                "Makes the account with this password. When there is an account with the address already, the \
                 password must be that account's.",
            )
            .access(Access::Public)
            .idempotency(Idempotency::Brief)
            .answers_empty(204)
            .errors(&["invalid_link", "invalid_credentials", "too_many_attempts"])
            .handler(move |cx: Cx, body: Body<Accept>| accept(accepting.clone(), cx, body)),
    ])
}

/// Which invitations are listed: all that wait.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {}

/// The acceptance of an invitation.
#[derive(Clone, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct Accept {
    /// The token of the link.
    token: LinkToken,
    /// The password of the new account.
    password: Password,
    /// The person's name, when it is another than the invitation says.
    #[schemars(length(min = 1, max = 200))]
    full_name: Option<String>,
}

async fn list(slot: Slot, cx: TenantCx, list: List<Wanted>) -> Result<Reply, ApiError> {
    let page = invitation::list(&slot.platform()?.app, cx.tenant().id, &list.page).await?;
    Ok(Reply::page(&list, &page))
}

async fn revoke(slot: Slot, cx: TenantCx, Path(id): Path<InvitationId>) -> Result<Reply, ApiError> {
    let (identity, scope, tenant) = (slot.platform()?.identity.clone(), scope(&cx), cx.tenant().id);
    let expected = cx.expected_version();
    let work = async move { identity.revoke_invitation(&scope, tenant, id, expected).await.map_err(refused) };
    cx.detached(work).await?;
    Ok(Reply::no_content())
}

async fn resend(slot: Slot, cx: TenantCx, Path(id): Path<InvitationId>) -> Result<Reply, ApiError> {
    let (identity, scope, tenant) = (slot.platform()?.identity.clone(), scope(&cx), cx.tenant().id);
    cx.perform(move || {
        Box::pin(async move {
            let sent = identity.resend_invitation(&scope, tenant, id).await.map_err(refused)?;
            Ok(Reply::ok(&sent))
        })
    })
    .await
}

async fn accept(slot: Slot, cx: Cx, Body(input): Body<Accept>) -> Result<Reply, ApiError> {
    let identity = slot.platform()?.identity.clone();
    let origin = origin(&cx);
    cx.perform_for(&[input.token.clone().expose().as_bytes()], move || {
        Box::pin(async move {
            let Accept { token, password, full_name } = &input;
            let account = (password, full_name.as_deref());
            identity.accept_invitation(token, account, &origin).await.map_err(refused)?;
            Ok(Reply::no_content())
        })
    })
    .await
}
