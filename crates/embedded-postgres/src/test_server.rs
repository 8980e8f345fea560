//! A throw-away server for tests.

use std::{
    env, fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use crate::{
    account::Account,
    address::{Address, PORT},
    cancel::Cancel,
    error::PostgresError,
    event::Progress,
    fetch::Download,
    files,
    guard::{AtEnd, Guard, Launch},
    initdb::{self, NewData},
    installation::{Installation, Search},
    postmaster::Postmaster,
    server::{self, Fetching, Profile, Server},
    settings,
};

const SUPERUSER: &str = "postgres";
const MAX_CONNECTIONS: u16 = 600;
const PREFIX: &str = "clinicx-test-";
/// Folders of servers that ended without their guard are removed when they are older than this.
const LEFT_OVER: Duration = Duration::from_secs(3600);

static SHARED: OnceLock<Result<TestServer, PostgresError>> = OnceLock::new();

/// A server with an empty database cluster that goes away with the process that started it.
///
/// It is fast and forgets everything when the machine crashes: no write waits for a disk.
#[derive(Debug)]
pub struct TestServer {
    server: Server,
}

impl TestServer {
    /// The one server of this process, started when it is first asked for.
    ///
    /// Blocks for the few hundred milliseconds that the start takes; bound to no asynchronous runtime.
    /// The server and its folder go away when the process ends in any way.
    ///
    /// # Errors
    /// The reason why it could not be started; the same one at every call.
    pub fn shared() -> Result<&'static Self, &'static PostgresError> {
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// Starts a server of one's own; it ends when the value is dropped.
    ///
    /// # Errors
    /// Every [`PostgresError`] but those that concern a state folder.
    pub fn start() -> Result<Self, PostgresError> {
        let account = Account::choose(None)?;
        let temporary = files::temporary_folder(&account);
        remove_left_over(&temporary, &account);
        if let Some(cache) = target_cache()
            && files::make_folder(&cache).is_ok()
            && account.can_enter(&cache)
        {
            match Self::start_from(&cache, &temporary, &account) {
                // Another account made what is in it.
                Err(PostgresError::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {}
                outcome => return outcome,
            }
        }
        let cache = temporary.join(format!("clinicx-cache-{}", nix::unistd::Uid::effective()));
        files::make_our_folder(&cache)?;
        Self::start_from(&cache, &temporary, &account)
    }

    fn start_from(cache: &Path, temporary: &Path, account: &Account) -> Result<Self, PostgresError> {
        let (installation, template) = template(cache, temporary, account)?;
        let base = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(temporary)
            .map_err(PostgresError::io("create a folder in", temporary))?;
        account.give(base.path())?;
        let data = base.path().join("data");
        files::copy_tree(&template, &data, Some(account))?;
        let launch = Launch {
            account,
            postgres: installation.bin.join("postgres"),
            data,
            log: base.path().join("log"),
            settings: settings::settings(
                Profile::Test,
                MAX_CONNECTIONS,
                PORT,
                &base.path().to_string_lossy(),
            ),
            at_end: AtEnd::Remove(base.path().to_owned()),
            cancel: Cancel::default(),
        };
        let address = Address::new(base.path().to_owned(), PORT, SUPERUSER.to_owned());
        let guard = Guard::launch(&launch, &address)?;
        // From here on the guard removes it, as the account that owns it.
        let home = base.keep();
        Ok(Self { server: Server::from_parts(address, home, guard) })
    }

    /// Where the server answers.
    #[must_use]
    pub fn address(&self) -> &Address {
        self.server.address()
    }

    /// The URL of a database for a user.
    #[must_use]
    pub fn url(&self, user: &str, database: &str) -> String {
        self.server.url(user, database)
    }

    /// The URL of the superuser in a database.
    #[must_use]
    pub fn superuser_url(&self, database: &str) -> String {
        self.server.url(SUPERUSER, database)
    }

    /// The folder that holds the database (`data`) and the server's `log`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.server.folder()
    }
}

/// The binaries, and a database folder that was made by them once and is copied ever after.
fn template(
    cache: &Path,
    temporary: &Path,
    account: &Account,
) -> Result<(Installation, PathBuf), PostgresError> {
    let lock = files::lock(&cache.join("lock"), &Cancel::default())?;
    let search = Search { fetched: Some(cache.to_owned()), ..Search::from_environment() };
    let installation = server::find_or_fetch(
        &search,
        None,
        &Fetching {
            download: &Download::default(),
            folder: cache,
            progress: &Progress::silent(),
            cancel: &Cancel::default(),
        },
    )?;
    let template = cache.join(format!("template-{}", installation.version));
    if !template.is_dir() {
        let work = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(temporary)
            .map_err(PostgresError::io("create a folder in", temporary))?;
        account.give(work.path())?;
        let data = work.path().join("data");
        initdb::initialise(&NewData {
            installation: &installation,
            account,
            data: &data,
            superuser: SUPERUSER,
            profile: Profile::Test,
            cancel: &Cancel::default(),
        })?;
        let unfinished = cache.join("template.unfinished");
        files::remove_tree(&unfinished)?;
        files::copy_tree(&data, &unfinished, None)?;
        fs::rename(&unfinished, &template).map_err(PostgresError::io("rename", &unfinished))?;
    }
    drop(lock);
    Ok((installation, template))
}

/// The cache in cargo's target folder, which the running test program lies in.
fn target_cache() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file())?;
    Some(target.join("tmp").join("clinicx-postgres"))
}

/// Removes what servers left whose guard was killed too, or whose machine went down.
#[expect(clippy::disallowed_methods, reason = "the age of a folder is a matter of the machine's clock")]
fn remove_left_over(temporary: &Path, account: &Account) {
    for entry in fs::read_dir(temporary).into_iter().flatten().flatten() {
        let folder = entry.path();
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.metadata().is_ok_and(|found| {
                let age = found.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
                found.is_dir() && found.uid() == account.uid() && age.is_some_and(|age| age > LEFT_OVER)
            });
        let data = folder.join("data");
        if ours && !Postmaster::read(&data).is_some_and(|postmaster| postmaster.is_alive(&data)) {
            // Best effort: the next run tries again.
            let _ = fs::remove_dir_all(&folder);
        }
    }
}
