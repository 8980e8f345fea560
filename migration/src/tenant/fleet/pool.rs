//! Several tenants at a time, each on a connection of its worker.

use std::{
    collections::VecDeque,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinSet};

use super::Mark;
use crate::{
    owner::OwnerLogin,
    tenant::{
        apply::{self, Direction, Fences, MigrateError, Order, Outcome, Subject},
        limits::Limits,
        plan::Plan,
    },
};

/// How often a tenant is tried again when the connection to the database is lost.
const RECONNECTS: u32 = 3;
/// The pause before the first of these; it doubles.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// What came of one tenant.
#[derive(Clone, Debug)]
pub struct TenantResult {
    /// The tenant.
    pub subject: Subject,
    /// What was done, or why nothing was.
    pub result: Result<Outcome, MigrateError>,
}

/// A tenant and how far it is brought.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) subject: Subject,
    pub(super) limits: Limits,
}

/// How all of them are migrated.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) login: OwnerLogin,
    pub(super) plan: Plan,
    pub(super) direction: Direction,
    pub(super) fences: Fences,
    pub(super) mark: Option<Mark>,
}

/// Workers and what they have still to do. Dropping it ends them; what runs is rolled back.
pub(super) struct Pool {
    results: mpsc::Receiver<TenantResult>,
    halted: Arc<AtomicBool>,
    _workers: JoinSet<()>,
}

impl Pool {
    /// Starts the workers.
    pub(super) fn start(terms: &Terms, tasks: Vec<Task>, concurrency: NonZeroUsize) -> Self {
        let workers = concurrency.get().min(tasks.len());
        let queue = Arc::new(Mutex::new(VecDeque::from(tasks)));
        let halted = Arc::new(AtomicBool::new(false));
        let (sender, results) = mpsc::channel(workers.max(1));
        let mut tasks = JoinSet::new();
        for _ in 0..workers {
            let worker =
                Worker { terms: terms.clone(), queue: Arc::clone(&queue), halted: Arc::clone(&halted) };
            tasks.spawn(worker.work(sender.clone()));
        }
        Self { results, halted, _workers: tasks }
    }

    /// Returns the next result; `None` when all is done, or what was begun when it was halted.
    pub(super) async fn next(&mut self) -> Option<TenantResult> {
        self.results.recv().await
    }

    /// Begins no further tenant.
    pub(super) fn halt(&self) {
        self.halted.store(true, Ordering::Relaxed);
    }
}

/// Migrates the given tenants to the newest, up to `concurrency` at a time, without a run, and calls `progress` as each
/// is done.
///
/// One tenant's failure does not hold up the others. When the future is dropped, what runs is rolled back.
pub async fn migrate_all(
    login: &OwnerLogin,
    plan: &Plan,
    subjects: Vec<Subject>,
    concurrency: NonZeroUsize,
    mut progress: impl FnMut(&TenantResult) + Send,
) -> Vec<TenantResult> {
    let terms = Terms {
        login: login.clone(),
        plan: plan.clone(),
        direction: Direction::Forward,
        fences: Fences::Always,
        mark: None,
    };
    let tasks = subjects.into_iter().map(|subject| Task { subject, limits: Limits::default() });
    let mut pool = Pool::start(&terms, tasks.collect(), concurrency);
    let mut results = Vec::new();
    while let Some(result) = pool.next().await {
        progress(&result);
        results.push(result);
    }
    results
}

struct Worker {
    terms: Terms,
    queue: Arc<Mutex<VecDeque<Task>>>,
    halted: Arc<AtomicBool>,
}

impl Worker {
    async fn work(self, results: mpsc::Sender<TenantResult>) {
        let mut slot = None;
        while let Some(task) = self.next() {
            let mut pause = RECONNECT_PAUSE;
            let mut result = self.migrate(&mut slot, &task).await;
            for _ in 0..RECONNECTS {
                if !result.as_ref().is_err_and(MigrateError::is_away) {
                    break;
                }
                tokio::time::sleep(pause).await;
                pause *= 2;
                result = self.migrate(&mut slot, &task).await;
            }
            if results.send(TenantResult { subject: task.subject, result }).await.is_err() {
                break;
            }
        }
        if let Some(connection) = slot {
            connection.close().await;
        }
    }

    fn next(&self) -> Option<Task> {
        if self.halted.load(Ordering::Relaxed) {
            return None;
        }
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    async fn migrate(
        &self,
        slot: &mut Option<crate::owner::OwnerConnection>,
        task: &Task,
    ) -> Result<Outcome, MigrateError> {
        let Terms { login, plan, direction, fences, mark } = &self.terms;
        let order = Order {
            limits: Some(&task.limits),
            direction: *direction,
            fences: *fences,
            mark: mark.as_ref(),
            ..Order::default()
        };
        apply::migrate_by(login, slot, plan, &task.subject, order).await
    }
}
