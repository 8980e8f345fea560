//! A durable server in a state folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    time::{Duration, Instant},
};

use nix::{errno::Errno, sys::signal::kill, unistd::Pid};

use crate::{
    address::{Address, PORT},
    cancel::Cancel,
    error::PostgresError,
    event::{Event, Progress},
    fetch::{self, Download},
    files,
    folder::Folder,
    guard::{AtEnd, Guard, Launch},
    initdb::{self, NewData},
    installation::{self, Installation, Search},
    postmaster::{Postmaster, Status},
    settings,
};

pub use crate::settings::Profile;

/// How long to wait for a server that is starting, or ending, without our doing.
const FOREIGN_WAIT: Duration = Duration::from_secs(30);
/// How long to wait for the remains of a server that was killed.
const REMAINS_WAIT: Duration = Duration::from_secs(10);

/// How to run a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// The state folder; the database lies in `postgres/data` under it, fetched builds in `postgresql-<version>`.
    pub state: PathBuf,
    /// As root with a state folder that the server's account cannot reach: the folder to use one in instead.
    pub fallback: Option<PathBuf>,
    /// Where to look for binaries.
    pub search: Search,
    /// Whether to fetch them when there are none.
    pub download: Download,
    /// The name of the database superuser; used when the database is made.
    pub superuser: String,
    /// The most connections that the server takes.
    pub max_connections: u16,
    /// How much the server protects what it stores.
    pub profile: Profile,
    /// Who is told what happens.
    pub progress: Progress,
    /// Gives the start up while it goes on.
    pub cancel: Cancel,
}

impl Options {
    /// The options for `clinicx dev`: durable, binaries from wherever they are found.
    pub fn new(state: impl Into<PathBuf>) -> Self {
        Self {
            state: state.into(),
            fallback: Some(PathBuf::from("/var/lib/clinicx")),
            search: Search::from_environment(),
            download: Download::default(),
            superuser: "postgres".to_owned(),
            max_connections: 200,
            profile: Profile::Durable,
            progress: Progress::silent(),
            cancel: Cancel::default(),
        }
    }
}

/// A running server.
///
/// The one who started it stops it: with [`Server::stop`], by dropping this value (which blocks until the server
/// has ended), or by ending in whatever way. One who only joined a running server leaves it running.
#[derive(Debug)]
pub struct Server {
    address: Address,
    home: PathBuf,
    guard: Option<Guard>,
    /// The lock under which the socket's folder is removed at the end.
    lock: Option<PathBuf>,
}

impl Server {
    /// Starts a server in the state folder, or joins the one that runs there.
    ///
    /// # Errors
    /// Every [`PostgresError`]; each says what to do.
    pub async fn start(options: Options) -> Result<Self, PostgresError> {
        tokio::task::spawn_blocking(move || Self::start_blocking(&options))
            .await
            .map_err(|_| PostgresError::Runtime)?
    }

    /// Starts a server as [`Server::start`] does, on this thread and without an asynchronous runtime.
    ///
    /// # Errors
    /// Every [`PostgresError`]; each says what to do.
    pub fn start_blocking(options: &Options) -> Result<Self, PostgresError> {
        let start = Instant::now();
        let folder = Folder::prepare(&options.state, options.fallback.as_deref(), &options.progress)?;
        let lock = files::lock(&folder.lock(), &options.cancel)?;
        let server = match adopt(&folder, options)? {
            Some(server) => server,
            None => launch(&folder, options)?,
        };
        drop(lock);
        options.progress.report(&Event::Ready { elapsed: start.elapsed() });
        Ok(server)
    }

    /// Returns where a server answers that runs in the state folder; starts none and makes nothing.
    #[must_use]
    pub fn find(options: &Options) -> Option<Address> {
        Folder::candidates(&options.state, options.fallback.as_deref()).iter().find_map(|home| {
            let data = home.join("data");
            let postmaster = Postmaster::read(&data)?;
            let (Status::Ready, Some(socket), Some(port)) =
                (postmaster.status, postmaster.socket_folder.clone(), postmaster.port)
            else {
                return None;
            };
            let address = Address::new(socket, port, options.superuser.clone());
            (postmaster.is_alive(&data) && address.answers()).then_some(address)
        })
    }

    pub(crate) fn from_parts(address: Address, home: PathBuf, guard: Guard) -> Self {
        Self { address, home, guard: Some(guard), lock: None }
    }

    /// Where the server answers.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The URL of a database for a user.
    #[must_use]
    pub fn url(&self, user: &str, database: &str) -> String {
        self.address.url(user, database)
    }

    /// The folder that holds the database (`data`) and the server's `log`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.home
    }

    /// Tells whether the server was already running and is left running.
    #[must_use]
    pub fn is_adopted(&self) -> bool {
        self.guard.is_none()
    }

    /// Tells whether the server is still there.
    pub fn is_running(&mut self) -> bool {
        match &mut self.guard {
            Some(guard) => guard.is_running(),
            None => {
                let data = self.home.join("data");
                Postmaster::read(&data).is_some_and(|postmaster| postmaster.is_alive(&data))
            }
        }
    }

    /// Ends open sessions, lets the server write everything, and waits until it has ended. One that was adopted
    /// keeps running.
    ///
    /// # Errors
    /// [`PostgresError::TooSlow`] when it does not end.
    pub async fn stop(mut self) -> Result<(), PostgresError> {
        let Some(mut guard) = self.guard.take() else { return Ok(()) };
        guard.ask_to_end();
        while !guard.has_ended()? {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.guard.take());
        if let Some(lock) = self.lock.take() {
            files::remove_unused(self.address.socket_folder(), &lock);
        }
    }
}

/// Joins the server that runs in the folder. Waits for one that is starting, and until one that is ending is gone.
fn adopt(folder: &Folder, options: &Options) -> Result<Option<Server>, PostgresError> {
    let data = folder.data();
    let start = Instant::now();
    loop {
        options.cancel.check()?;
        let Some(postmaster) = Postmaster::read(&data) else { return Ok(None) };
        if !postmaster.is_alive(&data) {
            clear_reused(&data, &postmaster)?;
            return Ok(None);
        }
        // A server whose owner is gone is about to end, unless its guard was killed as well.
        let ending = postmaster.status == Status::Stopping
            || !owner_is_alive(folder) && start.elapsed() < REMAINS_WAIT;
        if let (false, Status::Ready, Some(socket), Some(port)) =
            (ending, postmaster.status, postmaster.socket_folder, postmaster.port)
        {
            let address = Address::new(socket, port, options.superuser.clone());
            if address.answers() {
                options.progress.report(&Event::Adopted { pid: postmaster.pid });
                return Ok(Some(Server { address, home: folder.home.clone(), guard: None, lock: None }));
            }
        }
        if start.elapsed() > FOREIGN_WAIT {
            let state = if ending { "stopped" } else { "ready" };
            return Err(PostgresError::TooSlow {
                state,
                waited_s: FOREIGN_WAIT.as_secs(),
                log: folder.log(),
            });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Removes the file of a dead server whose process number now belongs to something else: PostgreSQL would take
/// that process for a running server and refuse to start.
fn clear_reused(data: &Path, postmaster: &Postmaster) -> Result<(), PostgresError> {
    if matches!(kill(Pid::from_raw(postmaster.pid), None), Err(Errno::ESRCH)) {
        return Ok(());
    }
    let file = data.join("postmaster.pid");
    fs::remove_file(&file).map_err(PostgresError::io("remove", file))
}

fn owner_is_alive(folder: &Folder) -> bool {
    let owner = fs::read_to_string(folder.owner()).ok().and_then(|text| text.trim().parse::<i32>().ok());
    // A server that somebody else started in the folder has no owner that we could ask.
    owner.is_none_or(|owner| owner > 0 && !matches!(kill(Pid::from_raw(owner), None), Err(Errno::ESRCH)))
}

fn launch(folder: &Folder, options: &Options) -> Result<Server, PostgresError> {
    let data = folder.data();
    let major = initdb::data_major(&data);
    let installation = find_or_fetch(
        &Search { fetched: Some(folder.state.clone()), ..options.search.clone() },
        major.map(|major| (major, data.as_path())),
        &Fetching {
            download: &options.download,
            folder: &folder.state,
            progress: &options.progress,
            cancel: &options.cancel,
        },
    )?;
    options
        .progress
        .report(&Event::Found { bin: installation.bin.clone(), version: installation.version.clone() });
    if major.is_none() {
        options.progress.report(&Event::Initialising { folder: data.clone() });
        initdb::initialise(&NewData {
            installation: &installation,
            account: &folder.account,
            data: &data,
            superuser: &options.superuser,
            profile: options.profile,
            cancel: &options.cancel,
        })?;
    }
    options.progress.report(&Event::Starting);
    folder.rotate_log()?;
    let socket = folder.socket();
    // Before ours is made, so that it is a young one for whoever else looks.
    folder.remove_left_sockets();
    files::make_private_folder(&socket, &folder.account)?;
    fs::write(folder.owner(), process::id().to_string())
        .map_err(PostgresError::io("write", folder.owner()))?;
    let launch = Launch {
        account: &folder.account,
        postgres: installation.bin.join("postgres"),
        data,
        log: folder.log(),
        settings: settings::settings(
            options.profile,
            options.max_connections,
            PORT,
            &socket.to_string_lossy(),
        ),
        at_end: AtEnd::Keep,
        cancel: options.cancel.clone(),
    };
    let address = Address::new(socket, PORT, options.superuser.clone());
    let start = Instant::now();
    loop {
        match Guard::launch(&launch, &address) {
            Ok(guard) => {
                let home = folder.home.clone();
                return Ok(Server { address, home, guard: Some(guard), lock: Some(folder.lock()) });
            }
            // Sessions outlive a server that was killed by a moment, and hold its memory.
            Err(PostgresError::Start { reason, .. })
                if reason.contains("shared memory") && start.elapsed() < REMAINS_WAIT =>
            {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => return Err(error),
        }
    }
}

/// What to do when there are no binaries.
pub(crate) struct Fetching<'a> {
    pub(crate) download: &'a Download,
    pub(crate) folder: &'a Path,
    pub(crate) progress: &'a Progress,
    pub(crate) cancel: &'a Cancel,
}

/// Finds binaries, and fetches them when there are none at all.
pub(crate) fn find_or_fetch(
    search: &Search,
    major: Option<(u32, &Path)>,
    fetching: &Fetching<'_>,
) -> Result<Installation, PostgresError> {
    match (installation::find_matching(search, major), fetching.download) {
        (Err(PostgresError::NoBinaries { .. }), Download::From(source)) => {
            let fetched = fetch::fetch(source, fetching.folder, fetching.progress, fetching.cancel)?;
            match major {
                Some((data, path)) if data != fetched.major => {
                    Err(PostgresError::OtherVersion { folder: path.to_owned(), data, found: fetched.version })
                }
                _ => Ok(fetched),
            }
        }
        (outcome, _) => outcome,
    }
}
