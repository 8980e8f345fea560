//! How many requests of one tenant run at a time.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use clinicx_types::id::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many requests of one tenant run, and how many more wait for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotOptions {
    /// How many run at a time; 0 is without limit.
    pub running: u32,
    /// How many more wait, first come, first served.
    pub waiting: u32,
    /// How long one waits.
    pub patience: Duration,
}

impl SlotOptions {
    /// No limit.
    pub const UNLIMITED: Self = Self { running: 0, waiting: 0, patience: Duration::ZERO };
}

/// As many run and wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The slots of all tenants that use some now, and of no other: the map holds what somebody else keeps.
#[derive(Default)]
pub(crate) struct Slots(Arc<Map>);

type Map = Mutex<HashMap<TenantId, Weak<Line>>>;

/// The slots of one tenant and those who wait for one.
struct Line {
    tenant: TenantId,
    running: u32,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    home: Arc<Map>,
}

/// The right to run, until it is dropped.
pub(crate) struct Slot {
    _permit: OwnedSemaphorePermit,
    _line: Arc<Line>,
}

impl Slots {
    /// Waits for a slot; without a limit there is none to wait for.
    pub(crate) async fn take(&self, tenant: TenantId, options: SlotOptions) -> Result<Option<Slot>, Full> {
        if options.running == 0 {
            return Ok(None);
        }
        let line = self.line(tenant, options.running);
        if let Ok(permit) = Arc::clone(&line.permits).try_acquire_owned() {
            return Ok(Some(Slot { _permit: permit, _line: line }));
        }
        let _waiting = Waiting::begin(&line, options.waiting).ok_or(Full)?;
        let permit = Arc::clone(&line.permits).acquire_owned();
        match tokio::time::timeout(options.patience, permit).await {
            Ok(Ok(permit)) => Ok(Some(Slot { _permit: permit, _line: Arc::clone(&line) })),
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }

    /// Returns the line of a tenant. When the number of its slots has changed it is a new one: what still runs from
    /// the old one ends beside it.
    fn line(&self, tenant: TenantId, running: u32) -> Arc<Line> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(&tenant).and_then(Weak::upgrade).filter(|line| line.running == running)
        {
            return line;
        }
        let permits = usize::try_from(running).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        let line = Arc::new(Line {
            tenant,
            running,
            permits: Arc::new(Semaphore::new(permits)),
            waiting: AtomicUsize::new(0),
            home: Arc::clone(&self.0),
        });
        lines.insert(tenant, Arc::downgrade(&line));
        line
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut lines = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        // Another line of the same tenant may have been made since the last user of this one left.
        if lines.get(&self.tenant).is_some_and(|line| line.strong_count() == 0) {
            lines.remove(&self.tenant);
        }
    }
}

/// One who waits, until it is dropped.
struct Waiting<'a>(&'a Line);

impl<'a> Waiting<'a> {
    fn begin(line: &'a Line, most: u32) -> Option<Self> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let add = |waiting: usize| (waiting < most).then(|| waiting.saturating_add(1));
        line.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Self(line))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use clinicx_types::uuid::Uuid;
    use futures_util::{FutureExt, poll};

    use super::*;

    const OPTIONS: SlotOptions = SlotOptions { running: 2, waiting: 1, patience: Duration::from_secs(60) };

    fn tenant(number: u128) -> TenantId {
        TenantId::new(Uuid::from_u128(number))
    }

    fn at_once(slots: &Slots, number: u128) -> Option<Result<Option<Slot>, Full>> {
        slots.take(tenant(number), OPTIONS).now_or_never()
    }

    #[tokio::test]
    async fn so_many_run_so_many_wait_and_the_rest_is_refused() {
        let slots = Slots::default();
        let first = slots.take(tenant(1), OPTIONS).await.unwrap();
        let _second = slots.take(tenant(1), OPTIONS).await.unwrap();
        let mut third = Box::pin(slots.take(tenant(1), OPTIONS));
        assert!(poll!(&mut third).is_pending());
        assert!(matches!(at_once(&slots, 1), Some(Err(Full))));
        assert!(matches!(at_once(&slots, 2), Some(Ok(Some(_)))), "another tenant has its own");
        drop(first);
        assert!(third.await.unwrap().is_some());
    }

    #[tokio::test]
    async fn the_place_of_one_who_gives_up_is_free() {
        let slots = Slots::default();
        let _first = slots.take(tenant(1), OPTIONS).await.unwrap();
        let second = slots.take(tenant(1), OPTIONS).await.unwrap();
        let mut gives_up = Box::pin(slots.take(tenant(1), OPTIONS));
        assert!(poll!(&mut gives_up).is_pending());
        drop(gives_up);
        let mut waits = Box::pin(slots.take(tenant(1), OPTIONS));
        assert!(poll!(&mut waits).is_pending());
        drop(second);
        assert!(waits.await.unwrap().is_some());
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_allowed() {
        let slots = Slots::default();
        let _first = slots.take(tenant(1), OPTIONS).await.unwrap();
        let _second = slots.take(tenant(1), OPTIONS).await.unwrap();
        let hasty = SlotOptions { patience: Duration::from_millis(5), ..OPTIONS };
        assert!(slots.take(tenant(1), hasty).await.is_err());
    }

    #[tokio::test]
    async fn only_tenants_that_use_slots_are_remembered() {
        let slots = Slots::default();
        let slot = slots.take(tenant(1), OPTIONS).await.unwrap();
        let more = SlotOptions { running: 3, ..OPTIONS };
        let other = slots.take(tenant(1), more).await.unwrap();
        drop(slot);
        assert_eq!(slots.0.lock().unwrap().len(), 1);
        drop(other);
        assert_eq!(slots.0.lock().unwrap().len(), 0);
        let free = slots.take(tenant(1), SlotOptions::UNLIMITED).await.unwrap();
        assert!(free.is_none());
    }
}
