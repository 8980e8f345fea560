//! The upkeep of the fleet: some tenants at a time, within a window, whoever has waited longest first.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use clinicx_types::id::TenantId;
use sqlx::Row;
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    due::{Due, Rules, Task},
    look::{self, Baselines},
    work::Worker,
};
use crate::{
    failure::DatabaseFailure,
    owner::{OwnerConnection, OwnerLogin},
    tenant::apply::Subject,
};

/// The advisory lock of whoever keeps the tables of a database up; its connection holds it.
const LOCK: i64 = 0x636c_696e_6963_7806;

/// What is remembered of tenants goes with them.
const FORGET: &str = "\
DELETE FROM public.tenant_maintenance AS m USING public.tenants AS t
WHERE t.id = m.tenant_id AND t.status = 'purged';
DELETE FROM public.tenant_index_baselines AS b USING public.tenants AS t
WHERE t.id = b.tenant_id AND t.status = 'purged'";

/// What is asked for.
#[derive(Clone)]
pub struct Asked {
    /// What is done where it is due.
    pub tasks: BTreeSet<Task>,
    /// From where on it is due.
    pub rules: Rules,
    /// How many tenants at a time.
    pub concurrency: NonZeroUsize,
    /// How long each worker rests after a statement.
    pub pause: Duration,
    /// When nothing further is begun, and what runs is ended.
    pub until: Instant,
    /// Nothing is done; what is due is said.
    pub only_report: bool,
    /// Tells that nothing further is to be begun.
    pub stop: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Asked {
    pub(super) fn time_left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked")
            .field("tasks", &self.tasks)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// Something that was done, or tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// What was due.
    pub due: Due,
    /// How long it took.
    pub took: Duration,
    /// Why it was not done.
    pub failure: Option<DatabaseFailure>,
}

/// What came of a tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Maintained {
    /// The tenant.
    pub subject: Subject,
    /// What was done.
    pub done: Vec<Done>,
    /// What is due and was not begun.
    pub left: Vec<Due>,
    /// It is being migrated, and was left alone.
    pub is_migrating: bool,
    /// Why it could not be looked at.
    pub failure: Option<DatabaseFailure>,
}

impl Maintained {
    pub(super) fn of(subject: Subject) -> Self {
        Self { subject, done: Vec::new(), left: Vec::new(), is_migrating: false, failure: None }
    }

    /// Tells whether everything that was due is done.
    pub fn is_whole(&self) -> bool {
        self.failure.is_none()
            && !self.is_migrating
            && self.left.is_empty()
            && self.done.iter().all(|done| done.failure.is_none())
    }
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaintainError {
    /// Somebody else is at it.
    #[error("the tables are being kept up by another already")]
    Busy,
    /// The database said no.
    #[error(transparent)]
    Database(#[from] DatabaseFailure),
}

/// Keeps up these tenants' tables and calls `progress` as each has had its turn. Those whose turn does not come before
/// the window ends are not among the results.
///
/// One tenant's failure does not hold up the others. When the future is dropped, what runs is ended.
///
/// # Errors
/// [`MaintainError`].
pub async fn run(
    login: &OwnerLogin,
    subjects: Vec<Subject>,
    asked: &Asked,
    mut progress: impl FnMut(&Maintained) + Send,
) -> Result<Vec<Maintained>, MaintainError> {
    let mut guard = login.open().await?;
    if !asked.only_report {
        lock(&mut guard).await?;
        guard.run("forget tenants that are no more", FORGET.to_owned()).await?;
    }
    let fleet = match asked.tasks.contains(&Task::Reindex) {
        true => Arc::new(look::baselines(&mut guard).await?),
        false => Arc::default(),
    };
    let queue = in_turn(&mut guard, subjects).await?;
    let workers = asked.concurrency.get().min(queue.len());
    let queue = Arc::new(Mutex::new(queue));
    let (sender, mut results) = mpsc::channel(workers.max(1));
    let mut tasks = JoinSet::new();
    for _ in 0..workers {
        tasks.spawn(work(
            login.clone(),
            asked.clone(),
            Arc::clone(&fleet),
            Arc::clone(&queue),
            sender.clone(),
        ));
    }
    drop(sender);
    let mut all = Vec::new();
    while let Some(maintained) = results.recv().await {
        progress(&maintained);
        all.push(maintained);
    }
    // Its end gives the lock back.
    guard.close().await;
    Ok(all)
}

async fn lock(guard: &mut OwnerConnection) -> Result<(), MaintainError> {
    let text = format!("SELECT pg_catalog.pg_try_advisory_lock({LOCK}) AS held");
    let rows = guard.rows("lock the upkeep", text).await?;
    let held = rows.first().map(|row| row.try_get::<bool, _>("held")).transpose();
    match held.map_err(look::unreadable)? {
        Some(true) => Ok(()),
        _ => Err(MaintainError::Busy),
    }
}

/// Puts whoever has waited longest first.
async fn in_turn(
    guard: &mut OwnerConnection,
    mut subjects: Vec<Subject>,
) -> Result<VecDeque<Subject>, DatabaseFailure> {
    let text = "SELECT tenant_id, CAST(extract(epoch FROM finished_at) AS bigint) AS at \
                FROM public.tenant_maintenance";
    let rows = guard.rows("look for whose turn it is", text.to_owned()).await?;
    let mut last = HashMap::new();
    for row in &rows {
        let id: clinicx_types::uuid::Uuid = row.try_get("tenant_id").map_err(look::unreadable)?;
        let at: i64 = row.try_get("at").map_err(look::unreadable)?;
        last.insert(TenantId::new(id), at);
    }
    subjects.sort_by_cached_key(|subject| {
        (last.get(&subject.tenant_id).copied().unwrap_or_default(), subject.schema.as_str().to_owned())
    });
    Ok(subjects.into())
}

async fn work(
    login: OwnerLogin,
    asked: Asked,
    fleet: Arc<Baselines>,
    queue: Arc<Mutex<VecDeque<Subject>>>,
    results: mpsc::Sender<Maintained>,
) {
    let mut worker = Worker { login: &login, asked: &asked, fleet: &fleet, connection: None };
    while !asked.time_left().is_zero() && !(asked.stop)() {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(subject) = next else { break };
        if results.send(worker.tenant(&subject).await).await.is_err() {
            break;
        }
    }
    if let Some(connection) = worker.connection.take() {
        connection.close().await;
    }
}
