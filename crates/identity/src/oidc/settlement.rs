//! What an issuer grants and takes away, brought in line with what is here.
//!
//! What an issuer grants becomes a membership like any other, with a note of what it was
//! ([`super::store::Grant`]). The note settles who rules: roles that are still those of the note are the issuer's to
//! change and to take away; roles that somebody has changed here are not; a membership that is gone although the note
//! is there was taken away here, and the issuer can't bring it back.

use clinicx_persistence::SystemTransaction;
use clinicx_types::{error::DomainError, id::TenantId, permission::Role};
use serde_json::json;

use super::{
    admission::{Arrival, record},
    store::{self, Grant, Known},
};
use crate::{error::IdentityError, member, membership, platform_user, scope::IdentityScope};

/// Brings the account in line with what the claims say of operators, and tells whether it acts as one.
pub(super) async fn settle_operator(
    tx: &SystemTransaction,
    scope: &IdentityScope,
    arrival: &Arrival<'_>,
    known: &Known,
) -> Result<bool, IdentityError> {
    let operates = arrival.operates();
    let outdated = known.claimed_at.is_some_and(|newest| arrival.basics.issued_at < newest);
    match (operates, known.operator_granted, known.is_operator) {
        (true, _, true) => Ok(true),
        // Granted once and gone: it was taken away here.
        (true, true, false) => Ok(false),
        (true, false, false) if outdated => Ok(false),
        (true, false, false) => {
            store::set_operator(tx, known.id, known.user_id, true, scope.now()).await?;
            record(tx, scope, "user.operator_granted", known.user_id, None, json!({ "is_operator": true }))
                .await?;
            Ok(true)
        }
        (false, true, was) if !outdated => {
            store::set_operator(tx, known.id, known.user_id, false, scope.now()).await?;
            if was {
                // What rested on the right must not come back with it.
                let ended = platform_user::end_operations(tx, scope, known.user_id).await?;
                let after = json!({ "is_operator": false, "sessions_ended": ended.len() });
                record(tx, scope, "user.operator_revoked", known.user_id, None, after).await?;
            }
            Ok(false)
        }
        (false, _, _) => Ok(false),
    }
}

/// Brings the membership in line with what the claims say of roles, as far as that is the issuer's to say, and tells
/// whether there is one. The last owner who can log in stays what they are, whatever the issuer says; an audit row
/// tells of it.
pub(super) async fn settle_roles(
    tx: &SystemTransaction,
    scope: &IdentityScope,
    arrival: &Arrival<'_>,
    known: &Known,
    tenant: TenantId,
) -> Result<bool, IdentityError> {
    let user = known.user_id;
    let mut current = membership::roles_of(tx, user, tenant).await?;
    current.sort_unstable();
    if arrival.provider.settings.roles.is_none() {
        return Ok(!current.is_empty());
    }
    let grant = Grant { roles: arrival.roles(), claimed_at: arrival.basics.issued_at };
    let last = store::grant_of(tx, user, tenant).await?;
    let unmakes = current.contains(&Role::Owner) && !grant.roles.contains(&Role::Owner);
    let mut is_last_owner = false;
    if unmakes {
        let locked = member::lock(tx, tenant, [None, Some(user)]).await?;
        is_last_owner = locked.require_other_owner(user).is_err();
        current = membership::roles_of(tx, user, tenant).await?;
        current.sort_unstable();
    }
    match (current.is_empty(), last) {
        (true, Some(_)) => Ok(false),
        (true, None) if grant.roles.is_empty() => Ok(false),
        (true, None) => give(tx, scope, known, tenant, &grant).await.map(|()| true),
        (false, Some(last)) if last.roles == current && last.claimed_at <= grant.claimed_at => {
            if is_last_owner {
                let after =
                    json!({ "reason": IdentityError::LastOwner.code(), "claimed_roles": grant.roles });
                record(tx, scope, "membership.kept", user, Some(tenant), after).await?;
                return Ok(true);
            }
            if grant.roles.is_empty() {
                membership::revoke(tx, scope, tenant, user).await?;
                store::forget_grant(tx, user, tenant).await?;
                return Ok(false);
            }
            give(tx, scope, known, tenant, &grant).await.map(|()| true)
        }
        // Somebody here has decided, or a newer token has spoken.
        (false, _) => Ok(true),
    }
}

async fn give(
    tx: &SystemTransaction,
    scope: &IdentityScope,
    known: &Known,
    tenant: TenantId,
    grant: &Grant,
) -> Result<(), IdentityError> {
    membership::grant(tx, scope, tenant, known.user_id, &grant.roles).await?;
    Ok(store::set_grant(tx, known.id, (known.user_id, tenant), grant).await?)
}
