//! What happens to a session after its log-in: refresh, switch of the tenant, log-out.
//!
//! A refresh token is good for one use, and strictly so: there is no time in which the old one still works. Of two
//! refreshes with one token at once exactly one succeeds, and the other ends the whole family, the winner's new
//! tokens with it, because nobody can tell a client that lost an answer from a thief. Such a client logs in again;
//! the price was preferred to a window in which a stolen token can be used unseen (RFC 9700 section 4.14.2). Only
//! the very same request, told by its idempotency key, gets the very same tokens again; that is the edge's business
//! and never comes here.

use clinicx_persistence::{Actor, SystemTransaction};
use clinicx_types::{
    error::DomainError,
    id::{SessionId, TenantId, UserId},
    name::TenantSlug,
};
use serde_json::json;

use crate::{
    audit, break_glass,
    destination::refuse_status,
    dto::Tokens,
    error::IdentityError,
    identity::{Identity, settle},
    membership,
    oidc::store,
    principal::Principal,
    scope::Origin,
    secret::RefreshToken,
    session::{self, End, NewSession},
    token::TokenError,
};

impl Identity {
    /// Exchanges a refresh token for new tokens. A used one ends its family of sessions and writes an audit row.
    /// `claimed` is the tenant that header or host name; a session for another one is refused with an audit row.
    ///
    /// # Errors
    /// [`IdentityError::InvalidRefreshToken`]; [`IdentityError::TenantSuspended`], [`IdentityError::TenantGone`] and
    /// [`IdentityError::TenantMismatch`], which leave the token as it is.
    #[tracing::instrument(name = "identity.refresh", skip_all, fields(request.id = %origin.request_id))]
    pub async fn refresh(
        &self,
        token: &RefreshToken,
        claimed: Option<&TenantSlug>,
        origin: &Origin,
    ) -> Result<Tokens, IdentityError> {
        let digest = token.digest().ok_or(IdentityError::InvalidRefreshToken)?;
        let tx = self.app.begin().await?;
        let result = self.refresh_in(&tx, &digest, claimed, origin).await;
        match settle(tx, result).await? {
            Exchange::Done(tokens) => Ok(tokens),
            Exchange::Mismatched => Err(IdentityError::TenantMismatch),
            Exchange::Reused { user, ended } => {
                self.principals.end(&ended).await;
                tracing::warn!(user.id = %user, "a refresh token was used twice; its sessions were ended");
                Err(IdentityError::InvalidRefreshToken)
            }
        }
    }

    async fn refresh_in(
        &self,
        tx: &SystemTransaction,
        digest: &[u8],
        claimed: Option<&TenantSlug>,
        origin: &Origin,
    ) -> Result<Exchange, IdentityError> {
        let now = self.clock.now();
        let presented = session::present(tx, digest).await?.ok_or(IdentityError::InvalidRefreshToken)?;
        if presented.revoked_at.is_some() {
            return Err(IdentityError::InvalidRefreshToken);
        }
        if presented.used_at.is_some() {
            let ended = session::end_family(tx, presented.family_id, End::TokenReused, now).await?;
            let entry = audit::Entry {
                action: "session.reuse_detected",
                entity: "user",
                entity_id: Some(presented.user_id.uuid()),
                tenant: presented.tenant_id,
                before: None,
                after: Some(json!({ "session_id": presented.session_id, "sessions_ended": ended.len() })),
            };
            audit::record_anonymous(tx, origin, entry).await?;
            return Ok(Exchange::Reused { user: presented.user_id, ended });
        }
        if presented.token_expires_at <= now || presented.session_expires_at <= now || !presented.entitled {
            return Err(IdentityError::InvalidRefreshToken);
        }
        if claimed.is_some_and(|claimed| presented.tenant_slug.as_deref() != Some(claimed.as_str())) {
            let entry = audit::Entry {
                action: "session.refresh_refused",
                entity: "user",
                entity_id: Some(presented.user_id.uuid()),
                tenant: presented.tenant_id,
                before: None,
                after: Some(json!({
                    "session_id": presented.session_id, "reason": IdentityError::TenantMismatch.code(),
                })),
            };
            audit::record_anonymous(tx, origin, entry).await?;
            return Ok(Exchange::Mismatched);
        }
        if let Some(status) = &presented.tenant_status {
            refuse_status(status)?;
        }
        session::use_token(tx, presented.session_id, digest, now).await?;
        let session = NewSession {
            id: presented.session_id,
            family: presented.family_id,
            user: presented.user_id,
            tenant: presented.tenant_id,
            expires_at: presented.session_expires_at,
            source: origin.source,
            grant: presented.grant_id,
        };
        let tokens = self.make_tokens(tx, &session).await?;
        // Each step under a grant leaves a row that the tenant sees.
        if let Some(grant) = presented.grant_id {
            let entry = audit::Entry {
                action: "session.refreshed",
                entity: "user",
                entity_id: Some(presented.user_id.uuid()),
                tenant: presented.tenant_id,
                before: None,
                after: Some(json!({ "session_id": presented.session_id, "grant_id": grant })),
            };
            let scope = self.scope(Actor::Operator(presented.user_id), *origin);
            audit::record(tx, &scope, entry).await?;
        }
        Ok(Exchange::Done(tokens))
    }

    /// Opens a session for another tenant of the caller's. It ends with the present one, by log-out and by time.
    /// Writes an audit row.
    ///
    /// # Errors
    /// [`IdentityError::NotFound`] for a tenant that does not exist or to which the caller does not belong;
    /// [`IdentityError::TenantSuspended`], [`IdentityError::TenantGone`]; [`IdentityError::InvalidToken`] when the
    /// session has just ended; [`IdentityError::NoMembership`] in a session that an issuer opened for one tenant.
    #[tracing::instrument(name = "identity.switch", skip_all, fields(request.id = %origin.request_id))]
    pub async fn switch(
        &self,
        principal: &Principal,
        tenant: &TenantSlug,
        origin: &Origin,
    ) -> Result<Tokens, IdentityError> {
        let tx = self.app.begin().await?;
        let result = self.switch_in(&tx, principal, tenant, origin).await;
        settle(tx, result).await
    }

    async fn switch_in(
        &self,
        tx: &SystemTransaction,
        principal: &Principal,
        tenant: &TenantSlug,
        origin: &Origin,
    ) -> Result<Tokens, IdentityError> {
        let live = session::find_live(tx, principal.session_id, self.clock.now()).await?;
        let live = live.ok_or(IdentityError::InvalidToken(TokenError::Session))?;
        // An issuer that names the tenant has vouched for the person in that one only.
        if store::is_confined(tx, principal.session_id).await? {
            return Err(IdentityError::NoMembership);
        }
        // A grant is for one tenant.
        if live.grant_id.is_some() {
            return Err(IdentityError::NotFound { thing: "tenant" });
        }
        let belongings = membership::list_for_user(tx, principal.user_id).await?;
        let wanted = belongings.into_iter().find(|belonging| belonging.slug == *tenant);
        let wanted = wanted.ok_or(IdentityError::NotFound { thing: "tenant" })?;
        refuse_status(&wanted.status)?;
        let new = NewSession {
            id: SessionId::new(self.ids.next()),
            family: live.family_id,
            user: principal.user_id,
            tenant: Some(wanted.tenant_id),
            expires_at: live.expires_at,
            source: origin.source,
            grant: None,
        };
        let tokens = self.open_session(tx, &new).await?;
        let entry = audit::Entry {
            action: "user.switched_tenant",
            entity: "user",
            entity_id: Some(principal.user_id.uuid()),
            tenant: Some(wanted.tenant_id),
            before: None,
            after: Some(json!({ "session_id": new.id, "from_session_id": principal.session_id })),
        };
        audit::record(tx, &self.scope(Actor::User(principal.user_id), *origin), entry).await?;
        Ok(tokens)
    }

    /// Logs the caller out: ends the session and those that were made from it by switching. This process obeys at
    /// once, the others within [`crate::IdentitySettings::principal_cache_ttl`]. Doing it twice changes nothing.
    /// Writes an audit row.
    ///
    /// # Errors
    /// What the database answers.
    #[tracing::instrument(name = "identity.logout", skip_all, fields(request.id = %origin.request_id))]
    pub async fn logout(&self, principal: &Principal, origin: &Origin) -> Result<(), IdentityError> {
        let leaving = Leaving {
            session: principal.session_id,
            user: principal.user_id,
            tenant: principal.tenant,
            actor: principal.actor(),
        };
        self.leave(leaving, origin).await
    }

    /// Logs out whoever has this refresh token, used or not; a text that is no token is no error.
    ///
    /// # Errors
    /// What the database answers.
    #[tracing::instrument(name = "identity.logout", skip_all, fields(request.id = %origin.request_id))]
    pub async fn logout_with(&self, token: &RefreshToken, origin: &Origin) -> Result<(), IdentityError> {
        let Some(digest) = token.digest() else {
            return Ok(());
        };
        // Outside a transaction the rows are unlocked again at once, which is right: this only reads them.
        let Some(presented) = session::present(&self.app, &digest).await? else {
            return Ok(());
        };
        let as_operator =
            presented.is_operator && (presented.tenant_id.is_none() || presented.grant_id.is_some());
        let user = presented.user_id;
        let actor = if as_operator { Actor::Operator(user) } else { Actor::User(user) };
        let leaving = Leaving { session: presented.session_id, user, tenant: presented.tenant_id, actor };
        self.leave(leaving, origin).await
    }

    async fn leave(&self, leaving: Leaving, origin: &Origin) -> Result<(), IdentityError> {
        let tx = self.app.begin().await?;
        let result = self.leave_in(&tx, leaving, origin).await;
        let ended = settle(tx, result).await?;
        self.principals.end(&ended).await;
        Ok(())
    }

    async fn leave_in(
        &self,
        tx: &SystemTransaction,
        leaving: Leaving,
        origin: &Origin,
    ) -> Result<Vec<SessionId>, IdentityError> {
        let Some(family) = session::family_of(tx, leaving.session).await? else {
            return Ok(Vec::new());
        };
        let ended = session::end_family(tx, family, End::LoggedOut, self.clock.now()).await?;
        if !ended.is_empty() {
            let entry = audit::Entry {
                action: "user.logged_out",
                entity: "user",
                entity_id: Some(leaving.user.uuid()),
                tenant: leaving.tenant,
                before: None,
                after: Some(json!({ "session_id": leaving.session, "sessions_ended": ended.len() })),
            };
            let scope = self.scope(leaving.actor, *origin);
            audit::record(tx, &scope, entry).await?;
            break_glass::end_without_session(tx, &scope, leaving.user).await?;
        }
        Ok(ended)
    }
}

/// What came of a refresh token.
enum Exchange {
    /// New tokens.
    Done(Tokens),
    /// Its session is for another tenant than the one that the request names; it is still good.
    Mismatched,
    /// It had been used before, and these sessions were ended for it.
    Reused { user: UserId, ended: Vec<SessionId> },
}

/// Who logs out of what.
struct Leaving {
    session: SessionId,
    user: UserId,
    tenant: Option<TenantId>,
    actor: Actor,
}
