//! How much of the pool one tenant may hold at a time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use clinicx_types::id::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The shares of all tenants that use the pool now, and of no other: the map holds what somebody else keeps.
pub(crate) struct Shares {
    usual: usize,
    workers: usize,
    tenants: Mutex<HashMap<TenantId, Weak<Share>>>,
}

impl Shares {
    pub(super) fn new(share: f64, workers: u32) -> Self {
        let most = share * f64::from(workers);
        let limit = (1..=workers).take_while(|count| f64::from(*count) <= most).last().unwrap_or(1);
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        Self { usual: count(limit), workers: count(workers), tenants: Mutex::default() }
    }

    /// Returns the share of a tenant: its own, or the usual one. When it has changed it is a new one: what is still
    /// out of the old one comes back beside it.
    pub(crate) fn of(self: &Arc<Self>, tenant: TenantId, own: Option<u32>) -> Arc<Share> {
        let limit = match own {
            Some(own) => usize::try_from(own).unwrap_or(usize::MAX).clamp(1, self.workers.max(1)),
            None => self.usual,
        };
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = tenants.get(&tenant).and_then(Weak::upgrade).filter(|share| share.limit == limit)
        {
            return share;
        }
        let permits = Arc::new(Semaphore::new(limit));
        let share = Arc::new(Share { tenant, limit, permits, home: Arc::clone(self) });
        tenants.insert(tenant, Arc::downgrade(&share));
        share
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.tenants.lock().unwrap().len()
    }
}

/// The share of one tenant.
pub(crate) struct Share {
    tenant: TenantId,
    limit: usize,
    permits: Arc<Semaphore>,
    home: Arc<Shares>,
}

/// A part of a share; as long as one is out, the share is the same for everybody.
pub(super) struct SharePermit {
    _permit: OwnedSemaphorePermit,
    _share: Arc<Share>,
}

impl Share {
    pub(super) fn take_at_once(self: &Arc<Self>) -> Option<SharePermit> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(SharePermit { _permit: permit, _share: Arc::clone(self) })
    }

    pub(super) async fn take(self: &Arc<Self>) -> Option<SharePermit> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        Some(SharePermit { _permit: permit, _share: Arc::clone(self) })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut tenants = self.home.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        // Another share of the same tenant may have been made since the last user of this one left.
        if tenants.get(&self.tenant).is_some_and(|share| share.strong_count() == 0) {
            tenants.remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_part_of_the_pool_and_never_nothing() {
        let check = |share: f64, workers: u32, expected: usize| {
            assert_eq!(Shares::new(share, workers).usual, expected, "{share} of {workers}");
        };
        check(0.5, 10, 5);
        check(0.5, 5, 2);
        check(0.01, 10, 1);
        check(0.0, 10, 1);
        check(-1.0, 10, 1);
        check(f64::NAN, 10, 1);
        check(1.0, 10, 10);
        check(7.0, 10, 10);
    }

    #[test]
    fn only_tenants_that_use_the_pool_are_remembered() {
        let shares = Arc::new(Shares::new(0.1, 10));
        let tenant = TenantId::new(uuid::Uuid::from_u128(1));
        let share = shares.of(tenant, None);
        let permit = share.take_at_once().unwrap();
        drop(share);
        assert!(shares.of(tenant, None).take_at_once().is_none(), "the permit is still out");
        drop(permit);
        assert_eq!(shares.len(), 0);
        assert!(shares.of(tenant, None).take_at_once().is_some());
    }

    #[test]
    fn a_tenant_may_have_a_share_of_its_own() {
        let shares = Arc::new(Shares::new(0.5, 10));
        let check = |number: u128, own: Option<u32>, expected: usize| {
            let share = shares.of(TenantId::new(uuid::Uuid::from_u128(number)), own);
            let taken: Vec<_> = std::iter::from_fn(|| share.take_at_once()).collect();
            assert_eq!(taken.len(), expected, "{own:?}");
        };
        check(1, None, 5);
        check(2, Some(2), 2);
        check(3, Some(0), 1);
        check(4, Some(1000), 10);
        check(1, Some(3), 3);
    }
}
