//! What can go wrong, each case as one line that says what to do next.

use std::{io, path::PathBuf};

use crate::installation::Place;

/// A local PostgreSQL could not be found, fetched, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// No PostgreSQL of a sufficient version is on this machine.
    #[error(
        "no PostgreSQL {oldest} or newer found ({}); install it with `{install}` or set CLINICX_POSTGRES_BIN to its bin folder",
        Place::list(.looked)
    )]
    NoBinaries {
        /// The oldest major version that serves.
        oldest: u32,
        /// Every place that was looked at, with what was there.
        looked: Vec<Place>,
        /// The command that installs PostgreSQL on this system.
        install: String,
    },
    /// The folder that was explicitly named holds no PostgreSQL that serves.
    #[error(
        "the configured PostgreSQL folder does not serve ({place}); set CLINICX_POSTGRES_BIN to the folder that holds `postgres` and `initdb` of version {oldest} or newer"
    )]
    ConfiguredBinaries {
        /// The folder and what was wrong with it.
        place: Place,
        /// The oldest major version that serves.
        oldest: u32,
    },
    /// The database folder was made by another major version than those on this machine.
    #[error("the database in {} was made by PostgreSQL {data}, which is not among those found here ({found}); install PostgreSQL {data} or move the folder away", .folder.display())]
    OtherVersion {
        /// The database folder.
        folder: PathBuf,
        /// The major version that made it.
        data: u32,
        /// The versions on this machine, comma separated.
        found: String,
    },
    /// There is no PostgreSQL here and none could be fetched.
    #[error("no PostgreSQL here and none could be downloaded ({reason}); install it with `{install}`")]
    Fetch {
        /// What went wrong, one line.
        reason: String,
        /// The command that installs PostgreSQL on this system.
        install: String,
    },
    /// The process runs as root and there is no account that the server could run as.
    #[error(
        "PostgreSQL refuses to run as root and there is neither a user `postgres` nor `nobody` here; add one with `useradd --system postgres` or run as an ordinary user"
    )]
    NoAccount,
    /// The account that runs the server cannot enter or write the folder.
    #[error("user {user} cannot write {}; choose a state folder that it can reach, such as /var/lib/clinicx", .folder.display())]
    Unreachable {
        /// The folder.
        folder: PathBuf,
        /// The account that runs the server.
        user: String,
    },
    /// A folder for short-lived files exists, but somebody else owns it or may write in it.
    #[error("{} is not a folder that only user {user} can write; remove it", .folder.display())]
    ForeignFolder {
        /// The folder.
        folder: PathBuf,
        /// The account that should own it.
        user: String,
    },
    /// Another process has held the start lock for too long.
    #[error("another process has been starting PostgreSQL in {} for {waited_s} s; end it and try again", .folder.display())]
    Locked {
        /// The database folder.
        folder: PathBuf,
        /// How long this process waited, in seconds.
        waited_s: u64,
    },
    /// `initdb` failed.
    #[error("initdb could not make a database in {}: {reason}", .folder.display())]
    Initdb {
        /// The database folder.
        folder: PathBuf,
        /// The last line that it printed.
        reason: String,
    },
    /// The server ended while it was starting.
    #[error("PostgreSQL did not start: {reason}; see {}", .log.display())]
    Start {
        /// The last telling line of its log.
        reason: String,
        /// Its log file.
        log: PathBuf,
    },
    /// The server did not become ready or did not end in time.
    #[error("PostgreSQL was not {state} after {waited_s} s; see {}", .log.display())]
    TooSlow {
        /// The state that was waited for.
        state: &'static str,
        /// How long, in seconds.
        waited_s: u64,
        /// Its log file.
        log: PathBuf,
    },
    /// A file operation failed.
    #[error("{action} {}: {}", .path.display(), .source)]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The start was given up by whoever had asked for it.
    #[error("the start of PostgreSQL was given up; start again to go on")]
    Cancelled,
    /// The asynchronous runtime ended while the server was starting or stopping.
    #[error("the runtime ended while PostgreSQL was starting or stopping; try again")]
    Runtime,
}

impl PostgresError {
    /// Makes the [`PostgresError::Io`] of an action on a path.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// The last line of a program's output that is not empty, without control characters.
pub(crate) fn last_line(output: &str) -> String {
    let line = output.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("no output");
    line.chars().filter(|c| !c.is_control()).collect()
}
