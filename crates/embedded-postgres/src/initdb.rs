//! Making a database folder.

use std::{fs, path::Path};

use crate::{
    account::Account,
    error::{PostgresError, last_line},
    files,
    installation::Installation,
    settings::Profile,
};

/// Makes a database folder. It appears under its name only when it is whole.
pub(crate) fn initialise(
    installation: &Installation,
    account: &Account,
    data: &Path,
    superuser: &str,
    profile: Profile,
) -> Result<(), PostgresError> {
    let unfinished = data.with_extension("unfinished");
    files::remove_tree(&unfinished)?;
    let mut reason = String::new();
    for locale in ["C.UTF-8", "C"] {
        let mut command = account.command(&installation.bin.join("initdb"));
        command.arg("--pgdata").arg(&unfinished).args(["--username", superuser]);
        command.args(["--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--data-checksums"]);
        command.args(["--lc-messages=C", "--no-instructions", "--locale", locale]);
        if profile == Profile::Test {
            command.arg("--no-sync");
        }
        let output = command.output().map_err(PostgresError::io("run", installation.bin.join("initdb")))?;
        if output.status.success() {
            fs::rename(&unfinished, data).map_err(PostgresError::io("rename", &unfinished))?;
            if profile == Profile::Durable
                && let Some(parent) = data.parent()
            {
                let folder = fs::File::open(parent).map_err(PostgresError::io("open", parent))?;
                folder.sync_all().map_err(PostgresError::io("sync", parent))?;
            }
            return Ok(());
        }
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        files::remove_tree(&unfinished)?;
        // The telling line says "error"; the last ones say what initdb removed.
        reason =
            errors.lines().find(|line| line.contains("error:")).map_or_else(|| last_line(&errors), last_line);
        if !errors.contains("locale") {
            break;
        }
    }
    Err(PostgresError::Initdb { folder: data.to_owned(), reason })
}

/// The major version that made a database folder; `None` when there is none yet.
pub(crate) fn data_major(data: &Path) -> Option<u32> {
    fs::read_to_string(data.join("PG_VERSION")).ok()?.trim().parse().ok()
}
