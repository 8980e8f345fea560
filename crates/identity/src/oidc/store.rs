//! The rows of identities, of what issuers have granted, and of log-ins under way.

use chrono::{DateTime, Utc};
use clinicx_persistence::SystemExecutor;
use clinicx_types::{
    id::{SessionId, TenantId, UserId},
    name::TenantSlug,
    permission::Role,
};
use sea_orm::{DbErr, FromQueryResult, raw_sql};
use uuid::Uuid;

use crate::{destination::Place, membership};

/// Keeps everybody else with the same identity out until the transaction ends: two first log-ins make one account.
pub(crate) async fn lock(db: &impl SystemExecutor, issuer: &str, subject: &str) -> Result<(), DbErr> {
    let name = format!("oidc {issuer} {subject}");
    db.execute(raw_sql!(Postgres, r#"SELECT pg_advisory_xact_lock(hashtextextended({name}, 0))"#))
        .await
        .map(|_| ())
}

/// A person as an issuer knows them, with the account here.
#[derive(Clone, Debug, FromQueryResult)]
pub(crate) struct Known {
    pub(crate) id: Uuid,
    pub(crate) user_id: UserId,
    /// Whether the issuer has made the person an operator.
    pub(crate) operator_granted: bool,
    pub(crate) is_operator: bool,
    pub(crate) enabled: bool,
    /// When the newest token was made that the person has shown.
    pub(crate) claimed_at: Option<DateTime<Utc>>,
}

pub(crate) async fn find(
    db: &impl SystemExecutor,
    issuer: &str,
    subject: &str,
) -> Result<Option<Known>, DbErr> {
    db.query_one(raw_sql!(
        Postgres,
        r#"SELECT i.id, i.user_id, i.operator_granted, u.is_operator, u.disabled_at IS NULL AS enabled,
                  i.claimed_at
           FROM public.user_identities AS i
           JOIN public.users AS u ON u.id = i.user_id
           WHERE i.issuer = {issuer} AND i.subject = {subject}"#
    ))
    .await
}

pub(crate) async fn link(
    db: &impl SystemExecutor,
    id: Uuid,
    (issuer, subject): (&str, &str),
    user: UserId,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    db.execute(raw_sql!(
        Postgres,
        r#"INSERT INTO public.user_identities (id, issuer, subject, user_id, created_at)
           VALUES ({id}, {issuer}, {subject}, {user}, {now})"#
    ))
    .await
    .map(|_| ())
}

/// Notes that the person has come, with a token that was made at a time.
pub(crate) async fn touch(
    db: &impl SystemExecutor,
    identity: Uuid,
    user: UserId,
    claimed_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    db.execute(raw_sql!(
        Postgres,
        r#"WITH used AS (
               UPDATE public.user_identities
               SET last_used_at = {now}, claimed_at = GREATEST(claimed_at, {claimed_at})
               WHERE id = {identity}
           )
           UPDATE public.users SET last_login_at = {now} WHERE id = {user}"#
    ))
    .await
    .map(|_| ())
}

/// Writes down whether the issuer makes the person an operator, in the account too.
pub(crate) async fn set_operator(
    db: &impl SystemExecutor,
    identity: Uuid,
    user: UserId,
    operator: bool,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    db.execute(raw_sql!(
        Postgres,
        r#"WITH granted AS (
               UPDATE public.user_identities SET operator_granted = {operator} WHERE id = {identity}
           )
           UPDATE public.users
           SET is_operator = {operator}, version = version + 1, updated_at = {now}
           WHERE id = {user}"#
    ))
    .await
    .map(|_| ())
}

/// Finds tenants by their slugs; one that is still being made, or purged, is none.
pub(crate) async fn places(db: &impl SystemExecutor, slugs: &[TenantSlug]) -> Result<Vec<Place>, DbErr> {
    #[derive(FromQueryResult)]
    struct Row {
        id: TenantId,
        slug: String,
        status: String,
    }
    // Slugs have no comma.
    let slugs = slugs.iter().map(TenantSlug::as_str).collect::<Vec<_>>().join(",");
    let rows: Vec<Row> = db
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT id, slug, status
               FROM public.tenants
               WHERE slug = ANY (string_to_array({slugs}, ',')) AND status IN ('active', 'suspended', 'archived')
               ORDER BY slug"#
        ))
        .await?;
    let place = |row: Row| {
        Some(Place { tenant_id: row.id, slug: TenantSlug::parse(&row.slug).ok()?, status: row.status })
    };
    Ok(rows.into_iter().filter_map(place).collect())
}

#[derive(FromQueryResult)]
struct Number {
    number: i64,
}

/// Tells whether an account belongs to this tenant and to nothing else, so that the tenant's own issuer may speak for
/// its owner.
pub(crate) async fn belongs_only_to(
    db: &impl SystemExecutor,
    user: UserId,
    tenant: TenantId,
) -> Result<bool, DbErr> {
    let row: Option<Number> = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT count(*) AS number
               FROM public.users AS u
               JOIN public.memberships AS m ON m.user_id = u.id AND m.tenant_id = {tenant}
               WHERE u.id = {user} AND NOT u.is_operator
                 AND NOT EXISTS (
                     SELECT FROM public.memberships AS other
                     WHERE other.user_id = u.id AND other.tenant_id <> {tenant})"#
        ))
        .await?;
    Ok(row.is_some_and(|row| row.number == 1))
}

#[derive(FromQueryResult)]
struct GrantRow {
    roles: String,
    claimed_at: DateTime<Utc>,
}

/// What an issuer last granted to somebody in a tenant.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) roles: Vec<Role>,
    /// When the token was made that said so.
    pub(crate) claimed_at: DateTime<Utc>,
}

pub(crate) async fn grant_of(
    db: &impl SystemExecutor,
    user: UserId,
    tenant: TenantId,
) -> Result<Option<Grant>, DbErr> {
    let row: Option<GrantRow> = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT array_to_string(roles, ',') AS roles, claimed_at
               FROM public.identity_grants
               WHERE user_id = {user} AND tenant_id = {tenant}"#
        ))
        .await?;
    Ok(row.map(|row| Grant { roles: membership::from_text(&row.roles), claimed_at: row.claimed_at }))
}

pub(crate) async fn set_grant(
    db: &impl SystemExecutor,
    identity: Uuid,
    (user, tenant): (UserId, TenantId),
    grant: &Grant,
) -> Result<(), DbErr> {
    let roles = membership::to_text(&grant.roles);
    let claimed_at = grant.claimed_at;
    db.execute(raw_sql!(
        Postgres,
        r#"INSERT INTO public.identity_grants (user_id, tenant_id, identity_id, roles, claimed_at)
           VALUES ({user}, {tenant}, {identity}, string_to_array({roles}, ','), {claimed_at})
           ON CONFLICT (user_id, tenant_id) DO UPDATE
               SET identity_id = EXCLUDED.identity_id, roles = EXCLUDED.roles, claimed_at = EXCLUDED.claimed_at"#
    ))
    .await
    .map(|_| ())
}

pub(crate) async fn forget_grant(
    db: &impl SystemExecutor,
    user: UserId,
    tenant: TenantId,
) -> Result<(), DbErr> {
    db.execute(raw_sql!(
        Postgres,
        r#"DELETE FROM public.identity_grants WHERE user_id = {user} AND tenant_id = {tenant}"#
    ))
    .await
    .map(|_| ())
}

/// Notes from which identity a session came, and whether it may not leave its tenant.
pub(crate) async fn mark_session(
    db: &impl SystemExecutor,
    session: SessionId,
    identity: Uuid,
    confined: bool,
) -> Result<(), DbErr> {
    db.execute(raw_sql!(
        Postgres,
        r#"INSERT INTO public.session_identities (session_id, identity_id, confined)
           VALUES ({session}, {identity}, {confined})"#
    ))
    .await
    .map(|_| ())
}

/// Tells whether there is a row of a session, whatever has become of it.
pub(crate) async fn session_exists(db: &impl SystemExecutor, session: SessionId) -> Result<bool, DbErr> {
    let row: Option<Number> = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT count(*) AS number FROM public.sessions WHERE id = {session}"#
        ))
        .await?;
    Ok(row.is_some_and(|row| row.number > 0))
}

/// Tells whether a session may not leave its tenant: an issuer that names the tenant has vouched for that one only.
pub(crate) async fn is_confined(db: &impl SystemExecutor, session: SessionId) -> Result<bool, DbErr> {
    let row: Option<Number> = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT count(*) AS number
               FROM public.sessions AS s
               JOIN public.session_identities AS i ON i.session_id IN (s.id, s.family_id) AND i.confined
               WHERE s.id = {session}"#
        ))
        .await?;
    Ok(row.is_some_and(|row| row.number > 0))
}

/// A log-in that is sent to an issuer.
pub(crate) struct NewFlow {
    pub(crate) state_hash: Vec<u8>,
    pub(crate) provider: String,
    /// From which network it comes, in CIDR notation.
    pub(crate) network: Option<String>,
    pub(crate) sealed: Vec<u8>,
    pub(crate) expires_at: DateTime<Utc>,
}

/// Keeps a log-in under way, unless as many as may be are under way from its network.
pub(crate) async fn add_flow(
    db: &impl SystemExecutor,
    new: NewFlow,
    most: i64,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let NewFlow { state_hash, provider, network, sealed, expires_at } = new;
    let added = db
        .execute(raw_sql!(
            Postgres,
            r#"INSERT INTO public.oidc_flows (state_hash, provider, network, sealed, created_at, expires_at)
               SELECT {state_hash}, {provider}, CAST({network} AS cidr), {sealed}, {now}, {expires_at}
               WHERE (SELECT count(*)
                      FROM public.oidc_flows
                      WHERE network = CAST({network} AS cidr) AND expires_at > {now}) < {most}"#
        ))
        .await?;
    Ok(added == 1)
}

#[derive(FromQueryResult)]
struct Sealed {
    sealed: Vec<u8>,
}

/// Takes a log-in out: of two that come with the same state at once, one gets it.
pub(crate) async fn take_flow(
    db: &impl SystemExecutor,
    state_hash: Vec<u8>,
    provider: &str,
    now: DateTime<Utc>,
) -> Result<Option<Vec<u8>>, DbErr> {
    let row: Option<Sealed> = db
        .query_one(raw_sql!(
            Postgres,
            r#"DELETE FROM public.oidc_flows
               WHERE state_hash = {state_hash} AND provider = {provider} AND expires_at > {now}
               RETURNING sealed"#
        ))
        .await?;
    Ok(row.map(|row| row.sealed))
}

/// Removes log-ins that took too long.
pub(crate) async fn sweep_flows(db: &impl SystemExecutor, before: DateTime<Utc>) -> Result<u64, DbErr> {
    db.execute(raw_sql!(Postgres, r#"DELETE FROM public.oidc_flows WHERE expires_at <= {before}"#)).await
}
