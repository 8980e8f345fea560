//! Connections and transactions with exactly one tenant applied.

use std::{pin::Pin, sync::Arc};

use async_trait::async_trait;
use sea_orm::{
    AccessMode, ConnectionTrait, DbBackend, DbErr, ExecResult, IsolationLevel, QueryResult, Statement,
    StreamTrait, TransactionError, TransactionOptions, TransactionSession, TransactionTrait,
};
use uuid::Uuid;

use crate::{
    pool::Pool,
    session::{RowStream, Session},
    statement::{All, Execute, One},
    subject::Subject,
    target::TenantTarget,
    transaction::{End, Level, Transaction},
    trouble::Trouble,
};

/// A connection or transaction with exactly one tenant applied.
///
/// Sealed: only [`TenantConnection`] and [`TenantTransaction`] are, so that what takes one cannot be called
/// with anything that has no tenant.
///
/// ```
/// fn read(db: &impl clinicx_persistence::TenantScoped) {}
/// fn with_a_tenant(db: &clinicx_persistence::TenantConnection) {
///     read(db);
/// }
/// ```
///
/// ```compile_fail,E0277
/// fn read(db: &impl clinicx_persistence::TenantScoped) {}
/// fn without_a_tenant(db: &clinicx_persistence::SystemConnection) {
///     read(db);
/// }
/// ```
///
/// No other type can be made to look like one:
///
/// ```compile_fail,E0277
/// use clinicx_persistence::{TenantScoped, TenantTarget};
/// struct Mine(sea_orm::DatabaseConnection, TenantTarget);
/// # use sea_orm::*;
/// # #[async_trait::async_trait]
/// # impl ConnectionTrait for Mine {
/// #     fn get_database_backend(&self) -> DbBackend { DbBackend::Postgres }
/// #     async fn execute_raw(&self, s: Statement) -> Result<ExecResult, DbErr> { self.0.execute_raw(s).await }
/// #     async fn execute_unprepared(&self, s: &str) -> Result<ExecResult, DbErr> { self.0.execute_unprepared(s).await }
/// #     async fn query_one_raw(&self, s: Statement) -> Result<Option<QueryResult>, DbErr> { self.0.query_one_raw(s).await }
/// #     async fn query_all_raw(&self, s: Statement) -> Result<Vec<QueryResult>, DbErr> { self.0.query_all_raw(s).await }
/// # }
/// # impl StreamTrait for Mine {
/// #     type Stream<'a> = <DatabaseConnection as StreamTrait>::Stream<'a>;
/// #     fn get_database_backend(&self) -> DbBackend { DbBackend::Postgres }
/// #     fn stream_raw<'a>(&'a self, s: Statement)
/// #         -> std::pin::Pin<Box<dyn Future<Output = Result<Self::Stream<'a>, DbErr>> + 'a + Send>> { self.0.stream_raw(s) }
/// # }
/// impl TenantScoped for Mine {
///     fn target(&self) -> &TenantTarget {
///         &self.1
///     }
/// }
/// ```
pub trait TenantScoped: ConnectionTrait + StreamTrait + Send + Sync + sealed::Sealed {
    /// Returns the tenant that is applied.
    fn target(&self) -> &TenantTarget;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::TenantConnection {}
    impl Sealed for super::TenantTransaction {}
}

/// Runs single statements for one tenant, each on a connection of its own from the pool. Cheap to clone.
///
/// Each statement is committed when it returns. Only statements on data are let through: what opens or ends a
/// transaction, sets something or defines something is refused, and so is `execute_unprepared`, and what
/// calls `pg_advisory_lock` or another function whose locks stay with the connection (`pg_advisory_xact_lock` is let
/// through).
#[derive(Clone, Debug)]
pub struct TenantConnection {
    target: Arc<TenantTarget>,
    session: Session,
}

/// An open transaction, or a savepoint in one, for one tenant; rolled back when dropped.
///
/// When a statement or stream in it was dropped before its end, everything that follows fails, the commit
/// included. A commit is `Ok` only when the server has acknowledged it as one.
#[derive(Debug)]
pub struct TenantTransaction {
    target: Arc<TenantTarget>,
    level: Level,
}

impl TenantConnection {
    pub(crate) fn new(pool: Arc<Pool>, target: TenantTarget, connections: Option<u32>) -> Self {
        let session = Session::tenant(pool, Subject::Tenant(target.clone()), connections);
        Self { target: Arc::new(target), session }
    }

    /// Opens a transaction for writing (READ COMMITTED).
    ///
    /// # Errors
    /// What the pool or the database answers.
    pub async fn begin(&self) -> Result<TenantTransaction, DbErr> {
        self.open("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await
    }

    /// Opens a transaction in which several reads agree (REPEATABLE READ, READ ONLY).
    ///
    /// # Errors
    /// What the pool or the database answers.
    pub async fn begin_read_only(&self) -> Result<TenantTransaction, DbErr> {
        self.open("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    fn session(&self) -> &Session {
        &self.session
    }

    async fn open(&self, begin: &str) -> Result<TenantTransaction, DbErr> {
        let transaction = self.session.begin(begin).await.map_err(Trouble::exec)?;
        Ok(TenantTransaction { target: Arc::clone(&self.target), level: Level::outermost(transaction) })
    }
}

impl TenantTransaction {
    /// Opens a savepoint; committing releases it, rolling back undoes what was done since.
    ///
    /// # Errors
    /// What the database answers; another savepoint of the same level that is still open.
    pub async fn savepoint(&self) -> Result<TenantTransaction, DbErr> {
        let level = self.level.inner().await.map_err(Trouble::exec)?;
        Ok(Self { target: Arc::clone(&self.target), level })
    }

    /// Commits.
    ///
    /// # Errors
    /// What the database answers; a statement in it that failed or did not run to its end; a savepoint in it
    /// that is still open. Nothing is committed then, unless the connection was lost while the answer was
    /// awaited, when nobody knows.
    pub async fn commit(self) -> Result<(), DbErr> {
        self.level.end(End::Commit).await.map_err(Trouble::exec)
    }

    /// Rolls back.
    ///
    /// # Errors
    /// As [`TenantTransaction::commit`]; the transaction is rolled back nevertheless.
    pub async fn rollback(self) -> Result<(), DbErr> {
        self.level.end(End::Rollback).await.map_err(Trouble::exec)
    }

    /// Returns the changes that [`record`](crate::record::record) has left rows for in the whole transaction and that
    /// no savepoint has undone: of each the patient whom it concerns.
    pub fn recorded(&self) -> Vec<Option<Uuid>> {
        self.transaction().recorded()
    }

    pub(crate) fn transaction(&self) -> &Transaction {
        self.level.transaction()
    }
}

impl TenantScoped for TenantConnection {
    fn target(&self) -> &TenantTarget {
        &self.target
    }
}

impl TenantScoped for TenantTransaction {
    fn target(&self) -> &TenantTarget {
        &self.target
    }
}

/// Writes SeaORM's traits for a type; `$inner` finds what runs its statements, `$begin` opens what is inside.
macro_rules! connection_traits {
    ($type:ty, $inner:expr, $begin:expr) => {
        #[async_trait]
        impl ConnectionTrait for $type {
            fn get_database_backend(&self) -> DbBackend {
                DbBackend::Postgres
            }

            async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
                $inner(self).run::<Execute>(statement).await.map(Into::into).map_err(Trouble::exec)
            }

            /// Always refused: several statements in one text could leave a transaction or a setting behind.
            async fn execute_unprepared(&self, _: &str) -> Result<ExecResult, DbErr> {
                Err(Trouble::Refused("a statement that is not prepared").exec())
            }

            async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
                let row = $inner(self).run::<One>(statement).await.map_err(Trouble::query)?;
                Ok(row.map(Into::into))
            }

            async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
                let rows = $inner(self).run::<All>(statement).await.map_err(Trouble::query)?;
                Ok(rows.into_iter().map(Into::into).collect())
            }
        }

        impl StreamTrait for $type {
            type Stream<'a> = RowStream<'a>;

            fn get_database_backend(&self) -> DbBackend {
                DbBackend::Postgres
            }

            fn stream_raw<'a>(
                &'a self,
                statement: Statement,
            ) -> Pin<Box<dyn Future<Output = Result<RowStream<'a>, DbErr>> + 'a + Send>> {
                Box::pin(async move { $inner(self).stream(statement).await.map_err(Trouble::query) })
            }
        }

        #[async_trait]
        impl TransactionTrait for $type {
            type Transaction = TenantTransaction;

            async fn begin(&self) -> Result<TenantTransaction, DbErr> {
                self.begin_with_options(TransactionOptions::default()).await
            }

            async fn begin_with_config(
                &self,
                isolation_level: Option<IsolationLevel>,
                access_mode: Option<AccessMode>,
            ) -> Result<TenantTransaction, DbErr> {
                let options =
                    TransactionOptions { isolation_level, access_mode, ..TransactionOptions::default() };
                self.begin_with_options(options).await
            }

            async fn begin_with_options(
                &self,
                options: TransactionOptions,
            ) -> Result<TenantTransaction, DbErr> {
                $begin(self, options).await
            }

            async fn transaction<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
            where
                F: for<'c> FnOnce(
                        &'c TenantTransaction,
                    ) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>
                    + Send,
                T: Send,
                E: std::fmt::Display + std::fmt::Debug + Send,
            {
                self.transaction_with_config(callback, None, None).await
            }

            async fn transaction_with_config<F, T, E>(
                &self,
                callback: F,
                isolation_level: Option<IsolationLevel>,
                access_mode: Option<AccessMode>,
            ) -> Result<T, TransactionError<E>>
            where
                F: for<'c> FnOnce(
                        &'c TenantTransaction,
                    ) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>
                    + Send,
                T: Send,
                E: std::fmt::Display + std::fmt::Debug + Send,
            {
                let tx = self
                    .begin_with_config(isolation_level, access_mode)
                    .await
                    .map_err(TransactionError::Connection)?;
                match callback(&tx).await {
                    Ok(value) => {
                        tx.commit().await.map_err(TransactionError::Connection)?;
                        Ok(value)
                    }
                    Err(error) => {
                        tx.rollback().await.map_err(TransactionError::Connection)?;
                        Err(TransactionError::Transaction(error))
                    }
                }
            }
        }
    };
}

connection_traits!(TenantConnection, TenantConnection::session, TenantConnection::begin_as);
connection_traits!(TenantTransaction, TenantTransaction::transaction, TenantTransaction::begin_inner);

impl TenantConnection {
    async fn begin_as(&self, options: TransactionOptions) -> Result<TenantTransaction, DbErr> {
        let isolation = options.isolation_level.unwrap_or(IsolationLevel::ReadCommitted);
        let access = options.access_mode.unwrap_or(AccessMode::ReadWrite);
        self.open(&format!("BEGIN ISOLATION LEVEL {isolation} {access}")).await
    }
}

impl TenantTransaction {
    /// A savepoint has the isolation and access of its transaction.
    async fn begin_inner(&self, _: TransactionOptions) -> Result<Self, DbErr> {
        self.savepoint().await
    }
}

#[async_trait]
impl TransactionSession for TenantTransaction {
    async fn commit(self) -> Result<(), DbErr> {
        Self::commit(self).await
    }

    async fn rollback(self) -> Result<(), DbErr> {
        Self::rollback(self).await
    }
}
