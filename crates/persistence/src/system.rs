//! Connections to the system schema: the registry, users, control tables. They see no tenant's schema.

use async_trait::async_trait;
use sea_orm::{DbErr, FromQueryResult, QueryResult, Statement};
use sqlx::postgres::PgRow;

use crate::{
    cluster::{ConnectError, PoolStats},
    options::{ApplyMode, PoolOptions, SystemOptions},
    pool::{Connector, Door, Pool, Settings},
    session::Session,
    statement::{All, Execute, One},
    subject::Terms,
    transaction::{End, Level},
    trouble::Trouble,
};

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
///
/// Its search path is `public`, its time limits are those of its options. Each statement is committed when it returns. What opens or ends a transaction
/// or sets something beyond one is refused.
///
/// A query of an entity compiles with a tenant's connection
///
/// ```
/// # mod note {
/// #     use sea_orm::entity::prelude::*;
/// #     #[sea_orm::model]
/// #     #[derive(Clone, Debug, DeriveEntityModel)]
/// #     #[sea_orm(table_name = "notes")]
/// #     pub struct Model {
/// #         #[sea_orm(primary_key)]
/// #         pub id: i32,
/// #     }
/// #     impl ActiveModelBehavior for ActiveModel {}
/// # }
/// use sea_orm::{DbErr, EntityTrait};
/// async fn notes(db: &clinicx_persistence::TenantConnection) -> Result<Vec<note::Model>, DbErr> {
///     note::Entity::find().all(db).await
/// }
/// ```
///
/// and not with this one:
///
/// ```compile_fail,E0277
/// # mod note {
/// #     use sea_orm::entity::prelude::*;
/// #     #[sea_orm::model]
/// #     #[derive(Clone, Debug, DeriveEntityModel)]
/// #     #[sea_orm(table_name = "notes")]
/// #     pub struct Model {
/// #         #[sea_orm(primary_key)]
/// #         pub id: i32,
/// #     }
/// #     impl ActiveModelBehavior for ActiveModel {}
/// # }
/// use sea_orm::{DbErr, EntityTrait};
/// async fn notes(db: &clinicx_persistence::SystemConnection) -> Result<Vec<note::Model>, DbErr> {
///     note::Entity::find().all(db).await
/// }
/// ```
#[derive(Clone, Debug)]
pub struct SystemConnection {
    session: Session,
}

/// An open transaction on the system schema; rolled back when dropped.
#[derive(Debug)]
pub struct SystemTransaction {
    level: Level,
}

impl SystemConnection {
    /// Opens a pool; one connection is made at once, so that a wrong URL is found here.
    ///
    /// Behind a pooler each statement runs in a transaction of its own.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(options: SystemOptions) -> Result<Self, ConnectError> {
        let SystemOptions { connect, session_authorization, max_connections, acquire_timeout, timeouts } =
            options;
        let limits =
            PoolOptions { max_connections, acquire_timeout, min_connections: 0, ..PoolOptions::default() };
        let role = session_authorization.clone();
        let capacity = limits.statement_cache_capacity;
        let connector = Connector::find(connect, ApplyMode::Session, role, capacity).await?;
        let mode = match connector.door() {
            Door::Direct => ApplyMode::Session,
            Door::Pooler => ApplyMode::Transaction,
        };
        let settings = Settings {
            connector: connector.with_mode(mode),
            mode,
            terms: Terms { timeouts, session_authorization },
            limits,
            inspect: mode == ApplyMode::Session,
        };
        Ok(Self { session: Session::system(Pool::start(settings).await?) })
    }

    /// Opens a transaction.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn begin(&self) -> Result<SystemTransaction, DbErr> {
        let opened = self.session.begin("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await;
        Ok(SystemTransaction { level: Level::outermost(opened.map_err(Trouble::exec)?) })
    }

    /// Returns what the pool is doing.
    pub fn stats(&self) -> PoolStats {
        self.session.pool().figures()
    }

    /// Closes the pool once its connections are back. Ends within seconds all the same when something runs on, or
    /// the server does not answer.
    pub async fn close(&self) {
        self.session.pool().close().await;
    }
}

impl SystemTransaction {
    /// Commits.
    ///
    /// # Errors
    /// What the database answers; a statement in it that failed or did not run to its end.
    pub async fn commit(self) -> Result<(), DbErr> {
        self.level.end(End::Commit).await.map_err(Trouble::exec)
    }

    /// Rolls back.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn rollback(self) -> Result<(), DbErr> {
        self.level.end(End::Rollback).await.map_err(Trouble::exec)
    }
}

/// Writes [`SystemExecutor`] for a type; `$inner` finds what runs its statements.
macro_rules! executor {
    ($type:ty, $($inner:tt)+) => {
        #[async_trait]
        impl SystemExecutor for $type {
            async fn execute(&self, statement: Statement) -> Result<u64, DbErr> {
                let done = self.$($inner)+.run::<Execute>(statement).await.map_err(Trouble::exec)?;
                Ok(done.rows_affected())
            }

            async fn query_one<T: FromQueryResult + Send>(
                &self,
                statement: Statement,
            ) -> Result<Option<T>, DbErr> {
                let row = self.$($inner)+.run::<One>(statement).await.map_err(Trouble::query)?;
                row.map(read).transpose()
            }

            async fn query_all<T: FromQueryResult + Send>(&self, statement: Statement) -> Result<Vec<T>, DbErr> {
                let rows = self.$($inner)+.run::<All>(statement).await.map_err(Trouble::query)?;
                rows.into_iter().map(read).collect()
            }
        }
    };
}

executor!(SystemConnection, session);
executor!(SystemTransaction, level.transaction());

fn read<T: FromQueryResult>(row: PgRow) -> Result<T, DbErr> {
    T::from_query_result(&QueryResult::from(row), "")
}
