//! The server ends with its owner, however that ends.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use clinicx_embedded_postgres::{server::Server, test_server::TestServer};
use nix::{errno::Errno, sys::signal::kill, unistd::Pid};

use crate::support::{FOLDER, ROLE, ask, eventually, open_folder, options, postmaster, spawn_child};

/// What the re-executed program does; an ordinary run passes at once.
#[test]
fn child() {
    let (Ok(role), Ok(folder)) = (env::var(ROLE), env::var(FOLDER)) else { return };
    let folder = PathBuf::from(folder);
    let server = match role.as_str() {
        "server" => Ok(Server::start_blocking(&options(&folder.join("state"))).unwrap()),
        _ => Err(TestServer::start().unwrap()),
    };
    let home = server.as_ref().map_or_else(TestServer::folder, Server::folder);
    let report = folder.join(format!("report-{}", std::process::id()));
    fs::write(report.with_extension("unfinished"), home.to_str().unwrap()).unwrap();
    fs::rename(report.with_extension("unfinished"), &report).unwrap();
    if role != "once" {
        loop {
            std::thread::park();
        }
    }
}

/// The folder of the server that a child started.
fn reported(folder: &Path, child: u32) -> PathBuf {
    let report = folder.join(format!("report-{child}"));
    eventually("the start of the server", || report.is_file());
    PathBuf::from(fs::read_to_string(report).unwrap())
}

fn is_gone(pid: i32) -> bool {
    matches!(kill(Pid::from_raw(pid), None), Err(Errno::ESRCH))
}

#[tokio::test]
async fn a_server_ends_when_its_owner_is_killed_and_can_be_started_again() {
    let folder = open_folder();
    let mut owner = spawn_child(&env::current_exe().unwrap(), "server", folder.path());
    let home = reported(folder.path(), owner.id());
    let pid = postmaster(&home).unwrap();
    owner.kill().unwrap();
    owner.wait().unwrap();
    // At once, while the old server may still be ending: it must not be joined.
    let server = Server::start(options(&folder.path().join("state"))).await.unwrap();
    assert!(!server.is_adopted());
    assert_eq!(ask(&server.url("postgres", "postgres"), "SELECT 'up'").await, "up");
    eventually("the end of the server", || is_gone(pid));
}

#[test]
fn a_test_server_and_its_folder_are_gone_after_a_kill() {
    let folder = open_folder();
    let mut owner = spawn_child(&env::current_exe().unwrap(), "test", folder.path());
    let home = reported(folder.path(), owner.id());
    let pid = postmaster(&home).unwrap();
    owner.kill().unwrap();
    owner.wait().unwrap();
    eventually("the end of the server", || is_gone(pid));
    eventually("the removal of the folder", || !home.exists());
}

#[test]
fn processes_that_make_the_template_at_once_agree_on_one() {
    let folder = open_folder();
    // A target folder of its own, so that there is no template yet.
    let target = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::write(target.path().join("CACHEDIR.TAG"), "").unwrap();
    let program = target.path().join("it");
    fs::hard_link(env::current_exe().unwrap(), &program).unwrap();
    let mut children: Vec<_> = (0..3).map(|_| spawn_child(&program, "once", folder.path())).collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
        let home = reported(folder.path(), child.id());
        eventually("the removal of the folder", || !home.exists());
    }
    let made = fs::read_dir(target.path().join("tmp/clinicx-postgres")).unwrap();
    let mut made: Vec<_> = made.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    made.sort();
    assert_eq!(made.len(), 2, "{made:?}");
    assert!(made[0] == "lock" && made[1].starts_with("template-"), "{made:?}");
}
