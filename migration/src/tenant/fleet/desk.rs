//! The one connection that leads a run: it holds the fleet's lock as long as it lives, and writes the run's rows.

use std::time::{Duration, Instant};

use sea_orm::DbErr;
use sqlx::Row;

use super::run::{Event, RunError};
use crate::{
    failure::DatabaseFailure,
    owner::{OwnerConnection, OwnerLogin, OwnerTransaction},
};

/// The advisory lock of whoever migrates the fleet of a database.
const LOCK: i64 = 0x636c_696e_6963_7802;
/// How often somebody who waits for the lock looks again. Waiting in the server would keep a snapshot, for which the
/// building of an index waits.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How often it is looked whether the lock is still held.
pub(super) const PING: Duration = Duration::from_secs(2);

/// The connection that leads a run.
pub(super) struct Desk {
    connection: Option<OwnerConnection>,
    seen: Instant,
}

impl Desk {
    /// Waits until nobody else leads a run.
    pub(super) async fn open(
        login: &OwnerLogin,
        events: &mut (impl FnMut(Event<'_>) + Send),
    ) -> Result<Self, RunError> {
        let mut connection = login.open().await?;
        let mut is_said = false;
        loop {
            let lock = format!("SELECT pg_catalog.pg_try_advisory_lock({LOCK}) AS is_ours");
            let rows = connection.rows("lock the fleet", lock).await?;
            if rows.first().and_then(|row| row.try_get("is_ours").ok()).unwrap_or(false) {
                return Ok(Self { connection: Some(connection), seen: Instant::now() });
            }
            if !is_said {
                is_said = true;
                events(Event::Waiting);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Opens a transaction; when it is dropped the lock goes with it, and so does the run.
    pub(super) async fn begin(&mut self) -> Result<OwnerTransaction, RunError> {
        let connection = self.connection.take().ok_or(RunError::Lost)?;
        Ok(connection.begin("SET LOCAL lock_timeout TO '10s'").await?)
    }

    /// Commits it.
    pub(super) async fn commit(&mut self, tx: OwnerTransaction) -> Result<(), RunError> {
        self.connection = Some(tx.commit().await?);
        self.seen = Instant::now();
        Ok(())
    }

    /// Makes sure now and then that the lock is still held.
    pub(super) async fn ping(&mut self) -> Result<(), RunError> {
        if self.seen.elapsed() < PING {
            return Ok(());
        }
        let connection = self.connection.take().ok_or(RunError::Lost)?;
        self.connection = Some(connection.if_alive().await.ok_or(RunError::Lost)?);
        self.seen = Instant::now();
        Ok(())
    }

    /// Lets others lead.
    pub(super) async fn close(self) {
        if let Some(connection) = self.connection {
            connection.close().await;
        }
    }
}

/// Says what was being done when the run's rows could not be read or written.
pub(super) fn failed(error: DbErr) -> RunError {
    RunError::Database(DatabaseFailure::of("keep the run's rows", &error))
}
