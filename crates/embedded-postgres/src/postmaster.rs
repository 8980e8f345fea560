//! The file in which a running server tells who and where it is.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use nix::{errno::Errno, sys::signal::kill, unistd::Pid};

/// What `postmaster.pid` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Postmaster {
    pub(crate) pid: i32,
    pub(crate) port: Option<u16>,
    pub(crate) socket_folder: Option<PathBuf>,
    pub(crate) status: Status,
}

/// The state that the server wrote last; it stays after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Starting,
    Ready,
    Stopping,
}

impl Postmaster {
    /// Reads the file of a database folder; `None` when there is none or it is not whole.
    pub(crate) fn read(data: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(data.join("postmaster.pid")).ok()?)
    }

    // The lines: pid, data folder, start time, port, socket folder, listen address, shared memory, status.
    fn parse(text: &str) -> Option<Self> {
        let line = |index: usize| text.lines().nth(index).map(str::trim).filter(|line| !line.is_empty());
        let status = match line(7) {
            Some("ready") => Status::Ready,
            Some("stopping") => Status::Stopping,
            _ => Status::Starting,
        };
        Some(Self {
            pid: line(0)?.parse().ok().filter(|pid| *pid > 0)?,
            port: line(3).and_then(|port| port.parse().ok()),
            socket_folder: line(4).map(PathBuf::from),
            status,
        })
    }

    /// Tells whether the process of the file is there and is the server of this database folder.
    ///
    /// After a reboot or in a new container its number may belong to any other process.
    pub(crate) fn is_alive(&self, data: &Path) -> bool {
        let there = !matches!(kill(Pid::from_raw(self.pid), None), Err(Errno::ESRCH));
        there && self.serves(data).unwrap_or(true)
    }

    /// Whether the process is a server that works in the folder; `None` when that cannot be told.
    fn serves(&self, data: &Path) -> Option<bool> {
        let process = PathBuf::from(format!("/proc/{}", self.pid));
        if process.is_dir() {
            if let Ok(folder) = fs::read_link(process.join("cwd")) {
                return Some(fs::canonicalize(data).ok()? == folder);
            }
            return Some(is_server(&fs::read_to_string(process.join("comm")).ok()?));
        }
        let output = Command::new("ps").args(["-o", "comm=", "-p", &self.pid.to_string()]).output().ok()?;
        Some(is_server(&String::from_utf8_lossy(&output.stdout)))
    }
}

fn is_server(command: &str) -> bool {
    let name = command.trim().rsplit('/').next().unwrap_or_default();
    name.starts_with("postgres") || name.starts_with("postmaster")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_ready_server_is_understood() {
        let text = "4711\n/data\n1700000000\n5432\n/tmp/socket\n\n  1234  567\nready   \n";
        let expected = Postmaster {
            pid: 4711,
            port: Some(5432),
            socket_folder: Some(PathBuf::from("/tmp/socket")),
            status: Status::Ready,
        };
        assert_eq!(Postmaster::parse(text), Some(expected));
    }

    #[test]
    fn a_torn_file_is_no_server() {
        assert_eq!(Postmaster::parse(""), None);
        assert_eq!(Postmaster::parse("x\n/data\n"), None);
        assert_eq!(Postmaster::parse("12\n/data\n").map(|found| found.status), Some(Status::Starting));
    }
}
