//! What the crate tells while it works.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

/// A step that somebody who waits may want to see.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The state folder is out of reach of the account that runs the server; another one is used.
    FolderMoved {
        /// The folder that was asked for.
        from: PathBuf,
        /// The folder that is used.
        to: PathBuf,
        /// The account that runs the server.
        user: String,
    },
    /// Binaries were found.
    Found {
        /// The folder that holds them.
        bin: PathBuf,
        /// Their version, such as `17.6`.
        version: String,
    },
    /// No binaries were found; a build is being downloaded.
    Downloading {
        /// The version of the build.
        version: String,
        /// Bytes so far.
        received: u64,
        /// Bytes in all, when the host told.
        total: Option<u64>,
    },
    /// The build's checksum was right; it is being unpacked.
    Extracting {
        /// The version of the build.
        version: String,
    },
    /// A database folder is being made.
    Initialising {
        /// The folder.
        folder: PathBuf,
    },
    /// The server is being started.
    Starting,
    /// A server that was already running in the folder is used.
    Adopted {
        /// Its process id.
        pid: i32,
    },
    /// The server answers.
    Ready {
        /// The time from the call until now.
        elapsed: Duration,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FolderMoved { from, to, user } => {
                write!(
                    f,
                    "user {user} cannot reach {}; the database is kept in {}",
                    from.display(),
                    to.display()
                )
            }
            Self::Found { bin, version } => write!(f, "PostgreSQL {version} in {}", bin.display()),
            Self::Downloading { version, received, total: Some(total) } => {
                write!(f, "downloading PostgreSQL {version}: {} of {} KiB", received / 1024, total / 1024)
            }
            Self::Downloading { version, received, total: None } => {
                write!(f, "downloading PostgreSQL {version}: {} KiB", received / 1024)
            }
            Self::Extracting { version } => write!(f, "unpacking PostgreSQL {version}"),
            Self::Initialising { folder } => write!(f, "making a database in {}", folder.display()),
            Self::Starting => f.write_str("starting PostgreSQL"),
            Self::Adopted { pid } => {
                write!(f, "using the PostgreSQL that is already running (process {pid})")
            }
            Self::Ready { elapsed } => write!(f, "PostgreSQL is ready after {} ms", elapsed.as_millis()),
        }
    }
}

type Callback = dyn Fn(&Event) + Send + Sync;

/// Where events go: a callback, called on the thread that does the work.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<Callback>>);

impl Progress {
    /// Sends every event to the callback as well as to `tracing`.
    pub fn new(callback: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(callback)))
    }

    /// Sends events to `tracing` only.
    #[must_use]
    pub fn silent() -> Self {
        Self(None)
    }

    pub(crate) fn report(&self, event: &Event) {
        tracing::debug!(%event, "embedded PostgreSQL");
        if let Some(callback) = &self.0 {
            callback(event);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Progress").field(&self.0.is_some()).finish()
    }
}
