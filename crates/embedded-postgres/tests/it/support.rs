//! What the tests share.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use clinicx_embedded_postgres::{
    event::{Event, Progress},
    server::{Options, Profile},
};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

/// Names what a re-executed test binary shall do; see `owner::child`.
pub(crate) const ROLE: &str = "CLINICX_TEST_CHILD_ROLE";
/// The folder it shall do it in.
pub(crate) const FOLDER: &str = "CLINICX_TEST_CHILD_FOLDER";

/// A folder that every account can enter, as a checkout usually is.
pub(crate) fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Options that start quickly.
pub(crate) fn options(state: &Path) -> Options {
    Options { profile: Profile::Test, max_connections: 20, fallback: None, ..Options::new(state) }
}

/// Options whose events are kept.
pub(crate) fn with_events(options: Options) -> (Options, Arc<Mutex<Vec<Event>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&events);
    let progress = Progress::new(move |event| sink.lock().unwrap().push(event.clone()));
    (Options { progress, ..options }, events)
}

/// Runs one statement and gives its first column as text.
pub(crate) async fn ask(url: &str, sql: &'static str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let answer: Option<String> =
        sqlx::query_scalar(sql).fetch_optional(&mut connection).await.unwrap().unwrap_or_default();
    connection.close().await.unwrap();
    answer.unwrap_or_default()
}

/// Runs this test program again with one role.
pub(crate) fn spawn_child(program: &Path, role: &str, folder: &Path) -> Child {
    Command::new(program)
        .args(["--exact", "owner::child", "--nocapture"])
        .env(ROLE, role)
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Looks again and again until the condition holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The process that a database folder names, when it is there.
pub(crate) fn postmaster(home: &Path) -> Option<i32> {
    let text = fs::read_to_string(home.join("data/postmaster.pid")).ok()?;
    text.lines().next()?.trim().parse().ok()
}

/// An error text must be one line.
pub(crate) fn one_line(error: &impl ToString) -> String {
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

pub(crate) fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}
