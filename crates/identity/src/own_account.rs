//! What a user does with the own account: change the password, see and end the own log-ins.

use chrono::{DateTime, Utc};
use clinicx_persistence::{SystemExecutor, SystemTransaction};
use clinicx_types::{
    id::{SessionId, TenantId, UserId},
    page::{Page, PageRequest},
};
use schemars::JsonSchema;
use sea_orm::{FromQueryResult, raw_sql};
use serde::Serialize;
use serde_json::json;

use crate::{
    attempt::{self, Standing, Subject},
    audit, break_glass,
    email::EmailAddress,
    error::IdentityError,
    identity::{Identity, settle},
    oidc::store,
    password::{PasswordHash, Turn},
    principal::Principal,
    reset::at_new_password,
    scope::Origin,
    secret::Password,
    session::{self, End},
    token::TokenError,
    totp,
    user::{self, User},
};

/// A log-in of one's own, with the sessions that came from it by switching the tenant.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct OwnSession {
    /// Its id.
    pub id: SessionId,
    /// Whether it is the one with which this was asked.
    pub current: bool,
    /// The slugs of the tenants that it is for; none for the platform alone.
    pub tenants: Vec<String>,
    /// The address from which the password was shown.
    pub source_address: Option<String>,
    /// When that was.
    pub created_at: DateTime<Utc>,
    /// When its tokens were last refreshed.
    pub last_used_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
}

#[derive(FromQueryResult)]
struct OwnSessionRow {
    id: SessionId,
    current: bool,
    tenants: Option<String>,
    source_address: Option<String>,
    created_at: DateTime<Utc>,
    last_used_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

/// An account whose owner has just shown the password.
pub(crate) struct Proven {
    pub(crate) user: UserId,
    pub(crate) email: EmailAddress,
    /// As what a failure that follows is counted.
    pub(crate) subject: Subject,
    /// How the door stood, for a failure that follows.
    pub(crate) standing: Standing,
    hash: PasswordHash,
}

impl Identity {
    /// Changes the caller's password. Every other session of the account ends, and so does every link to set it anew.
    /// Writes an audit row.
    ///
    /// # Errors
    /// [`IdentityError::WrongPassword`], which counts as a failed log-in; [`IdentityError::TooManyAttempts`];
    /// [`IdentityError::Invalid`] for a new one that is not acceptable.
    #[tracing::instrument(name = "identity.password.change", skip_all, fields(request.id = %origin.request_id))]
    pub async fn change_password(
        &self,
        principal: &Principal,
        (current, new): (&Password, &Password),
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let (proven, turn) = self.prove(principal, current, origin).await?;
        drop(turn);
        if current.expose() == new.expose() {
            return Err(IdentityError::invalid("/new_password", "unchanged", "must be another one"));
        }
        let hash = self.passwords.hash(new, &proven.email).await.map_err(at_new_password)?;
        let tx = self.app.begin().await?;
        let result = async {
            self.still_proven(&tx, principal, &proven).await?;
            let scope = self.scope(principal.actor(), *origin);
            let keep = Some(principal.session_id);
            let (_, ended) =
                user::set_password_and_end(&tx, &scope, principal.user_id, &hash, (None, keep)).await?;
            self.forget_failures(&tx, &proven).await?;
            self.notify_password_changed(&tx, proven.email.as_str()).await?;
            Ok(ended)
        }
        .await;
        let ended = settle(tx, result).await?;
        self.principals.end(&ended).await;
        self.mail_waiting.notify_one();
        Ok(())
    }

    /// Checks the caller's password, as a log-in does: a wrong one counts, and too many lock.
    ///
    /// The right one forgets no failure by itself ([`Self::forget_failures`]). Whoever goes on to check a code keeps the
    /// turn until its failure is counted, or all who come at once would have their guess.
    pub(crate) async fn prove(
        &self,
        principal: &Principal,
        password: &Password,
        origin: &Origin,
    ) -> Result<(Proven, Turn), IdentityError> {
        let user = user::find_by_id(&self.app, principal.user_id).await?;
        let user = user.ok_or(IdentityError::InvalidToken(TokenError::Session))?;
        self.prove_account(&user, password, origin).await
    }

    /// Checks an account's password as [`Self::prove`] does.
    pub(crate) async fn prove_account(
        &self,
        user: &User,
        password: &Password,
        origin: &Origin,
    ) -> Result<(Proven, Turn), IdentityError> {
        let email = EmailAddress::parse(&user.email).map_err(|_| IdentityError::WrongPassword)?;
        let subject = Subject::new(&self.attempts_key, email.key(), origin.source);
        let standing = self.refuse_locked(&subject, email.key()).await?;
        let turn = self.passwords.turn().await?;
        self.refuse_locked(&subject, email.key()).await?;
        let stored = password_of(&self.app, user.id).await?;
        let verdict = self.passwords.verify(&turn, password, stored.clone()).await?;
        match stored {
            Some(hash) if verdict.matches => {
                let proven = Proven { user: user.id, email, subject, standing, hash };
                Ok((proven, turn))
            }
            _ => {
                self.fail(&subject, "wrong_password", Some(user.id), origin).await?;
                drop(turn);
                Err(standing.refusal(IdentityError::WrongPassword))
            }
        }
    }

    /// Tells whether an account has this password. It is no log-in: nothing is counted and nothing is left behind; for
    /// whoever starts the service and says how to log in.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn is_password_of(&self, user: UserId, password: &Password) -> Result<bool, IdentityError> {
        let stored = password_of(&self.app, user).await?;
        let turn = self.passwords.turn().await?;
        Ok(self.passwords.verify(&turn, password, stored).await?.matches)
    }

    /// Forgets the failures before a change that the password alone has opened, in the change's own transaction.
    ///
    /// Those of an account with a second factor stay: wrong codes are among them, and whoever has the password would
    /// get as many guesses again by each change.
    pub(crate) async fn forget_failures(
        &self,
        tx: &SystemTransaction,
        proven: &Proven,
    ) -> Result<(), IdentityError> {
        if !totp::is_enrolled(tx, proven.user).await? {
            attempt::clear(tx, &proven.subject).await?;
        }
        Ok(())
    }

    /// Makes sure that session and password are what they were when the password was shown, and keeps them so.
    pub(crate) async fn still_proven(
        &self,
        tx: &SystemTransaction,
        principal: &Principal,
        proven: &Proven,
    ) -> Result<(), IdentityError> {
        let live = session::find_live(tx, principal.session_id, self.clock.now()).await?;
        live.ok_or(IdentityError::InvalidToken(TokenError::Session))?;
        let (id, hash) = (principal.user_id, proven.hash.as_str());
        let same = tx
            .execute(raw_sql!(
                Postgres,
                r#"SELECT id FROM public.users
                   WHERE id = {id} AND password_hash = {hash} AND disabled_at IS NULL
                   FOR NO KEY UPDATE"#
            ))
            .await?;
        if same == 0 { Err(IdentityError::WrongPassword) } else { Ok(()) }
    }

    /// Lists the caller's log-ins that go on, in the order in which they began.
    ///
    /// # Errors
    /// [`IdentityError::Invalid`] for a cursor that is none of this list.
    pub async fn own_sessions(
        &self,
        principal: &Principal,
        page: &PageRequest,
    ) -> Result<Page<OwnSession>, IdentityError> {
        let after = page.after.as_ref().map(|key| user::cursor(&key.0)).transpose()?;
        let limit = i64::from(page.limit()).saturating_add(1);
        let (id, present, now) = (principal.user_id, principal.session_id, self.clock.now());
        let only = confinement(&self.app, principal).await?;
        let rows: Vec<OwnSessionRow> = self
            .app
            .query_all(raw_sql!(
                Postgres,
                r#"SELECT s.family_id AS id, bool_or(s.id = {present}) AS current,
                          string_agg(DISTINCT t.slug, ',' ORDER BY t.slug) AS tenants,
                          min(host(s.source_address)) AS source_address,
                          min(s.created_at) AS created_at, max(s.last_used_at) AS last_used_at,
                          max(s.expires_at) AS expires_at
                   FROM public.sessions AS s
                   LEFT JOIN public.tenants AS t ON t.id = s.tenant_id
                   WHERE s.user_id = {id} AND s.revoked_at IS NULL AND s.expires_at > {now}
                     AND (CAST({only} AS uuid) IS NULL OR s.tenant_id = {only})
                     AND (CAST({after} AS uuid) IS NULL OR s.family_id > {after})
                   GROUP BY s.family_id
                   ORDER BY s.family_id
                   LIMIT {limit}"#
            ))
            .await?;
        let total = if page.count { Some(self.count_sessions(id, only).await?) } else { None };
        let page = Page::from_rows(rows, page, total, |row| vec![row.id.to_string()]);
        Ok(page.map(|row| OwnSession {
            id: row.id,
            current: row.current,
            tenants: row.tenants.map(|all| all.split(',').map(str::to_owned).collect()).unwrap_or_default(),
            source_address: row.source_address,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            expires_at: row.expires_at,
        }))
    }

    async fn count_sessions(&self, user: UserId, only: Option<TenantId>) -> Result<u64, IdentityError> {
        #[derive(FromQueryResult)]
        struct Count {
            total: i64,
        }
        let now = self.clock.now();
        let count: Option<Count> = self
            .app
            .query_one(raw_sql!(
                Postgres,
                r#"SELECT count(DISTINCT family_id) AS total
                   FROM public.sessions
                   WHERE user_id = {user} AND revoked_at IS NULL AND expires_at > {now}
                     AND (CAST({only} AS uuid) IS NULL OR tenant_id = {only})"#
            ))
            .await?;
        Ok(count.and_then(|count| u64::try_from(count.total).ok()).unwrap_or_default())
    }

    /// Ends one of the caller's log-ins, with the sessions that came from it. Writes an audit row.
    ///
    /// A session that is bound to one tenant reaches those of that tenant alone.
    ///
    /// # Errors
    /// [`IdentityError::NotFound`] for an id that is none of the caller's, or that has ended.
    #[tracing::instrument(name = "identity.session.end", skip_all, fields(request.id = %origin.request_id))]
    pub async fn end_own_session(
        &self,
        principal: &Principal,
        session: SessionId,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let tx = self.app.begin().await?;
        let result = async {
            let now = self.clock.now();
            let only = confinement(&tx, principal).await?;
            let family = session::own_family(&tx, principal.user_id, session, only, now).await?;
            let family = family.ok_or(IdentityError::NotFound { thing: "session" })?;
            let ended = match only {
                Some(tenant) => session::end_family_in(&tx, family, tenant, End::LoggedOut, now).await?,
                None => session::end_family(&tx, family, End::LoggedOut, now).await?,
            };
            let after = json!({ "session_id": family, "sessions_ended": ended.len() });
            self.record_log_out(&tx, principal, "user.session_ended", after, origin).await?;
            let scope = self.scope(principal.actor(), *origin);
            break_glass::end_without_session(&tx, &scope, principal.user_id).await?;
            Ok(ended)
        }
        .await;
        let ended = settle(tx, result).await?;
        self.principals.end(&ended).await;
        Ok(())
    }

    /// Ends every log-in of the caller, in every tenant and on the platform, this one among them. Writes an audit row.
    ///
    /// A session that is bound to one tenant ends those of that tenant alone: whoever speaks for a person there has
    /// nothing to say about the person's work elsewhere.
    ///
    /// # Errors
    /// What the database answers.
    #[tracing::instrument(name = "identity.logout_all", skip_all, fields(request.id = %origin.request_id))]
    pub async fn logout_all(&self, principal: &Principal, origin: &Origin) -> Result<(), IdentityError> {
        let tx = self.app.begin().await?;
        let result = async {
            let now = self.clock.now();
            let (id, end) = (principal.user_id, End::LoggedOut);
            let ended = match confinement(&tx, principal).await? {
                Some(tenant) => session::end_all_in(&tx, id, tenant, end, now).await?,
                None => session::end_all_of(&tx, id, end, now, None).await?,
            };
            let after = json!({ "sessions_ended": ended.len() });
            self.record_log_out(&tx, principal, "user.logged_out_everywhere", after, origin).await?;
            let scope = self.scope(principal.actor(), *origin);
            break_glass::end_without_session(&tx, &scope, principal.user_id).await?;
            Ok(ended)
        }
        .await;
        let ended = settle(tx, result).await?;
        self.principals.end(&ended).await;
        Ok(())
    }

    async fn record_log_out(
        &self,
        tx: &SystemTransaction,
        principal: &Principal,
        action: &'static str,
        after: serde_json::Value,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let entry = audit::Entry {
            action,
            entity: "user",
            entity_id: Some(principal.user_id.uuid()),
            // Where else a person works is no matter of the tenant in which the person asked.
            tenant: None,
            before: None,
            after: Some(after),
        };
        Ok(audit::record(tx, &self.scope(principal.actor(), *origin), entry).await?)
    }
}

/// Returns the tenant to which the caller's session is bound: of the others it sees and ends nothing.
async fn confinement(
    db: &impl SystemExecutor,
    principal: &Principal,
) -> Result<Option<TenantId>, IdentityError> {
    Ok(if store::is_confined(db, principal.session_id).await? { principal.tenant } else { None })
}

#[derive(FromQueryResult)]
struct Stored {
    password_hash: Option<String>,
}

async fn password_of(db: &impl SystemExecutor, id: UserId) -> Result<Option<PasswordHash>, IdentityError> {
    let stored: Option<Stored> = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT password_hash FROM public.users WHERE id = {id} AND disabled_at IS NULL"#
        ))
        .await?;
    Ok(stored.and_then(|stored| stored.password_hash).map(PasswordHash::stored))
}
