//! Closes idle connections in time, and keeps some open.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::Instant;

use super::{Pool, lease::Hold, lease::Lease};

const SHORTEST_ROUND: Duration = Duration::from_millis(20);
const LONGEST_ROUND: Duration = Duration::from_secs(5);

/// Starts the task, which ends with the pool.
pub(super) fn start(pool: &Arc<Pool>) {
    let limits = &pool.settings.limits;
    let round = limits.idle_timeout.min(limits.max_lifetime) / 4;
    let round = round.clamp(SHORTEST_ROUND, LONGEST_ROUND);
    tokio::spawn(run(Arc::downgrade(pool), round));
}

async fn run(pool: Weak<Pool>, round: Duration) {
    loop {
        let Some(pool) = pool.upgrade().filter(|pool| !pool.is_closed()) else { return };
        pool.retire_old();
        pool.fill_up().await;
        drop(pool);
        tokio::time::sleep(round).await;
    }
}

impl Pool {
    /// Closes what has been open for too long, and what has been idle for too long above the minimum.
    fn retire_old(&self) {
        let now = Instant::now();
        let mut old = Vec::new();
        {
            let mut idle = self.idle();
            let least = usize::try_from(self.settings.limits.min_connections).unwrap_or(usize::MAX);
            let mut spare = self.open_connections().saturating_sub(least);
            // The longest idle one comes first.
            idle.sort_by_key(|idle| idle.connection.parked);
            let mut kept = Vec::with_capacity(idle.capacity());
            for one in idle.drain(..) {
                let idle_for = now.saturating_duration_since(one.connection.parked);
                let is_spare = spare > 0 && idle_for >= self.settings.limits.idle_timeout;
                if one.connection.expires <= now || is_spare {
                    spare = spare.saturating_sub(1);
                    old.push(one);
                } else {
                    kept.push(one);
                }
            }
            *idle = kept;
        }
        old.into_iter().for_each(|idle| self.retire(idle));
    }

    /// Opens connections up to the minimum, as far as nobody else needs the places.
    async fn fill_up(self: &Arc<Self>) {
        let least = usize::try_from(self.settings.limits.min_connections).unwrap_or(usize::MAX);
        while self.open_connections() < least && !self.is_closed() {
            let Ok(work) = Arc::clone(&self.work).try_acquire_owned() else { return };
            let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else { return };
            let Ok(opened) = self.settings.connector.open(None).await else { return };
            self.stats.opened();
            let (connection, backend) = self.adopt(opened, None);
            let hold = Hold { backend, ..Hold::leased(slot, work, None) };
            Lease::new(Arc::clone(self), connection, hold).park_unchanged();
        }
    }

    fn open_connections(&self) -> usize {
        usize::try_from(self.workers).unwrap_or(usize::MAX).saturating_sub(self.slots.available_permits())
    }
}
