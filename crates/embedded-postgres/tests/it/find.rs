//! Finding binaries.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use clinicx_embedded_postgres::{
    error::PostgresError,
    fetch::Download,
    installation::{self, Finding, Search, SystemPlaces},
    server::{Options, Server},
};

use crate::support::{one_line, open_folder, options};

/// A folder with programs that only tell a version.
pub(crate) fn fake_binaries(bin: &Path, version: &str) {
    fs::create_dir_all(bin).unwrap();
    for program in ["postgres", "initdb"] {
        let file = bin.join(program);
        fs::write(&file, format!("#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n")).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
    }
}

fn nowhere(fetched: Option<PathBuf>) -> Search {
    Search { configured: None, system: SystemPlaces::Excluded, fetched }
}

#[test]
fn the_machines_own_binaries_are_found() {
    let found = installation::find(&Search::default()).unwrap();
    assert!(found.major >= installation::OLDEST_MAJOR);
    assert!(found.version.starts_with(&found.major.to_string()));
    assert!(found.bin.join("initdb").is_file());
}

#[tokio::test]
async fn no_binaries_is_one_line_with_the_command_that_installs_them() {
    let state = open_folder();
    let options = Options { search: nowhere(None), download: Download::Never, ..options(state.path()) };
    let text = one_line(&Server::start(options).await.unwrap_err());
    assert!(text.contains("install it with `"), "{text}");
    assert!(text.contains("CLINICX_POSTGRES_BIN"), "{text}");
}

#[test]
fn an_old_version_is_passed_over_and_named() {
    let folder = open_folder();
    fake_binaries(&folder.path().join("postgresql-14.9.0/bin"), "14.9");
    let error = installation::find(&nowhere(Some(folder.path().to_owned()))).unwrap_err();
    let text = one_line(&error);
    assert!(text.contains("version 14.9 is too old"), "{text}");
    let PostgresError::NoBinaries { looked, .. } = error else { panic!("{error:?}") };
    assert_eq!(looked[0].finding, Finding::TooOld("14.9".to_owned()));

    fake_binaries(&folder.path().join("postgresql-17.6.0/bin"), "17.6 (Debian 17.6-1)");
    let found = installation::find(&nowhere(Some(folder.path().to_owned()))).unwrap();
    assert_eq!((found.major, found.version.as_str()), (17, "17.6"));
}

#[test]
fn a_configured_folder_that_does_not_serve_is_an_error_and_not_passed_over() {
    let folder = open_folder();
    let search = Search { configured: Some(folder.path().join("bin")), ..Search::default() };
    let text = one_line(&installation::find(&search).unwrap_err());
    assert!(text.contains("not there") && text.contains("CLINICX_POSTGRES_BIN"), "{text}");
    fake_binaries(&folder.path().join("bin"), "9.6.24");
    let text = one_line(&installation::find(&search).unwrap_err());
    assert!(text.contains("version 9.6.24 is too old"), "{text}");
}

#[tokio::test]
async fn data_of_another_version_is_refused_in_one_line() {
    let (state, builds) = (open_folder(), open_folder());
    Server::start(options(state.path())).await.unwrap().stop().await.unwrap();
    fake_binaries(builds.path(), "99.1");
    let search = Search { configured: Some(builds.path().to_owned()), ..Search::default() };
    let error = Server::start(Options { search, ..options(state.path()) }).await.unwrap_err();
    assert!(matches!(error, PostgresError::OtherVersion { .. }), "{error:?}");
    assert!(one_line(&error).contains("found here (99.1)"), "{error}");
}
