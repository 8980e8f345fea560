//! The built program, started as a user starts it.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use uuid::Uuid;

/// How long a test waits for anything; unoptimised programs on a busy machine are slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
/// Stands in database URLs, and nowhere in what the program prints.
pub(crate) const URL_PASSWORD: &str = "s3cret-of-the-url";

/// A folder that goes away with its test. Everybody may enter it, so that a database can live in it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("clinicx-it-{}", Uuid::new_v4().simple()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program in a working folder of its own, with no configuration but what the test gives.
pub(crate) struct Program {
    folder: Folder,
    variables: Vec<(&'static str, String)>,
}

impl Program {
    pub(crate) fn new() -> Self {
        Self { folder: Folder::new(), variables: Vec::new() }
    }

    /// Sets a variable for every run.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the command, for a test that adds something to it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clinicx"));
        // Where PostgreSQL's programs are is a matter of the machine and not of the test.
        let foreign = |name: &str| name.starts_with("CLINICX_") && name != "CLINICX_POSTGRES_BIN";
        for (name, _) in std::env::vars().filter(|(name, _)| foreign(name)) {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(self.folder()).envs(self.variables.iter().cloned());
        command.stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        finish(&mut self.command(arguments))
    }

    /// Starts it and leaves it running.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::start(&mut self.command(arguments))
    }
}

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command) -> Ran {
    let mut running = Running::start(command);
    let status = running.wait();
    let (stdout, stderr) = (running.stdout.join("\n"), running.stderr.join("\n"));
    assert!(!stdout.contains(URL_PASSWORD) && !stderr.contains(URL_PASSWORD), "a password was printed");
    Ran { code: status.code(), stdout, stderr }
}

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Asserts success and reads what was printed as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        self.expect(0);
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// Asserts that it failed with this code and one line, and returns the line.
    #[track_caller]
    pub(crate) fn refusal(&self, code: i32) -> &str {
        self.expect(code);
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "{}", self.stderr);
        self.stderr.strip_prefix("clinicx: ").unwrap_or_else(|| panic!("no reason is given: {}", self.stderr))
    }
}

enum Event {
    Out(String),
    Err(String),
    Ended(ExitStatus),
}

/// A run that goes on; it is killed when it is dropped.
pub(crate) struct Running {
    pub(crate) pid: u32,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
    events: Receiver<Event>,
    status: Option<ExitStatus>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let (sender, events) = channel();
        let read = |stream: Box<dyn Read + Send>, event: fn(String) -> Event| {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _ = sender.send(event(line));
                }
            })
        };
        let out = read(Box::new(child.stdout.take().unwrap()), Event::Out);
        let err = read(Box::new(child.stderr.take().unwrap()), Event::Err);
        thread::spawn(move || {
            let status = child.wait().unwrap();
            // What it has started may hold its streams open for a moment longer, and says nothing any more.
            let _ = (out.join(), err.join());
            let _ = sender.send(Event::Ended(status));
        });
        Self { pid, stdout: Vec::new(), stderr: Vec::new(), events, status: None }
    }

    /// Takes one event; `None` when the program has ended.
    #[track_caller]
    fn step(&mut self, deadline: Instant) -> Option<String> {
        match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Event::Out(line)) => {
                self.stdout.push(line.clone());
                Some(line)
            }
            Ok(Event::Err(line)) => {
                self.stderr.push(line.clone());
                Some(line)
            }
            Ok(Event::Ended(status)) => {
                self.status = Some(status);
                None
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("nothing more after {PATIENCE:?}: {:#?}", self.said()),
        }
    }

    fn said(&self) -> (&[String], &[String]) {
        (&self.stdout, &self.stderr)
    }

    /// Waits for a line on either stream.
    #[track_caller]
    pub(crate) fn until(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.step(deadline) {
                Some(line) if wanted(&line) => return line,
                Some(_) => {}
                None => panic!("it ended ({:?}): {:#?}", self.status, self.said()),
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        assert!(signal(self.pid, name), "{} could not be sent {name}", self.pid);
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        while self.status.is_none() && self.step(deadline).is_some() {}
        self.status.unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            if let Event::Ended(status) = event {
                self.status = Some(status);
            }
        }
        if self.status.is_none() {
            signal(self.pid, "KILL");
        }
    }
}

fn signal(pid: u32, name: &str) -> bool {
    let kill = format!("kill -s {name} {pid}");
    Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status().unwrap().success()
}

/// Tells whether a process is there.
pub(crate) fn is_alive(pid: u32) -> bool {
    signal(pid, "0")
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "still not so: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
