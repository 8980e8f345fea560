//! The rows of sessions and refresh tokens.
//!
//! A session is a log-in for one tenant, or for the platform. Sessions that were made from one another by switching
//! the tenant are one family: it ends as a whole, by a log-out or because a used refresh token came back.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use clinicx_persistence::SystemExecutor;
use clinicx_types::id::{BreakGlassGrantId, SessionId, TenantId, UserId};
use sea_orm::{DbErr, FromQueryResult, Statement, raw_sql};

/// Why a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its user logged out.
    LoggedOut,
    /// A refresh token was used twice: somebody has a copy.
    TokenReused,
    /// The account's password was changed.
    PasswordChanged,
    /// The account was disabled.
    Disabled,
    /// The user was taken out of the tenant.
    MembershipRevoked,
    /// The user is no operator any more.
    OperatorRevoked,
    /// The account has got another second factor.
    FactorChanged,
    /// The grant under which an operator acted was ended.
    GrantEnded,
}

impl End {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::LoggedOut => "logged_out",
            Self::TokenReused => "token_reused",
            Self::PasswordChanged => "password_changed",
            Self::Disabled => "disabled",
            Self::MembershipRevoked => "membership_revoked",
            Self::OperatorRevoked => "operator_revoked",
            Self::FactorChanged => "factor_changed",
            Self::GrantEnded => "grant_ended",
        }
    }
}

/// A session to be opened.
#[derive(Clone, Debug)]
pub(crate) struct NewSession {
    pub(crate) id: SessionId,
    /// The first session of the family; the session itself after a log-in.
    pub(crate) family: SessionId,
    pub(crate) user: UserId,
    pub(crate) tenant: Option<TenantId>,
    /// When the family ends, however often its tokens are refreshed.
    pub(crate) expires_at: DateTime<Utc>,
    /// From where it is opened.
    pub(crate) source: Option<IpAddr>,
    /// The grant under which an operator acts in the tenant.
    pub(crate) grant: Option<BreakGlassGrantId>,
}

pub(crate) async fn open(
    db: &impl SystemExecutor,
    new: &NewSession,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let NewSession { id, family, user, tenant, expires_at, source, grant } = new.clone();
    let source = source.map(|address| address.to_string());
    db.execute(raw_sql!(
        Postgres,
        r#"INSERT INTO public.sessions
               (id, family_id, user_id, tenant_id, created_at, last_used_at, expires_at, source_address, grant_id)
           VALUES ({id}, {family}, {user}, {tenant}, {now}, {now}, {expires_at}, CAST({source} AS inet), {grant})"#
    ))
    .await
    .map(|_| ())
}

pub(crate) async fn add_token(
    db: &impl SystemExecutor,
    session: SessionId,
    digest: Vec<u8>,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<(), DbErr> {
    db.execute(raw_sql!(
        Postgres,
        r#"INSERT INTO public.refresh_tokens (token_hash, session_id, created_at, expires_at)
           VALUES ({digest}, {session}, {now}, {expires_at})"#
    ))
    .await
    .map(|_| ())
}

/// A refresh token with all that decides whether it may be used.
#[derive(Debug, FromQueryResult)]
pub(crate) struct Presented {
    pub(crate) session_id: SessionId,
    pub(crate) family_id: SessionId,
    pub(crate) user_id: UserId,
    pub(crate) tenant_id: Option<TenantId>,
    pub(crate) used_at: Option<DateTime<Utc>>,
    pub(crate) token_expires_at: DateTime<Utc>,
    pub(crate) session_expires_at: DateTime<Utc>,
    pub(crate) revoked_at: Option<DateTime<Utc>>,
    /// The grant under which an operator acts in the tenant.
    pub(crate) grant_id: Option<BreakGlassGrantId>,
    /// Whether the account is enabled, and a member of the tenant or, without a tenant or under a grant, an operator.
    pub(crate) entitled: bool,
    pub(crate) is_operator: bool,
    pub(crate) tenant_slug: Option<String>,
    pub(crate) tenant_status: Option<String>,
}

/// Finds a presented refresh token and locks its row and its session's: of two that come at once, one waits and
/// then sees that the other was first.
pub(crate) async fn present(db: &impl SystemExecutor, digest: &[u8]) -> Result<Option<Presented>, DbErr> {
    let digest = digest.to_vec();
    db.query_one(raw_sql!(
        Postgres,
        r#"SELECT s.id AS session_id, s.family_id, s.user_id, s.tenant_id, r.used_at,
                  r.expires_at AS token_expires_at, s.expires_at AS session_expires_at, s.revoked_at,
                  s.grant_id,
                  u.disabled_at IS NULL AND CASE WHEN s.grant_id IS NOT NULL THEN u.is_operator AND g.ended_at IS NULL
                                                 WHEN s.tenant_id IS NULL THEN u.is_operator
                                                 ELSE m.user_id IS NOT NULL END AS entitled,
                  u.is_operator, t.slug AS tenant_slug, t.status AS tenant_status
           FROM public.refresh_tokens AS r
           JOIN public.sessions AS s ON s.id = r.session_id
           JOIN public.users AS u ON u.id = s.user_id
           LEFT JOIN public.memberships AS m ON m.user_id = s.user_id AND m.tenant_id = s.tenant_id
           LEFT JOIN public.tenants AS t ON t.id = s.tenant_id
           LEFT JOIN public.break_glass_grants AS g ON g.id = s.grant_id
           WHERE r.token_hash = {digest}
           FOR UPDATE OF r, s"#
    ))
    .await
}

/// Marks a refresh token as used and its session as alive.
pub(crate) async fn use_token(
    db: &impl SystemExecutor,
    session: SessionId,
    digest: &[u8],
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let digest = digest.to_vec();
    db.execute(raw_sql!(
        Postgres,
        r#"WITH used AS (
               UPDATE public.refresh_tokens SET used_at = {now} WHERE token_hash = {digest}
           )
           UPDATE public.sessions SET last_used_at = {now} WHERE id = {session}"#
    ))
    .await
    .map(|_| ())
}

/// A session that is alive.
#[derive(Debug, FromQueryResult)]
pub(crate) struct Live {
    pub(crate) family_id: SessionId,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) grant_id: Option<BreakGlassGrantId>,
}

/// Finds a session that is alive, and keeps it so until the transaction ends.
pub(crate) async fn find_live(
    db: &impl SystemExecutor,
    id: SessionId,
    now: DateTime<Utc>,
) -> Result<Option<Live>, DbErr> {
    db.query_one(raw_sql!(
        Postgres,
        r#"SELECT family_id, expires_at, grant_id
           FROM public.sessions
           WHERE id = {id} AND revoked_at IS NULL AND expires_at > {now}
           FOR SHARE"#
    ))
    .await
}

#[derive(FromQueryResult)]
struct Ended {
    id: SessionId,
}

/// How often the end of sessions looks for further ones.
const MAX_ROUNDS: u32 = 32;

/// Runs what ends sessions until it finds none any more.
///
/// A switch of the tenant opens a session while it holds its parent's row. A statement that waits for that row does
/// not see the new session, which would outlive its family; the next statement sees it.
async fn end_until_none(
    db: &impl SystemExecutor,
    statement: impl Fn() -> Statement + Send,
) -> Result<Vec<SessionId>, DbErr> {
    let mut all = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let ended: Vec<Ended> = db.query_all(statement()).await?;
        if ended.is_empty() {
            break;
        }
        all.extend(ended.into_iter().map(|row| row.id));
    }
    Ok(all)
}

/// Ends every session of the family, and returns those that were alive.
pub(crate) async fn end_family(
    db: &impl SystemExecutor,
    family: SessionId,
    end: End,
    now: DateTime<Utc>,
) -> Result<Vec<SessionId>, DbErr> {
    let reason = end.as_str();
    end_until_none(db, || {
        raw_sql!(
            Postgres,
            r#"UPDATE public.sessions
               SET revoked_at = {now}, revoked_reason = {reason}
               WHERE family_id = {family} AND revoked_at IS NULL
               RETURNING id"#
        )
    })
    .await
}

#[derive(FromQueryResult)]
struct Family {
    family_id: SessionId,
}

/// Returns the family of a session.
pub(crate) async fn family_of(db: &impl SystemExecutor, id: SessionId) -> Result<Option<SessionId>, DbErr> {
    let row: Option<Family> =
        db.query_one(raw_sql!(Postgres, r#"SELECT family_id FROM public.sessions WHERE id = {id}"#)).await?;
    Ok(row.map(|row| row.family_id))
}

/// Ends the sessions of the family in one tenant, and returns those that were alive.
pub(crate) async fn end_family_in(
    db: &impl SystemExecutor,
    family: SessionId,
    tenant: TenantId,
    end: End,
    now: DateTime<Utc>,
) -> Result<Vec<SessionId>, DbErr> {
    let reason = end.as_str();
    end_until_none(db, || {
        raw_sql!(
            Postgres,
            r#"UPDATE public.sessions
               SET revoked_at = {now}, revoked_reason = {reason}
               WHERE family_id = {family} AND tenant_id = {tenant} AND revoked_at IS NULL
               RETURNING id"#
        )
    })
    .await
}

/// Returns the family of a session of this user that goes on; with `only`, of one in this tenant.
pub(crate) async fn own_family(
    db: &impl SystemExecutor,
    user: UserId,
    id: SessionId,
    only: Option<TenantId>,
    now: DateTime<Utc>,
) -> Result<Option<SessionId>, DbErr> {
    let row: Option<Family> = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT family_id
               FROM public.sessions
               WHERE user_id = {user} AND (id = {id} OR family_id = {id}) AND revoked_at IS NULL
                 AND expires_at > {now} AND (CAST({only} AS uuid) IS NULL OR tenant_id = {only})
               LIMIT 1"#
        ))
        .await?;
    Ok(row.map(|row| row.family_id))
}

/// Ends every session of a user but one, and returns those that were alive.
pub(crate) async fn end_all_of(
    db: &impl SystemExecutor,
    user: UserId,
    end: End,
    now: DateTime<Utc>,
    but: Option<SessionId>,
) -> Result<Vec<SessionId>, DbErr> {
    let reason = end.as_str();
    end_until_none(db, || {
        raw_sql!(
            Postgres,
            r#"UPDATE public.sessions
               SET revoked_at = {now}, revoked_reason = {reason}
               WHERE user_id = {user} AND revoked_at IS NULL AND (CAST({but} AS uuid) IS NULL OR id <> {but})
               RETURNING id"#
        )
    })
    .await
}

/// Returns the sessions of a user that were not ended.
pub(crate) async fn alive_of(db: &impl SystemExecutor, user: UserId) -> Result<Vec<SessionId>, DbErr> {
    let rows: Vec<Ended> = db
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT id FROM public.sessions WHERE user_id = {user} AND revoked_at IS NULL"#
        ))
        .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Returns the sessions of a user in one tenant that were not ended.
pub(crate) async fn alive_in(
    db: &impl SystemExecutor,
    user: UserId,
    tenant: TenantId,
) -> Result<Vec<SessionId>, DbErr> {
    let rows: Vec<Ended> = db
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT id FROM public.sessions
               WHERE user_id = {user} AND tenant_id = {tenant} AND revoked_at IS NULL"#
        ))
        .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Ends every session under a grant, and returns those that were alive.
pub(crate) async fn end_under(
    db: &impl SystemExecutor,
    grant: BreakGlassGrantId,
    end: End,
    now: DateTime<Utc>,
) -> Result<Vec<SessionId>, DbErr> {
    let reason = end.as_str();
    end_until_none(db, || {
        raw_sql!(
            Postgres,
            r#"UPDATE public.sessions
               SET revoked_at = {now}, revoked_reason = {reason}
               WHERE grant_id = {grant} AND revoked_at IS NULL
               RETURNING id"#
        )
    })
    .await
}

/// Ends every session of a user that rests on being an operator, and returns those that were alive.
pub(crate) async fn end_operators(
    db: &impl SystemExecutor,
    user: UserId,
    end: End,
    now: DateTime<Utc>,
) -> Result<Vec<SessionId>, DbErr> {
    let reason = end.as_str();
    end_until_none(db, || {
        raw_sql!(
            Postgres,
            r#"UPDATE public.sessions
               SET revoked_at = {now}, revoked_reason = {reason}
               WHERE user_id = {user} AND revoked_at IS NULL AND (tenant_id IS NULL OR grant_id IS NOT NULL)
               RETURNING id"#
        )
    })
    .await
}

/// Ends every session of a user in one tenant, and returns those that were alive.
pub(crate) async fn end_all_in(
    db: &impl SystemExecutor,
    user: UserId,
    tenant: TenantId,
    end: End,
    now: DateTime<Utc>,
) -> Result<Vec<SessionId>, DbErr> {
    let reason = end.as_str();
    end_until_none(db, || {
        raw_sql!(
            Postgres,
            r#"UPDATE public.sessions
               SET revoked_at = {now}, revoked_reason = {reason}
               WHERE user_id = {user} AND tenant_id = {tenant} AND revoked_at IS NULL
               RETURNING id"#
        )
    })
    .await
}

/// Removes sessions, with their tokens, that ended before a time.
pub(crate) async fn sweep(db: &impl SystemExecutor, before: DateTime<Utc>) -> Result<u64, DbErr> {
    db.execute(raw_sql!(Postgres, r#"DELETE FROM public.sessions WHERE expires_at <= {before}"#)).await
}

/// Removes refresh tokens that ended before a time; one that comes back later is refused as unknown.
pub(crate) async fn sweep_tokens(db: &impl SystemExecutor, before: DateTime<Utc>) -> Result<u64, DbErr> {
    db.execute(raw_sql!(Postgres, r#"DELETE FROM public.refresh_tokens WHERE expires_at <= {before}"#)).await
}
