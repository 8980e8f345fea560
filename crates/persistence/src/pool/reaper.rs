//! Ends the backends of closed connections, and tells when they have gone.
//!
//! Closing a socket does not end a backend that is busy: it notices only when it next reads or writes. So one
//! connection of the pool does nothing else than to end such backends and to see whether they have gone.

use std::{
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

use super::{
    lease::Hold,
    open::{Backend, Connector, OpenError, Opened},
    stats::Stats,
};

/// How long a backend whose connection was closed in good order has to go by itself.
const GRACE: Duration = Duration::from_millis(100);
/// After how long a backend that was told to end is told again.
const REPEAT: Duration = Duration::from_secs(1);
/// How long one look at the server may take.
const PATIENCE: Duration = Duration::from_secs(5);
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(2);

/// A closed connection whose backend may still run.
struct Burial {
    backend: Backend,
    /// Not to be told to end before; put off each time that it is told.
    end_at: Instant,
    /// What others wait for.
    _hold: Hold,
}

/// The way to the task that ends backends; behind a pooler there is none, for there a connection has no backend.
pub(super) struct Reaper {
    queue: Mutex<Option<mpsc::UnboundedSender<Burial>>>,
    task: Mutex<Option<JoinHandle<()>>>,
    /// Whether the pool is being closed.
    closing: watch::Sender<bool>,
    stats: Option<Arc<Stats>>,
}

impl Reaper {
    pub(super) fn none() -> Self {
        Self {
            queue: Mutex::new(None),
            task: Mutex::new(None),
            closing: watch::Sender::new(false),
            stats: None,
        }
    }

    /// Starts the task with a connection of its own. `first` is an open connection of the pool: a pooler would
    /// answer from the same backend.
    pub(super) async fn start(
        connector: &Connector,
        stats: &Arc<Stats>,
        first: &Opened,
    ) -> Result<Self, OpenError> {
        let opened = connector.open_bare().await?;
        let (Some(own), Some(other)) = (opened.backend, first.backend) else { return Err(OpenError::Pooler) };
        if own.pid == other.pid || own.started < other.started {
            return Err(OpenError::Pooler);
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        let closing = watch::Sender::new(false);
        let digger = Digger {
            connector: connector.clone(),
            stats: Arc::clone(stats),
            connection: Some(opened.pg),
            pending: Vec::new(),
            closing: closing.subscribe(),
        };
        let task = tokio::spawn(digger.run(receiver));
        Ok(Self {
            queue: Mutex::new(Some(sender)),
            task: Mutex::new(Some(task)),
            closing,
            stats: Some(Arc::clone(stats)),
        })
    }

    /// Sees to it that the backend of a closed connection goes, at once if it may be busy; only then is what the
    /// connection held let go.
    pub(super) fn bury(&self, hold: Hold, at_once: bool) {
        let (Some(backend), Some(stats)) = (hold.backend, &self.stats) else { return };
        let end_at = if at_once { Instant::now() } else { Instant::now() + GRACE };
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = &*queue {
            stats.closing();
            if queue.send(Burial { backend, end_at, _hold: hold }).is_err() {
                stats.closed();
            }
        }
    }

    /// From now on a server that does not answer is not waited for.
    pub(super) fn hurry(&self) {
        self.closing.send_replace(true);
    }

    /// Ends the task after its last backend has gone, or at the deadline.
    pub(super) async fn stop(&self, deadline: Instant) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut task) = task
            && tokio::time::timeout_at(deadline, &mut task).await.is_err()
        {
            task.abort();
        }
    }
}

struct Digger {
    connector: Connector,
    stats: Arc<Stats>,
    connection: Option<PgConnection>,
    pending: Vec<Burial>,
    closing: watch::Receiver<bool>,
}

impl Digger {
    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Burial>) {
        let mut pause = SHORTEST_PAUSE;
        let mut back_off = LONGEST_PAUSE;
        loop {
            if self.pending.is_empty() {
                let Some(burial) = queue.recv().await else { break };
                self.pending.push(burial);
                pause = SHORTEST_PAUSE;
            }
            while let Ok(burial) = queue.try_recv() {
                self.pending.push(burial);
                pause = SHORTEST_PAUSE;
            }
            if self.sweep().await.is_err() {
                self.connection = None;
                // The server is away, and its backends with it or out of reach. Nobody needs the places of a pool
                // that is being closed, or has gone.
                let closing = self.closing.wait_for(|closing| *closing);
                let pause = back_off.mul_f64(rand::random_range(0.5..=1.0));
                if tokio::time::timeout(pause, closing).await.is_ok() {
                    self.pending.drain(..).for_each(|_| self.stats.closed());
                }
                back_off = (back_off * 2).min(LONGEST_BACK_OFF);
                continue;
            }
            back_off = LONGEST_PAUSE;
            if !self.pending.is_empty() {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        if let Some(connection) = self.connection {
            // In good order if possible; it ends all the same.
            let _ = tokio::time::timeout(PATIENCE, connection.close()).await;
        }
    }

    /// Tells those to end whose time has come, and lets go of those that have gone.
    async fn sweep(&mut self) -> Result<(), OpenError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connector.open_bare().await?.pg,
        };
        let question = self.question();
        let answer = tokio::time::timeout(PATIENCE, connection.fetch_all(AssertSqlSafe(question))).await;
        let rows = answer.map_err(|_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))??;
        self.connection = Some(connection);
        let alive: Vec<i32> =
            rows.iter().filter_map(|row| row.try_get::<String, _>(0).ok()?.parse().ok()).collect();
        let before = self.pending.len();
        self.pending.retain(|burial| alive.contains(&burial.backend.pid));
        (self.pending.len()..before).for_each(|_| self.stats.closed());
        Ok(())
    }

    /// One query: which of them still run, and an order to end for those whose time has come.
    fn question(&mut self) -> String {
        let now = Instant::now();
        let mut list = String::new();
        for burial in &mut self.pending {
            let Backend { pid, started } = burial.backend;
            let end = burial.end_at <= now;
            if end {
                burial.end_at = now + REPEAT;
            }
            let comma = if list.is_empty() { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(list, "{comma}({pid}, {started}::bigint, {end})");
        }
        format!(
            "SELECT a.pid::text, CASE WHEN w.ending THEN pg_catalog.pg_terminate_backend(a.pid) END \
             FROM (VALUES {list}) AS w (pid, started, ending) \
             CROSS JOIN LATERAL pg_catalog.pg_stat_get_activity(w.pid) AS a \
             WHERE (extract(epoch FROM a.backend_start) * 1000000)::bigint = w.started"
        )
    }
}
