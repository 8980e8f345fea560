//! Memberships: which person has which roles in which tenant.

use std::collections::BTreeSet;

use clinicx_persistence::SystemExecutor;
use clinicx_types::{
    error::FieldError,
    id::{TenantId, UserId},
    name::TenantSlug,
    page::{Page, PageRequest},
    permission::Role,
};
use sea_orm::{FromQueryResult, Statement, raw_sql};
use serde_json::json;

use crate::{
    audit,
    error::IdentityError,
    password::PasswordHash,
    scope::IdentityScope,
    session::{self, End},
    user::{self, NewUser, User},
};

/// What a user is in one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The user.
    pub user_id: UserId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The user's roles in it; at least one.
    pub roles: Vec<Role>,
    /// Rises with each change.
    pub version: i64,
}

/// A tenant to which a user belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belonging {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Its slug.
    pub slug: TenantSlug,
    /// Its name.
    pub name: String,
    /// Its status as the registry has it, such as `active`.
    pub status: String,
    /// The user's roles in it.
    pub roles: Vec<Role>,
}

/// A user of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The account.
    pub user: User,
    /// The user's roles in the tenant.
    pub roles: Vec<Role>,
}

#[derive(FromQueryResult)]
struct Granted {
    before: Option<String>,
    version: i64,
}

/// Gives a user exactly these roles in a tenant. Writes an audit row; giving the same roles again changes nothing.
///
/// # Errors
/// [`IdentityError::Invalid`] without a role; [`IdentityError::NotFound`] when there is no such user or tenant.
#[tracing::instrument(name = "identity.membership.grant", skip_all, fields(tenant.id = %tenant, user.id = %user))]
pub async fn grant(
    db: &impl SystemExecutor,
    scope: &IdentityScope,
    tenant: TenantId,
    user: UserId,
    roles: &[Role],
) -> Result<Membership, IdentityError> {
    let roles = distinct(roles)?;
    let list = to_text(&roles);
    let now = scope.now();
    let granted: Option<Granted> = db
        .query_one(raw_sql!(
            Postgres,
            r#"WITH old AS (
                   SELECT array_to_string(roles, ',') AS roles
                   FROM public.memberships
                   WHERE user_id = {user} AND tenant_id = {tenant}
               )
               INSERT INTO public.memberships AS m (user_id, tenant_id, roles, version, created_at, updated_at)
               SELECT u.id, t.id, string_to_array({list}, ','), 1, {now}, {now}
               FROM public.users AS u
               CROSS JOIN public.tenants AS t
               WHERE u.id = {user} AND t.id = {tenant}
               ON CONFLICT (user_id, tenant_id) DO UPDATE
                   SET roles = EXCLUDED.roles,
                       version = m.version + CASE WHEN m.roles = EXCLUDED.roles THEN 0 ELSE 1 END,
                       updated_at = CASE WHEN m.roles = EXCLUDED.roles THEN m.updated_at ELSE EXCLUDED.updated_at END
               RETURNING (SELECT old.roles FROM old) AS before, m.version"#
        ))
        .await?;
    let Some(Granted { before, version }) = granted else {
        return Err(IdentityError::NotFound { thing: "user or tenant" });
    };
    if before.as_deref() != Some(list.as_str()) {
        let entry = audit::Entry {
            action: "membership.granted",
            entity: "user",
            entity_id: Some(user.uuid()),
            tenant: Some(tenant),
            before: before.map(|before| json!({ "roles": from_text(&before) })),
            after: Some(json!({ "roles": roles })),
        };
        audit::record(db, scope, entry).await?;
    }
    Ok(Membership { user_id: user, tenant_id: tenant, roles, version })
}

#[derive(FromQueryResult)]
struct Roles {
    roles: String,
}

/// Takes a user out of a tenant and ends the user's sessions in it. Writes an audit row.
///
/// # Errors
/// [`IdentityError::NotFound`] when the user is not in it.
#[tracing::instrument(name = "identity.membership.revoke", skip_all, fields(tenant.id = %tenant, user.id = %user))]
pub async fn revoke(
    db: &impl SystemExecutor,
    scope: &IdentityScope,
    tenant: TenantId,
    user: UserId,
) -> Result<(), IdentityError> {
    let removed: Option<Roles> = db
        .query_one(raw_sql!(
            Postgres,
            r#"DELETE FROM public.memberships
               WHERE user_id = {user} AND tenant_id = {tenant}
               RETURNING array_to_string(roles, ',') AS roles"#
        ))
        .await?;
    let Some(Roles { roles }) = removed else {
        return Err(IdentityError::NotFound { thing: "member" });
    };
    session::end_all_in(db, user, tenant, End::MembershipRevoked, scope.now()).await?;
    let entry = audit::Entry {
        action: "membership.revoked",
        entity: "user",
        entity_id: Some(user.uuid()),
        tenant: Some(tenant),
        before: Some(json!({ "roles": from_text(&roles) })),
        after: None,
    };
    Ok(audit::record(db, scope, entry).await?)
}

/// Returns a user's roles in a tenant; none for somebody who is not in it.
///
/// # Errors
/// What the database answers.
pub async fn roles_of(
    db: &impl SystemExecutor,
    user: UserId,
    tenant: TenantId,
) -> Result<Vec<Role>, IdentityError> {
    let row: Option<Roles> = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT array_to_string(roles, ',') AS roles
               FROM public.memberships
               WHERE user_id = {user} AND tenant_id = {tenant}"#
        ))
        .await?;
    Ok(row.map(|row| from_text(&row.roles)).unwrap_or_default())
}

#[derive(FromQueryResult)]
struct BelongingRow {
    tenant_id: TenantId,
    slug: String,
    name: String,
    status: String,
    roles: String,
}

/// Lists the tenants of a user, by slug; one that is still being made, or purged, is not among them.
///
/// # Errors
/// What the database answers.
pub async fn list_for_user(db: &impl SystemExecutor, user: UserId) -> Result<Vec<Belonging>, IdentityError> {
    let rows: Vec<BelongingRow> = db
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT t.id AS tenant_id, t.slug, t.name, t.status, array_to_string(m.roles, ',') AS roles
               FROM public.memberships AS m
               JOIN public.tenants AS t ON t.id = m.tenant_id
               WHERE m.user_id = {user} AND t.status IN ('active', 'suspended', 'archived')
               ORDER BY t.slug
               LIMIT 1000"#
        ))
        .await?;
    let belonging = |row: BelongingRow| {
        let BelongingRow { tenant_id, slug, name, status, roles } = row;
        Some(Belonging { tenant_id, slug: slug.parse().ok()?, name, status, roles: from_text(&roles) })
    };
    Ok(rows.into_iter().filter_map(belonging).collect())
}

#[derive(FromQueryResult)]
struct MemberRow {
    #[sea_orm(nested)]
    user: User,
    roles: String,
}

/// Lists the users of a tenant in the order in which their accounts were made.
///
/// # Errors
/// As [`user::list`].
pub async fn list_of_tenant(
    db: &impl SystemExecutor,
    tenant: TenantId,
    page: &PageRequest,
) -> Result<Page<Member>, IdentityError> {
    let after = page.after.as_ref().map(|key| user::cursor(&key.0)).transpose()?;
    let limit = i64::from(page.limit()).saturating_add(1);
    let rows: Vec<MemberRow> = db
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT u.id, u.email, u.full_name, u.is_operator, u.password_hash IS NOT NULL AS has_password,
                      u.disabled_at, u.last_login_at, u.version, u.created_at, u.updated_at,
                      array_to_string(m.roles, ',') AS roles
               FROM public.memberships AS m
               JOIN public.users AS u ON u.id = m.user_id
               WHERE m.tenant_id = {tenant} AND (CAST({after} AS uuid) IS NULL OR m.user_id > {after})
               ORDER BY m.user_id
               LIMIT {limit}"#
        ))
        .await?;
    let total = if page.count { Some(user::count_of_tenant(db, tenant).await?) } else { None };
    let page = Page::from_rows(rows, page, total, |row| vec![row.user.id.to_string()]);
    Ok(page.map(|MemberRow { user, roles }| Member { user, roles: from_text(&roles) }))
}

/// Returns the statements that make a person the administrator of a new tenant, for a transaction that makes the
/// tenant: the account is created, or found by its address and left as it is, and gets its roles and audit rows.
///
/// The tenant's row must be there. Without a password nobody can log in to a new account until one is set.
///
/// # Errors
/// [`IdentityError::Invalid`] without a role.
pub fn admin_statements(
    scope: &IdentityScope,
    tenant: TenantId,
    admin: &NewUser,
    roles: &[Role],
) -> Result<Vec<Statement>, IdentityError> {
    let roles = distinct(roles)?;
    let list = to_text(&roles);
    let (id, now) = (scope.next_id(), scope.now());
    let (email, key, full_name) = (admin.email.as_str(), admin.email.key(), admin.full_name.as_str());
    let hash = admin.password.as_ref().map(PasswordHash::as_str);
    let actor_kind = scope.actor.kind();
    let actor_id = scope.actor.user_id();
    let actor_job = scope.actor.job();
    let request_id = scope.request_id;
    let source = scope.source.map(|address| address.to_string());
    let create = raw_sql!(
        Postgres,
        r#"WITH made AS (
               INSERT INTO public.users
                   (id, email, email_key, full_name, password_hash, is_operator, version, created_at, updated_at)
               VALUES ({id}, {email}, {key}, {full_name}, {hash}, false, 1, {now}, {now})
               ON CONFLICT (email_key) DO NOTHING
               RETURNING id
           )
           INSERT INTO public.audit_logs
               (actor_kind, actor_id, actor_job, action, entity, entity_id, request_id, source_address)
           SELECT {actor_kind}, {actor_id}, {actor_job}, 'user.created', 'user', made.id, {request_id},
                  CAST({source} AS inet)
           FROM made"#
    );
    let grant = raw_sql!(
        Postgres,
        r#"INSERT INTO public.memberships AS m (user_id, tenant_id, roles, version, created_at, updated_at)
           SELECT u.id, {tenant}, string_to_array({list}, ','), 1, {now}, {now}
           FROM public.users AS u
           WHERE u.email_key = {key}
           ON CONFLICT (user_id, tenant_id) DO UPDATE
               SET roles = EXCLUDED.roles, version = m.version + 1, updated_at = EXCLUDED.updated_at"#
    );
    let after = json!({ "roles": roles });
    let trail = raw_sql!(
        Postgres,
        r#"INSERT INTO public.audit_logs
               (tenant_id, actor_kind, actor_id, actor_job, action, entity, entity_id, request_id, source_address, after)
           SELECT {tenant}, {actor_kind}, {actor_id}, {actor_job}, 'membership.granted', 'user', u.id, {request_id},
                  CAST({source} AS inet), {after}
           FROM public.users AS u
           WHERE u.email_key = {key}"#
    );
    Ok(vec![create, grant, trail])
}

/// Returns the roles in the order of the type, each once.
pub(crate) fn distinct(roles: &[Role]) -> Result<Vec<Role>, IdentityError> {
    if roles.is_empty() {
        let error = FieldError::new("/roles", "empty", "must name at least one role");
        return Err(IdentityError::Invalid(vec![error]));
    }
    Ok(roles.iter().copied().collect::<BTreeSet<_>>().into_iter().collect())
}

/// Roles cross the border to the database as one text: their words have no comma.
pub(crate) fn to_text(roles: &[Role]) -> String {
    roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(",")
}

/// A word that this program does not know gives no right.
pub(crate) fn from_text(roles: &str) -> Vec<Role> {
    roles.split(',').filter_map(|role| role.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_survive_their_way_through_the_database() {
        assert_eq!(from_text(&to_text(&Role::ALL)), Role::ALL);
        assert_eq!(from_text("owner,astronaut,nurse"), [Role::Owner, Role::Nurse]);
        assert_eq!(from_text(""), []);
    }

    #[test]
    fn roles_are_kept_once_and_in_order() {
        assert_eq!(distinct(&[Role::Nurse, Role::Owner, Role::Nurse]).unwrap(), [Role::Owner, Role::Nurse]);
        assert!(distinct(&[]).is_err());
    }
}
