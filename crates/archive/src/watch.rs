//! How far the work has come, and whether it is to stop.

use tokio_util::sync::CancellationToken;

use crate::error::ArchiveError;

/// How far the work has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// How many tables are done.
    pub tables: u64,
    /// How many tables there are.
    pub of_tables: u64,
    /// How many rows are done.
    pub rows: u64,
    /// How many bytes of rows are done, before they were compressed.
    pub bytes: u64,
}

/// Who watches the work. It is asked between two pieces of at most a mebibyte whether to go on.
#[derive(Clone, Default)]
pub struct Watch<'a> {
    stop: CancellationToken,
    said: Option<&'a (dyn Fn(Progress) + Send + Sync)>,
}

impl<'a> Watch<'a> {
    /// Makes one that stops the work when the token is cancelled.
    pub fn stopped_by(stop: CancellationToken) -> Self {
        Self { stop, said: None }
    }

    /// Tells somebody how far the work has come, after each piece.
    #[must_use]
    pub fn telling(self, said: &'a (dyn Fn(Progress) + Send + Sync)) -> Self {
        Self { said: Some(said), ..self }
    }

    pub(crate) fn say(&self, progress: Progress) {
        if let Some(said) = self.said {
            said(progress);
        }
    }

    pub(crate) fn go_on(&self) -> Result<(), ArchiveError> {
        if self.stop.is_cancelled() { Err(ArchiveError::Stopped) } else { Ok(()) }
    }
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("stop", &self.stop.is_cancelled()).finish_non_exhaustive()
    }
}
