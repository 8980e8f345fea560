//! The folder in which a server lives, and the account that can reach it.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    account::Account,
    error::PostgresError,
    event::{Event, Progress},
    files,
};

/// A log that is longer than this is set aside at the next start.
const LOG_BYTES: u64 = 8 * 1024 * 1024;
/// What the name of a socket's folder begins with.
const SOCKET_PREFIX: &str = "clinicx-postgres-";
/// A socket's folder that has been empty for so long is nobody's: a server that starts makes one and puts its socket
/// there within seconds.
const LEFT_FOR: Duration = Duration::from_secs(600);

/// A server's folders.
#[derive(Debug)]
pub(crate) struct Folder {
    /// The account that runs the server.
    pub(crate) account: Account,
    /// The state folder; fetched builds are kept here.
    pub(crate) state: PathBuf,
    /// The folder inside it that belongs to the account.
    pub(crate) home: PathBuf,
}

impl Folder {
    /// Makes the folders and checks that the account reaches them; as root with an unreachable state folder takes
    /// one under `fallback` instead.
    pub(crate) fn prepare(
        state: &Path,
        fallback: Option<&Path>,
        progress: &Progress,
    ) -> Result<Self, PostgresError> {
        files::make_folder(state)?;
        let state = fs::canonicalize(state).map_err(PostgresError::io("look at", state))?;
        let unreachable = match Self::at(&state) {
            Err(PostgresError::Unreachable { user, .. }) if fallback.is_some() => user,
            other => return other,
        };
        let Some(fallback) = fallback else {
            return Err(PostgresError::Unreachable { folder: state, user: unreachable });
        };
        let other = moved(&state, fallback);
        for folder in [fallback, &other] {
            files::make_folder(folder)?;
            fs::set_permissions(folder, Permissions::from_mode(0o755))
                .map_err(PostgresError::io("change the mode of", folder))?;
        }
        let found = Self::at(&other)?;
        progress.report(&Event::FolderMoved { from: state, to: other, user: unreachable });
        Ok(found)
    }

    /// The folders `home` that a server of this state folder may have.
    pub(crate) fn candidates(state: &Path, fallback: Option<&Path>) -> Vec<PathBuf> {
        let Ok(state) = fs::canonicalize(state) else { return Vec::new() };
        let other = fallback.map(|fallback| moved(&state, fallback));
        [Some(state), other].into_iter().flatten().map(|state| state.join("postgres")).collect()
    }

    fn at(state: &Path) -> Result<Self, PostgresError> {
        let home = state.join("postgres");
        let owner = fs::metadata(home.join("data")).ok().map(|data| data.uid());
        let account = Account::choose(owner)?;
        files::make_own_folder(&home, &account)?;
        if account.can_write(&home) {
            return Ok(Self { account, state: state.to_owned(), home });
        }
        if owner.is_none() && account.is_dropped() {
            // Nothing is in it; it fails when something is.
            let _ = fs::remove_dir(&home);
        }
        Err(PostgresError::Unreachable { folder: home, user: account.name().to_owned() })
    }

    /// The database folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// The server's log file.
    pub(crate) fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    /// The file that names the process that owns the running server.
    ///
    /// This and the lock are ours to write, so they lie outside the folder in which the account could exchange them.
    pub(crate) fn owner(&self) -> PathBuf {
        self.state.join("postgres.owner")
    }

    /// The file whose lock is held while a server is being started.
    pub(crate) fn lock(&self) -> PathBuf {
        self.state.join("postgres.lock")
    }

    /// The socket's folder: a short path that depends on the database folder only.
    pub(crate) fn socket(&self) -> PathBuf {
        files::temporary_folder(&self.account).join(format!("{SOCKET_PREFIX}{}", files::hash(&self.data())))
    }

    /// Removes the sockets' folders that killed servers of the account have left empty, this server's own among them.
    pub(crate) fn remove_left_sockets(&self) {
        let folder = files::temporary_folder(&self.account);
        files::remove_left_empty(&folder, SOCKET_PREFIX, &self.account, LEFT_FOR);
    }

    /// Sets a long log aside.
    pub(crate) fn rotate_log(&self) -> Result<(), PostgresError> {
        let log = self.log();
        if fs::metadata(&log).is_ok_and(|found| found.len() > LOG_BYTES) {
            fs::rename(&log, self.home.join("log.old")).map_err(PostgresError::io("rename", &log))?;
        }
        Ok(())
    }
}

/// The folder to use instead of a state folder that the account can't reach.
fn moved(state: &Path, fallback: &Path) -> PathBuf {
    fallback.join(files::hash(state))
}
