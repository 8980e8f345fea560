//! An open transaction on one connection, and the savepoints in it.

use std::sync::{Arc, Mutex, PoisonError};

use clinicx_types::sabotage::{Bug, planted};
use futures_util::StreamExt;
use sea_orm::{QueryResult, Statement};
use tokio::sync::MutexGuard;
use uuid::Uuid;

use crate::{
    pool::Lease,
    session::RowStream,
    statement::{Allowed, Fetch, Tagged},
    trouble::{Trouble, is_answer, is_stale_plan},
};

/// An open transaction. All levels of it share one connection.
///
/// The connection is taken out while something runs on it, and put back only when that has run to its end. What
/// is dropped in between takes the connection with it, so that nothing can follow on it, a COMMIT least of all.
pub(crate) struct Transaction {
    lease: tokio::sync::Mutex<Option<Lease>>,
    marks: Mutex<Marks>,
    comment: Arc<str>,
    allowed: Allowed,
}

/// What is known without waiting for the connection.
#[derive(Default)]
struct Marks {
    /// The savepoints that are open, the outermost first.
    open: Vec<Savepoint>,
    /// How many savepoints there have been; each has a name of its own.
    opened: u32,
    /// The outermost savepoint that was dropped without an end: it is undone before anything else runs.
    undo: Option<u32>,
    /// A stream is open; whoever waited for the connection now would wait for ever.
    streaming: bool,
    /// The transaction itself was dropped.
    abandoned: bool,
    /// The changes that were recorded in it and not undone: the patient whom each concerns.
    recorded: Vec<Option<Uuid>>,
}

/// A savepoint that is open.
struct Savepoint {
    number: u32,
    /// How many changes had been recorded before it.
    recorded: usize,
}

impl Marks {
    fn position(&self, savepoint: u32) -> Option<usize> {
        self.open.iter().position(|open| open.number == savepoint)
    }

    fn innermost(&self) -> Option<u32> {
        self.open.last().map(|open| open.number)
    }

    /// Forgets a savepoint that was undone, with what is inside it and what was recorded since.
    fn undone(&mut self, savepoint: u32) {
        let Some(position) = self.position(savepoint) else { return };
        if let Some(undone) = self.open.drain(position..).next() {
            self.recorded.truncate(undone.recorded);
        }
    }
}

/// How a level ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Commit,
    Rollback,
}

impl Transaction {
    pub(crate) fn new(lease: Lease, comment: Arc<str>, allowed: Allowed) -> Self {
        Self { lease: tokio::sync::Mutex::new(Some(lease)), marks: Mutex::default(), comment, allowed }
    }

    /// Runs one statement.
    pub(crate) async fn run<F: Fetch>(&self, statement: Statement) -> Result<F::Answer, Trouble> {
        let statement = Tagged::new(&self.comment, self.allowed, statement)?;
        let (mut place, mut lease) = self.enter().await?;
        let query = statement.into_query(lease.names_statements());
        let result = F::fetch(lease.pg(), query).await;
        self.leave(&mut place, lease, result).await.map_err(Trouble::Run)
    }

    /// Runs one statement and hands out its rows as they come. Nothing else can run meanwhile.
    pub(crate) async fn stream(&self, statement: Statement) -> Result<RowStream<'_>, Trouble> {
        let statement = Tagged::new(&self.comment, self.allowed, statement)?;
        let (mut place, mut lease) = self.enter().await?;
        let query = statement.into_query(lease.names_statements());
        let streaming = Streaming::start(self);
        Ok(Box::pin(async_stream::stream! {
            let _streaming = streaming;
            let mut ended = Ok(());
            {
                let mut rows = query.fetch(lease.pg());
                while let Some(row) = rows.next().await {
                    match row {
                        Ok(row) => yield Ok(QueryResult::from(row)),
                        Err(error) => {
                            ended = Err(error);
                            break;
                        }
                    }
                }
            }
            if let Err(error) = self.leave(&mut place, lease, ended).await {
                yield Err(Trouble::Run(error).query());
            }
        }))
    }

    /// Opens a savepoint in another, or in the transaction itself.
    async fn savepoint(&self, outer: Option<u32>) -> Result<u32, Trouble> {
        let (mut place, mut lease) = self.enter().await?;
        if self.marks().innermost() != outer {
            self.leave(&mut place, lease, Ok(())).await.map_err(Trouble::Run)?;
            return Err(Trouble::Refused("a savepoint beside another that is still open"));
        }
        let inner = {
            let mut marks = self.marks();
            marks.opened += 1;
            marks.opened
        };
        let opened = lease.simple(format!("SAVEPOINT level_{inner}")).await;
        self.leave(&mut place, lease, opened).await.map_err(Trouble::Run)?;
        let mut marks = self.marks();
        let recorded = marks.recorded.len();
        marks.open.push(Savepoint { number: inner, recorded });
        Ok(inner)
    }

    /// Ends a savepoint, or the transaction itself.
    async fn end(&self, savepoint: Option<u32>, end: End) -> Result<(), Trouble> {
        let (mut place, mut lease) = self.enter().await?;
        if self.marks().innermost() != savepoint {
            self.leave(&mut place, lease, Ok(())).await.map_err(Trouble::Run)?;
            return Err(Trouble::Refused("an end while a savepoint inside is still open"));
        }
        let Some(savepoint) = savepoint else {
            let ended = match end {
                End::Commit => lease.commit().await,
                End::Rollback => lease.rollback().await,
            };
            return ended.map_err(Trouble::Run);
        };
        let ended = match end {
            End::Commit => lease.simple(format!("RELEASE SAVEPOINT level_{savepoint}")).await,
            End::Rollback => lease.simple(undo(savepoint)).await,
        };
        self.leave(&mut place, lease, ended).await.map_err(Trouble::Run)?;
        match end {
            End::Commit => drop(self.marks().open.pop()),
            End::Rollback => self.marks().undone(savepoint),
        }
        Ok(())
    }

    /// Notes that a level was dropped without an end.
    fn abandon(&self, savepoint: Option<u32>) {
        let Some(savepoint) = savepoint else {
            self.marks().abandoned = true;
            // Otherwise something still runs on it, which will find the mark.
            if let Ok(mut place) = self.lease.try_lock() {
                match place.take() {
                    Some(lease) if planted(Bug::ParkedWhileBusy) => lease.park(),
                    lease => drop(lease),
                }
            }
            return;
        };
        let mut marks = self.marks();
        let Some(position) = marks.position(savepoint) else { return };
        if marks.undo.and_then(|other| marks.position(other)).is_none_or(|other| position < other) {
            marks.undo = Some(savepoint);
        }
    }

    /// Takes the connection, after undoing what was left without an end.
    async fn enter(&self) -> Result<(MutexGuard<'_, Option<Lease>>, Lease), Trouble> {
        if self.marks().streaming {
            return Err(Trouble::Refused("a statement while a stream of the same transaction is open"));
        }
        let mut place = self.lease.lock().await;
        let mut lease = place.take().ok_or(Trouble::Interrupted)?;
        let undone = self.marks().undo.take();
        if let Some(savepoint) = undone {
            lease.simple(undo(savepoint)).await.map_err(Trouble::Run)?;
            self.marks().undone(savepoint);
        }
        Ok((place, lease))
    }

    /// Puts the connection back when it is known in which state it is. What was prepared for tables as they were is
    /// let go of first, so that another try finds the connection as good as a fresh one.
    async fn leave<T: Send>(
        &self,
        place: &mut MutexGuard<'_, Option<Lease>>,
        mut lease: Lease,
        result: Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let mut in_step = result.as_ref().err().is_none_or(is_answer);
        if result.as_ref().is_err_and(is_stale_plan) {
            in_step = lease.forget_plans().await.is_ok();
        }
        if in_step && !self.marks().abandoned {
            **place = Some(lease);
        }
        result
    }

    /// Notes that a change was recorded, and the patient whom it concerns.
    pub(crate) fn note(&self, patient: Option<Uuid>) {
        self.marks().recorded.push(patient);
    }

    /// Returns what was noted and not undone.
    pub(crate) fn recorded(&self) -> Vec<Option<Uuid>> {
        self.marks().recorded.clone()
    }

    fn marks(&self) -> std::sync::MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn undo(savepoint: u32) -> String {
    format!("ROLLBACK TO SAVEPOINT level_{savepoint}; RELEASE SAVEPOINT level_{savepoint}")
}

/// Marks a stream as open for as long as it lives.
struct Streaming<'a>(&'a Transaction);

impl<'a> Streaming<'a> {
    fn start(transaction: &'a Transaction) -> Self {
        transaction.marks().streaming = true;
        Self(transaction)
    }
}

impl Drop for Streaming<'_> {
    fn drop(&mut self) {
        self.0.marks().streaming = false;
    }
}

/// One level of a transaction; undone when it is dropped without an end.
pub(crate) struct Level {
    transaction: Arc<Transaction>,
    /// `None` is the transaction itself.
    savepoint: Option<u32>,
    open: bool,
}

impl Level {
    pub(crate) fn outermost(transaction: Transaction) -> Self {
        Self { transaction: Arc::new(transaction), savepoint: None, open: true }
    }

    pub(crate) fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    pub(crate) async fn inner(&self) -> Result<Self, Trouble> {
        let savepoint = self.transaction.savepoint(self.savepoint).await?;
        Ok(Self { transaction: Arc::clone(&self.transaction), savepoint: Some(savepoint), open: true })
    }

    pub(crate) async fn end(mut self, end: End) -> Result<(), Trouble> {
        self.transaction.end(self.savepoint, end).await?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        if self.open {
            self.transaction.abandon(self.savepoint);
        }
    }
}

impl std::fmt::Debug for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Level").field("savepoint", &self.savepoint).finish_non_exhaustive()
    }
}
