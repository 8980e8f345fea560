//! Folders that are out of reach or have long names.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
};

use clinicx_embedded_postgres::{
    error::PostgresError,
    event::Event,
    server::{Options, Server},
};

use crate::support::{ask, is_root, one_line, open_folder, options, with_events};

/// As in a home folder with mode 0700: only root, or nobody, gets in.
fn closed_folder() -> tempfile::TempDir {
    let folder = open_folder();
    let mode = if is_root() { 0o700 } else { 0o500 };
    fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
    folder
}

#[tokio::test]
async fn a_folder_out_of_reach_is_refused_in_one_line() {
    let closed = closed_folder();
    let state = closed.path().join("state");
    let error = Server::start(options(&state)).await.unwrap_err();
    let text = one_line(&error);
    if is_root() {
        assert!(matches!(error, PostgresError::Unreachable { .. }), "{error:?}");
        assert!(text.contains("choose a state folder"), "{text}");
        assert!(!state.join("postgres").exists(), "nothing is left behind");
    } else {
        assert!(matches!(error, PostgresError::Io { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn root_with_a_folder_out_of_reach_gets_another_one_and_the_same_each_time() {
    if !is_root() {
        return;
    }
    let (closed, fallback) = (closed_folder(), open_folder());
    let state = closed.path().join("state");
    let plain = Options { fallback: Some(fallback.path().join("clinicx")), ..options(&state) };
    let (options, events) = with_events(plain);
    let server = Server::start(options.clone()).await.unwrap();
    assert!(server.folder().starts_with(fallback.path()), "{}", server.folder().display());
    assert!(events.lock().unwrap().iter().any(|event| matches!(event, Event::FolderMoved { .. })));
    let home = server.folder().to_owned();
    server.stop().await.unwrap();
    let server = Server::start(options).await.unwrap();
    assert_eq!(server.folder(), home);
    assert_eq!(ask(&server.url("postgres", "postgres"), "SELECT 'up'").await, "up");
}

#[tokio::test]
async fn a_long_path_still_has_a_short_socket() {
    let folder = open_folder();
    let state = (0..5)
        .fold(folder.path().to_owned(), |path, _| path.join("a-rather-long-name-of-a-folder-in-a-path"));
    assert!(state.to_str().unwrap().len() > 200);
    let server = Server::start(options(&state)).await.unwrap();
    assert!(server.address().socket_folder().to_str().unwrap().len() < 90);
    assert_eq!(ask(&server.url("postgres", "postgres"), "SELECT 'up'").await, "up");
}

#[tokio::test]
async fn only_the_account_and_root_can_open_the_socket() {
    let state = open_folder();
    let server = Server::start(options(state.path())).await.unwrap();
    let mode = fs::metadata(server.address().socket_folder()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
