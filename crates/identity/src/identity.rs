//! The service: log-ins, tokens and accounts on one connection to the system schema.

use std::{fmt, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use clinicx_persistence::{Actor, SystemConnection, SystemTransaction};
use clinicx_types::{
    clock::{Clock, IdSource},
    id::{SessionId, UserId},
};
use tokio::sync::Notify;

use crate::{
    attempt, break_glass,
    dto::{Me, MeTenant},
    email::EmailAddress,
    error::IdentityError,
    full_name::FullName,
    invitation,
    key::TokenKey,
    mail::{self, MailSettings},
    membership,
    oidc::{Issuers, ProviderError, ProviderSettings, is_foreign, store},
    password::Passwords,
    principal::{Principal, Principals},
    reset,
    scope::{IdentityScope, Origin},
    sealing::SealingKeys,
    secret::Password,
    session,
    settings::IdentitySettings,
    token::TokenSigner,
    user::{self, NewUser, User},
};

/// Logs people in, checks their tokens and keeps their accounts. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    pub(crate) app: SystemConnection,
    pub(crate) signer: Arc<TokenSigner>,
    pub(crate) passwords: Passwords,
    pub(crate) settings: Arc<IdentitySettings>,
    pub(crate) principals: Principals,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) issuers: Issuers,
    /// The service's part of the keys under which log-ins at issuers are sealed.
    pub(crate) flow_key: Arc<[u8]>,
    /// The key of the digests under which failed log-ins are counted.
    pub(crate) attempts_key: Arc<[u8]>,
    /// The key of the digests under which requests for a reset are counted.
    pub(crate) resets_key: Arc<[u8]>,
    pub(crate) sealing: SealingKeys,
    /// Told when mail was put into the outbox.
    pub(crate) mail_waiting: Arc<Notify>,
}

/// The secrets of the service.
#[derive(Clone, Debug)]
pub struct IdentityKeys {
    /// Signs access tokens.
    pub token: TokenKey,
    /// Seals what is kept.
    pub sealing: SealingKeys,
}

/// A new account as somebody typed it.
#[derive(Clone)]
pub struct NewAccount<'a> {
    /// The address.
    pub email: &'a str,
    /// The person's name.
    pub full_name: &'a str,
    /// The password; without one nobody can log in until one is set.
    pub password: Option<&'a Password>,
    /// Whether the person operates the platform.
    pub is_operator: bool,
}

/// What became of the first operator of the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// The account was created.
    Created(UserId),
    /// The account is there, with whatever password it has.
    Present(UserId),
    /// There is an account with this address that is no operator's. It is not made one: whoever made it may not be
    /// whom the configuration means.
    NotAnOperator(UserId),
}

/// How many rows were removed because they no longer count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Failed log-ins.
    pub attempts: u64,
    /// Refresh tokens.
    pub refresh_tokens: u64,
    /// Sessions.
    pub sessions: u64,
    /// Log-ins at issuers that were not finished.
    pub flows: u64,
    /// Links to set a password anew.
    pub password_resets: u64,
    /// Mail that could not be sent in its time.
    pub mails: u64,
    /// Invitations that nobody has accepted.
    pub invitations: u64,
}

impl Identity {
    /// Makes the service on a connection of the application's login.
    ///
    /// # Errors
    /// [`IdentityError::Invalid`] for settings that are out of range; [`IdentityError::Crypto`].
    pub fn new(
        app: SystemConnection,
        keys: &IdentityKeys,
        settings: IdentitySettings,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<Self, IdentityError> {
        settings.check()?;
        Ok(Self {
            app,
            signer: Arc::new(TokenSigner::new(&keys.token, settings.access_token_ttl)),
            passwords: Passwords::new(settings.longest_password_wait)?,
            principals: Principals::new(settings.principal_cache_ttl, settings.require_operator_totp),
            settings: Arc::new(settings),
            clock,
            ids,
            issuers: Issuers::none(),
            flow_key: keys.token.derive("log-ins at issuers").into(),
            attempts_key: keys.token.derive("failed log-ins").into(),
            resets_key: keys.token.derive("asked-for resets").into(),
            sealing: keys.sealing.clone(),
            mail_waiting: Arc::new(Notify::new()),
        })
    }

    /// Adds issuers from whom people may come. With `loopback` one of them may be on this machine without TLS, for
    /// development and tests.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    pub fn with_issuers(
        self,
        settings: Vec<ProviderSettings>,
        loopback: bool,
    ) -> Result<Self, ProviderError> {
        let issuers = Issuers::new(settings, loopback, &self.clock)?;
        Ok(Self { issuers, ..self })
    }

    /// Returns who has shown this access token, of this service or of an issuer, with the roles of now. The first use
    /// of an issuer's token leaves audit rows of where it came from.
    ///
    /// # Errors
    /// [`IdentityError::InvalidToken`], or [`IdentityError::Database`] when the session can't be looked up; for a token
    /// of an issuer also [`IdentityError::Refused`], [`IdentityError::NotLinked`], [`IdentityError::NoMembership`],
    /// [`IdentityError::TenantSuspended`], [`IdentityError::TenantGone`], [`IdentityError::IssuerUnavailable`].
    pub async fn authenticate(&self, token: &str, origin: &Origin) -> Result<Arc<Principal>, IdentityError> {
        if is_foreign(token) {
            return self.authenticate_foreign(token, origin).await;
        }
        let now = self.clock.now();
        let claims = self.signer.verify(token, now).map_err(IdentityError::InvalidToken)?;
        self.principals.of(&self.app, &claims, now).await
    }

    /// Returns who has a session, with the roles of now or of a moment ago, as [`Identity::authenticate`] does; `None`
    /// when it has ended. For answers that go on after they were begun.
    ///
    /// # Errors
    /// [`IdentityError::Database`] when it can't be looked up.
    pub async fn standing_of(&self, session: SessionId) -> Result<Option<Arc<Principal>>, IdentityError> {
        self.principals.standing(&self.app, session, self.clock.now()).await
    }

    /// Returns what the caller may know of themselves.
    ///
    /// # Errors
    /// [`IdentityError::NotFound`] when the account has just been removed; what the database answers.
    pub async fn me(&self, principal: &Principal) -> Result<Me, IdentityError> {
        let user = user::find_by_id(&self.app, principal.user_id).await?;
        let user = user.ok_or(IdentityError::NotFound { thing: "user" })?;
        let mut belongings = membership::list_for_user(&self.app, principal.user_id).await?;
        // An issuer that vouches for one tenant learns of no other.
        if store::is_confined(&self.app, principal.session_id).await? {
            belongings.retain(|belonging| Some(belonging.tenant_id) == principal.tenant);
        }
        let here = belongings.iter().find(|belonging| Some(belonging.tenant_id) == principal.tenant);
        Ok(Me {
            id: user.id,
            email: user.email,
            full_name: user.full_name,
            is_operator: user.is_operator,
            tenant: match (here, principal.grant) {
                (Some(belonging), _) => Some(belonging.slug.clone()),
                (None, Some(grant)) => {
                    break_glass::get(&self.app, principal.tenant, grant).await?.tenant.parse().ok()
                }
                (None, None) => None,
            },
            roles: principal.roles.clone(),
            tenants: belongings
                .into_iter()
                .map(|membership::Belonging { tenant_id, slug, name, status, roles }| MeTenant {
                    id: tenant_id,
                    slug,
                    name,
                    status,
                    roles,
                })
                .collect(),
        })
    }

    /// Checks a new account and hashes its password, for [`user::create`], [`user::find_or_create`] and
    /// [`crate::admin_statements`].
    ///
    /// # Errors
    /// [`IdentityError::Invalid`] with pointers into the body; [`IdentityError::Busy`].
    pub async fn check_account(&self, new: NewAccount<'_>) -> Result<NewUser, IdentityError> {
        let email = EmailAddress::parse(new.email).map_err(|error| error.at("/email"));
        let full_name = FullName::parse(new.full_name);
        let (email, full_name) = match (email, full_name) {
            (Ok(email), Ok(full_name)) => (email, full_name),
            (email, full_name) => {
                return Err(IdentityError::Invalid(email.err().into_iter().chain(full_name.err()).collect()));
            }
        };
        let password = match new.password {
            Some(password) => Some(self.passwords.hash(password, &email).await?),
            None => None,
        };
        Ok(NewUser { email, full_name, password, is_operator: new.is_operator })
    }

    /// Creates an account. Writes an audit row.
    ///
    /// # Errors
    /// [`IdentityError::Invalid`], [`IdentityError::EmailTaken`].
    pub async fn create_user(
        &self,
        scope: &IdentityScope,
        new: NewAccount<'_>,
    ) -> Result<User, IdentityError> {
        let new = self.check_account(new).await?;
        let tx = self.app.begin().await?;
        let result = user::create(&tx, scope, &new).await;
        settle(tx, result).await
    }

    /// Sets an account's password and ends its sessions. Writes an audit row.
    ///
    /// # Errors
    /// [`IdentityError::Invalid`], [`IdentityError::NotFound`], [`IdentityError::Stale`].
    pub async fn set_password(
        &self,
        scope: &IdentityScope,
        id: UserId,
        password: &Password,
        expected: Option<i64>,
    ) -> Result<User, IdentityError> {
        let user = user::find_by_id(&self.app, id).await?.ok_or(IdentityError::NotFound { thing: "user" })?;
        let email =
            EmailAddress::parse(&user.email).map_err(|_| IdentityError::NotFound { thing: "user" })?;
        let hash = self.passwords.hash(password, &email).await?;
        let tx = self.app.begin().await?;
        let result = user::set_password(&tx, scope, id, &hash, expected).await;
        settle(tx, result).await
    }

    /// Creates the first operator of the platform when there is no account with the address. An account that is there
    /// keeps its password and its rights. Writes an audit row when it creates.
    ///
    /// # Errors
    /// [`IdentityError::Invalid`].
    pub async fn bootstrap_operator(
        &self,
        email: &str,
        password: &Password,
    ) -> Result<Bootstrap, IdentityError> {
        let present = |user: &User| match user.is_operator {
            true => Bootstrap::Present(user.id),
            false => Bootstrap::NotAnOperator(user.id),
        };
        // Before the password is hashed, so that a start with the account in place costs nothing.
        if let Some(user) = user::find_by_email(&self.app, email).await? {
            return Ok(present(&user));
        }
        let scope = self.scope(Actor::System("bootstrap"), self.inside());
        let new =
            NewAccount { email, full_name: "Platform operator", password: Some(password), is_operator: true };
        match self.create_user(&scope, new).await {
            Ok(user) => Ok(Bootstrap::Created(user.id)),
            Err(IdentityError::EmailTaken) => {
                let user = user::find_by_email(&self.app, email).await?;
                user.as_ref().map(present).ok_or(IdentityError::NotFound { thing: "user" })
            }
            Err(error) => Err(error),
        }
    }

    /// Removes failed log-ins, tokens and sessions that no longer count; for a job that runs now and then.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn sweep(&self) -> Result<Swept, IdentityError> {
        let now = self.clock.now();
        let window = TimeDelta::from_std(self.settings.failure_window).unwrap_or(TimeDelta::MAX);
        let counted_since = now.checked_sub_signed(window).unwrap_or(DateTime::UNIX_EPOCH);
        Ok(Swept {
            attempts: attempt::sweep(&self.app, counted_since).await?,
            refresh_tokens: session::sweep_tokens(&self.app, now).await?,
            sessions: session::sweep(&self.app, now).await?,
            flows: store::sweep_flows(&self.app, now).await?,
            password_resets: reset::sweep(&self.app, now).await?,
            mails: mail::sweep(&self.app, now).await?,
            invitations: invitation::sweep(&self.app, now).await?,
        })
    }

    /// Returns how account holders are written to.
    pub(crate) fn mail_settings(&self) -> Result<&MailSettings, IdentityError> {
        self.settings.mail.as_ref().ok_or(IdentityError::MailNotConfigured)
    }

    /// Returns what hashes passwords with this service's limits.
    pub fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// Makes the scope of a change that somebody asks for.
    pub fn scope(&self, actor: Actor, origin: Origin) -> IdentityScope {
        IdentityScope {
            actor,
            request_id: origin.request_id,
            source: origin.source,
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
        }
    }

    pub(crate) fn inside(&self) -> Origin {
        Origin { request_id: self.ids.next().into(), source: None }
    }
}

/// Commits what went well and rolls back what did not. A transaction that is merely dropped costs its connection.
pub(crate) async fn settle<T>(
    tx: SystemTransaction,
    result: Result<T, IdentityError>,
) -> Result<T, IdentityError> {
    match result {
        Ok(value) => tx.commit().await.map(|()| value).map_err(IdentityError::from),
        Err(error) => {
            // The reason for the roll-back is what the caller needs; a failed one closes the connection.
            let _rolled_back = tx.rollback().await;
            Err(error)
        }
    }
}

/// Returns the instant after a time; the end of all time when a calendar ends first.
pub(crate) fn later(now: DateTime<Utc>, after: Duration) -> DateTime<Utc> {
    let after = TimeDelta::from_std(after).ok();
    after.and_then(|after| now.checked_add_signed(after)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("signer", &self.signer)
            .field("passwords", &self.passwords)
            .field("settings", &self.settings)
            .field("principals", &self.principals)
            .finish_non_exhaustive()
    }
}
