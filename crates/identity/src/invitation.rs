//! Taking people into a tenant: whoever has an account belongs to it at once and is told; everybody else is invited.
//!
//! Only the digest of an invitation's token is kept. An accepted or revoked invitation has no row any more.

use std::fmt;

use chrono::{DateTime, Utc};
use clinicx_persistence::{Actor, SystemExecutor, SystemTransaction};
use clinicx_types::{
    id::{InvitationId, TenantId, UserId},
    page::{Page, PageRequest},
    permission::Role,
};
use schemars::JsonSchema;
use sea_orm::{DbErr, FromQueryResult, raw_sql};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::{
    audit,
    email::EmailAddress,
    error::IdentityError,
    full_name::FullName,
    identity::{Identity, later, settle},
    mail::{self, Letter, Occasion, language_of},
    member::{self, TenantUser},
    membership::{self, distinct, from_text, to_text},
    scope::{IdentityScope, Origin},
    secret::{LinkKind, LinkToken, Password},
    user::{self, NewUser},
};

/// Whom a tenant wants to take in, as somebody typed it.
#[derive(Clone, Copy)]
pub struct NewMember<'a> {
    /// The address.
    pub email: &'a str,
    /// The person's name; an account that is there keeps its own.
    pub full_name: &'a str,
    /// What the person shall be in the tenant.
    pub roles: &'a [Role],
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum TakenIn {
    /// The person has an account and belongs to the tenant now.
    Member(TenantUser),
    /// The person was written to.
    Invited(Invitation),
}

/// An invitation that waits. Its `Debug` text shows ids only.
#[derive(Clone, Serialize, JsonSchema)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// To whom it was sent.
    pub email: String,
    /// The person's name, until the person says it.
    pub full_name: String,
    /// What the person will be in the tenant.
    pub roles: Vec<Role>,
    /// Who has invited; `null` when that was a command.
    pub invited_by: Option<UserId>,
    /// When it was last sent.
    pub sent_at: DateTime<Utc>,
    /// When its link ends; sending it again makes a new one.
    pub expires_at: DateTime<Utc>,
    /// Rises with each change.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation").field("id", &self.id).field("roles", &self.roles).finish_non_exhaustive()
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: InvitationId,
    email: String,
    full_name: String,
    roles: String,
    invited_by: Option<UserId>,
    sent_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for Invitation {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            email: row.email,
            full_name: row.full_name,
            roles: from_text(&row.roles),
            invited_by: row.invited_by,
            sent_at: row.sent_at,
            expires_at: row.expires_at,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Lists a tenant's invitations, oldest first.
///
/// # Errors
/// [`IdentityError::Invalid`] for a cursor that is none of this list.
pub async fn list(
    db: &impl SystemExecutor,
    tenant: TenantId,
    page: &PageRequest,
) -> Result<Page<Invitation>, IdentityError> {
    #[derive(FromQueryResult)]
    struct Count {
        total: i64,
    }
    let after = page.after.as_ref().map(|key| user::cursor(&key.0)).transpose()?;
    let limit = i64::from(page.limit()).saturating_add(1);
    let rows: Vec<Row> = db
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT id, email, full_name, array_to_string(roles, ',') AS roles, invited_by, sent_at, expires_at,
                      version, created_at, updated_at
               FROM public.invitations
               WHERE tenant_id = {tenant} AND (CAST({after} AS uuid) IS NULL OR id > {after})
               ORDER BY id
               LIMIT {limit}"#
        ))
        .await?;
    let total = if page.count {
        let count: Option<Count> = db
            .query_one(raw_sql!(
                Postgres,
                r#"SELECT count(*) AS total FROM public.invitations WHERE tenant_id = {tenant}"#
            ))
            .await?;
        count.and_then(|count| u64::try_from(count.total).ok())
    } else {
        None
    };
    Ok(Page::from_rows(rows, page, total, |row| vec![row.id.to_string()]).map(Invitation::from))
}

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
    /// Takes somebody into a tenant, or invites whoever has no account. Writes an audit row; mail is sent after the
    /// commit.
    ///
    /// # Errors
    /// [`IdentityError::Invalid`], [`IdentityError::MailNotConfigured`], [`IdentityError::OwnerRequired`],
    /// [`IdentityError::AlreadyMember`], [`IdentityError::AlreadyInvited`].
    #[tracing::instrument(name = "identity.invitation.take_in", skip_all, fields(tenant.id = %tenant))]
    pub async fn take_in(
        &self,
        scope: &IdentityScope,
        tenant: TenantId,
        new: NewMember<'_>,
    ) -> Result<TakenIn, IdentityError> {
        let (email, full_name, roles) = check(new)?;
        self.mail_settings()?;
        let tx = self.app.begin().await?;
        let result = self.take_in_in(&tx, scope, tenant, (&email, &full_name, &roles)).await;
        let taken = settle(tx, result).await?;
        self.mail_waiting.notify_one();
        Ok(taken)
    }

    async fn take_in_in(
        &self,
        tx: &SystemTransaction,
        scope: &IdentityScope,
        tenant: TenantId,
        (email, full_name, roles): (&EmailAddress, &FullName, &[Role]),
    ) -> Result<TakenIn, IdentityError> {
        let clinic = clinic(tx, tenant).await?;
        let account = user::find_by_email(tx, email.as_str()).await?;
        let locked =
            member::lock(tx, tenant, [scope.actor.user_id(), account.as_ref().map(|user| user.id)]).await?;
        locked.actor(scope)?.require_may_make(&[], roles)?;
        let Some(account) = account else {
            let made = self.invite_in(tx, scope, tenant, (email, full_name, roles)).await?;
            self.mail_invitation(tx, &clinic, email.as_str(), &made.1).await?;
            return Ok(TakenIn::Invited(made.0));
        };
        if !membership::roles_of(tx, account.id, tenant).await?.is_empty() {
            return Err(IdentityError::AlreadyMember);
        }
        membership::grant(tx, scope, tenant, account.id, roles).await?;
        let notice = mail::compose(
            self.mail_settings()?,
            language_of(&clinic.locale),
            &account.email,
            &Occasion::Added { clinic: &clinic.name },
        );
        self.post(tx, notice, mail::KEPT_FOR).await?;
        // An invitation of before has become needless.
        let key = email.key();
        tx.execute(raw_sql!(
            Postgres,
            r#"DELETE FROM public.invitations WHERE tenant_id = {tenant} AND email_key = {key}"#
        ))
        .await?;
        member::get(tx, tenant, account.id).await.map(TakenIn::Member)
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

    /// Sends an invitation again, with a new link; the old one is no longer good. Writes an audit row.
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
            let row: Option<Row> = tx
                .query_one(raw_sql!(
                    Postgres,
                    r#"UPDATE public.invitations
                       SET token_hash = {digest}, sent_at = {now}, expires_at = {until}, version = version + 1,
                           updated_at = {now}
                       WHERE tenant_id = {tenant} AND id = {id}
                       RETURNING id, email, full_name, array_to_string(roles, ',') AS roles, invited_by, sent_at,
                                 expires_at, version, created_at, updated_at"#
                ))
                .await?;
            let sent = row.map(Invitation::from).ok_or(IdentityError::NotFound { thing: "invitation" })?;
            locked.actor(scope)?.require_may_make(&[], &sent.roles)?;
            self.mail_invitation(&tx, &clinic, &sent.email, &token).await?;
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

    /// Accepts an invitation with its link's token, once: makes the account with this password and the membership.
    ///
    /// When an account with the address has come into being since, the password must be that account's, and a wrong
    /// one counts as a failed log-in. Writes audit rows.
    ///
    /// # Errors
    /// [`IdentityError::InvalidLink`] for a token that is unknown, used, taken back or too old, or whose tenant is not
    /// active; [`IdentityError::Invalid`], which leaves the token good; [`IdentityError::InvalidCredentials`],
    /// [`IdentityError::TooManyAttempts`].
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
        let hash = match &account {
            Some(user) => {
                self.prove_account(user, password, origin).await.map_err(|error| match error {
                    IdentityError::WrongPassword => IdentityError::InvalidCredentials,
                    other => other,
                })?;
                None
            }
            None => Some(self.passwords.hash(password, &email).await?),
        };
        let tx = self.app.begin().await?;
        let result = async {
            let used = use_token(&tx, &digest, self.clock.now()).await?.ok_or(IdentityError::InvalidLink)?;
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
            let scope = self.scope(Actor::User(user_id), *origin);
            if membership::roles_of(&tx, user_id, used.tenant_id).await?.is_empty() {
                membership::grant(&tx, &scope, used.tenant_id, user_id, &from_text(&used.roles)).await?;
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

    fn issue(&self) -> Result<(LinkToken, Issue), IdentityError> {
        let token = LinkToken::draw(LinkKind::Invitation)?;
        let digest = token.digest(LinkKind::Invitation).ok_or(IdentityError::Crypto("digest of a link"))?;
        let now = self.clock.now();
        let until = later(now, self.settings.invitation_ttl);
        Ok((token, Issue { id: self.ids.next(), digest, now, until }))
    }

    async fn mail_invitation(
        &self,
        tx: &SystemTransaction,
        clinic: &Clinic,
        email: &str,
        token: &LinkToken,
    ) -> Result<(), IdentityError> {
        let occasion = Occasion::Invited { clinic: &clinic.name, token };
        let mail = mail::compose(self.mail_settings()?, language_of(&clinic.locale), email, &occasion);
        self.post(tx, mail, self.settings.invitation_ttl).await
    }

    async fn post(
        &self,
        tx: &SystemTransaction,
        mail: mail::Mail,
        kept_for: std::time::Duration,
    ) -> Result<(), IdentityError> {
        let now = self.clock.now();
        let until = later(now, kept_for);
        mail::enqueue(tx, &self.sealing, self.ids.next(), &Letter::Ready(mail), (now, until)).await
    }
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

async fn record(
    tx: &SystemTransaction,
    scope: &IdentityScope,
    tenant: TenantId,
    (action, invitation): (&'static str, &Invitation),
) -> Result<(), IdentityError> {
    let entry = audit::Entry {
        action,
        entity: "invitation",
        entity_id: Some(invitation.id.uuid()),
        tenant: Some(tenant),
        before: None,
        after: Some(json!({ "roles": invitation.roles, "expires_at": invitation.expires_at })),
    };
    Ok(audit::record(tx, scope, entry).await?)
}

#[derive(FromQueryResult)]
struct Good {
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
        r#"SELECT i.email, i.full_name
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

/// Removes invitations that ended thirty days ago and were not sent again.
pub(crate) async fn sweep(db: &impl SystemExecutor, now: DateTime<Utc>) -> Result<u64, DbErr> {
    db.execute(raw_sql!(
        Postgres,
        r#"DELETE FROM public.invitations WHERE expires_at <= CAST({now} AS timestamptz) - interval '30 days'"#
    ))
    .await
}
