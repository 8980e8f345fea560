//! Accounts as operators of the platform see and change them.

use clinicx_persistence::{SystemExecutor, SystemTransaction};
use clinicx_types::id::{SessionId, UserId};
use sea_orm::{FromQueryResult, raw_sql};
use serde_json::json;

use crate::{
    audit, break_glass,
    error::IdentityError,
    identity::{Identity, settle},
    scope::IdentityScope,
    session::{self, End},
    user::{self, User},
};

impl Identity {
    /// Disables an account: nobody can log in to it, and its sessions and break-glass grants end. An operator may shut a
    /// clinic's last owner out, whose tenant has a row of it. Writes audit rows.
    ///
    /// # Errors
    /// [`IdentityError::NotFound`], [`IdentityError::Stale`], [`IdentityError::OwnAccount`],
    /// [`IdentityError::LastOperator`].
    pub async fn disable_user(
        &self,
        scope: &IdentityScope,
        id: UserId,
        expected: Option<i64>,
    ) -> Result<User, IdentityError> {
        refuse_oneself(scope, id)?;
        let tx = self.app.begin().await?;
        let result = async {
            require_other_operator(&tx, scope, id).await?;
            let alive = session::alive_of(&tx, id).await?;
            let user = user::disable(&tx, scope, id, expected).await?;
            break_glass::end_without_session(&tx, scope, id).await?;
            Ok((user, alive))
        }
        .await;
        let (user, ended) = settle(tx, result).await?;
        self.principals.end(&ended).await;
        Ok(user)
    }

    /// Enables an account again. Writes an audit row.
    ///
    /// # Errors
    /// [`IdentityError::NotFound`], [`IdentityError::Stale`].
    pub async fn enable_user(
        &self,
        scope: &IdentityScope,
        id: UserId,
        expected: Option<i64>,
    ) -> Result<User, IdentityError> {
        let tx = self.app.begin().await?;
        let result = user::enable(&tx, scope, id, expected).await;
        settle(tx, result).await
    }

    /// Makes somebody an operator of the platform. Writes an audit row; doing it twice changes nothing.
    ///
    /// # Errors
    /// [`IdentityError::NotFound`], [`IdentityError::Stale`].
    pub async fn grant_operator(
        &self,
        scope: &IdentityScope,
        id: UserId,
        expected: Option<i64>,
    ) -> Result<User, IdentityError> {
        let tx = self.app.begin().await?;
        let result = set_operator(&tx, scope, id, (true, expected)).await;
        settle(tx, result).await
    }

    /// Takes the right to operate the platform away, and ends the sessions that rest on it and the break-glass grants
    /// with theirs. Writes an audit row of each; doing it twice changes nothing.
    ///
    /// # Errors
    /// [`IdentityError::NotFound`], [`IdentityError::Stale`], [`IdentityError::OwnAccount`],
    /// [`IdentityError::LastOperator`].
    pub async fn revoke_operator(
        &self,
        scope: &IdentityScope,
        id: UserId,
        expected: Option<i64>,
    ) -> Result<User, IdentityError> {
        refuse_oneself(scope, id)?;
        let tx = self.app.begin().await?;
        let result: Result<(User, Vec<SessionId>), IdentityError> = async {
            require_other_operator(&tx, scope, id).await?;
            let user = set_operator(&tx, scope, id, (false, expected)).await?;
            let ended = end_operations(&tx, scope, id).await?;
            Ok((user, ended))
        }
        .await;
        let (user, ended) = settle(tx, result).await?;
        self.principals.end(&ended).await;
        Ok(user)
    }
}

/// Ends what rests on an account's right to operate: its break-glass grants with theirs and its other sessions on the
/// platform. Returns the sessions that were alive. Writes an audit row for each grant.
pub(crate) async fn end_operations(
    tx: &SystemTransaction,
    scope: &IdentityScope,
    id: UserId,
) -> Result<Vec<SessionId>, IdentityError> {
    let mut ended = break_glass::end_all_of(tx, scope, id).await?;
    ended.extend(session::end_operators(tx, id, End::OperatorRevoked, scope.now()).await?);
    Ok(ended)
}

/// An operator can't shut the own door from inside: another one does.
fn refuse_oneself(scope: &IdentityScope, id: UserId) -> Result<(), IdentityError> {
    if scope.actor.user_id() == Some(id) { Err(IdentityError::OwnAccount) } else { Ok(()) }
}

#[derive(FromQueryResult)]
struct Operator {
    id: UserId,
}

/// Locks every operator, in one order for everybody: of two who unmake each other one is too late.
async fn require_other_operator(
    tx: &SystemTransaction,
    scope: &IdentityScope,
    subject: UserId,
) -> Result<(), IdentityError> {
    let operators: Vec<Operator> = tx
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT id
               FROM public.users
               WHERE is_operator AND disabled_at IS NULL
               ORDER BY id
               FOR NO KEY UPDATE"#
        ))
        .await?;
    let is_operator = |id: UserId| operators.iter().any(|operator| operator.id == id);
    if !is_operator(subject) {
        return Ok(());
    }
    // The actor may have been unmade while this waited for the rows.
    let actor_stands = scope.actor.user_id().is_none_or(is_operator);
    let others = operators.iter().any(|operator| operator.id != subject);
    if actor_stands && others { Ok(()) } else { Err(IdentityError::LastOperator) }
}

async fn set_operator(
    tx: &SystemTransaction,
    scope: &IdentityScope,
    id: UserId,
    (is_operator, expected): (bool, Option<i64>),
) -> Result<User, IdentityError> {
    let found = user::find_by_id(tx, id).await?.ok_or(IdentityError::NotFound { thing: "user" })?;
    if expected.is_some_and(|expected| expected != found.version) {
        return Err(IdentityError::Stale { thing: "user" });
    }
    if found.is_operator == is_operator {
        return Ok(found);
    }
    let (now, version) = (scope.now(), found.version);
    let changed: Option<User> = tx
        .query_one(raw_sql!(
            Postgres,
            r#"UPDATE public.users
               SET is_operator = {is_operator}, version = version + 1, updated_at = {now}
               WHERE id = {id} AND version = {version}
               RETURNING id, email, full_name, is_operator, password_hash IS NOT NULL AS has_password, disabled_at,
                         last_login_at, version, created_at, updated_at"#
        ))
        .await?;
    let user = changed.ok_or(IdentityError::Stale { thing: "user" })?;
    let entry = audit::Entry {
        action: if is_operator { "user.operator_granted" } else { "user.operator_revoked" },
        entity: "user",
        entity_id: Some(id.uuid()),
        tenant: None,
        before: Some(json!({ "is_operator": !is_operator })),
        after: Some(json!({ "is_operator": is_operator })),
    };
    audit::record(tx, scope, entry).await?;
    Ok(user)
}
