//! Whoever has shown a valid token, as the database knows them now.

use std::{fmt, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use clinicx_persistence::{Actor, Failure, SystemConnection, SystemExecutor};
use clinicx_types::{
    id::{BreakGlassGrantId, SessionId, TenantId, UserId},
    permission::Role,
};
use moka::future::Cache;
use sea_orm::{DbErr, FromQueryResult, raw_sql};

use crate::{
    error::IdentityError,
    membership,
    token::{TokenClaims, TokenError},
};

/// How many sessions are remembered at a time.
const MAX_CACHED_SESSIONS: u64 = 10_000;
/// How many sessions that ended in this process are remembered.
const MAX_ENDED_SESSIONS: u64 = 10_000;

/// Who calls, with what rights. Its `Debug` text has ids only.
#[derive(Clone, PartialEq, Eq)]
pub struct Principal {
    /// The user.
    pub user_id: UserId,
    /// The log-in from which the token came.
    pub session_id: SessionId,
    /// The tenant in which the user acts; `None` for an operator who acts on the platform.
    pub tenant: Option<TenantId>,
    /// Whether the user acts as a platform operator: an operator with a token that names no tenant. In a tenant an
    /// operator is what the membership says, and nothing more.
    pub is_operator: bool,
    /// The user's roles in the tenant.
    pub roles: Vec<Role>,
    /// The grant under which an operator acts in the tenant; the roles are the grant's then.
    pub grant: Option<BreakGlassGrantId>,
    /// Whether an operator may do nothing but enrol for the second factor that the service demands.
    pub must_enrol: bool,
}

impl Principal {
    /// Returns who acts, for scopes and audit rows.
    pub fn actor(&self) -> Actor {
        match self.is_operator || self.grant.is_some() {
            true => Actor::Operator(self.user_id),
            false => Actor::User(self.user_id),
        }
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("user_id", &self.user_id)
            .field("session_id", &self.session_id)
            .field("tenant", &self.tenant)
            .field("is_operator", &self.is_operator)
            .field("roles", &self.roles)
            .field("grant", &self.grant)
            .finish_non_exhaustive()
    }
}

/// What the database says of a session that is alive.
struct Standing {
    principal: Arc<Principal>,
    expires_at: DateTime<Utc>,
}

/// Sessions that were looked up a moment ago. One look-up at a time for each, "has ended" is remembered too, and
/// nothing is remembered for longer than its time to live.
#[derive(Clone)]
pub(crate) struct Principals {
    standing: Cache<SessionId, Option<Arc<Standing>>>,
    /// A look-up that was under way while its session ended would put it back; these are refused whatever it found.
    ended: Cache<SessionId, ()>,
    /// Whether an operator needs a second factor.
    require_totp: bool,
}

impl Principals {
    pub(crate) fn new(time_to_live: Duration, require_totp: bool) -> Self {
        let standing = Cache::builder().max_capacity(MAX_CACHED_SESSIONS).time_to_live(time_to_live).build();
        let longer = time_to_live.saturating_mul(2).saturating_add(Duration::from_secs(30));
        let ended = Cache::builder().max_capacity(MAX_ENDED_SESSIONS).time_to_live(longer).build();
        Self { standing, ended, require_totp }
    }

    /// Returns the principal of a verified token.
    ///
    /// # Errors
    /// [`TokenError::Session`] when the session has ended or is not the token's; what the database answers.
    pub(crate) async fn of(
        &self,
        db: &SystemConnection,
        claims: &TokenClaims,
        now: DateTime<Utc>,
    ) -> Result<Arc<Principal>, IdentityError> {
        let standing = self.standing(db, claims.session_id, now).await?;
        standing
            .filter(|principal| principal.user_id == claims.user_id && principal.tenant == claims.tenant)
            .ok_or(IdentityError::InvalidToken(TokenError::Session))
    }

    /// Returns the principal of a session; `None` when it has ended, or has not begun.
    pub(crate) async fn standing(
        &self,
        db: &SystemConnection,
        session: SessionId,
        now: DateTime<Utc>,
    ) -> Result<Option<Arc<Principal>>, IdentityError> {
        let looked_up = self.standing.try_get_with(session, async {
            look_up(db, session, self.require_totp).await.map_err(Failed::of)
        });
        let standing = looked_up.await.map_err(|failed| IdentityError::Database(failed.0.clone()))?;
        let standing =
            standing.filter(|standing| standing.expires_at > now && !self.ended.contains_key(&session));
        Ok(standing.map(|standing| Arc::clone(&standing.principal)))
    }

    /// Returns the principal of a session that may have begun since it was last looked up.
    pub(crate) async fn fresh(
        &self,
        db: &SystemConnection,
        session: SessionId,
        now: DateTime<Utc>,
    ) -> Result<Option<Arc<Principal>>, IdentityError> {
        // Not only forgotten: a look-up under way, which began before the session, would put its absence back.
        let standing = look_up(db, session, self.require_totp).await?;
        self.standing.insert(session, standing).await;
        self.standing(db, session, now).await
    }

    /// Looks a session up anew at its next use.
    pub(crate) async fn forget(&self, session: SessionId) {
        self.standing.invalidate(&session).await;
    }

    /// Refuses these sessions from now on.
    pub(crate) async fn end(&self, sessions: &[SessionId]) {
        for session in sessions {
            self.ended.insert(*session, ()).await;
            self.standing.invalidate(session).await;
        }
    }
}

impl fmt::Debug for Principals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principals").field("cached", &self.standing.entry_count()).finish_non_exhaustive()
    }
}

/// A failure that several who wait for the same look-up share.
struct Failed(Failure);

impl Failed {
    fn of(error: DbErr) -> Self {
        Self(Failure::of(&error))
    }
}

#[derive(FromQueryResult)]
struct Row {
    user_id: UserId,
    tenant_id: Option<TenantId>,
    expires_at: DateTime<Utc>,
    is_operator: bool,
    roles: Option<String>,
    grant_id: Option<BreakGlassGrantId>,
    has_totp: bool,
    by_issuer: bool,
}

/// Reads a session that has not been ended, its enabled user, and what the user is where the session is.
async fn look_up(
    db: &SystemConnection,
    session: SessionId,
    require_totp: bool,
) -> Result<Option<Arc<Standing>>, DbErr> {
    let row: Option<Row> = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT s.user_id, s.tenant_id, s.expires_at, u.is_operator, s.grant_id,
                      array_to_string(CASE WHEN s.grant_id IS NULL THEN m.roles ELSE g.roles END, ',') AS roles,
                      EXISTS (SELECT FROM public.totp_secrets AS f
                              WHERE f.user_id = u.id AND f.confirmed_at IS NOT NULL) AS has_totp,
                      EXISTS (SELECT FROM public.session_identities AS i WHERE i.session_id = s.id) AS by_issuer
               FROM public.sessions AS s
               JOIN public.users AS u ON u.id = s.user_id
               LEFT JOIN public.memberships AS m ON m.user_id = s.user_id AND m.tenant_id = s.tenant_id
               LEFT JOIN public.break_glass_grants AS g ON g.id = s.grant_id
               WHERE s.id = {session}
                 AND s.revoked_at IS NULL
                 AND u.disabled_at IS NULL
                 AND CASE WHEN s.grant_id IS NOT NULL THEN u.is_operator AND g.ended_at IS NULL
                          WHEN s.tenant_id IS NULL THEN u.is_operator
                          ELSE m.user_id IS NOT NULL END"#
        ))
        .await?;
    Ok(row.map(|row| {
        let Row { user_id, tenant_id, expires_at, is_operator, roles, grant_id, has_totp, by_issuer } = row;
        let principal = Principal {
            user_id,
            session_id: session,
            tenant: tenant_id,
            is_operator: is_operator && tenant_id.is_none(),
            roles: roles.as_deref().map(membership::from_text).unwrap_or_default(),
            grant: grant_id,
            // An issuer asks for further factors itself, and its people have no password to enrol with.
            must_enrol: require_totp && is_operator && tenant_id.is_none() && !has_totp && !by_issuer,
        };
        Arc::new(Standing { principal: Arc::new(principal), expires_at })
    }))
}
