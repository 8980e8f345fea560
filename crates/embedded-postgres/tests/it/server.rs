//! Starting, stopping, joining.

use std::{fs, time::Instant};

use clinicx_embedded_postgres::{
    event::Event,
    server::{Options, Profile, Server},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{ask, eventually, open_folder, options, postmaster, with_events};

#[tokio::test]
async fn a_second_start_finds_what_the_first_one_stored() {
    let state = open_folder();
    let (options, events) = with_events(options(state.path()));
    let server = Server::start(options.clone()).await.unwrap();
    assert!(!server.is_adopted());
    let url = server.url("postgres", "postgres");
    ask(&url, "CREATE TABLE kept AS SELECT 'here' AS word").await;
    server.stop().await.unwrap();
    assert!(events.lock().unwrap().iter().any(|event| matches!(event, Event::Initialising { .. })));
    events.lock().unwrap().clear();

    let start = Instant::now();
    let server = Server::start(options).await.unwrap();
    let elapsed = start.elapsed();
    assert_eq!(ask(&server.url("postgres", "postgres"), "SELECT word FROM kept").await, "here");
    let events = events.lock().unwrap();
    assert!(!events.iter().any(|event| matches!(event, Event::Initialising { .. })), "{events:?}");
    assert!(matches!(events.last(), Some(Event::Ready { .. })), "{events:?}");
    assert!(elapsed.as_secs() < 10, "{elapsed:?}");
}

#[tokio::test]
async fn a_durable_server_has_the_settings_that_keep_data_and_secrets() {
    let state = open_folder();
    let options = Options { profile: Profile::Durable, ..options(state.path()) };
    let server = Server::start(options).await.unwrap();
    let url = server.address().superuser_url();
    let settings = ask(
        &url,
        "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name COLLATE \"C\") FROM pg_settings WHERE name IN \
         ('fsync', 'full_page_writes', 'synchronous_commit', 'data_checksums', 'listen_addresses', \
          'log_error_verbosity', 'log_parameter_max_length_on_error', 'max_locks_per_transaction', \
          'max_connections', 'server_encoding', 'TimeZone')",
    )
    .await;
    assert_eq!(
        settings,
        "TimeZone=UTC data_checksums=on fsync=on full_page_writes=on listen_addresses= log_error_verbosity=terse \
         log_parameter_max_length_on_error=0 max_connections=20 max_locks_per_transaction=256 server_encoding=UTF8 \
         synchronous_commit=on"
    );
    if cfg!(target_os = "linux") {
        assert_eq!(ask(&url, "SHOW recovery_init_sync_method").await, "syncfs");
    }
}

#[tokio::test]
async fn a_running_server_is_joined_and_left_running() {
    let state = open_folder();
    let owner = Server::start(options(state.path())).await.unwrap();
    let (options, events) = with_events(options(state.path()));
    let mut joined = Server::start(options).await.unwrap();
    assert!(joined.is_adopted());
    assert!(joined.is_running());
    assert_eq!(joined.address(), owner.address());
    let pid = postmaster(owner.folder()).unwrap();
    assert!(events.lock().unwrap().contains(&Event::Adopted { pid }));
    joined.stop().await.unwrap();
    assert_eq!(ask(&owner.url("postgres", "postgres"), "SELECT 'up'").await, "up");
}

#[tokio::test]
async fn a_running_server_is_found_and_an_ended_one_is_not() {
    let state = open_folder();
    let options = options(state.path());
    assert_eq!(Server::find(&options), None);
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0, "looking makes nothing");
    let server = Server::start(options.clone()).await.unwrap();
    assert_eq!(Server::find(&options).as_ref(), Some(server.address()));
    server.stop().await.unwrap();
    assert_eq!(Server::find(&options), None);
}

#[test]
fn of_two_starts_at_once_one_joins_the_other() {
    let state = open_folder();
    let options = options(state.path());
    let servers = std::thread::scope(|scope| {
        let starts = [(); 2].map(|()| scope.spawn(|| Server::start_blocking(&options).unwrap()));
        starts.map(|start| start.join().unwrap())
    });
    assert_eq!(servers.iter().filter(|server| server.is_adopted()).count(), 1);
    assert_eq!(servers[0].address(), servers[1].address());
}

#[tokio::test]
async fn dropping_the_server_ends_it_with_sessions_open() {
    use sqlx::Connection as _;
    let state = open_folder();
    let server = Server::start(options(state.path())).await.unwrap();
    let url = server.url("postgres", "postgres");
    let home = server.folder().to_owned();
    let mut session = sqlx::PgConnection::connect(&url).await.unwrap();
    let socket = server.address().socket_folder().to_owned();
    drop(server);
    assert_eq!(postmaster(&home), None);
    assert!(!socket.exists());
    assert!(session.ping().await.is_err());
}

#[tokio::test]
async fn a_killed_server_is_started_again_with_all_that_was_acknowledged() {
    let state = open_folder();
    let options = Options { profile: Profile::Durable, ..options(state.path()) };
    let mut server = Server::start(options.clone()).await.unwrap();
    let url = server.url("postgres", "postgres");
    ask(&url, "CREATE TABLE kept AS SELECT 'here' AS word").await;
    let pid = postmaster(server.folder()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    eventually("the end of the killed server", || !server.is_running());
    assert_eq!(postmaster(server.folder()), Some(pid), "a killed server leaves its file");

    let again = Server::start(options).await.unwrap();
    assert!(!again.is_adopted());
    assert_eq!(ask(&again.url("postgres", "postgres"), "SELECT word FROM kept").await, "here");
}

#[tokio::test]
async fn a_process_number_that_something_else_has_now_is_no_running_server() {
    let state = open_folder();
    let server = Server::start(options(state.path())).await.unwrap();
    let file = server.folder().join("data/postmaster.pid");
    let text = fs::read_to_string(&file).unwrap();
    server.stop().await.unwrap();
    // As after a reboot: the file of a server that did not end, with the number of this very process.
    let rest = text.split_once('\n').unwrap().1;
    fs::write(&file, format!("{}\n{rest}", std::process::id())).unwrap();

    let server = Server::start(options(state.path())).await.unwrap();
    assert!(!server.is_adopted());
    assert_eq!(ask(&server.url("postgres", "postgres"), "SELECT 'up'").await, "up");
}
