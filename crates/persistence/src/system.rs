//! Connections to the system schema: the registry, users, control tables. They see no tenant's schema.

use async_trait::async_trait;
use sea_orm::{DbErr, FromQueryResult, Statement};

use crate::{cluster::ConnectError, options::SystemOptions};

/// Runs statements on the system schema; implemented by a connection and a transaction, and by nothing else.
#[async_trait]
pub trait SystemExecutor: Send + Sync {
    /// Runs a statement and returns the number of rows that it changed.
    ///
    /// # Errors
    /// What the database answers.
    async fn execute(&self, statement: Statement) -> Result<u64, DbErr>;

    /// Returns the first row, if there is one.
    ///
    /// # Errors
    /// What the database answers, or a row that does not fit `T`.
    async fn query_one<T: FromQueryResult + Send>(&self, statement: Statement) -> Result<Option<T>, DbErr>;

    /// Returns all rows.
    ///
    /// # Errors
    /// As [`SystemExecutor::query_one`].
    async fn query_all<T: FromQueryResult + Send>(&self, statement: Statement) -> Result<Vec<T>, DbErr>;
}

/// A pool of connections of one login to the system schema. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SystemConnection {}

/// An open transaction on the system schema; rolled back when dropped.
#[derive(Debug)]
pub struct SystemTransaction {}

impl SystemConnection {
    /// Opens a pool; one connection is made at once, so that a wrong URL is found here.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(_options: SystemOptions) -> Result<Self, ConnectError> {
        todo!("persistence")
    }

    /// Opens a transaction.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn begin(&self) -> Result<SystemTransaction, DbErr> {
        todo!("persistence")
    }

    /// Closes the pool once its connections are back.
    pub async fn close(&self) {
        todo!("persistence")
    }
}

impl SystemTransaction {
    /// Commits.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn commit(self) -> Result<(), DbErr> {
        todo!("persistence")
    }

    /// Rolls back.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn rollback(self) -> Result<(), DbErr> {
        todo!("persistence")
    }
}

#[async_trait]
impl SystemExecutor for SystemConnection {
    async fn execute(&self, _statement: Statement) -> Result<u64, DbErr> {
        todo!("persistence")
    }
    async fn query_one<T: FromQueryResult + Send>(&self, _statement: Statement) -> Result<Option<T>, DbErr> {
        todo!("persistence")
    }
    async fn query_all<T: FromQueryResult + Send>(&self, _statement: Statement) -> Result<Vec<T>, DbErr> {
        todo!("persistence")
    }
}

#[async_trait]
impl SystemExecutor for SystemTransaction {
    async fn execute(&self, _statement: Statement) -> Result<u64, DbErr> {
        todo!("persistence")
    }
    async fn query_one<T: FromQueryResult + Send>(&self, _statement: Statement) -> Result<Option<T>, DbErr> {
        todo!("persistence")
    }
    async fn query_all<T: FromQueryResult + Send>(&self, _statement: Statement) -> Result<Vec<T>, DbErr> {
        todo!("persistence")
    }
}
