//! Connections and transactions with exactly one tenant applied.

use async_trait::async_trait;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement};

use crate::target::TenantTarget;

/// A connection or transaction with exactly one tenant applied.
///
/// Sealed: only [`TenantConnection`] and [`TenantTransaction`] are, so that what takes one cannot be called
/// with anything that has no tenant.
pub trait TenantScoped: ConnectionTrait + Send + Sync + sealed::Sealed {
    /// Returns the tenant that is applied.
    fn target(&self) -> &TenantTarget;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::TenantConnection {}
    impl Sealed for super::TenantTransaction {}
}

/// Runs single statements for one tenant, each on a connection of its own from the pool. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TenantConnection {
    target: TenantTarget,
}

/// An open transaction, or a savepoint in one, for one tenant; rolled back when dropped.
#[derive(Debug)]
pub struct TenantTransaction {
    target: TenantTarget,
}

impl TenantConnection {
    /// Opens a transaction for writing (READ COMMITTED).
    ///
    /// # Errors
    /// What the pool or the database answers.
    pub async fn begin(&self) -> Result<TenantTransaction, DbErr> {
        todo!("persistence")
    }

    /// Opens a transaction in which several reads agree (REPEATABLE READ, READ ONLY).
    ///
    /// # Errors
    /// What the pool or the database answers.
    pub async fn begin_read_only(&self) -> Result<TenantTransaction, DbErr> {
        todo!("persistence")
    }
}

impl TenantTransaction {
    /// Opens a savepoint; committing releases it, rolling back undoes what was done since.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn savepoint(&self) -> Result<TenantTransaction, DbErr> {
        todo!("persistence")
    }

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

macro_rules! stub {
    ($type:ty) => {
        #[async_trait]
        impl ConnectionTrait for $type {
            fn get_database_backend(&self) -> DbBackend {
                DbBackend::Postgres
            }
            async fn execute_raw(&self, _: Statement) -> Result<ExecResult, DbErr> {
                todo!("persistence")
            }
            async fn execute_unprepared(&self, _: &str) -> Result<ExecResult, DbErr> {
                todo!("persistence")
            }
            async fn query_one_raw(&self, _: Statement) -> Result<Option<QueryResult>, DbErr> {
                todo!("persistence")
            }
            async fn query_all_raw(&self, _: Statement) -> Result<Vec<QueryResult>, DbErr> {
                todo!("persistence")
            }
        }
    };
}
stub!(TenantConnection);
stub!(TenantTransaction);
