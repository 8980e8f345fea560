//! A start that is given up leaves nothing that runs, and the next one goes on.

use std::fs;

use clinicx_embedded_postgres::{
    cancel::Cancel,
    error::PostgresError,
    event::{Event, Progress},
    server::{Options, Profile, Server},
};

use crate::support::{ask, one_line, open_folder, options, postmaster};

/// Gives a start up as soon as it tells of something, and then starts for good.
async fn check(when: fn(&Event) -> bool) {
    let state = open_folder();
    // As `clinicx dev` does it, so that `initdb` syncs what it has written.
    let options = Options { profile: Profile::Durable, ..options(state.path()) };
    let cancel = Cancel::default();
    let given_up = cancel.clone();
    let progress = Progress::new(move |event| {
        if when(event) {
            given_up.cancel();
        }
    });
    let cut = Server::start(Options { progress, cancel, ..options.clone() }).await.unwrap_err();
    assert!(matches!(cut, PostgresError::Cancelled), "{cut:?}");
    assert!(one_line(&cut).contains("start again"), "{cut}");
    let home = state.path().join("postgres");
    assert_eq!(postmaster(&home), None, "a server was left");
    let left: Vec<_> = fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("unfinished")), "{left:?}");

    let server = Server::start(options).await.unwrap();
    assert_eq!(ask(&server.url("postgres", "postgres"), "SELECT 'up'").await, "up");
}

#[tokio::test]
async fn while_a_database_is_made() {
    check(|event| matches!(event, Event::Initialising { .. })).await;
}

#[tokio::test]
async fn while_the_server_starts() {
    check(|event| matches!(event, Event::Starting)).await;
}

#[tokio::test]
async fn while_another_process_starts_one() {
    let state = open_folder();
    let lock = fs::File::create(state.path().join("postgres.lock")).unwrap();
    lock.lock().unwrap();
    let cancel = Cancel::default();
    let start = tokio::spawn(Server::start(Options { cancel: cancel.clone(), ..options(state.path()) }));
    cancel.cancel();
    assert!(matches!(start.await.unwrap(), Err(PostgresError::Cancelled)));
}
