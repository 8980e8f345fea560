//! Writes rows in batches: whatever waits goes in one statement and one commit, and its waiters go on together.
//!
//! A synchronous row for each read would cost each read a disk flush. Here the rows that come while one batch is
//! being committed are the next batch, and a batch that follows one of several rows waits a moment for more, so that
//! the batches grow with the load and an idle service waits for nobody.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use clinicx_persistence::{Failure, FailureKind, SystemConnection};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::JoinHandle,
    time,
};

use crate::{
    entry::{self, Entry},
    error::AuditError,
};

/// How many tasks write: while one waits for the disk the other collects.
const WRITERS: usize = 2;
/// How long a batch waits for further rows while several come at a time: a flush and a statement for more of them costs
/// all requests less than they wait.
const GATHER: Duration = Duration::from_millis(1);
/// The first and the longest pause before rows are tried again whose answers have been given already.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// When the answer of a read is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Release {
    /// When its row is committed.
    #[default]
    AfterCommit,
    /// At once; its row comes at most a second later. While rows can't be written no further read is answered.
    AtOnce,
}

/// How a writer is set.
#[derive(Clone, Copy, Debug)]
pub struct WriterOptions {
    /// When answers are given.
    pub release: Release,
    /// How many rows may wait.
    pub queue: usize,
    /// The most rows of one statement.
    pub batch: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { release: Release::AfterCommit, queue: 10_000, batch: 500 }
    }
}

/// Writes audit rows in batches. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AuditWriter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sender: std::sync::Mutex<Option<mpsc::Sender<Waiting>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    release: Release,
    debt: Arc<Debt>,
}

/// The rows whose answers were given before they were written.
#[derive(Debug, Default)]
struct Debt {
    /// How many there are.
    rows: AtomicU64,
    /// How many writers could not write theirs the last time; each is in debt for itself.
    behind: AtomicUsize,
}

#[derive(Debug)]
struct Waiting {
    entry: Entry,
    since: Instant,
    done: Option<oneshot::Sender<Result<(), Failure>>>,
}

impl AuditWriter {
    /// Starts one on the present runtime.
    pub fn start(db: SystemConnection, options: WriterOptions) -> Self {
        let (sender, receiver) = mpsc::channel(options.queue.max(1));
        let debt = Arc::new(Debt::default());
        let receiver = Arc::new(Mutex::new(receiver));
        let tasks = (0..WRITERS).map(|_| {
            let worker = Worker {
                db: db.clone(),
                receiver: Arc::clone(&receiver),
                debt: Arc::clone(&debt),
                batch: options.batch.max(1),
            };
            tokio::spawn(worker.run())
        });
        let tasks = Mutex::new(tasks.collect());
        let sender = std::sync::Mutex::new(Some(sender));
        Self(Arc::new(Inner { sender, tasks, release: options.release, debt }))
    }

    /// Leaves a row and returns when it may be relied on, as the options say.
    ///
    /// The row is written even when the caller goes away while it waits.
    ///
    /// # Errors
    /// [`AuditError::Overloaded`], [`AuditError::Closed`], [`AuditError::Database`]; then what the row is about must
    /// not be answered.
    pub async fn write(&self, entry: Entry) -> Result<(), AuditError> {
        match self.0.release {
            Release::AfterCommit => self.write_and_wait(entry).await,
            Release::AtOnce if self.0.debt.behind.load(Ordering::Acquire) > 0 => Err(AuditError::Overloaded),
            Release::AtOnce => self.enqueue(entry, None),
        }
    }

    /// Leaves a row and returns when it is committed, whatever the options say.
    ///
    /// # Errors
    /// As [`AuditWriter::write`].
    pub async fn write_and_wait(&self, entry: Entry) -> Result<(), AuditError> {
        let (done, committed) = oneshot::channel();
        self.enqueue(entry, Some(done))?;
        committed.await.map_err(|_| AuditError::Closed)?.map_err(AuditError::Database)
    }

    /// Takes no more rows, and waits until those that it has are written, but no longer than `patience`. Returns how
    /// many rows whose answers were given could not be seen to be written by then, and logs that they are lost.
    pub async fn close(&self, patience: Duration) -> u64 {
        let sender = self.0.sender.lock().map(|mut sender| sender.take());
        drop(sender);
        let mut tasks = self.0.tasks.lock().await;
        if tasks.is_empty() {
            return 0;
        }
        let until = time::Instant::now() + patience;
        for mut task in tasks.drain(..) {
            match time::timeout_at(until, &mut task).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => tracing::error!("a writer of the audit ended by a panic"),
                Err(_) => {
                    task.abort();
                    // What it was about to write is given up; nothing else is to be learnt from it.
                    let _aborted = task.await;
                }
            }
        }
        let lost = self.0.debt.rows.load(Ordering::Acquire);
        if lost > 0 {
            tracing::error!(
                rows = lost,
                "audit rows are lost whose answers were given: they could not be written"
            );
        }
        lost
    }

    fn enqueue(
        &self,
        entry: Entry,
        done: Option<oneshot::Sender<Result<(), Failure>>>,
    ) -> Result<(), AuditError> {
        let sender =
            self.0.sender.lock().map_err(|_| AuditError::Closed)?.clone().ok_or(AuditError::Closed)?;
        let is_owed = done.is_none();
        let waiting = Waiting { entry, since: Instant::now(), done };
        // Before it is sent: a writer is quick to pay.
        self.0.debt.rows.fetch_add(u64::from(is_owed), Ordering::AcqRel);
        sender.try_send(waiting).map_err(|error| {
            self.0.debt.rows.fetch_sub(u64::from(is_owed), Ordering::AcqRel);
            metrics::counter!("clinicx_audit_refused_total").increment(1);
            match error {
                mpsc::error::TrySendError::Full(_) => AuditError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => AuditError::Closed,
            }
        })
    }
}

struct Worker {
    db: SystemConnection,
    receiver: Arc<Mutex<mpsc::Receiver<Waiting>>>,
    debt: Arc<Debt>,
    batch: usize,
}

impl Worker {
    async fn run(self) {
        let mut batch = Vec::with_capacity(self.batch);
        let mut several = false;
        loop {
            let left = {
                let mut receiver = self.receiver.lock().await;
                receiver.recv_many(&mut batch, self.batch).await;
                if several && batch.len() < self.batch {
                    tokio::time::sleep(GATHER).await;
                    while batch.len() < self.batch
                        && let Ok(waiting) = receiver.try_recv()
                    {
                        batch.push(waiting);
                    }
                }
                receiver.len()
            };
            several = batch.len() > 1;
            if batch.is_empty() {
                return;
            }
            let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
            metrics::histogram!("clinicx_audit_batch_rows").record(count(batch.len()));
            metrics::gauge!("clinicx_audit_queue").set(count(left));
            self.write(std::mem::take(&mut batch)).await;
        }
    }

    async fn write(&self, batch: Vec<Waiting>) {
        let Err(failure) = self.insert(&batch).await else { return self.settle(batch, Ok(())) };
        // One row that PostgreSQL does not take must not take the others along.
        let is_of_a_row = !matches!(failure.kind, FailureKind::Unavailable | FailureKind::Timeout);
        if is_of_a_row && batch.len() > 1 {
            for waiting in batch {
                let one = vec![waiting];
                match self.insert(&one).await {
                    Ok(()) => self.settle(one, Ok(())),
                    Err(failure) => self.failed(one, failure).await,
                }
            }
        } else {
            self.failed(batch, failure).await;
        }
    }

    /// Tells the waiters, and goes on trying with the rows whose answers have been given.
    async fn failed(&self, batch: Vec<Waiting>, failure: Failure) {
        tracing::error!(%failure, rows = batch.len(), "audit rows could not be written");
        metrics::counter!("clinicx_audit_failures_total").increment(1);
        let (waited_for, owed): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|waiting| waiting.done.is_some());
        self.settle(waited_for, Err(failure));
        if owed.is_empty() {
            return;
        }
        self.debt.behind.fetch_add(1, Ordering::AcqRel);
        let mut pause = FIRST_PAUSE;
        while let Err(failure) = self.insert(&owed).await {
            tracing::warn!(%failure, rows = owed.len(), "audit rows are still owed");
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
        self.debt.behind.fetch_sub(1, Ordering::AcqRel);
        self.settle(owed, Ok(()));
    }

    async fn insert(&self, batch: &[Waiting]) -> Result<(), Failure> {
        let written = entry::insert(&self.db, batch.iter().map(|waiting| &waiting.entry)).await;
        written.map(|_| ()).map_err(|error| Failure::of(&error))
    }

    fn settle(&self, batch: Vec<Waiting>, outcome: Result<(), Failure>) {
        if outcome.is_ok() {
            metrics::counter!("clinicx_audit_rows_total")
                .increment(u64::try_from(batch.len()).unwrap_or_default());
        }
        for Waiting { since, done, .. } in batch {
            metrics::histogram!("clinicx_audit_wait_seconds").record(since.elapsed().as_secs_f64());
            match done {
                // Whoever has gone away needs no word.
                Some(done) => drop(done.send(outcome.clone())),
                None => {
                    self.debt.rows.fetch_sub(1, Ordering::AcqRel);
                }
            }
        }
    }
}
