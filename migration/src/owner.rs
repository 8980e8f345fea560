//! A connection that has become the owner role, for migrations and provisioning.
//!
//! **Invariant:** a connection whose last transaction was neither committed nor rolled back is closed, never used
//! again: beginning takes the connection, and only an acknowledged end gives it back. Whoever is cancelled or
//! killed in the middle leaves nothing behind, because the server rolls back what has no COMMIT.

use async_trait::async_trait;
use bytes::Bytes;
use clinicx_persistence::SystemExecutor;
use clinicx_types::name::RoleName;
use futures_util::{Stream, StreamExt, TryStreamExt};
use sea_orm::{DbErr, FromQueryResult, QueryResult, RuntimeErr, Statement, sea_query::Values};
use sea_query_sqlx::SqlxValues;
use sqlx::{
    ConnectOptions, Connection, Executor, PgConnection, Postgres,
    postgres::{PgConnectOptions, PgQueryResult, PgRow},
    query::Query,
};
use tokio::sync::Mutex;

use crate::{
    failure::DatabaseFailure,
    system::{RoleNames, SystemRole},
};

/// How to become the owner role.
#[derive(Clone)]
pub struct OwnerLogin {
    /// How to connect as the migrator's login.
    pub connect: PgConnectOptions,
    /// The role to become first when the login of the URL is a superuser's (`SET SESSION AUTHORIZATION`).
    pub session_authorization: Option<RoleName>,
    /// The role that owns every schema.
    pub owner: RoleName,
}

impl OwnerLogin {
    /// Describes a login that is the migrator's own.
    pub fn new(connect: PgConnectOptions, names: &RoleNames) -> Self {
        Self { connect, session_authorization: None, owner: names.of(SystemRole::Owner).clone() }
    }

    /// Describes a superuser's login that becomes the migrator, for development and tests.
    pub fn through_superuser(connect: PgConnectOptions, names: &RoleNames) -> Self {
        Self {
            session_authorization: Some(names.of(SystemRole::Migrator).clone()),
            ..Self::new(connect, names)
        }
    }

    /// Opens a connection that is the owner's.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn open(&self) -> Result<OwnerConnection, DatabaseFailure> {
        let mut connection = PgConnection::connect_with(&self.connect.clone().disable_statement_logging())
            .await
            .map_err(|error| DatabaseFailure::new("connect as the migrator", error))?;
        let mut preamble = String::new();
        if let Some(role) = &self.session_authorization {
            preamble.push_str(&format!("SET SESSION AUTHORIZATION {}; ", role.quoted()));
        }
        preamble.push_str(&format!(
            "SET ROLE {}; SET search_path TO pg_catalog, pg_temp; SET statement_timeout TO 0; \
             SET client_min_messages TO warning",
            self.owner.quoted()
        ));
        connection
            .execute(sqlx::AssertSqlSafe(preamble))
            .await
            .map_err(|error| DatabaseFailure::new("become the owner role", error))?;
        Ok(OwnerConnection { connection })
    }
}

impl std::fmt::Debug for OwnerLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnerLogin").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// An idle connection of the owner role.
#[derive(Debug)]
pub struct OwnerConnection {
    connection: PgConnection,
}

impl OwnerConnection {
    /// Opens a transaction with further settings of it in the same round trip, such as `SET LOCAL …`.
    ///
    /// # Errors
    /// What the server answers; the connection is closed then.
    pub async fn begin(mut self, settings: &str) -> Result<OwnerTransaction, DatabaseFailure> {
        self.connection
            .execute(sqlx::AssertSqlSafe(format!("BEGIN; {settings}")))
            .await
            .map_err(|error| DatabaseFailure::new("begin a transaction", error))?;
        Ok(OwnerTransaction { connection: Mutex::new(self.connection) })
    }

    /// Runs one statement outside of a transaction, or several that each stand for themselves.
    ///
    /// # Errors
    /// What the server answers; the connection is then to be dropped.
    pub(crate) async fn run(&mut self, action: &'static str, script: String) -> Result<(), DatabaseFailure> {
        self.connection
            .execute(sqlx::AssertSqlSafe(script))
            .await
            .map(drop)
            .map_err(|error| DatabaseFailure::new(action, error))
    }

    /// Runs statements outside of a transaction and returns all their rows.
    ///
    /// # Errors
    /// As [`OwnerConnection::run`].
    pub(crate) async fn rows(
        &mut self,
        action: &'static str,
        script: String,
    ) -> Result<Vec<PgRow>, DatabaseFailure> {
        self.connection
            .fetch_all(sqlx::AssertSqlSafe(script))
            .await
            .map_err(|error| DatabaseFailure::new(action, error))
    }

    /// Returns the connection when the server still answers on it, and closes it otherwise.
    pub async fn if_alive(mut self) -> Option<Self> {
        self.connection.ping().await.is_ok().then_some(self)
    }

    /// Closes it.
    pub async fn close(self) {
        // Nothing is open on it; a failure to say good-bye changes nothing.
        let _closed = self.connection.close().await;
    }
}

/// An open transaction of the owner role. Dropping it closes its connection, and the server rolls back.
#[derive(Debug)]
pub struct OwnerTransaction {
    connection: Mutex<PgConnection>,
}

impl OwnerTransaction {
    /// Runs several statements in one round trip (the simple query protocol).
    ///
    /// # Errors
    /// What the server answers; the transaction is then to be rolled back or dropped.
    pub async fn run(&self, action: &'static str, script: String) -> Result<(), DatabaseFailure> {
        let mut connection = self.connection.lock().await;
        connection
            .execute(sqlx::AssertSqlSafe(script))
            .await
            .map(drop)
            .map_err(|error| DatabaseFailure::new(action, error))
    }

    /// Runs several statements in one round trip, and returns all their rows.
    ///
    /// # Errors
    /// As [`OwnerTransaction::run`].
    pub(crate) async fn rows(
        &self,
        action: &'static str,
        script: String,
    ) -> Result<Vec<PgRow>, DatabaseFailure> {
        let mut connection = self.connection.lock().await;
        connection
            .fetch_all(sqlx::AssertSqlSafe(script))
            .await
            .map_err(|error| DatabaseFailure::new(action, error))
    }

    /// Sends rows into a table: `statement` is a `COPY … FROM STDIN`, `rows` are pieces of what it reads. Returns how
    /// many rows there were.
    ///
    /// # Errors
    /// [`CopyError`]; the transaction is then to be rolled back or dropped.
    pub async fn copy_in<E, S>(
        &self,
        action: &'static str,
        statement: &str,
        mut rows: S,
    ) -> Result<u64, CopyError<E>>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
    {
        let failed = |error| CopyError::Database(DatabaseFailure::new(action, error));
        let mut connection = self.connection.lock().await;
        let mut sink = connection.copy_in_raw(statement).await.map_err(failed)?;
        while let Some(piece) = rows.next().await {
            match piece {
                Ok(bytes) => {
                    sink.send(bytes).await.map_err(failed)?;
                }
                Err(error) => {
                    // The transaction is over either way, and its end is what tells the server so.
                    let _aborted = sink.abort("the source of the rows failed").await;
                    return Err(CopyError::Source(error));
                }
            }
        }
        sink.finish().await.map_err(failed)
    }

    /// Reads rows from a table, piece by piece: `statement` is a `COPY … TO STDOUT`.
    ///
    /// # Errors
    /// As [`OwnerTransaction::run`].
    pub async fn copy_out(
        &self,
        action: &'static str,
        statement: &str,
        mut each: impl FnMut(&[u8]) + Send,
    ) -> Result<(), DatabaseFailure> {
        let failed = |error| DatabaseFailure::new(action, error);
        let mut connection = self.connection.lock().await;
        let mut rows = connection.copy_out_raw(statement).await.map_err(failed)?;
        while let Some(piece) = rows.try_next().await.map_err(failed)? {
            each(&piece);
        }
        Ok(())
    }

    /// Commits and gives the connection back.
    ///
    /// # Errors
    /// What the server answers; whether the transaction was committed is then unknown.
    pub async fn commit(self) -> Result<OwnerConnection, DatabaseFailure> {
        self.end("COMMIT", "commit").await
    }

    /// Rolls back and gives the connection back.
    ///
    /// # Errors
    /// What the server answers; the connection is closed then, which rolls back too.
    pub async fn rollback(self) -> Result<OwnerConnection, DatabaseFailure> {
        self.end("ROLLBACK", "roll back").await
    }

    async fn end(
        self,
        statement: &'static str,
        action: &'static str,
    ) -> Result<OwnerConnection, DatabaseFailure> {
        let mut connection = self.connection.into_inner();
        connection.execute(statement).await.map_err(|error| DatabaseFailure::new(action, error))?;
        Ok(OwnerConnection { connection })
    }
}

/// Why rows could not be sent into a table.
#[derive(Debug)]
pub enum CopyError<E> {
    /// Where they came from failed.
    Source(E),
    /// The database said no.
    Database(DatabaseFailure),
}

#[async_trait]
impl SystemExecutor for OwnerTransaction {
    async fn execute(&self, statement: Statement) -> Result<u64, DbErr> {
        let mut connection = self.connection.lock().await;
        bind(statement)
            .execute(&mut *connection)
            .await
            .map(|result: PgQueryResult| result.rows_affected())
            .map_err(|error| DbErr::Exec(RuntimeErr::SqlxError(error.into())))
    }

    async fn query_one<T: FromQueryResult + Send>(&self, statement: Statement) -> Result<Option<T>, DbErr> {
        let mut connection = self.connection.lock().await;
        let row = bind(statement).fetch_optional(&mut *connection).await.map_err(query_error)?;
        row.map(|row| T::from_query_result(&QueryResult::from(row), "")).transpose()
    }

    async fn query_all<T: FromQueryResult + Send>(&self, statement: Statement) -> Result<Vec<T>, DbErr> {
        let mut connection = self.connection.lock().await;
        let rows = bind(statement).fetch_all(&mut *connection).await.map_err(query_error)?;
        rows.into_iter().map(|row| T::from_query_result(&QueryResult::from(row), "")).collect()
    }
}

fn bind(statement: Statement) -> Query<'static, Postgres, SqlxValues> {
    let values = statement.values.unwrap_or_else(|| Values(Vec::new()));
    sqlx::query_with(sqlx::AssertSqlSafe(statement.sql), SqlxValues(values)).persistent(false)
}

fn query_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}
