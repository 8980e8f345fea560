//! The users of one tenant, as the tenant sees them: never what a person is elsewhere.
//!
//! Who may call these is the permission table's matter; that an administrator makes no owner, that nobody rises by
//! their own hand and that a tenant keeps an owner are rules, and stand here. They are held against rows that the
//! transaction has locked, so that of two changes at once the second sees the first.

use chrono::{DateTime, Utc};
use clinicx_persistence::{SystemExecutor, SystemTransaction};
use clinicx_types::{
    id::{SessionId, TenantId, UserId},
    page::{Page, PageRequest},
    permission::Role,
};
use schemars::JsonSchema;
use sea_orm::{FromQueryResult, raw_sql};
use serde::Serialize;

use crate::{
    error::IdentityError,
    identity::{Identity, settle},
    membership::{self, Membership, from_text},
    scope::IdentityScope,
    session, user,
};

/// A user of a tenant. Its `Debug` text shows ids only.
#[derive(Clone, Serialize, JsonSchema)]
pub struct TenantUser {
    /// The user's id.
    pub id: UserId,
    /// The address by which the user logs in.
    pub email: String,
    /// The user's name.
    pub full_name: String,
    /// What the user is in this tenant.
    pub roles: Vec<Role>,
    /// Rises with each change of the roles.
    pub version: i64,
    /// Since when the user belongs to this tenant.
    pub created_at: DateTime<Utc>,
    /// When the roles were last changed.
    pub updated_at: DateTime<Utc>,
}

impl std::fmt::Debug for TenantUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TenantUser").field("id", &self.id).field("roles", &self.roles).finish_non_exhaustive()
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: UserId,
    email: String,
    full_name: String,
    roles: String,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for TenantUser {
    fn from(row: Row) -> Self {
        let Row { id, email, full_name, roles, version, created_at, updated_at } = row;
        Self { id, email, full_name, roles: from_text(&roles), version, created_at, updated_at }
    }
}

/// What becomes of a tenant's last owner who can log in, when a command gives other roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastOwner {
    /// One stays.
    Stays,
    /// The tenant may be left without one.
    MayGo,
}

/// Which users of a tenant are listed.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemberFilter {
    /// Those who have this role.
    pub role: Option<Role>,
}

/// Lists a tenant's users in the order in which their accounts were made.
///
/// # Errors
/// [`IdentityError::Invalid`] for a cursor that is none of this list.
pub async fn list(
    db: &impl SystemExecutor,
    tenant: TenantId,
    filter: MemberFilter,
    page: &PageRequest,
) -> Result<Page<TenantUser>, IdentityError> {
    let after = page.after.as_ref().map(|key| user::cursor(&key.0)).transpose()?;
    let limit = i64::from(page.limit()).saturating_add(1);
    let role = filter.role.map(|role| role.as_str());
    let rows: Vec<Row> = db
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT u.id, u.email, u.full_name, array_to_string(m.roles, ',') AS roles, m.version, m.created_at,
                      m.updated_at
               FROM public.memberships AS m
               JOIN public.users AS u ON u.id = m.user_id
               WHERE m.tenant_id = {tenant}
                 AND (CAST({after} AS uuid) IS NULL OR m.user_id > {after})
                 AND (CAST({role} AS text) IS NULL OR {role} = ANY (m.roles))
               ORDER BY m.user_id
               LIMIT {limit}"#
        ))
        .await?;
    let total = if page.count { Some(count(db, tenant, filter).await?) } else { None };
    Ok(Page::from_rows(rows, page, total, |row| vec![row.id.to_string()]).map(TenantUser::from))
}

async fn count(
    db: &impl SystemExecutor,
    tenant: TenantId,
    filter: MemberFilter,
) -> Result<u64, IdentityError> {
    #[derive(FromQueryResult)]
    struct Count {
        total: i64,
    }
    let role = filter.role.map(|role| role.as_str());
    let count: Option<Count> = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT count(*) AS total
               FROM public.memberships AS m
               WHERE m.tenant_id = {tenant} AND (CAST({role} AS text) IS NULL OR {role} = ANY (m.roles))"#
        ))
        .await?;
    Ok(count.and_then(|count| u64::try_from(count.total).ok()).unwrap_or_default())
}

/// Returns a user of a tenant.
///
/// # Errors
/// [`IdentityError::NotFound`] for somebody who is not in it, whether there is such an account or not.
pub async fn get(
    db: &impl SystemExecutor,
    tenant: TenantId,
    id: UserId,
) -> Result<TenantUser, IdentityError> {
    let row: Option<Row> = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT u.id, u.email, u.full_name, array_to_string(m.roles, ',') AS roles, m.version, m.created_at,
                      m.updated_at
               FROM public.memberships AS m
               JOIN public.users AS u ON u.id = m.user_id
               WHERE m.tenant_id = {tenant} AND m.user_id = {id}"#
        ))
        .await?;
    row.map(TenantUser::from).ok_or(IdentityError::NotFound { thing: "user" })
}

impl Identity {
    /// Gives a user of a tenant exactly these roles. Writes an audit row.
    ///
    /// # Errors
    /// [`IdentityError::NotFound`], [`IdentityError::Stale`] when `expected` is not the version of the membership,
    /// [`IdentityError::OwnerRequired`], [`IdentityError::OwnRoles`], [`IdentityError::LastOwner`],
    /// [`IdentityError::Invalid`] without a role.
    #[tracing::instrument(name = "identity.member.set_roles", skip_all, fields(tenant.id = %tenant, user.id = %id))]
    pub async fn set_member_roles(
        &self,
        scope: &IdentityScope,
        tenant: TenantId,
        id: UserId,
        roles: &[Role],
        expected: Option<i64>,
    ) -> Result<TenantUser, IdentityError> {
        let tx = self.app.begin().await?;
        let result = async {
            let locked = lock(&tx, tenant, [scope.actor.user_id(), Some(id)]).await?;
            let present = locked.of(id).ok_or(IdentityError::NotFound { thing: "user" })?;
            if expected.is_some_and(|expected| expected != present.version) {
                return Err(IdentityError::Stale { thing: "user" });
            }
            let actor = locked.actor(scope)?;
            actor.require_may_make(&present.roles, roles)?;
            if scope.actor.user_id() == Some(id) {
                actor.require_no_rise(roles)?;
            }
            if !roles.contains(&Role::Owner) {
                locked.require_other_owner(id)?;
            }
            membership::grant(&tx, scope, tenant, id, roles).await?;
            get(&tx, tenant, id).await
        }
        .await;
        settle(tx, result).await
    }

    /// Gives an account exactly these roles in a tenant, whether it was in it or not; for a command. Writes an audit row.
    ///
    /// # Errors
    /// [`IdentityError::NotFound`], [`IdentityError::Invalid`] without a role; [`IdentityError::LastOwner`] unless the
    /// tenant may be left without an owner.
    pub async fn grant_roles(
        &self,
        scope: &IdentityScope,
        (tenant, id): (TenantId, UserId),
        roles: &[Role],
        last_owner: LastOwner,
    ) -> Result<Membership, IdentityError> {
        let tx = self.app.begin().await?;
        let result = async {
            let locked = lock(&tx, tenant, [None, Some(id)]).await?;
            if !roles.contains(&Role::Owner) && last_owner == LastOwner::Stays {
                locked.require_other_owner(id)?;
            }
            membership::grant(&tx, scope, tenant, id, roles).await
        }
        .await;
        settle(tx, result).await
    }

    /// Takes a user out of a tenant and ends the user's sessions in it. Writes an audit row.
    ///
    /// # Errors
    /// As [`Identity::set_member_roles`].
    #[tracing::instrument(name = "identity.member.remove", skip_all, fields(tenant.id = %tenant, user.id = %id))]
    pub async fn remove_member(
        &self,
        scope: &IdentityScope,
        tenant: TenantId,
        id: UserId,
        expected: Option<i64>,
    ) -> Result<(), IdentityError> {
        let tx = self.app.begin().await?;
        let result: Result<Vec<SessionId>, IdentityError> = async {
            let locked = lock(&tx, tenant, [scope.actor.user_id(), Some(id)]).await?;
            let present = locked.of(id).ok_or(IdentityError::NotFound { thing: "user" })?;
            if expected.is_some_and(|expected| expected != present.version) {
                return Err(IdentityError::Stale { thing: "user" });
            }
            locked.actor(scope)?.require_may_make(&present.roles, &[])?;
            locked.require_other_owner(id)?;
            let sessions = session::alive_in(&tx, id, tenant).await?;
            membership::revoke(&tx, scope, tenant, id).await?;
            Ok(sessions)
        }
        .await;
        let ended = settle(tx, result).await?;
        self.principals.end(&ended).await;
        Ok(())
    }
}

/// A membership that was locked.
#[derive(FromQueryResult)]
struct LockedRow {
    user_id: UserId,
    roles: String,
    version: i64,
    enabled: bool,
}

struct LockedMember {
    id: UserId,
    roles: Vec<Role>,
    version: i64,
    enabled: bool,
}

/// The memberships that a change of roles depends on: the actor's, the subject's and every owner's.
pub(crate) struct Locked(Vec<LockedMember>);

/// Locks them, in one order for everybody.
pub(crate) async fn lock(
    tx: &SystemTransaction,
    tenant: TenantId,
    [actor, subject]: [Option<UserId>; 2],
) -> Result<Locked, IdentityError> {
    let rows: Vec<LockedRow> = tx
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT m.user_id, array_to_string(m.roles, ',') AS roles, m.version,
                      u.disabled_at IS NULL AS enabled
               FROM public.memberships AS m
               JOIN public.users AS u ON u.id = m.user_id
               WHERE m.tenant_id = {tenant}
                 AND ('owner' = ANY (m.roles) OR m.user_id = {actor} OR m.user_id = {subject})
               ORDER BY m.user_id
               FOR UPDATE OF m"#
        ))
        .await?;
    let member = |row: LockedRow| {
        let LockedRow { user_id, roles, version, enabled } = row;
        LockedMember { id: user_id, roles: from_text(&roles), version, enabled }
    };
    Ok(Locked(rows.into_iter().map(member).collect()))
}

impl Locked {
    fn of(&self, id: UserId) -> Option<&LockedMember> {
        self.0.iter().find(|member| member.id == id)
    }

    /// Returns what the actor is, as of now and not as of when the request came in.
    pub(crate) fn actor(&self, scope: &IdentityScope) -> Result<ActorRoles, IdentityError> {
        self.rights_of(scope.actor.user_id())
    }

    /// Returns what somebody who was locked is; without a user, a command is meant.
    pub(crate) fn rights_of(&self, user: Option<UserId>) -> Result<ActorRoles, IdentityError> {
        match user {
            // A command has every right.
            None => Ok(ActorRoles(vec![Role::Owner])),
            Some(id) => {
                let member = self.of(id).filter(|member| member.enabled);
                member.map(|member| ActorRoles(member.roles.clone())).ok_or(IdentityError::OwnerRequired)
            }
        }
    }

    /// Refuses to leave a tenant without an owner who can log in.
    pub(crate) fn require_other_owner(&self, subject: UserId) -> Result<(), IdentityError> {
        let is_owner = |member: &&LockedMember| member.roles.contains(&Role::Owner);
        let loses = self.of(subject).filter(is_owner).is_some();
        let others = self.0.iter().filter(is_owner).any(|member| member.id != subject && member.enabled);
        if loses && !others { Err(IdentityError::LastOwner) } else { Ok(()) }
    }
}

/// What the actor is in the tenant.
pub(crate) struct ActorRoles(Vec<Role>);

impl ActorRoles {
    /// Refuses to make or unmake an owner to everybody but an owner, and all else to who is no administrator.
    pub(crate) fn require_may_make(&self, before: &[Role], after: &[Role]) -> Result<(), IdentityError> {
        let is_owner = self.0.contains(&Role::Owner);
        let touches_owner = before.contains(&Role::Owner) || after.contains(&Role::Owner);
        let administers = is_owner || self.0.contains(&Role::Admin);
        if administers && (is_owner || !touches_owner) { Ok(()) } else { Err(IdentityError::OwnerRequired) }
    }

    /// Refuses roles that give oneself more than one has.
    fn require_no_rise(&self, wanted: &[Role]) -> Result<(), IdentityError> {
        let has = |role: &Role| match role {
            Role::Owner => self.0.contains(role),
            _ => self.0.contains(role) || self.0.contains(&Role::Owner) || self.0.contains(&Role::Admin),
        };
        if wanted.iter().all(has) { Ok(()) } else { Err(IdentityError::OwnRoles) }
    }
}

#[cfg(test)]
mod tests {
    use Role::{Admin, Dentist, Nurse, Owner};

    use super::*;

    #[test]
    fn only_an_owner_makes_and_unmakes_owners() {
        let check = |actor: &[Role], before: &[Role], after: &[Role], allowed: bool| {
            let made = ActorRoles(actor.to_vec()).require_may_make(before, after);
            assert_eq!(made.is_ok(), allowed, "{actor:?} {before:?} {after:?}");
        };
        check(&[Owner], &[Owner], &[Nurse], true);
        check(&[Owner], &[], &[Owner], true);
        check(&[Admin], &[Nurse], &[Admin, Dentist], true);
        check(&[Admin], &[Admin], &[], true);
        check(&[Admin], &[Owner], &[Owner, Nurse], false);
        check(&[Admin], &[Nurse], &[Owner], false);
        check(&[Admin], &[Owner], &[], false);
        check(&[Nurse], &[Nurse], &[Dentist], false);
        check(&[], &[Nurse], &[], false);
    }

    #[test]
    fn nobody_rises_by_their_own_hand() {
        let check = |actor: &[Role], wanted: &[Role], allowed: bool| {
            let made = ActorRoles(actor.to_vec()).require_no_rise(wanted);
            assert_eq!(made.is_ok(), allowed, "{actor:?} {wanted:?}");
        };
        check(&[Owner], &[Owner, Admin, Dentist], true);
        check(&[Admin], &[Admin, Dentist], true);
        check(&[Admin], &[Nurse], true);
        check(&[Admin], &[Owner], false);
        check(&[Nurse], &[Nurse], true);
        check(&[Nurse], &[Nurse, Dentist], false);
        check(&[Nurse], &[Admin], false);
    }
}
