//! Writing to whom a tenant wants to take in: sending, sending again, taking back.

use chrono::{DateTime, Utc};
use clinicx_persistence::{SystemExecutor, SystemTransaction};
use clinicx_types::{
    id::{InvitationId, TenantId},
    permission::Role,
};
use sea_orm::{FromQueryResult, raw_sql};
use uuid::Uuid;

use super::{Invitation, NewMember, Row, record};
use crate::{
    email::{EmailAddress, lookup_key},
    error::IdentityError,
    full_name::FullName,
    identity::{Identity, later, settle},
    mail::{self, Letter, Occasion, language_of},
    member,
    membership::{distinct, to_text},
    scope::IdentityScope,
    secret::{LinkKind, LinkToken},
};

/// The tenant as a mail names it.
#[derive(FromQueryResult)]
struct Clinic {
    name: String,
    locale: String,
}

async fn clinic(db: &impl SystemExecutor, tenant: TenantId) -> Result<Clinic, IdentityError> {
    let clinic: Option<Clinic> = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT name, locale FROM public.tenants WHERE id = {tenant} AND status = 'active'"#
        ))
        .await?;
    clinic.ok_or(IdentityError::NotFound { thing: "tenant" })
}

/// What is kept of a new invitation beside what was typed.
struct Issue {
    id: Uuid,
    digest: Vec<u8>,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Identity {
    /// Invites somebody into a tenant, whether the person has an account or not: the answer, the rows and the time are
    /// the same, so that nobody learns here who works elsewhere. Writes an audit row; mail is sent after the commit.
    ///
    /// # Errors
    /// [`IdentityError::Invalid`], [`IdentityError::MailNotConfigured`], [`IdentityError::OwnerRequired`],
    /// [`IdentityError::AlreadyMember`], [`IdentityError::AlreadyInvited`].
    #[tracing::instrument(name = "identity.invitation.invite", skip_all, fields(tenant.id = %tenant))]
    pub async fn invite(
        &self,
        scope: &IdentityScope,
        tenant: TenantId,
        new: NewMember<'_>,
    ) -> Result<Invitation, IdentityError> {
        let (email, full_name, roles) = check(new)?;
        self.mail_settings()?;
        let tx = self.app.begin().await?;
        let result = async {
            let clinic = clinic(&tx, tenant).await?;
            let locked = member::lock(&tx, tenant, [scope.actor.user_id(), None]).await?;
            locked.actor(scope)?.require_may_make(&[], &roles)?;
            let invitee = invitee(&tx, tenant, email.key()).await?;
            if invitee == Invitee::Member {
                return Err(IdentityError::AlreadyMember);
            }
            let (made, token) = self.invite_in(&tx, scope, tenant, (&email, &full_name, &roles)).await?;
            self.mail_invitation(&tx, &clinic, (email.as_str(), invitee), &token).await?;
            Ok(made)
        }
        .await;
        let made = settle(tx, result).await?;
        self.mail_waiting.notify_one();
        Ok(made)
    }

    async fn invite_in(
        &self,
        tx: &SystemTransaction,
        scope: &IdentityScope,
        tenant: TenantId,
        (email, full_name, roles): (&EmailAddress, &FullName, &[Role]),
    ) -> Result<(Invitation, LinkToken), IdentityError> {
        let (token, issue) = self.issue()?;
        let Issue { id, digest, now, until } = issue;
        let (address, key, name) = (email.as_str(), email.key(), full_name.as_str());
        let (list, invited_by) = (to_text(roles), scope.actor.user_id());
        // One that has ended makes room for another.
        let row: Option<Row> = tx
            .query_one(raw_sql!(
                Postgres,
                r#"INSERT INTO public.invitations AS i
                       (id, tenant_id, email, email_key, full_name, roles, token_hash, invited_by, sent_at, expires_at,
                        created_at, updated_at)
                   VALUES ({id}, {tenant}, {address}, {key}, {name}, string_to_array({list}, ','), {digest},
                           {invited_by}, {now}, {until}, {now}, {now})
                   ON CONFLICT (tenant_id, email_key) DO UPDATE
                   SET id = EXCLUDED.id, email = EXCLUDED.email, full_name = EXCLUDED.full_name,
                       roles = EXCLUDED.roles, token_hash = EXCLUDED.token_hash, invited_by = EXCLUDED.invited_by,
                       sent_at = EXCLUDED.sent_at, expires_at = EXCLUDED.expires_at, version = 1,
                       created_at = EXCLUDED.created_at, updated_at = EXCLUDED.updated_at
                   WHERE i.expires_at <= {now}
                   RETURNING id, email, full_name, array_to_string(roles, ',') AS roles, invited_by, sent_at,
                             expires_at, version, created_at, updated_at"#
            ))
            .await?;
        let invitation = row.map(Invitation::from).ok_or(IdentityError::AlreadyInvited)?;
        record(tx, scope, tenant, ("invitation.created", &invitation)).await?;
        Ok((invitation, token))
    }

    /// Sends an invitation again, with a new link, in the caller's name; the old link is no longer good. Writes an audit
    /// row.
    ///
    /// # Errors
    /// [`IdentityError::NotFound`], [`IdentityError::MailNotConfigured`], [`IdentityError::OwnerRequired`].
    #[tracing::instrument(name = "identity.invitation.resend", skip_all, fields(tenant.id = %tenant, invitation.id = %id))]
    pub async fn resend_invitation(
        &self,
        scope: &IdentityScope,
        tenant: TenantId,
        id: InvitationId,
    ) -> Result<Invitation, IdentityError> {
        self.mail_settings()?;
        let tx = self.app.begin().await?;
        let result = async {
            let clinic = clinic(&tx, tenant).await?;
            let locked = member::lock(&tx, tenant, [scope.actor.user_id(), None]).await?;
            let (token, Issue { digest, now, until, .. }) = self.issue()?;
            // Whoever sends it again vouches for it from now on: the one before may have gone.
            let invited_by = scope.actor.user_id();
            let row: Option<Row> = tx
                .query_one(raw_sql!(
                    Postgres,
                    r#"UPDATE public.invitations
                       SET token_hash = {digest}, invited_by = {invited_by}, sent_at = {now}, expires_at = {until},
                           version = version + 1, updated_at = {now}
                       WHERE tenant_id = {tenant} AND id = {id}
                       RETURNING id, email, full_name, array_to_string(roles, ',') AS roles, invited_by, sent_at,
                                 expires_at, version, created_at, updated_at"#
                ))
                .await?;
            let sent = row.map(Invitation::from).ok_or(IdentityError::NotFound { thing: "invitation" })?;
            locked.actor(scope)?.require_may_make(&[], &sent.roles)?;
            let invitee = invitee(&tx, tenant, &lookup_key(&sent.email)).await?;
            self.mail_invitation(&tx, &clinic, (&sent.email, invitee), &token).await?;
            record(&tx, scope, tenant, ("invitation.resent", &sent)).await?;
            Ok(sent)
        }
        .await;
        let sent = settle(tx, result).await?;
        self.mail_waiting.notify_one();
        Ok(sent)
    }

    /// Takes an invitation back: its link is no longer good. Writes an audit row.
    ///
    /// # Errors
    /// [`IdentityError::NotFound`], [`IdentityError::Stale`] when `expected` is not its version,
    /// [`IdentityError::OwnerRequired`].
    #[tracing::instrument(name = "identity.invitation.revoke", skip_all, fields(tenant.id = %tenant, invitation.id = %id))]
    pub async fn revoke_invitation(
        &self,
        scope: &IdentityScope,
        tenant: TenantId,
        id: InvitationId,
        expected: Option<i64>,
    ) -> Result<(), IdentityError> {
        let tx = self.app.begin().await?;
        let result = async {
            let locked = member::lock(&tx, tenant, [scope.actor.user_id(), None]).await?;
            let row: Option<Row> = tx
                .query_one(raw_sql!(
                    Postgres,
                    r#"DELETE FROM public.invitations
                       WHERE tenant_id = {tenant} AND id = {id}
                       RETURNING id, email, full_name, array_to_string(roles, ',') AS roles, invited_by, sent_at,
                                 expires_at, version, created_at, updated_at"#
                ))
                .await?;
            let gone = row.map(Invitation::from).ok_or(IdentityError::NotFound { thing: "invitation" })?;
            if expected.is_some_and(|expected| expected != gone.version) {
                return Err(IdentityError::Stale { thing: "invitation" });
            }
            locked.actor(scope)?.require_may_make(&[], &gone.roles)?;
            record(&tx, scope, tenant, ("invitation.revoked", &gone)).await
        }
        .await;
        settle(tx, result).await
    }

    fn issue(&self) -> Result<(LinkToken, Issue), IdentityError> {
        let token = LinkToken::draw(LinkKind::Invitation)?;
        let digest = token.digest(LinkKind::Invitation).ok_or(IdentityError::Crypto("digest of a link"))?;
        let now = self.clock.now();
        let until = later(now, self.settings.invitation_ttl);
        Ok((token, Issue { id: self.ids.next(), digest, now, until }))
    }

    /// Only the owner of the address learns from the mail whether it is an account's.
    async fn mail_invitation(
        &self,
        tx: &SystemTransaction,
        clinic: &Clinic,
        (email, invitee): (&str, Invitee),
        token: &LinkToken,
    ) -> Result<(), IdentityError> {
        let clinic_name = &clinic.name;
        let occasion = match invitee {
            Invitee::Nobody => Occasion::Invited { clinic: clinic_name, token },
            Invitee::Account | Invitee::Member => Occasion::InvitedAccount { clinic: clinic_name, token },
        };
        let language = language_of(&clinic.locale);
        let mail = mail::compose(self.mail_settings()?, language, email, &occasion);
        let now = self.clock.now();
        let until = later(now, self.settings.invitation_ttl);
        mail::enqueue(tx, &self.sealing, self.ids.next(), &Letter::Ready(mail), (now, until)).await
    }
}

/// Who somebody is that is invited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Invitee {
    /// Somebody without an account.
    Nobody,
    /// Somebody with an account.
    Account,
    /// A user of the tenant.
    Member,
}

/// Looks both up in one statement, so that an account elsewhere costs no time of its own.
async fn invitee(db: &impl SystemExecutor, tenant: TenantId, key: &str) -> Result<Invitee, IdentityError> {
    #[derive(FromQueryResult)]
    struct Found {
        has_account: bool,
        belongs: bool,
    }
    let found: Option<Found> = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT u.id IS NOT NULL AS has_account, m.user_id IS NOT NULL AS belongs
               FROM (SELECT CAST({key} AS text) AS email_key) AS wanted
               LEFT JOIN public.users AS u ON u.email_key = wanted.email_key
               LEFT JOIN public.memberships AS m ON m.user_id = u.id AND m.tenant_id = {tenant}"#
        ))
        .await?;
    Ok(match found {
        Some(Found { belongs: true, .. }) => Invitee::Member,
        Some(Found { has_account: true, .. }) => Invitee::Account,
        _ => Invitee::Nobody,
    })
}

/// Checks what was typed and names everything that is wrong.
fn check(new: NewMember<'_>) -> Result<(EmailAddress, FullName, Vec<Role>), IdentityError> {
    let email = EmailAddress::parse(new.email).map_err(|error| vec![error.at("/email")]);
    let full_name = FullName::parse(new.full_name).map_err(|error| vec![error]);
    let roles = distinct(new.roles).map_err(|error| match error {
        IdentityError::Invalid(fields) => fields,
        _ => Vec::new(),
    });
    match (email, full_name, roles) {
        (Ok(email), Ok(full_name), Ok(roles)) => Ok((email, full_name, roles)),
        (email, full_name, roles) => {
            let wrong = [email.err(), full_name.err(), roles.err()];
            Err(IdentityError::Invalid(wrong.into_iter().flatten().flatten().collect()))
        }
    }
}
