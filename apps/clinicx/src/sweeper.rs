//! What the service removes by itself: what has expired. [`crate::jobs`] says when.

use clinicx_core::{CoreError, appointment};
use clinicx_keys::KeyError;
use clinicx_persistence::{Failure, FailureKind, TenantScope};
use clinicx_tenancy::{
    Tenant, TenantStatus,
    registry::{self, TenantFilter},
};
use clinicx_types::permission::PermissionSet;

use crate::wiring::Platform;

/// How many holds one transaction cancels.
const HOLDS_BATCH: u64 = 100;
/// How many batches a clinic gets in one round, so that one does not keep the others waiting.
const HOLDS_BATCHES: u32 = 10;

/// Cancels the expired holds of every active clinic, one clinic after the other, and returns how many there were.
///
/// One clinic's failure does not hold up the others.
///
/// # Errors
/// The registry can't be read.
pub async fn expire_holds(platform: &Platform) -> anyhow::Result<u64> {
    let mut all = 0_u64;
    for tenant in served(platform).await? {
        match expire_holds_of(platform, &tenant).await {
            Ok(expired) => all = all.saturating_add(expired),
            // Suspended since the registry was read.
            Err(HoldsError::Database(failure)) if failure.kind == FailureKind::Fenced => {}
            Err(error) => {
                tracing::warn!(tenant.slug = %tenant.slug, %error, "expired holds could not be cancelled");
            }
        }
    }
    Ok(all)
}

/// Removes the expired answers that are kept in the schemas of the active clinics, and returns how many there were.
///
/// One clinic's failure does not hold up the others.
///
/// # Errors
/// The registry can't be read.
pub async fn remove_kept_answers(platform: &Platform) -> anyhow::Result<u64> {
    let mut all = 0_u64;
    for tenant in served(platform).await? {
        let now = scope(&tenant, "remove kept answers").now();
        match clinicx_web::Kit::sweep_tenant(&platform.cluster.tenant(tenant.target()), now).await {
            Ok(removed) => all = all.saturating_add(removed),
            // Suspended since the registry was read.
            Err(error) if error.failure_kind() == Some(FailureKind::Fenced) => {}
            Err(error) => {
                tracing::warn!(tenant.slug = %tenant.slug, %error, "a clinic's expired answers could not be removed");
            }
        }
    }
    Ok(all)
}

/// Returns the clinics that are served.
async fn served(platform: &Platform) -> anyhow::Result<Vec<Tenant>> {
    let filter = TenantFilter { status: Some(TenantStatus::Active), ..TenantFilter::default() };
    let mut tenants = registry::list_all(&platform.app, &filter).await?;
    tenants.retain(|tenant| platform.resolver.require_served(tenant).is_ok());
    Ok(tenants)
}

/// The service itself at work in a clinic.
fn scope(tenant: &Tenant, job: &'static str) -> TenantScope {
    TenantScope::system(
        tenant.id,
        tenant.slug.clone(),
        (tenant.time_zone, tenant.currency, &tenant.locale),
        job,
        PermissionSet::default(),
    )
    .named(&tenant.name)
}

/// Why the holds of a clinic were not cancelled.
#[derive(Debug, thiserror::Error)]
enum HoldsError {
    #[error(transparent)]
    Database(#[from] Failure),
    #[error(transparent)]
    Core(CoreError),
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl From<CoreError> for HoldsError {
    fn from(error: CoreError) -> Self {
        match error {
            CoreError::Database(failure) => Self::Database(failure),
            other => Self::Core(other),
        }
    }
}

async fn expire_holds_of(platform: &Platform, tenant: &Tenant) -> Result<u64, HoldsError> {
    let scope = scope(tenant, "expire holds");
    let connection = platform.cluster.tenant(tenant.target());
    // Most have none, and their keys are not needed.
    if !appointment::any_hold_expired(&connection, &scope).await? {
        return Ok(0);
    }
    let mut all = 0_u64;
    for _ in 0..HOLDS_BATCHES {
        let cipher = platform.keyring.refreshed(tenant.id).await?;
        let tx = connection.begin().await.map_err(Failure::from)?;
        let expired = match appointment::expire_holds(&tx, &scope, &cipher, HOLDS_BATCH).await {
            Ok(expired) => expired,
            Err(error) => {
                // The reason for the roll-back is what counts; a failed one closes the connection.
                let _rolled_back = tx.rollback().await;
                return Err(error.into());
            }
        };
        tx.commit().await.map_err(Failure::from)?;
        all = all.saturating_add(expired);
        if expired < HOLDS_BATCH {
            break;
        }
    }
    if all > 0 {
        tracing::info!(tenant.slug = %tenant.slug, holds = all, "expired holds were cancelled");
    }
    Ok(all)
}
