//! Giving a start up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::error::PostgresError;

/// How often somebody who waits asynchronously looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Says that nobody wants the server any more. The start to whose options it belongs ends what it has begun, waits
/// until that is gone, and returns [`PostgresError::Cancelled`].
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Gives the start up; for good, and with every clone of this value.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Tells whether it was given up.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Goes on unless it was given up.
    pub(crate) fn check(&self) -> Result<(), PostgresError> {
        if self.is_cancelled() { Err(PostgresError::Cancelled) } else { Ok(()) }
    }

    /// Waits until it is given up.
    pub(crate) async fn cancelled(&self) {
        while !self.is_cancelled() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
