//! Tells the domain whose accounts belong to a clinic.

use async_trait::async_trait;
use clinicx_core::{CoreError, staff::Accounts};
use clinicx_identity::{IdentityError, membership};
use clinicx_persistence::{Failure, FailureKind, SystemConnection};
use clinicx_types::id::{TenantId, UserId};

/// The memberships of the system schema, read with the application's login.
#[derive(Clone)]
pub struct Memberships(pub SystemConnection);

#[async_trait]
impl Accounts for Memberships {
    async fn is_member(&self, tenant: TenantId, user: UserId) -> Result<bool, CoreError> {
        let roles = membership::roles_of(&self.0, user, tenant).await.map_err(|error| match error {
            IdentityError::Database(failure) => CoreError::Database(failure),
            // Reading the roles refuses nothing else.
            _ => {
                CoreError::Database(Failure { kind: FailureKind::Internal, sqlstate: None, constraint: None })
            }
        })?;
        Ok(!roles.is_empty())
    }
}
