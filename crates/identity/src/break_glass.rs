//! Break-glass: an operator's way into one tenant for a while, with a reason that the tenant reads.
//!
//! A grant comes with a session that ends with it and rests on it: whoever ends the grant, or takes the operator's
//! right away, ends the session. What would outlive the grant (users, roles, other tenants) is closed to it.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use clinicx_persistence::{SystemExecutor, SystemTransaction};
use clinicx_types::{
    error::FieldError,
    id::{BreakGlassGrantId, SessionId, TenantId, UserId},
    name::TenantSlug,
    page::{Page, PageRequest},
    permission::Role,
};
use schemars::JsonSchema;
use sea_orm::{FromQueryResult, raw_sql};
use serde::Serialize;
use serde_json::json;

use crate::{
    audit,
    destination::refuse_status,
    dto::Tokens,
    error::IdentityError,
    identity::{Identity, settle},
    membership::{distinct, from_text, to_text},
    principal::Principal,
    scope::{IdentityScope, Origin},
    session::{self, End, NewSession},
    token::TokenError,
    user,
};

/// The fewest characters of a reason.
const MIN_REASON_CHARS: usize = 10;
/// The most.
const MAX_REASON_CHARS: usize = 500;
/// The longest grant, in minutes.
const MAX_MINUTES: u32 = 60;

/// A wish for a grant, as somebody typed it.
#[derive(Clone, Copy)]
pub struct NewGrant<'a> {
    /// Into which tenant.
    pub tenant: &'a TenantSlug,
    /// Why; the tenant reads it.
    pub reason: &'a str,
    /// For how many minutes, 1 to 60.
    pub minutes: u32,
    /// As what; an administrator when nothing is said.
    pub roles: Option<&'a [Role]>,
}

/// A grant. Its `Debug` text shows ids only.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BreakGlassGrant {
    /// Its id, which audit rows name.
    pub id: BreakGlassGrantId,
    /// The tenant's slug.
    pub tenant: String,
    /// The operator.
    pub operator_id: UserId,
    /// The operator's name.
    pub operator_name: String,
    /// Why.
    pub reason: String,
    /// What the operator is in the tenant meanwhile.
    pub roles: Vec<Role>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
    /// When somebody ended it before.
    pub ended_at: Option<DateTime<Utc>>,
    /// Who did; the operator, when the grant ended with the operator's right and nobody here took that away.
    pub ended_by: Option<UserId>,
    /// Rises with each change.
    pub version: i64,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl fmt::Debug for BreakGlassGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakGlassGrant").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: BreakGlassGrantId,
    tenant: String,
    operator_id: UserId,
    operator_name: String,
    reason: String,
    roles: String,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    ended_by: Option<UserId>,
    version: i64,
}

impl From<Row> for BreakGlassGrant {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            tenant: row.tenant,
            operator_id: row.operator_id,
            operator_name: row.operator_name,
            reason: row.reason,
            roles: from_text(&row.roles),
            created_at: row.created_at,
            expires_at: row.expires_at,
            updated_at: row.ended_at.unwrap_or(row.created_at),
            ended_at: row.ended_at,
            ended_by: row.ended_by,
            version: row.version,
        }
    }
}

/// Which grants are listed.
#[derive(Clone, Copy, Debug, Default)]
pub struct GrantFilter {
    /// Those into this tenant.
    pub tenant: Option<TenantId>,
    /// Those that go on, or those that have ended.
    pub is_active: Option<bool>,
}

/// Lists grants, newest first.
///
/// # Errors
/// [`IdentityError::Invalid`] for a cursor that is none of this list.
pub async fn list(
    db: &impl SystemExecutor,
    filter: GrantFilter,
    now: DateTime<Utc>,
    page: &PageRequest,
) -> Result<Page<BreakGlassGrant>, IdentityError> {
    #[derive(FromQueryResult)]
    struct Count {
        total: i64,
    }
    let GrantFilter { tenant, is_active } = filter;
    let after = page.after.as_ref().map(|key| user::cursor(&key.0)).transpose()?;
    let limit = i64::from(page.limit()).saturating_add(1);
    let rows: Vec<Row> = db
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT g.id, t.slug AS tenant, g.operator_id, u.full_name AS operator_name, g.reason,
                      array_to_string(g.roles, ',') AS roles, g.created_at, g.expires_at, g.ended_at, g.ended_by,
                      g.version
               FROM public.break_glass_grants AS g
               JOIN public.tenants AS t ON t.id = g.tenant_id
               JOIN public.users AS u ON u.id = g.operator_id
               WHERE (CAST({tenant} AS uuid) IS NULL OR g.tenant_id = {tenant})
                 AND (CAST({after} AS uuid) IS NULL OR g.id < {after})
                 AND (CAST({is_active} AS boolean) IS NULL
                      OR (g.ended_at IS NULL AND g.expires_at > {now}) = {is_active})
               ORDER BY g.id DESC
               LIMIT {limit}"#
        ))
        .await?;
    let total = if page.count {
        let count: Option<Count> = db
            .query_one(raw_sql!(
                Postgres,
                r#"SELECT count(*) AS total
                   FROM public.break_glass_grants AS g
                   WHERE (CAST({tenant} AS uuid) IS NULL OR g.tenant_id = {tenant})
                     AND (CAST({is_active} AS boolean) IS NULL
                          OR (g.ended_at IS NULL AND g.expires_at > {now}) = {is_active})"#
            ))
            .await?;
        count.and_then(|count| u64::try_from(count.total).ok())
    } else {
        None
    };
    Ok(Page::from_rows(rows, page, total, |row| vec![row.id.to_string()]).map(BreakGlassGrant::from))
}

/// Returns a grant; with a tenant, one into that tenant alone.
///
/// # Errors
/// [`IdentityError::NotFound`].
pub async fn get(
    db: &impl SystemExecutor,
    tenant: Option<TenantId>,
    id: BreakGlassGrantId,
) -> Result<BreakGlassGrant, IdentityError> {
    let row: Option<Row> = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT g.id, t.slug AS tenant, g.operator_id, u.full_name AS operator_name, g.reason,
                      array_to_string(g.roles, ',') AS roles, g.created_at, g.expires_at, g.ended_at, g.ended_by,
                      g.version
               FROM public.break_glass_grants AS g
               JOIN public.tenants AS t ON t.id = g.tenant_id
               JOIN public.users AS u ON u.id = g.operator_id
               WHERE g.id = {id} AND (CAST({tenant} AS uuid) IS NULL OR g.tenant_id = {tenant})"#
        ))
        .await?;
    row.map(BreakGlassGrant::from).ok_or(IdentityError::NotFound { thing: "grant" })
}

/// The tenant that a grant is wanted for.
#[derive(FromQueryResult)]
struct Place {
    id: TenantId,
    status: String,
}

impl Identity {
    /// Lets an operator into a tenant: makes the grant and a session under it. Writes an audit row that the tenant
    /// sees.
    ///
    /// # Errors
    /// [`IdentityError::Invalid`]; [`IdentityError::NotFound`] for an unknown tenant;
    /// [`IdentityError::TenantSuspended`], [`IdentityError::TenantGone`]; [`IdentityError::InvalidToken`] when the
    /// operator's session or right has just ended.
    #[tracing::instrument(name = "identity.break_glass.open", skip_all, fields(request.id = %origin.request_id))]
    pub async fn break_glass(
        &self,
        principal: &Principal,
        new: NewGrant<'_>,
        origin: &Origin,
    ) -> Result<(BreakGlassGrant, Tokens), IdentityError> {
        let (reason, roles) = check(&new)?;
        let tx = self.app.begin().await?;
        let result = self.break_glass_in(&tx, principal, (&new, &reason, &roles), origin).await;
        settle(tx, result).await
    }

    async fn break_glass_in(
        &self,
        tx: &SystemTransaction,
        principal: &Principal,
        (new, reason, roles): (&NewGrant<'_>, &str, &[Role]),
        origin: &Origin,
    ) -> Result<(BreakGlassGrant, Tokens), IdentityError> {
        let now = self.clock.now();
        let operator = principal.user_id;
        let ended = || IdentityError::InvalidToken(TokenError::Session);
        session::find_live(tx, principal.session_id, now).await?.ok_or_else(ended)?;
        let stands = tx
            .execute(raw_sql!(
                Postgres,
                r#"SELECT id FROM public.users
                   WHERE id = {operator} AND is_operator AND disabled_at IS NULL
                   FOR SHARE"#
            ))
            .await?;
        if stands == 0 || !principal.is_operator {
            return Err(ended());
        }
        let slug = new.tenant.as_str();
        let place: Option<Place> = tx
            .query_one(raw_sql!(Postgres, r#"SELECT id, status FROM public.tenants WHERE slug = {slug}"#))
            .await?;
        let place = place.ok_or(IdentityError::NotFound { thing: "tenant" })?;
        refuse_status(&place.status)?;
        let (id, tenant) = (BreakGlassGrantId::new(self.ids.next()), place.id);
        let until = now
            .checked_add_signed(TimeDelta::minutes(i64::from(new.minutes)))
            .ok_or(IdentityError::Crypto("end of a grant"))?;
        let list = to_text(roles);
        tx.execute(raw_sql!(
            Postgres,
            r#"INSERT INTO public.break_glass_grants
                   (id, tenant_id, operator_id, reason, roles, created_at, expires_at)
               VALUES ({id}, {tenant}, {operator}, {reason}, string_to_array({list}, ','), {now}, {until})"#
        ))
        .await?;
        let session_id = SessionId::new(self.ids.next());
        let opened = NewSession {
            id: session_id,
            family: session_id,
            user: operator,
            tenant: Some(tenant),
            expires_at: until,
            source: origin.source,
            grant: Some(id),
        };
        let tokens = self.open_session(tx, &opened).await?;
        let after = json!({
            "reason": reason, "roles": roles, "expires_at": until, "session_id": session_id, "grant_id": id,
        });
        let scope = self.scope(principal.actor(), *origin);
        record(tx, &scope, tenant, ("break_glass.granted", id, after)).await?;
        Ok((get(tx, None, id).await?, tokens))
    }

    /// Ends a grant and its sessions; one that has ended stays as it is. With a tenant, only a grant into that tenant.
    /// Writes an audit row that the tenant sees.
    ///
    /// # Errors
    /// [`IdentityError::NotFound`].
    #[tracing::instrument(name = "identity.break_glass.end", skip_all, fields(grant.id = %id))]
    pub async fn end_break_glass(
        &self,
        scope: &IdentityScope,
        tenant: Option<TenantId>,
        id: BreakGlassGrantId,
    ) -> Result<BreakGlassGrant, IdentityError> {
        #[derive(FromQueryResult)]
        struct Ended {
            tenant_id: TenantId,
        }
        let tx = self.app.begin().await?;
        let result = async {
            let (now, by) = (scope.now(), scope.actor.user_id());
            let ended: Option<Ended> = tx
                .query_one(raw_sql!(
                    Postgres,
                    r#"UPDATE public.break_glass_grants
                       SET ended_at = {now}, ended_by = {by}, version = version + 1
                       WHERE id = {id} AND ended_at IS NULL AND expires_at > {now}
                         AND (CAST({tenant} AS uuid) IS NULL OR tenant_id = {tenant})
                       RETURNING tenant_id"#
                ))
                .await?;
            let mut sessions = Vec::new();
            if let Some(Ended { tenant_id }) = ended {
                sessions = session::end_under(&tx, id, End::GrantEnded, now).await?;
                let after = json!({ "sessions_ended": sessions.len(), "grant_id": id });
                record(&tx, scope, tenant_id, ("break_glass.ended", id, after)).await?;
            }
            Ok((get(&tx, tenant, id).await?, sessions))
        }
        .await;
        let (grant, sessions) = settle(tx, result).await?;
        self.principals.end(&sessions).await;
        Ok(grant)
    }
}

/// Ends the grants of an operator whose last session was ended, by a log-out say: nobody can use them any more. Writes an
/// audit row for each that its tenant sees.
pub(crate) async fn end_without_session(
    tx: &SystemTransaction,
    scope: &IdentityScope,
    operator: UserId,
) -> Result<(), IdentityError> {
    let now = scope.now();
    let grants: Vec<EndedRow> = tx
        .query_all(raw_sql!(
            Postgres,
            r#"UPDATE public.break_glass_grants AS g
               SET ended_at = {now}, ended_by = {operator}, version = version + 1
               WHERE g.operator_id = {operator} AND g.ended_at IS NULL AND g.expires_at > {now}
                 AND NOT EXISTS (SELECT FROM public.sessions AS s
                                 WHERE s.grant_id = g.id AND s.revoked_at IS NULL AND s.expires_at > {now})
               RETURNING g.id, g.tenant_id"#
        ))
        .await?;
    for EndedRow { id, tenant_id } in grants {
        let after = json!({ "sessions_ended": 0, "grant_id": id });
        record(tx, scope, tenant_id, ("break_glass.ended", id, after)).await?;
    }
    Ok(())
}

#[derive(FromQueryResult)]
struct EndedRow {
    id: BreakGlassGrantId,
    tenant_id: TenantId,
}

/// Ends the grants of an operator who is none any more, with their sessions, and returns these. Writes an audit row for
/// each that its tenant sees.
pub(crate) async fn end_all_of(
    tx: &SystemTransaction,
    scope: &IdentityScope,
    operator: UserId,
) -> Result<Vec<SessionId>, IdentityError> {
    let (now, by) = (scope.now(), scope.actor.user_id());
    let grants: Vec<EndedRow> = tx
        .query_all(raw_sql!(
            Postgres,
            r#"UPDATE public.break_glass_grants
               SET ended_at = {now}, ended_by = COALESCE(CAST({by} AS uuid), operator_id), version = version + 1
               WHERE operator_id = {operator} AND ended_at IS NULL AND expires_at > {now}
               RETURNING id, tenant_id"#
        ))
        .await?;
    let mut all = Vec::new();
    for EndedRow { id, tenant_id } in grants {
        let sessions = session::end_under(tx, id, End::OperatorRevoked, now).await?;
        let after = json!({ "sessions_ended": sessions.len(), "grant_id": id });
        record(tx, scope, tenant_id, ("break_glass.ended", id, after)).await?;
        all.extend(sessions);
    }
    Ok(all)
}

/// Checks what was typed and names everything that is wrong.
fn check(new: &NewGrant<'_>) -> Result<(String, Vec<Role>), IdentityError> {
    let mut wrong = Vec::new();
    let mut refuse = |pointer, code, detail: &str| wrong.push(FieldError::new(pointer, code, detail));
    let reason = new.reason.trim();
    match reason.chars().count() {
        0..MIN_REASON_CHARS => refuse("/reason", "too_short", "must have at least 10 characters"),
        MIN_REASON_CHARS..=MAX_REASON_CHARS => {}
        _ => refuse("/reason", "too_long", "must have at most 500 characters"),
    }
    if reason.chars().any(|c| c.is_control() && c != '\n') {
        refuse("/reason", "malformed", "must not have control characters");
    }
    if !(1..=MAX_MINUTES).contains(&new.minutes) {
        refuse("/minutes", "out_of_range", "must be from 1 to 60");
    }
    let roles = distinct(new.roles.unwrap_or(&[Role::Admin]));
    if roles.as_ref().is_ok_and(|roles| roles.contains(&Role::Owner)) {
        refuse("/roles", "unknown_value", "must not be owner");
    }
    match roles {
        Ok(roles) if wrong.is_empty() => Ok((reason.to_owned(), roles)),
        Ok(_) => Err(IdentityError::Invalid(wrong)),
        Err(IdentityError::Invalid(further)) => {
            Err(IdentityError::Invalid(wrong.into_iter().chain(further).collect()))
        }
        Err(other) => Err(other),
    }
}

async fn record(
    tx: &SystemTransaction,
    scope: &IdentityScope,
    tenant: TenantId,
    (action, id, after): (&'static str, BreakGlassGrantId, serde_json::Value),
) -> Result<(), IdentityError> {
    let entry = audit::Entry {
        action,
        entity: "break_glass_grant",
        entity_id: Some(id.uuid()),
        tenant: Some(tenant),
        before: None,
        after: Some(after),
    };
    Ok(audit::record(tx, scope, entry).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_needs_a_reason_a_time_and_no_owner() {
        let tenant: TenantSlug = "one".parse().unwrap();
        let check = |reason: &str, minutes: u32, roles: Option<&[Role]>, wrong: &[&str]| {
            let new = NewGrant { tenant: &tenant, reason, minutes, roles };
            let pointers: Vec<String> = match check(&new) {
                Ok(_) => Vec::new(),
                Err(IdentityError::Invalid(fields)) => {
                    fields.into_iter().map(|field| field.pointer).collect()
                }
                Err(other) => panic!("{other:?}"),
            };
            assert_eq!(pointers, wrong, "{reason:?} {minutes} {roles:?}");
        };
        check("the invoice run hangs", 60, None, &[]);
        check("the invoice run hangs", 1, Some(&[Role::Accountant]), &[]);
        check("   short     ", 0, Some(&[]), &["/reason", "/minutes", "/roles"]);
        check(&"x".repeat(500), 61, Some(&[Role::Owner]), &["/minutes", "/roles"]);
        check(&"x".repeat(501), 5, None, &["/reason"]);
        check("control \u{7} characters", 5, None, &["/reason"]);
    }
}
