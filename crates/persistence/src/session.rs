//! Single statements, each on a connection of its own from the pool.

use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, StreamExt};
use sea_orm::{DbErr, QueryResult, Statement};

use crate::{
    options::ApplyMode,
    pool::{Lease, Pool, Share},
    statement::{Allowed, Fetch, Tagged},
    subject::Subject,
    transaction::Transaction,
    trouble::{Trouble, is_stale_plan},
};

/// The rows of a statement, as they come.
pub(crate) type RowStream<'a> = Pin<Box<dyn Stream<Item = Result<QueryResult, DbErr>> + Send + 'a>>;

/// What opens the transaction of a single statement where there must be one.
const BEGIN_SINGLE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// Runs statements for one subject.
#[derive(Clone)]
pub(crate) struct Session {
    pool: Arc<Pool>,
    subject: Arc<Subject>,
    comment: Arc<str>,
    share: Option<Arc<Share>>,
    allowed: Allowed,
}

impl Session {
    pub(crate) fn tenant(pool: Arc<Pool>, subject: Subject, connections: Option<u32>) -> Self {
        let share = subject.tenant_id().map(|tenant| pool.shares.of(tenant, connections));
        let comment = subject.comment().into();
        Self { pool, subject: Arc::new(subject), comment, share, allowed: Allowed::Data }
    }

    pub(crate) fn system(pool: Arc<Pool>) -> Self {
        let subject = Arc::new(Subject::System);
        Self { pool, subject, comment: "".into(), share: None, allowed: Allowed::DataAndStructure }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Runs one statement, which is committed when it returns.
    pub(crate) async fn run<F: Fetch>(&self, statement: Statement) -> Result<F::Answer, Trouble> {
        let statement = Tagged::new(&self.comment, self.allowed, statement)?;
        let mut lease = self.lease().await?;
        let named = lease.names_statements();
        let mut result = F::fetch(lease.pg(), statement.query(named)).await;
        if result.as_ref().is_err_and(is_stale_plan) {
            lease = self.refresh(lease).await?;
            result = F::fetch(lease.pg(), statement.query(named)).await;
        }
        self.end(lease, result).await.map_err(Trouble::Run)
    }

    /// Runs one statement and hands out its rows as they come. A stream that is dropped before its end closes
    /// the connection.
    pub(crate) async fn stream(&self, statement: Statement) -> Result<RowStream<'_>, Trouble> {
        let statement = Tagged::new(&self.comment, self.allowed, statement)?;
        let mut lease = self.lease().await?;
        let query = statement.into_query(lease.names_statements());
        Ok(Box::pin(async_stream::stream! {
            let mut failure = Ok(());
            {
                let mut rows = query.fetch(lease.pg());
                while let Some(row) = rows.next().await {
                    match row {
                        Ok(row) => yield Ok(QueryResult::from(row)),
                        Err(error) => {
                            failure = Err(error);
                            break;
                        }
                    }
                }
            }
            if let Err(error) = self.end(lease, failure).await {
                yield Err(Trouble::Run(error).query());
            }
        }))
    }

    /// Opens a transaction.
    pub(crate) async fn begin(&self, begin: &str) -> Result<Transaction, Trouble> {
        let lease = self.applied().await?;
        let lease = self.opened(lease, begin).await?;
        Ok(Transaction::new(lease, Arc::clone(&self.comment), self.allowed))
    }

    fn wraps_single_statements(&self) -> bool {
        self.pool.settings.mode == ApplyMode::Transaction
    }

    /// Returns a connection on which a single statement can run.
    async fn lease(&self) -> Result<Lease, Trouble> {
        let lease = self.applied().await?;
        if self.wraps_single_statements() { self.opened(lease, BEGIN_SINGLE).await } else { Ok(lease) }
    }

    /// Returns a connection; in session mode the subject is applied to it.
    async fn applied(&self) -> Result<Lease, Trouble> {
        let mut lease = self.pool.acquire(&self.subject, self.share.as_ref()).await?;
        if self.pool.settings.mode == ApplyMode::Session
            && let Err(error) = lease.apply(&self.subject).await
        {
            return Err(Trouble::Apply(lease.recover(error, false).await));
        }
        Ok(lease)
    }

    async fn opened(&self, mut lease: Lease, begin: &str) -> Result<Lease, Trouble> {
        match lease.begin(&self.subject, begin).await {
            Ok(()) => Ok(lease),
            Err(error) => Err(Trouble::Apply(lease.recover(error, true).await)),
        }
    }

    /// Makes the connection as good as a fresh one after a statement on it turned out to be prepared for what
    /// its table was before. What failed that way has changed nothing.
    async fn refresh(&self, mut lease: Lease) -> Result<Lease, Trouble> {
        let wraps = self.wraps_single_statements();
        if wraps {
            lease.simple("ROLLBACK".to_owned()).await.map_err(Trouble::Run)?;
        }
        lease.forget_plans().await.map_err(Trouble::Run)?;
        if wraps { self.opened(lease, BEGIN_SINGLE).await } else { Ok(lease) }
    }

    /// Ends a single statement: commits it where it has a transaction of its own, and parks the connection.
    async fn end<T>(&self, lease: Lease, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        match result {
            Ok(answer) if self.wraps_single_statements() => lease.commit().await.map(|()| answer),
            Ok(answer) => {
                lease.park();
                Ok(answer)
            }
            Err(error) => Err(lease.recover(error, self.wraps_single_statements()).await),
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("subject", &self.subject).finish_non_exhaustive()
    }
}
