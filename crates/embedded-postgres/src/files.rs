//! Folders: made, copied, locked.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{account::Account, cancel::Cancel, error::PostgresError};

/// How long one process waits for another that starts a server in the same folder; a download may be in it.
const LOCK_WAIT: Duration = Duration::from_secs(300);

/// Makes a folder, and those above it.
pub(crate) fn make_folder(path: &Path) -> Result<(), PostgresError> {
    fs::create_dir_all(path).map_err(PostgresError::io("create", path))
}

/// Makes a folder that only the account and root can enter; one that is there keeps its mode.
pub(crate) fn make_own_folder(path: &Path, account: &Account) -> Result<(), PostgresError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => account.give(path),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(path).map_err(PostgresError::io("look at", path))?;
            // Made by root and not given away yet: a start that was killed in between.
            if found.is_dir() && found.uid() == 0 { account.give(path) } else { Ok(()) }
        }
        Err(error) => Err(PostgresError::io("create", path)(error)),
    }
}

/// Makes a folder that everybody can read and only we can write, and refuses one that others could have prepared.
pub(crate) fn make_our_folder(path: &Path) -> Result<(), PostgresError> {
    match DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(PostgresError::io("create", path)(error));
        }
        _ => {}
    }
    let found = fs::symlink_metadata(path).map_err(PostgresError::io("look at", path))?;
    let us = nix::unistd::Uid::effective();
    if !found.is_dir() || found.uid() != us.as_raw() || found.mode() & 0o022 != 0 {
        return Err(PostgresError::ForeignFolder { folder: path.to_owned(), user: us.to_string() });
    }
    Ok(())
}

/// Makes a folder that only the account and root can enter, and refuses one that others could have prepared.
pub(crate) fn make_private_folder(path: &Path, account: &Account) -> Result<(), PostgresError> {
    make_own_folder(path, account)?;
    let found = fs::symlink_metadata(path).map_err(PostgresError::io("look at", path))?;
    if !found.is_dir() || found.uid() != account.uid() || found.mode() & 0o077 != 0 {
        return Err(PostgresError::ForeignFolder {
            folder: path.to_owned(),
            user: account.name().to_owned(),
        });
    }
    Ok(())
}

/// Copies a folder with its modes; the copy belongs to the account, when one is given.
pub(crate) fn copy_tree(from: &Path, to: &Path, account: Option<&Account>) -> Result<(), PostgresError> {
    let mode = fs::metadata(from).map_err(PostgresError::io("look at", from))?.mode() & 0o777;
    DirBuilder::new().mode(mode).create(to).map_err(PostgresError::io("create", to))?;
    let give = |path: &Path| account.map_or(Ok(()), |account| account.give(path));
    give(to)?;
    for entry in fs::read_dir(from).map_err(PostgresError::io("read", from))? {
        let entry = entry.map_err(PostgresError::io("read", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(PostgresError::io("look at", &source))?.is_dir() {
            copy_tree(&source, &target, account)?;
        } else {
            fs::copy(&source, &target).map_err(PostgresError::io("copy", &source))?;
            give(&target)?;
        }
    }
    Ok(())
}

/// Removes a folder and all in it; a missing one is fine.
pub(crate) fn remove_tree(path: &Path) -> Result<(), PostgresError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(PostgresError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Opens a file that only its owner can read, and makes it when it is missing.
pub(crate) fn open_private(path: &Path) -> Result<File, PostgresError> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(PostgresError::io("open", path))
}

/// Waits for the lock of a folder; it is free again when the returned file is dropped or its process ends.
pub(crate) fn lock(path: &Path, cancel: &Cancel) -> Result<File, PostgresError> {
    let file = open_private(path)?;
    let start = Instant::now();
    loop {
        cancel.check()?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if start.elapsed() < LOCK_WAIT => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => {
                let folder = path.parent().unwrap_or(path).to_owned();
                return Err(PostgresError::Locked { folder, waited_s: LOCK_WAIT.as_secs() });
            }
            Err(TryLockError::Error(error)) => return Err(PostgresError::io("lock", path)(error)),
        }
    }
}

/// Removes an empty folder unless somebody is about to use it, which whoever holds the lock is.
pub(crate) fn remove_unused(folder: &Path, lock: &Path) {
    if let Ok(lock) = File::open(lock)
        && lock.try_lock().is_ok()
    {
        // It fails when something is in it, as it should.
        let _ = fs::remove_dir(folder);
    }
}

/// Removes folders of this account that are empty, have been so for some time, and whose name begins as told.
pub(crate) fn remove_left_empty(within: &Path, prefix: &str, account: &Account, left_for: Duration) {
    for entry in fs::read_dir(within).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(prefix);
        let Ok(found) = entry.metadata() else { continue };
        let is_left = found.modified().is_ok_and(|at| at.elapsed().is_ok_and(|ago| ago >= left_for));
        if is_ours && is_left && found.is_dir() && found.uid() == account.uid() {
            // It fails when something is in it, as it should.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// A stable short name for a path.
pub(crate) fn hash(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    // FNV-1a: the name must be the same with every compiler, which std's hashers do not promise.
    let hash = path.as_os_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// The folder for short-lived files; `/tmp` when the configured one is too long for a socket in it or out of the
/// account's reach.
pub(crate) fn temporary_folder(account: &Account) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    let configured = std::env::temp_dir();
    // A socket path holds 103 bytes on macOS and 107 on Linux; our folder and file names take up to 50.
    let short = configured.as_os_str().as_bytes().len() <= 50;
    let standard = PathBuf::from("/tmp");
    if configured == standard || short && (!account.is_dropped() || account.can_write(&configured)) {
        configured
    } else {
        standard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_empty_folders_of_the_name_are_removed() {
        let within = std::env::temp_dir().join(format!("clinicx-files-{}", std::process::id()));
        let account = Account::choose(None).unwrap();
        for name in ["left-a", "left-full/inside", "other"] {
            fs::create_dir_all(within.join(name)).unwrap();
        }
        for name in ["left-a", "left-full", "other"] {
            account.give(&within.join(name)).unwrap();
        }
        let names = || {
            let entries = fs::read_dir(&within).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        remove_left_empty(&within, "left-", &account, Duration::from_secs(600));
        assert_eq!(names(), ["left-a", "left-full", "other"], "a young one may be a server's that starts");
        remove_left_empty(&within, "left-", &account, Duration::ZERO);
        assert_eq!(names(), ["left-full", "other"]);
        fs::remove_dir_all(&within).unwrap();
    }
}
