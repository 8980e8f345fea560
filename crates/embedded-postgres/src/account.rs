//! Which operating-system account the server runs as.

use std::{
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
};

use nix::unistd::{Gid, Uid, User};

use crate::error::PostgresError;

/// The account that runs the server: this process's own, or an unprivileged one when this process is root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    name: String,
    uid: Uid,
    gid: Gid,
    dropped: bool,
}

impl Account {
    /// Chooses the account: our own; as root the owner of existing data, else `postgres`, else `nobody`.
    ///
    /// # Errors
    /// [`PostgresError::NoAccount`] when this process is root and neither exists.
    pub fn choose(data_owner: Option<u32>) -> Result<Self, PostgresError> {
        let uid = Uid::effective();
        if !uid.is_root() {
            let name = user(uid).map_or_else(|| uid.to_string(), |user| user.name);
            return Ok(Self { name, uid, gid: Gid::effective(), dropped: false });
        }
        let owner = data_owner.map(Uid::from_raw).filter(|owner| !owner.is_root());
        owner
            .and_then(user)
            .or_else(|| ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok().flatten()))
            .map(|user| Self { name: user.name, uid: user.uid, gid: user.gid, dropped: true })
            .ok_or(PostgresError::NoAccount)
    }

    /// The account's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells whether the account differs from the one this process runs as.
    #[must_use]
    pub fn is_dropped(&self) -> bool {
        self.dropped
    }

    /// The numeric id of the account.
    pub(crate) fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    /// A command that runs as the account, in `/`, without this process's environment.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").stdin(Stdio::null()).env_clear().env("LC_ALL", "C");
        for name in ["PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if self.dropped {
            command.uid(self.uid.as_raw()).gid(self.gid.as_raw());
        }
        command
    }

    /// Gives a file or folder to the account when this process is root.
    pub(crate) fn give(&self, path: &Path) -> Result<(), PostgresError> {
        if self.dropped {
            std::os::unix::fs::lchown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw()))
                .map_err(PostgresError::io("change the owner of", path))?;
        }
        Ok(())
    }

    /// Tells whether the account can enter and write a folder; asked as the account itself.
    pub(crate) fn can_write(&self, folder: &Path) -> bool {
        self.succeeds("cd \"$1\" && test -w .", folder)
    }

    /// Tells whether the account can enter a folder; asked as the account itself.
    pub(crate) fn can_enter(&self, folder: &Path) -> bool {
        !self.dropped || self.succeeds("cd \"$1\"", folder)
    }

    fn succeeds(&self, script: &str, folder: &Path) -> bool {
        let mut command = self.command(Path::new("/bin/sh"));
        command.arg("-c").arg(script).arg("sh").arg(folder);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

fn user(uid: Uid) -> Option<User> {
    User::from_uid(uid).ok().flatten()
}
