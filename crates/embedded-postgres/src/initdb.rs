//! Making a database folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::{
    account::Account,
    cancel::Cancel,
    error::{PostgresError, last_line},
    files,
    guard::{self, Watched},
    installation::Installation,
    settings::Profile,
};

/// How long `initdb` may take to end after it was told to.
const END_WAIT: Duration = Duration::from_secs(10);
/// What the name of a folder that is not whole begins with, after `data.`.
const UNFINISHED: &str = "unfinished";

/// The database folder to make.
pub(crate) struct NewData<'a> {
    pub(crate) installation: &'a Installation,
    pub(crate) account: &'a Account,
    pub(crate) data: &'a Path,
    pub(crate) superuser: &'a str,
    pub(crate) profile: Profile,
    pub(crate) cancel: &'a Cancel,
}

/// Makes a database folder. It appears under its name only when it is whole.
pub(crate) fn initialise(new: &NewData<'_>) -> Result<(), PostgresError> {
    let data = new.data;
    remove_unfinished(data);
    // A name of its own: the `initdb` of a process that was killed may be about to remove what it has made.
    let unfinished = data.with_extension(format!("{UNFINISHED}-{}", std::process::id()));
    let log = data.with_file_name("initdb.log");
    let mut reason = String::new();
    for locale in ["C.UTF-8", "C"] {
        remove_file(&log)?;
        let status = run(new, &unfinished, &log, locale)?;
        if new.cancel.is_cancelled() {
            files::remove_tree(&unfinished)?;
            remove_file(&log)?;
            return Err(PostgresError::Cancelled);
        }
        if status.success() {
            fs::rename(&unfinished, data).map_err(PostgresError::io("rename", &unfinished))?;
            remove_file(&log)?;
            return if new.profile == Profile::Durable { sync_parent(data) } else { Ok(()) };
        }
        let told = fs::read(&log).map_err(PostgresError::io("read", &log))?;
        let told = String::from_utf8_lossy(&told);
        files::remove_tree(&unfinished)?;
        // The telling line says "error"; the last ones say what initdb removed.
        reason =
            told.lines().find(|line| line.contains("error:")).map_or_else(|| last_line(&told), last_line);
        if !reason.contains("locale") {
            break;
        }
    }
    Err(PostgresError::Initdb { folder: data.to_owned(), reason })
}

/// Runs `initdb` to its end. Like the server it ends with its owner, however that ends.
fn run(new: &NewData<'_>, folder: &Path, log: &Path, locale: &str) -> Result<ExitStatus, PostgresError> {
    let program = new.installation.bin.join("initdb");
    let mut command =
        guard::watched(&Watched { account: new.account, log, signal: "TERM", remove: Path::new("") });
    command.arg(&program).arg("--pgdata").arg(folder).args(["--username", new.superuser]);
    command.args(["--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--data-checksums"]);
    command.args(["--lc-messages=C", "--no-instructions", "--locale", locale]);
    if new.profile == Profile::Test {
        command.arg("--no-sync");
    }
    let mut shell = command.spawn().map_err(PostgresError::io("run", "/bin/sh"))?;
    let mut asked = None;
    loop {
        if let Some(status) = shell.try_wait().map_err(PostgresError::io("wait for", &program))? {
            return Ok(status);
        }
        if new.cancel.is_cancelled() {
            let since = *asked.get_or_insert_with(|| {
                drop(shell.stdin.take());
                Instant::now()
            });
            if since.elapsed() > END_WAIT {
                return end_at_once(&mut shell).map_err(PostgresError::io("wait for", &program));
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Ends the shell, `initdb` and what that has started; they are one group.
fn end_at_once(shell: &mut Child) -> std::io::Result<ExitStatus> {
    if let Ok(group) = i32::try_from(shell.id()) {
        // It may have ended by itself just now.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    shell.wait()
}

/// Removes what earlier starts left that were cut short, as far as it can be removed.
fn remove_unfinished(data: &Path) {
    let Some((parent, name)) = data.parent().zip(data.file_name()) else { return };
    let prefix = format!("{}.{UNFINISHED}", name.to_string_lossy());
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            // Best effort: an `initdb` that is still ending removes its own, and the next start tries again.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn remove_file(file: &PathBuf) -> Result<(), PostgresError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(PostgresError::io("remove", file)(error))
        }
        _ => Ok(()),
    }
}

fn sync_parent(data: &Path) -> Result<(), PostgresError> {
    let Some(parent) = data.parent() else { return Ok(()) };
    let folder = fs::File::open(parent).map_err(PostgresError::io("open", parent))?;
    folder.sync_all().map_err(PostgresError::io("sync", parent))
}

/// The major version that made a database folder; `None` when there is none yet.
pub(crate) fn data_major(data: &Path) -> Option<u32> {
    fs::read_to_string(data.join("PG_VERSION")).ok()?.trim().parse().ok()
}
