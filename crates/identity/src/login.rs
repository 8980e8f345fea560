//! Logging in with a password.

use clinicx_persistence::{Actor, SystemExecutor, SystemTransaction};
use clinicx_types::{
    error::DomainError,
    id::{SessionId, UserId},
    name::TenantSlug,
};
use sea_orm::{DbErr, FromQueryResult, JsonValue, raw_sql};
use serde_json::json;

use crate::{
    attempt::{self, Standing, Subject},
    audit,
    destination::{Destination, Place, Refusal, destination},
    dto::{LoginRequest, Tokens},
    email::{MAX_ADDRESS_BYTES, lookup_key},
    error::IdentityError,
    identity::{Identity, later, settle},
    password::{PasswordHash, Turn},
    scope::Origin,
    secret::RefreshToken,
    session::{self, NewSession},
    totp::Fitting,
};

/// The account that somebody wants to log in to, with the tenants to which it belongs.
///
/// All of it comes from one query before the password is checked, so that what happens afterwards takes the same
/// time whether the password, the account or the membership was wrong.
struct Candidate {
    id: UserId,
    password: Option<String>,
    enabled: bool,
    is_operator: bool,
    places: Vec<Place>,
}

#[derive(FromQueryResult)]
struct CandidateRow {
    id: UserId,
    password_hash: Option<String>,
    enabled: bool,
    is_operator: bool,
    places: JsonValue,
}

/// A log-in that leads somewhere.
struct Admission<'a> {
    candidate: &'a Candidate,
    place: Destination,
    /// The hash of the password with today's parameters, when the stored one has others.
    fresh: Option<PasswordHash>,
    subject: &'a Subject,
    /// The code that was shown, or that none is needed.
    factor: Fitting,
}

impl Identity {
    /// Logs somebody in. Writes an audit row of the success or the failure.
    ///
    /// A caller that goes away while the password is checked learns nothing, and its guess still takes its turn.
    /// `claimed` is the tenant that header or host name: it is the one that is meant when the body names none, also
    /// for an operator, who gets no token for the platform there.
    ///
    /// # Errors
    /// [`IdentityError::TenantMismatch`] when body and `claimed` name different tenants, which counts as a failure.
    /// [`IdentityError::InvalidCredentials`] for an unknown or disabled account, a wrong password, a tenant that does
    /// not exist or to which the account does not belong. Behind the right password:
    /// [`IdentityError::TenantRequired`], [`IdentityError::TenantSuspended`], [`IdentityError::TenantGone`],
    /// [`IdentityError::NoMembership`], and for an account with a second factor [`IdentityError::TotpRequired`] and
    /// [`IdentityError::InvalidTotp`], of which the second counts as a failure. Before everything:
    /// [`IdentityError::TooManyAttempts`].
    #[tracing::instrument(name = "identity.login", skip_all, fields(request.id = %origin.request_id))]
    pub async fn login(
        &self,
        request: LoginRequest,
        claimed: Option<&TenantSlug>,
        origin: &Origin,
    ) -> Result<Tokens, IdentityError> {
        let key = lookup_key(&request.email);
        let subject = Subject::new(&self.attempts_key, &key, origin.source);
        // Nothing longer is an address; the queries run all the same.
        let key = if key.len() > 2 * MAX_ADDRESS_BYTES { String::new() } else { key };
        let standing = self.refuse_locked(&subject, &key).await?;
        let wanted = request.tenant.as_ref().or(claimed);
        if claimed.is_some() && claimed != wanted {
            self.fail(&subject, IdentityError::TenantMismatch.code(), None, origin).await?;
            return Err(IdentityError::TenantMismatch);
        }
        let candidate = self.candidate(key.clone()).await?;
        let turn = self.passwords.turn().await?;
        // Once more, now that the turn has come: otherwise all who waited would still have their guess.
        self.refuse_locked(&subject, &key).await?;
        let stored = candidate.as_ref().and_then(|candidate| candidate.password.clone());
        let verdict =
            self.passwords.verify(&turn, &request.password, stored.map(PasswordHash::stored)).await?;
        let outcome = match &candidate {
            None => Err(("unknown_account", None)),
            Some(candidate) if !verdict.matches => Err(("wrong_password", Some(candidate.id))),
            Some(candidate) if !candidate.enabled => Err(("disabled", Some(candidate.id))),
            Some(candidate) => Ok(candidate),
        };
        let outcome = match outcome {
            Ok(candidate) => {
                let factor = self.second_factor(candidate.id, &subject, &request, origin).await;
                let factor = factor.map_err(|error| match error {
                    IdentityError::InvalidTotp => standing.refusal(error),
                    other => other,
                })?;
                match destination(candidate.is_operator, &candidate.places, wanted) {
                    Ok(place) => Ok((candidate, place, factor)),
                    Err(Refusal::Unknown(reason)) => Err((reason, Some(candidate.id))),
                    Err(Refusal::Said(error)) => {
                        return self.refuse_known(candidate.id, &subject, error, origin).await;
                    }
                }
            }
            Err(refused) => Err(refused),
        };
        match outcome {
            Ok((candidate, place, factor)) => {
                let fresh = self.fresh_hash(&turn, &request, verdict.outdated).await?;
                drop(turn);
                self.admit(Admission { candidate, place, fresh, subject: &subject, factor }, origin).await
            }
            Err((reason, user)) => {
                self.fail(&subject, reason, user, origin).await?;
                drop(turn);
                Err(standing.refusal(IdentityError::InvalidCredentials))
            }
        }
    }

    /// Refuses somebody whose log-in is locked out, without looking at the password: for an answer that was given
    /// before and would be given again.
    ///
    /// # Errors
    /// [`IdentityError::TooManyAttempts`].
    pub async fn refuse_locked_out(
        &self,
        request: &LoginRequest,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let key = lookup_key(&request.email);
        let subject = Subject::new(&self.attempts_key, &key, origin.source);
        self.refuse_locked(&subject, &key).await.map(|_| ())
    }

    /// Refuses whoever may not try now.
    pub(crate) async fn refuse_locked(
        &self,
        subject: &Subject,
        email_key: &str,
    ) -> Result<Standing, IdentityError> {
        let now = self.clock.now();
        match attempt::standing(&self.app, &self.settings, subject, email_key, now).await? {
            Standing::Closed { retry_after } => Err(IdentityError::TooManyAttempts { retry_after }),
            standing => Ok(standing),
        }
    }

    async fn candidate(&self, key: String) -> Result<Option<Candidate>, IdentityError> {
        let row: Option<CandidateRow> = self
            .app
            .query_one(raw_sql!(
                Postgres,
                r#"SELECT u.id, u.password_hash, u.disabled_at IS NULL AS enabled, u.is_operator,
                          COALESCE(
                              (SELECT jsonb_agg(
                                          jsonb_build_object('tenant_id', t.id, 'slug', t.slug, 'status', t.status)
                                          ORDER BY t.slug)
                               FROM public.memberships AS m
                               JOIN public.tenants AS t ON t.id = m.tenant_id
                               WHERE m.user_id = u.id AND t.status <> 'provisioning'),
                              '[]') AS places
                   FROM public.users AS u
                   WHERE u.email_key = {key}"#
            ))
            .await?;
        let Some(CandidateRow { id, password_hash, enabled, is_operator, places }) = row else {
            return Ok(None);
        };
        let places = serde_json::from_value(places).unwrap_or_default();
        Ok(Some(Candidate { id, password: password_hash, enabled, is_operator, places }))
    }

    /// Hashes the password again when the parameters have changed since.
    async fn fresh_hash(
        &self,
        turn: &Turn,
        request: &LoginRequest,
        outdated: bool,
    ) -> Result<Option<PasswordHash>, IdentityError> {
        if outdated { self.passwords.rehash(turn, &request.password).await.map(Some) } else { Ok(None) }
    }

    /// Opens the session of somebody who has shown the right password.
    async fn admit(&self, admission: Admission<'_>, origin: &Origin) -> Result<Tokens, IdentityError> {
        let (subject, user) = (admission.subject, admission.candidate.id);
        let tx = self.app.begin().await?;
        let result = self.admit_in(&tx, admission, origin).await;
        let result = settle(tx, result).await;
        // The code was used by another log-in that came at the same time.
        if matches!(result, Err(IdentityError::InvalidTotp)) {
            self.fail(subject, "wrong_totp", Some(user), origin).await?;
        }
        result
    }

    /// Looks at the second factor of somebody who has shown the right password.
    async fn second_factor(
        &self,
        user: UserId,
        subject: &Subject,
        request: &LoginRequest,
        origin: &Origin,
    ) -> Result<Fitting, IdentityError> {
        match self.fitting(user, request.totp.as_deref().unwrap_or_default()).await? {
            Some(fitting) => Ok(fitting),
            None if request.totp.is_none() => {
                let tx = self.app.begin().await?;
                let recorded =
                    record_refusal(&tx, IdentityError::TotpRequired.code(), Some(user), origin).await;
                settle(tx, recorded.map_err(IdentityError::from)).await?;
                Err(IdentityError::TotpRequired)
            }
            None => {
                self.fail(subject, "wrong_totp", Some(user), origin).await?;
                Err(IdentityError::InvalidTotp)
            }
        }
    }

    async fn admit_in(
        &self,
        tx: &SystemTransaction,
        admission: Admission<'_>,
        origin: &Origin,
    ) -> Result<Tokens, IdentityError> {
        let Admission { candidate, place, fresh, subject, factor } = admission;
        let now = self.clock.now();
        // The account may have been disabled, or its password changed, while this one was being checked.
        let (id, old) = (candidate.id, candidate.password.clone());
        let fresh = fresh.as_ref().map(PasswordHash::as_str);
        let still_so = tx
            .execute(raw_sql!(
                Postgres,
                r#"UPDATE public.users
                   SET last_login_at = {now}, password_hash = COALESCE(CAST({fresh} AS text), password_hash)
                   WHERE id = {id} AND disabled_at IS NULL AND password_hash = {old}"#
            ))
            .await?;
        if still_so == 0 {
            return Err(IdentityError::InvalidCredentials);
        }
        self.use_up(tx, id, &factor).await?;
        attempt::clear(tx, subject).await?;
        let session_id = SessionId::new(self.ids.next());
        let expires_at = later(now, self.settings.session_ttl);
        let new = NewSession {
            id: session_id,
            family: session_id,
            user: id,
            tenant: place,
            expires_at,
            source: origin.source,
            grant: None,
        };
        let tokens = self.open_session(tx, &new).await?;
        let actor = if place.is_none() { Actor::Operator(id) } else { Actor::User(id) };
        let entry = audit::Entry {
            action: "user.logged_in",
            entity: "user",
            entity_id: Some(id.uuid()),
            tenant: place,
            before: None,
            after: Some(json!({ "session_id": session_id, "factor": factor.name() })),
        };
        audit::record(tx, &self.scope(actor, *origin), entry).await?;
        Ok(tokens)
    }

    /// Opens a session and makes its first tokens.
    pub(crate) async fn open_session(
        &self,
        tx: &SystemTransaction,
        new: &NewSession,
    ) -> Result<Tokens, IdentityError> {
        session::open(tx, new, self.clock.now()).await?;
        self.make_tokens(tx, new).await
    }

    /// Makes a session's next tokens.
    pub(crate) async fn make_tokens(
        &self,
        tx: &SystemTransaction,
        of: &NewSession,
    ) -> Result<Tokens, IdentityError> {
        let now = self.clock.now();
        let refresh_token = RefreshToken::draw()?;
        let digest = refresh_token.digest().ok_or(IdentityError::Crypto("digest of a refresh token"))?;
        let idle_until = later(now, self.settings.refresh_idle_ttl).min(of.expires_at);
        session::add_token(tx, of.id, digest, now, idle_until).await?;
        let access_token = self.signer.issue(of.user, of.id, of.tenant, now)?;
        // A token is good no longer than its session.
        let expires_in = self.signer.ttl_s().min((of.expires_at - now).num_seconds());
        Ok(Tokens { access_token, refresh_token, token_type: "Bearer", expires_in })
    }

    /// Counts a failure.
    pub(crate) async fn fail(
        &self,
        subject: &Subject,
        reason: &'static str,
        user: Option<UserId>,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let tx = self.app.begin().await?;
        let result = self.fail_in(&tx, subject, reason, user, origin).await;
        settle(tx, result).await
    }

    /// Counts a failure in a transaction that goes on.
    pub(crate) async fn fail_in(
        &self,
        tx: &SystemTransaction,
        subject: &Subject,
        reason: &'static str,
        user: Option<UserId>,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        attempt::record_failure(tx, self.ids.next(), subject, self.clock.now()).await?;
        Ok(record_refusal(tx, reason, user, origin).await?)
    }

    /// Answers the owner of an account who can't be let in.
    async fn refuse_known(
        &self,
        user: UserId,
        subject: &Subject,
        error: IdentityError,
        origin: &Origin,
    ) -> Result<Tokens, IdentityError> {
        let tx = self.app.begin().await?;
        let result = match attempt::clear(&tx, subject).await {
            Ok(()) => record_refusal(&tx, error.code(), Some(user), origin).await,
            Err(error) => Err(error),
        };
        settle(tx, result.map_err(IdentityError::from)).await?;
        Err(error)
    }
}

async fn record_refusal(
    tx: &SystemTransaction,
    reason: &'static str,
    user: Option<UserId>,
    origin: &Origin,
) -> Result<(), DbErr> {
    let entry = audit::Entry {
        action: "user.login_refused",
        entity: "user",
        entity_id: user.map(|user| user.uuid()),
        tenant: None,
        before: None,
        after: Some(json!({ "reason": reason })),
    };
    audit::record_anonymous(tx, origin, entry).await
}
