//! Which accounts belong to the clinic: asked of the application, because a tenant's role reads no account.

use async_trait::async_trait;
use clinicx_types::id::{TenantId, UserId};

use super::entity::Model;
use crate::error::CoreError;

/// Knows whose accounts belong to a tenant.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Tells whether the account is there and a member of the tenant. The answer is the same "no" for an account
    /// of another tenant and for one that does not exist.
    ///
    /// # Errors
    /// [`CoreError::Database`] when that can't be found out.
    async fn is_member(&self, tenant: TenantId, user: UserId) -> Result<bool, CoreError>;
}

/// A clinic without accounts: nobody is a member. For programs that keep none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAccounts;

#[async_trait]
impl Accounts for NoAccounts {
    async fn is_member(&self, _: TenantId, _: UserId) -> Result<bool, CoreError> {
        Ok(false)
    }
}

/// Refuses an account that is not a member's, unless the member of staff has had it before.
pub(super) async fn check(
    accounts: &dyn Accounts,
    tenant: TenantId,
    wanted: Option<UserId>,
    before: Option<&Model>,
) -> Result<(), CoreError> {
    let new = wanted.filter(|user| before.and_then(|row| row.user_id) != Some(user.uuid()));
    match new {
        Some(user) if !accounts.is_member(tenant, user).await? => Err(CoreError::invalid(
            "/user_id",
            "not_a_member",
            "must be the account of a user of this clinic",
        )),
        _ => Ok(()),
    }
}
