//! The small process that owns the server and stops it when we are gone.
//!
//! A shell starts the server as its child and reads from a pipe whose other end only this process holds.
//! The read ends when this process closes the pipe or ends in whatever way; then the server is told to shut down.
//! The shell is in a process group of its own, so a Ctrl-C in the terminal reaches us and not the server.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    account::Account,
    address::Address,
    cancel::Cancel,
    error::{PostgresError, last_line},
    postmaster::{Postmaster, Status},
};

/// How long a server may take to become ready; recovery after a crash is part of it.
const READY_WAIT: Duration = Duration::from_secs(60);
/// How long a server may take to end before it is told to end without a checkpoint.
const STOP_WAIT: Duration = Duration::from_secs(20);
/// Parameters: log, signal, folder to remove at the end or "", then the command of the server.
///
/// It ends when the server has ended, with the server's exit code.
const SCRIPT: &str = r#"
log=$1 signal=$2 remove=$3
shift 3
exec 3<&0 </dev/null >>"$log" 2>&1
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge 4096 ] || ulimit -S -n 4096 2>/dev/null
"$@" 3<&- &
server=$!
( read -r _ <&3; kill -s "$signal" "$server" ) 2>/dev/null &
watcher=$!
exec 3<&-
trap 'kill -s "$signal" "$server" 2>/dev/null' HUP INT TERM
while kill -0 "$server" 2>/dev/null; do
    wait "$server"
    status=$?
done
kill "$watcher" 2>/dev/null
[ -z "$remove" ] || rm -rf "$remove"
exit "$status"
"#;

/// How the shell watches over a program.
pub(crate) struct Watched<'a> {
    pub(crate) account: &'a Account,
    /// Takes all that the program prints.
    pub(crate) log: &'a Path,
    /// Sent to the program when its owner is gone.
    pub(crate) signal: &'a str,
    /// Removed when the program has ended; empty for nothing.
    pub(crate) remove: &'a Path,
}

/// Returns the command of the shell; the program and its arguments are to be added to it.
///
/// The program is told to end when the child's standard input is closed.
pub(crate) fn watched(watched: &Watched<'_>) -> Command {
    let mut command = watched.account.command(Path::new("/bin/sh"));
    command.arg("-c").arg(SCRIPT).arg("clinicx-postgres");
    command.arg(watched.log).arg(watched.signal).arg(watched.remove);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command
}

/// What to launch.
pub(crate) struct Launch<'a> {
    pub(crate) account: &'a Account,
    pub(crate) postgres: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) settings: Vec<String>,
    pub(crate) at_end: AtEnd,
    pub(crate) cancel: Cancel,
}

/// What happens when the owner is gone.
#[derive(Debug, Clone)]
pub(crate) enum AtEnd {
    /// The server ends its sessions, writes everything and ends.
    Keep,
    /// The server ends at once and the folder is removed.
    Remove(PathBuf),
}

/// A running guard; the server ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Guard {
    shell: Child,
    data: PathBuf,
    log: PathBuf,
    asked: Option<Instant>,
}

impl Guard {
    /// Starts the server and waits until it answers.
    pub(crate) fn launch(launch: &Launch<'_>, address: &Address) -> Result<Self, PostgresError> {
        let log_start = fs::metadata(&launch.log).map_or(0, |log| log.len());
        let (signal, remove) = match &launch.at_end {
            AtEnd::Keep => ("INT", Path::new("")),
            AtEnd::Remove(folder) => ("QUIT", folder.as_path()),
        };
        let mut command = watched(&Watched { account: launch.account, log: &launch.log, signal, remove });
        command.arg(&launch.postgres).arg("-D").arg(&launch.data);
        for setting in &launch.settings {
            command.arg("-c").arg(setting);
        }
        let shell = command.spawn().map_err(PostgresError::io("run", "/bin/sh"))?;
        let mut guard = Self { shell, data: launch.data.clone(), log: launch.log.clone(), asked: None };
        guard.wait_until_ready(address, log_start, &launch.cancel)?;
        Ok(guard)
    }

    /// Tells whether the server is still there.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.shell.try_wait(), Ok(None))
    }

    /// Asks the server to end; the sessions that are open are ended.
    pub(crate) fn ask_to_end(&mut self) {
        drop(self.shell.stdin.take());
        self.asked.get_or_insert_with(Instant::now);
    }

    /// Looks whether the server has ended, and urges it when it takes too long.
    pub(crate) fn has_ended(&mut self) -> Result<bool, PostgresError> {
        if !self.is_running() {
            return Ok(true);
        }
        let waited = self.asked.map(|asked| asked.elapsed()).unwrap_or_default();
        if waited > STOP_WAIT * 2 {
            return Err(PostgresError::TooSlow {
                state: "stopped",
                waited_s: waited.as_secs(),
                log: self.log.clone(),
            });
        }
        if waited > STOP_WAIT
            && let Some(postmaster) = Postmaster::read(&self.data)
            && postmaster.is_alive(&self.data)
        {
            // Loses nothing: the next start recovers from the log.
            let _ = kill(Pid::from_raw(postmaster.pid), Signal::SIGQUIT);
        }
        Ok(false)
    }

    fn wait_until_ready(
        &mut self,
        address: &Address,
        log_start: u64,
        cancel: &Cancel,
    ) -> Result<(), PostgresError> {
        let start = Instant::now();
        loop {
            cancel.check()?;
            // The file is asked first: a connection to a server that is starting would fill its log.
            let ready =
                Postmaster::read(&self.data).is_some_and(|postmaster| postmaster.status == Status::Ready);
            if ready && address.answers() {
                return Ok(());
            }
            if !self.is_running() {
                return Err(PostgresError::Start { reason: self.reason(log_start), log: self.log.clone() });
            }
            if start.elapsed() > READY_WAIT {
                return Err(PostgresError::TooSlow {
                    state: "ready",
                    waited_s: READY_WAIT.as_secs(),
                    log: self.log.clone(),
                });
            }
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    /// The first line of this start that says why it failed.
    fn reason(&self, log_start: u64) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let new = log.get(usize::try_from(log_start).unwrap_or(0)..).unwrap_or_default();
        let new = String::from_utf8_lossy(new);
        new.lines()
            .find(|line| line.contains("FATAL:") || line.contains("PANIC:"))
            .map_or_else(|| last_line(&new), last_line)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.ask_to_end();
        while matches!(self.has_ended(), Ok(false)) {
            std::thread::sleep(Duration::from_millis(3));
        }
    }
}
