//! The pool of connections, each tagged with whom it served last.
//!
//! **Invariants.** A connection is handed out again only when the server has confirmed that it is idle and
//! outside of a transaction ([`lease`]). Any other end closes it and ends its backend ([`reaper`]); only when
//! that backend has gone may another take its place, so that connections never exceed the maximum and a storm
//! of cancellations never becomes a storm of connections.
//!
//! A caller needs a *permit* of its tenant's share, then a permit to work (both first come, first served), then
//! a connection: an idle one, or a new one in a free *slot*. There are as many slots as permits to work; each
//! open connection holds one until its backend has gone.

mod choice;
mod lease;
mod open;
mod reaper;
mod share;
mod stats;
mod upkeep;

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sea_orm::ConnAcquireErr;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

pub(crate) use self::{
    lease::Lease,
    open::{Connector, Door, OpenError},
    share::{Share, Shares},
};
use self::{
    lease::{Connection, Hold},
    reaper::Reaper,
    share::SharePermit,
    stats::Stats,
};
use crate::{
    cluster::PoolStats,
    options::{ApplyMode, PoolOptions},
    subject::{Subject, Terms},
    trouble::Trouble,
};

/// Everything that a pool is told.
pub(crate) struct Settings {
    pub(crate) connector: Connector,
    pub(crate) mode: ApplyMode,
    pub(crate) terms: Terms,
    pub(crate) limits: PoolOptions,
    /// Whether each connection is looked at before it goes back; for logins that may call `set_config`.
    pub(crate) inspect: bool,
}

/// A pool of connections to one cluster with one login.
pub(crate) struct Pool {
    pub(crate) settings: Settings,
    pub(crate) stats: Arc<Stats>,
    pub(crate) shares: Arc<Shares>,
    idle: Mutex<Vec<Idle>>,
    work: Arc<Semaphore>,
    slots: Arc<Semaphore>,
    workers: u32,
    reaper: Reaper,
    /// Connections live on the runtime that made the pool, whoever uses them.
    runtime: Handle,
    /// When a connection was last found dead: those parked before are tried out before they are used.
    suspect_since: Mutex<Option<Instant>>,
    closed: AtomicBool,
}

/// A connection that nobody uses, and what it holds until its backend has gone.
struct Idle {
    connection: Box<Connection>,
    hold: Hold,
}

/// How long closing waits for what runs.
const CLOSE_WORK_WITHIN: Duration = Duration::from_secs(5);
/// How long closing then waits for the backends to go; a server that is away never says that they have.
const CLOSE_CONNECTIONS_WITHIN: Duration = Duration::from_secs(3);
/// After so long unused, a connection is tried out before it is used.
const TRY_OUT_AFTER: Duration = Duration::from_secs(60);

impl Pool {
    /// Makes a pool around its first connection.
    pub(crate) async fn start(mut settings: Settings) -> Result<Arc<Self>, OpenError> {
        let reaps = settings.connector.door() == Door::Direct;
        // One connection is the reaper's.
        settings.limits.max_connections = settings.limits.max_connections.max(if reaps { 2 } else { 1 });
        let workers = settings.limits.max_connections - u32::from(reaps);
        let permits = usize::try_from(workers).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        let stats = Arc::new(Stats::default());
        let first = settings.connector.open(None).await?;
        let reaper =
            if reaps { Reaper::start(&settings.connector, &stats, &first).await? } else { Reaper::none() };
        let pool = Arc::new(Self {
            shares: Arc::new(Shares::new(settings.limits.tenant_share, workers)),
            idle: Mutex::new(Vec::with_capacity(permits.min(1024))),
            work: Arc::new(Semaphore::new(permits)),
            slots: Arc::new(Semaphore::new(permits)),
            workers,
            reaper,
            runtime: Handle::current(),
            suspect_since: Mutex::new(None),
            closed: AtomicBool::new(false),
            stats,
            settings,
        });
        if let Ok(slot) = Arc::clone(&pool.slots).try_acquire_owned() {
            pool.stats.opened();
            let (connection, backend) = pool.adopt(first, None);
            pool.park(connection, Hold::idle(backend, slot));
        }
        upkeep::start(&pool);
        Ok(pool)
    }

    /// Takes a connection for somebody; nothing has been applied to it yet.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        subject: &Arc<Subject>,
        share: Option<&Arc<Share>>,
    ) -> Result<Lease, Trouble> {
        let deadline = Instant::now() + self.settings.limits.acquire_timeout;
        self.check_open()?;
        let (share, work) = match self.permits_at_once(share) {
            Some(permits) => permits,
            None => {
                let permits = self.wait_for_permits(share, deadline).await?;
                self.check_open()?;
                permits
            }
        };
        self.connect(subject, work, share, deadline).await
    }

    fn check_open(&self) -> Result<(), Trouble> {
        if self.is_closed() { Err(Trouble::Acquire(ConnAcquireErr::ConnectionClosed)) } else { Ok(()) }
    }

    fn permits_at_once(
        &self,
        share: Option<&Arc<Share>>,
    ) -> Option<(Option<SharePermit>, OwnedSemaphorePermit)> {
        let share = match share {
            Some(share) => Some(share.take_at_once()?),
            None => None,
        };
        let work = Arc::clone(&self.work).try_acquire_owned().ok()?;
        Some((share, work))
    }

    async fn wait_for_permits(
        &self,
        share: Option<&Arc<Share>>,
        deadline: Instant,
    ) -> Result<(Option<SharePermit>, OwnedSemaphorePermit), Trouble> {
        let _waiting = self.stats.waiting();
        let permits = async {
            let share = match share {
                Some(share) => Some(share.take().await?),
                None => None,
            };
            let work = Arc::clone(&self.work).acquire_owned().await.ok()?;
            Some((share, work))
        };
        self.in_time(deadline, permits).await?.ok_or(Trouble::Acquire(ConnAcquireErr::ConnectionClosed))
    }

    async fn in_time<T>(&self, deadline: Instant, work: impl Future<Output = T>) -> Result<T, Trouble> {
        tokio::time::timeout_at(deadline, work).await.map_err(|_| {
            self.stats.acquire_timed_out();
            Trouble::Acquire(ConnAcquireErr::Timeout)
        })
    }

    /// Puts a connection back that the server has confirmed to be clean.
    fn park(&self, mut connection: Box<Connection>, mut hold: Hold) {
        let now = Instant::now();
        let permits = hold.release_permits();
        if self.is_closed() || connection.expires <= now {
            self.stats.retired();
            drop(connection);
            self.reaper.bury(hold, false);
        } else {
            connection.parked = now;
            self.idle().push(Idle { connection, hold });
        }
        // Only now may the next caller look for a connection.
        drop(permits);
    }

    /// Closes an idle connection.
    fn retire(&self, idle: Idle) {
        self.stats.retired();
        drop(idle.connection);
        self.reaper.bury(idle.hold, false);
    }

    /// Notes that a connection was found dead, as others may be.
    pub(crate) fn suspect(&self) {
        *self.suspect_since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_suspect(&self, connection: &Connection) -> bool {
        let since = *self.suspect_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| connection.parked <= since) || connection.parked.elapsed() > TRY_OUT_AFTER
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Returns the figures of now.
    pub(crate) fn figures(&self) -> PoolStats {
        let idle = self.idle().len();
        self.stats.figures(u64::try_from(idle).unwrap_or(u64::MAX))
    }

    /// Takes no new work, waits for what runs, and closes every connection. Ends in time whatever runs and
    /// whether or not the server answers; what still runs then is closed when it ends.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.reaper.hurry();
        // The permits come when everybody has ended; those who wait find the pool closed.
        let work = tokio::time::timeout(CLOSE_WORK_WITHIN, self.work.acquire_many(self.workers)).await;
        match work {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return,
            Err(_) => tracing::warn!("a pool is closed while something still runs on it"),
        }
        let deadline = Instant::now() + CLOSE_CONNECTIONS_WITHIN;
        let idle = std::mem::take(&mut *self.idle());
        let all_work_ended = work.is_ok();
        idle.into_iter().for_each(|idle| self.retire(idle));
        if all_work_ended {
            let _ = tokio::time::timeout_at(deadline, self.slots.acquire_many(self.workers)).await;
        }
        self.work.close();
        self.reaper.stop(deadline).await;
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("mode", &self.settings.mode).field("stats", &self.figures()).finish()
    }
}
