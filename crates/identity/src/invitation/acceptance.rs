//! Accepting an invitation, once, with the token of its link.

use chrono::{DateTime, Utc};
use clinicx_persistence::{Actor, SystemExecutor, SystemTransaction};
use clinicx_types::id::{InvitationId, TenantId, UserId};
use sea_orm::{DbErr, FromQueryResult, raw_sql};
use serde_json::json;

use crate::{
    audit,
    email::EmailAddress,
    error::IdentityError,
    full_name::FullName,
    identity::{Identity, settle},
    member,
    membership::{self, from_text},
    scope::Origin,
    secret::{LinkKind, LinkToken, Password},
    user::{self, NewUser},
};

impl Identity {
    /// Accepts an invitation with its link's token, once: makes the membership, and the account with this password.
    ///
    /// When there is an account with the address, the password must be that account's, and a wrong one counts as a
    /// failed log-in. Writes audit rows.
    ///
    /// # Errors
    /// [`IdentityError::InvalidLink`] for a token that is unknown, used, taken back or too old, whose tenant is not
    /// active, or whose sender may no longer give these roles; [`IdentityError::Invalid`], which leaves the token good;
    /// [`IdentityError::InvalidCredentials`], [`IdentityError::TooManyAttempts`].
    #[tracing::instrument(name = "identity.invitation.accept", skip_all, fields(request.id = %origin.request_id))]
    pub async fn accept_invitation(
        &self,
        token: &LinkToken,
        (password, full_name): (&Password, Option<&str>),
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let digest = token.digest(LinkKind::Invitation).ok_or(IdentityError::InvalidLink)?;
        let found =
            find_good(&self.app, &digest, self.clock.now()).await?.ok_or(IdentityError::InvalidLink)?;
        let email = EmailAddress::parse(&found.email).map_err(|_| IdentityError::InvalidLink)?;
        let full_name = FullName::parse(full_name.unwrap_or(&found.full_name));
        let full_name = full_name.map_err(|error| IdentityError::Invalid(vec![error]))?;
        let account = user::find_by_email(&self.app, email.as_str()).await?;
        let (proven, hash) = match &account {
            Some(user) => {
                let proven = self.prove_account(user, password, origin).await;
                let (proven, _) = proven.map_err(|error| match error {
                    IdentityError::WrongPassword => IdentityError::InvalidCredentials,
                    other => other,
                })?;
                (Some(proven), None)
            }
            None => (None, Some(self.passwords.hash(password, &email).await?)),
        };
        let tx = self.app.begin().await?;
        let result = async {
            // The memberships before the invitation, in the order of whoever sends it again or takes it back. One that
            // was sent again meanwhile has another digest.
            let locked = member::lock(&tx, found.tenant_id, [found.invited_by, None]).await?;
            let used = use_token(&tx, &digest, self.clock.now()).await?.ok_or(IdentityError::InvalidLink)?;
            let roles = from_text(&used.roles);
            let sender = locked.rights_of(found.invited_by);
            let stands = sender.and_then(|rights| rights.require_may_make(&[], &roles));
            stands.map_err(|_| IdentityError::InvalidLink)?;
            let user_id = match (&account, hash) {
                (Some(user), _) => user.id,
                (None, hash) => {
                    let new = NewUser { email: email.clone(), full_name, password: hash, is_operator: false };
                    // The invited person acts, and has no account before this one.
                    let scope = self.scope(Actor::System("invitation"), *origin);
                    user::create(&tx, &scope, &new)
                        .await
                        .map_err(|error| match error {
                            // Somebody else was faster; the next try asks for that account's password.
                            IdentityError::EmailTaken => IdentityError::Busy,
                            other => other,
                        })?
                        .id
                }
            };
            if let Some(proven) = &proven {
                self.forget_failures(&tx, proven).await?;
            }
            let scope = self.scope(Actor::User(user_id), *origin);
            if membership::roles_of(&tx, user_id, used.tenant_id).await?.is_empty() {
                membership::grant(&tx, &scope, used.tenant_id, user_id, &roles).await?;
            }
            let entry = audit::Entry {
                action: "invitation.accepted",
                entity: "invitation",
                entity_id: Some(used.id.uuid()),
                tenant: Some(used.tenant_id),
                before: None,
                after: Some(json!({ "user_id": user_id })),
            };
            Ok(audit::record(&tx, &scope, entry).await?)
        }
        .await;
        settle(tx, result).await
    }
}

#[derive(FromQueryResult)]
struct Good {
    tenant_id: TenantId,
    invited_by: Option<UserId>,
    email: String,
    full_name: String,
}

async fn find_good(
    db: &impl SystemExecutor,
    digest: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<Good>, DbErr> {
    let digest = digest.to_vec();
    db.query_one(raw_sql!(
        Postgres,
        r#"SELECT i.tenant_id, i.invited_by, i.email, i.full_name
           FROM public.invitations AS i
           JOIN public.tenants AS t ON t.id = i.tenant_id
           WHERE i.token_hash = {digest} AND i.expires_at > {now} AND t.status = 'active'"#
    ))
    .await
}

#[derive(FromQueryResult)]
struct Used {
    id: InvitationId,
    tenant_id: TenantId,
    roles: String,
}

/// Takes the invitation out, so that of two who accept at once one succeeds.
async fn use_token(tx: &SystemTransaction, digest: &[u8], now: DateTime<Utc>) -> Result<Option<Used>, DbErr> {
    let digest = digest.to_vec();
    tx.query_one(raw_sql!(
        Postgres,
        r#"DELETE FROM public.invitations AS i
           USING public.tenants AS t
           WHERE i.token_hash = {digest} AND i.expires_at > {now} AND t.id = i.tenant_id AND t.status = 'active'
           RETURNING i.id, i.tenant_id, array_to_string(i.roles, ',') AS roles"#
    ))
    .await
}
