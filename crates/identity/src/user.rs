//! User accounts: one for each person, whatever the number of tenants the person works for.

use std::fmt;

use chrono::{DateTime, Utc};
use clinicx_persistence::SystemExecutor;
use clinicx_types::{
    id::{SessionId, TenantId, UserId},
    page::{Page, PageRequest},
};
use schemars::JsonSchema;
use sea_orm::{FromQueryResult, raw_sql};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::{
    audit,
    email::{EmailAddress, lookup_key},
    error::IdentityError,
    full_name::FullName,
    password::PasswordHash,
    reset,
    scope::IdentityScope,
    session::{self, End},
};

/// An account. Its `Debug` text shows its id only.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema, FromQueryResult)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// The address by which the person logs in.
    pub email: String,
    /// The person's name.
    pub full_name: String,
    /// Whether the person operates the platform.
    pub is_operator: bool,
    /// Whether a password is set; without one nobody can log in to the account.
    pub has_password: bool,
    /// Since when nobody can log in to it any more.
    pub disabled_at: Option<DateTime<Utc>>,
    /// When the person last logged in with the password.
    pub last_login_at: Option<DateTime<Utc>>,
    /// Rises with each change.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("id", &self.id).field("version", &self.version).finish_non_exhaustive()
    }
}

/// A new account, checked.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The address.
    pub email: EmailAddress,
    /// The person's name.
    pub full_name: FullName,
    /// The password's hash; nobody can log in until there is one.
    pub password: Option<PasswordHash>,
    /// Whether the person operates the platform.
    pub is_operator: bool,
}

/// Creates an account. Writes an audit row.
///
/// # Errors
/// [`IdentityError::EmailTaken`]; the transaction, if there is one, is not broken by it.
#[tracing::instrument(name = "identity.user.create", skip_all)]
pub async fn create(
    db: &impl SystemExecutor,
    scope: &IdentityScope,
    new: &NewUser,
) -> Result<User, IdentityError> {
    let user = insert(db, scope, new).await?.ok_or(IdentityError::EmailTaken)?;
    record(db, scope, "user.created", user.id, json!({ "is_operator": user.is_operator })).await?;
    Ok(user)
}

/// Returns the account with this address, or creates it. One that is there keeps its name and its password.
///
/// # Errors
/// What the database answers.
#[tracing::instrument(name = "identity.user.find_or_create", skip_all)]
pub async fn find_or_create(
    db: &impl SystemExecutor,
    scope: &IdentityScope,
    new: &NewUser,
) -> Result<User, IdentityError> {
    if let Some(user) = find_by_email(db, new.email.as_str()).await? {
        return Ok(user);
    }
    match create(db, scope, new).await {
        // Somebody else was faster.
        Err(IdentityError::EmailTaken) => {
            find_by_email(db, new.email.as_str()).await?.ok_or(IdentityError::NotFound { thing: "user" })
        }
        result => result,
    }
}

async fn insert(
    db: &impl SystemExecutor,
    scope: &IdentityScope,
    new: &NewUser,
) -> Result<Option<User>, IdentityError> {
    let (id, now) = (scope.next_id(), scope.now());
    let (email, key, full_name) = (new.email.as_str(), new.email.key(), new.full_name.as_str());
    let hash = new.password.as_ref().map(PasswordHash::as_str);
    let is_operator = new.is_operator;
    let user = db
        .query_one(raw_sql!(
            Postgres,
            r#"INSERT INTO public.users
                   (id, email, email_key, full_name, password_hash, is_operator, version, created_at, updated_at)
               VALUES ({id}, {email}, {key}, {full_name}, {hash}, {is_operator}, 1, {now}, {now})
               ON CONFLICT (email_key) DO NOTHING
               RETURNING id, email, full_name, is_operator, password_hash IS NOT NULL AS has_password, disabled_at,
                         last_login_at, version, created_at, updated_at"#
        ))
        .await?;
    Ok(user)
}

/// Returns an account.
///
/// # Errors
/// What the database answers.
pub async fn find_by_id(db: &impl SystemExecutor, id: UserId) -> Result<Option<User>, IdentityError> {
    let user = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT id, email, full_name, is_operator, password_hash IS NOT NULL AS has_password, disabled_at,
                      last_login_at, version, created_at, updated_at
               FROM public.users
               WHERE id = {id}"#
        ))
        .await?;
    Ok(user)
}

/// Returns an account by its address, however it is spelt.
///
/// # Errors
/// What the database answers.
pub async fn find_by_email(db: &impl SystemExecutor, email: &str) -> Result<Option<User>, IdentityError> {
    let key = lookup_key(email);
    let user = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT id, email, full_name, is_operator, password_hash IS NOT NULL AS has_password, disabled_at,
                      last_login_at, version, created_at, updated_at
               FROM public.users
               WHERE email_key = {key}"#
        ))
        .await?;
    Ok(user)
}

/// Which accounts are wanted.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// Only those that belong to this tenant.
    pub tenant: Option<TenantId>,
    /// Only operators, or only others.
    pub is_operator: Option<bool>,
    /// Only those that are disabled, or only others.
    pub is_disabled: Option<bool>,
    /// Only those whose address or name contains this.
    pub q: Option<String>,
}

impl UserFilter {
    fn pattern(&self) -> Option<String> {
        let wanted = self.q.as_deref().map(lookup_key)?;
        let literal = wanted.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        Some(format!("%{literal}%"))
    }
}

#[derive(FromQueryResult)]
struct Count {
    total: i64,
}

/// Lists accounts in the order in which they were made.
///
/// # Errors
/// [`IdentityError::Invalid`] for a cursor that is none of this list.
pub async fn list(
    db: &impl SystemExecutor,
    filter: UserFilter,
    page: &PageRequest,
) -> Result<Page<User>, IdentityError> {
    let pattern = filter.pattern();
    let UserFilter { tenant, is_operator, is_disabled, .. } = filter;
    let after = page.after.as_ref().map(|key| cursor(&key.0)).transpose()?;
    let limit = i64::from(page.limit()).saturating_add(1);
    let rows: Vec<User> = db
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT u.id, u.email, u.full_name, u.is_operator, u.password_hash IS NOT NULL AS has_password,
                      u.disabled_at, u.last_login_at, u.version, u.created_at, u.updated_at
               FROM public.users AS u
               WHERE (CAST({after} AS uuid) IS NULL OR u.id > {after})
                 AND (CAST({is_operator} AS boolean) IS NULL OR u.is_operator = {is_operator})
                 AND (CAST({is_disabled} AS boolean) IS NULL OR (u.disabled_at IS NOT NULL) = {is_disabled})
                 AND (CAST({pattern} AS text) IS NULL OR u.email_key LIKE {pattern} OR lower(u.full_name) LIKE {pattern})
                 AND (CAST({tenant} AS uuid) IS NULL OR EXISTS (
                         SELECT 1 FROM public.memberships AS m WHERE m.user_id = u.id AND m.tenant_id = {tenant}))
               ORDER BY u.id
               LIMIT {limit}"#
        ))
        .await?;
    let total = if page.count { Some(count(db, filter).await?) } else { None };
    Ok(Page::from_rows(rows, page, total, |user| vec![user.id.to_string()]))
}

async fn count(db: &impl SystemExecutor, filter: UserFilter) -> Result<u64, IdentityError> {
    let pattern = filter.pattern();
    let UserFilter { tenant, is_operator, is_disabled, .. } = filter;
    let count: Option<Count> = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT count(*) AS total
               FROM public.users AS u
               WHERE (CAST({is_operator} AS boolean) IS NULL OR u.is_operator = {is_operator})
                 AND (CAST({is_disabled} AS boolean) IS NULL OR (u.disabled_at IS NOT NULL) = {is_disabled})
                 AND (CAST({pattern} AS text) IS NULL OR u.email_key LIKE {pattern} OR lower(u.full_name) LIKE {pattern})
                 AND (CAST({tenant} AS uuid) IS NULL OR EXISTS (
                         SELECT 1 FROM public.memberships AS m WHERE m.user_id = u.id AND m.tenant_id = {tenant}))"#
        ))
        .await?;
    Ok(count.and_then(|count| u64::try_from(count.total).ok()).unwrap_or_default())
}

/// Counts the users of a tenant.
pub(crate) async fn count_of_tenant(
    db: &impl SystemExecutor,
    tenant: TenantId,
) -> Result<u64, IdentityError> {
    count(db, UserFilter { tenant: Some(tenant), ..UserFilter::default() }).await
}

/// Reads the one value of a cursor of a list that is ordered by id.
pub(crate) fn cursor(key: &[String]) -> Result<Uuid, IdentityError> {
    let id = match key {
        [id] => Uuid::parse_str(id).ok(),
        _ => None,
    };
    id.ok_or_else(|| {
        IdentityError::invalid("?cursor", "malformed_cursor", "must be a cursor that this list has given")
    })
}

/// Sets a password, ends every session of the account and makes its reset links useless. Writes an audit row.
///
/// # Errors
/// [`IdentityError::NotFound`], [`IdentityError::Stale`] when `expected` is not its version.
pub async fn set_password(
    db: &impl SystemExecutor,
    scope: &IdentityScope,
    id: UserId,
    password: &PasswordHash,
    expected: Option<i64>,
) -> Result<User, IdentityError> {
    Ok(set_password_and_end(db, scope, id, password, (expected, None)).await?.0)
}

/// Sets a password as [`set_password`] does, leaves one session open, and returns those that it has ended.
#[tracing::instrument(name = "identity.user.set_password", skip_all, fields(user.id = %id))]
pub(crate) async fn set_password_and_end(
    db: &impl SystemExecutor,
    scope: &IdentityScope,
    id: UserId,
    password: &PasswordHash,
    (expected, but): (Option<i64>, Option<SessionId>),
) -> Result<(User, Vec<SessionId>), IdentityError> {
    let now = scope.now();
    let hash = password.as_str();
    let changed: Option<User> = db
        .query_one(raw_sql!(
            Postgres,
            r#"UPDATE public.users
               SET password_hash = {hash}, version = version + 1, updated_at = {now}
               WHERE id = {id} AND (CAST({expected} AS bigint) IS NULL OR version = {expected})
               RETURNING id, email, full_name, is_operator, password_hash IS NOT NULL AS has_password, disabled_at,
                         last_login_at, version, created_at, updated_at"#
        ))
        .await?;
    let user = found(db, id, changed).await?;
    let ended = session::end_all_of(db, id, End::PasswordChanged, now, but).await?;
    reset::remove_all_of(db, id).await?;
    record(db, scope, "user.password_set", id, json!({ "sessions_ended": ended.len() })).await?;
    Ok((user, ended))
}

/// Disables an account and ends its sessions; doing it twice changes nothing. Writes an audit row, and one for each
/// tenant of the account.
///
/// # Errors
/// As [`set_password`].
#[tracing::instrument(name = "identity.user.disable", skip_all, fields(user.id = %id))]
pub async fn disable(
    db: &impl SystemExecutor,
    scope: &IdentityScope,
    id: UserId,
    expected: Option<i64>,
) -> Result<User, IdentityError> {
    let now = scope.now();
    let user = set_disabled(db, scope, id, Some(now), expected).await?;
    session::end_all_of(db, id, End::Disabled, now, None).await?;
    reset::remove_all_of(db, id).await?;
    record(db, scope, "user.disabled", id, json!({ "disabled": true })).await?;
    tell_tenants(db, scope, "membership.disabled", id).await?;
    Ok(user)
}

/// Enables an account again; its old sessions stay ended. Writes audit rows as [`disable`] does.
///
/// # Errors
/// As [`set_password`].
#[tracing::instrument(name = "identity.user.enable", skip_all, fields(user.id = %id))]
pub async fn enable(
    db: &impl SystemExecutor,
    scope: &IdentityScope,
    id: UserId,
    expected: Option<i64>,
) -> Result<User, IdentityError> {
    let user = set_disabled(db, scope, id, None, expected).await?;
    record(db, scope, "user.enabled", id, json!({ "disabled": false })).await?;
    tell_tenants(db, scope, "membership.enabled", id).await?;
    Ok(user)
}

/// Writes an audit row for each tenant of an account: nobody but the platform sees the one about the account itself.
async fn tell_tenants(
    db: &impl SystemExecutor,
    scope: &IdentityScope,
    action: &'static str,
    id: UserId,
) -> Result<(), IdentityError> {
    #[derive(FromQueryResult)]
    struct Place {
        tenant_id: TenantId,
    }
    let places: Vec<Place> = db
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT tenant_id FROM public.memberships WHERE user_id = {id} ORDER BY tenant_id"#
        ))
        .await?;
    for Place { tenant_id } in places {
        let entry = audit::Entry {
            action,
            entity: "user",
            entity_id: Some(id.uuid()),
            tenant: Some(tenant_id),
            before: None,
            after: None,
        };
        audit::record(db, scope, entry).await?;
    }
    Ok(())
}

async fn set_disabled(
    db: &impl SystemExecutor,
    scope: &IdentityScope,
    id: UserId,
    disabled_at: Option<DateTime<Utc>>,
    expected: Option<i64>,
) -> Result<User, IdentityError> {
    let now = scope.now();
    let changed: Option<User> = db
        .query_one(raw_sql!(
            Postgres,
            r#"UPDATE public.users
               SET disabled_at = CASE WHEN CAST({disabled_at} AS timestamptz) IS NULL THEN NULL
                                      ELSE COALESCE(disabled_at, {disabled_at}) END,
                   version = version + 1,
                   updated_at = {now}
               WHERE id = {id} AND (CAST({expected} AS bigint) IS NULL OR version = {expected})
               RETURNING id, email, full_name, is_operator, password_hash IS NOT NULL AS has_password, disabled_at,
                         last_login_at, version, created_at, updated_at"#
        ))
        .await?;
    found(db, id, changed).await
}

/// Tells a missing account from one of another version.
async fn found(db: &impl SystemExecutor, id: UserId, changed: Option<User>) -> Result<User, IdentityError> {
    match changed {
        Some(user) => Ok(user),
        None if find_by_id(db, id).await?.is_some() => Err(IdentityError::Stale { thing: "user" }),
        None => Err(IdentityError::NotFound { thing: "user" }),
    }
}

async fn record(
    db: &impl SystemExecutor,
    scope: &IdentityScope,
    action: &'static str,
    id: UserId,
    after: serde_json::Value,
) -> Result<(), IdentityError> {
    let entry = audit::Entry {
        action,
        entity: "user",
        entity_id: Some(id.uuid()),
        tenant: None,
        before: None,
        after: Some(after),
    };
    Ok(audit::record(db, scope, entry).await?)
}
